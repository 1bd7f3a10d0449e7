//! Calls of the example whose caller does not read: flow control stops the caller, memory stays bounded, no reply is lost.

use bytes::Bytes;
use futures_util::future::select_all;
use h2::RecvStream;
use tokio::task::{JoinHandle, JoinSet};
use tonic::Code;

use crate::support::example::{ExampleCall, connect};
use crate::support::http2::{
    Http2Client, RequestBody, chat_message, decode_replies, read_body, read_status, response_body, send_data,
};
use crate::support::server::{start, start_with_limits};
#[cfg(target_os = "linux")]
use crate::support::{
    example::assert_serving,
    process::{Binary, binary},
    tcp::{TcpClient, call_headers, frame_type, http2_frame, http2_opening},
};
use crate::support::{stays_pending, with_timeout};

/// Sends `count` messages, each in one HTTP/2 frame, as fast as flow control allows, then half-closes. Returns whether
/// the call stayed open.
fn send_all(
    mut request: RequestBody,
    count: usize,
    message: impl Fn(usize) -> Bytes + Send + 'static,
) -> JoinHandle<bool> {
    tokio::spawn(async move {
        for n in 0..count {
            if !send_data(&mut request, message(n)).await {
                return false;
            }
        }
        request.send_data(Bytes::new(), true).is_ok()
    })
}

/// Sends messages until flow control stops the caller, then reads, and asserts that every reply arrives.
async fn assert_all_replies_arrive(count: usize, message: fn(usize) -> Bytes, expected: fn(usize) -> String) {
    let server = start().await;
    let mut client = Http2Client::connect(server.addr).await;
    let (response, request) = client.open_example().await;
    let mut replies = response_body(response).await;
    let mut sending = send_all(request, count, message);
    assert!(stays_pending(&mut sending).await, "flow control did not stop the caller");
    let all = decode_replies(&read_body(&mut replies).await.unwrap());
    assert!(with_timeout(sending).await.unwrap());
    assert_eq!(all.len(), count);
    for (n, reply) in all.iter().enumerate() {
        assert_eq!(*reply, expected(n));
    }
    assert_eq!(read_status(&mut replies).await.code(), Code::Ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_reads_late_gets_all_of_100_000_small_messages() {
    assert_all_replies_arrive(100_000, |n| chat_message("", &n.to_string()), |n| format!(": {n}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_reads_late_gets_all_of_the_smallest_messages() {
    assert_all_replies_arrive(60_000, |_| chat_message("", ""), |_| ": ".to_owned()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_reads_late_gets_all_large_messages() {
    let message = |n: usize| chat_message(&n.to_string(), &"x".repeat(10_000));
    assert_all_replies_arrive(200, message, |n| format!("{n}: {}", "x".repeat(10_000))).await;
}

/// Opens calls on one connection that send `count` messages each, of `size` bytes on the wire, and do not read. Returns
/// their responses and the tasks that send, all of which flow control has stopped.
async fn stalled_calls(
    client: &mut Http2Client,
    calls: usize,
    count: usize,
    size: usize,
) -> Vec<(RecvStream, JoinHandle<bool>)> {
    // The prefix takes 5 bytes. A text that is not empty has a tag and a length of one byte, or of two from 128 bytes on.
    let text = "x".repeat(size.saturating_sub(if size > 5 + 2 + 127 { 8 } else { 7 }));
    let message = chat_message("", &text);
    assert_eq!(message.len(), size);
    let mut all = Vec::new();
    for _ in 0..calls {
        let (response, request) = client.open_example().await;
        let message = message.clone();
        all.push((response_body(response).await, send_all(request, count, move |_| message.clone())));
    }
    let mut any_finished = select_all(all.iter_mut().map(|(_, sending)| sending));
    assert!(stays_pending(&mut any_finished).await, "flow control did not stop every caller");
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_a_connection_may_stall_at_once_with_the_smallest_messages() {
    const COUNT: usize = 20_000;
    let server = start_with_limits(|limits| limits.connection.streams = 8).await;
    let mut client = Http2Client::connect(server.addr).await;
    let calls = stalled_calls(&mut client, 8, COUNT, 5).await;
    // h2 closes the connection by now if its budget for unread small frames is too small.
    let mut readers = JoinSet::new();
    for (mut replies, sending) in calls {
        readers.spawn(async move {
            assert_eq!(decode_replies(&read_body(&mut replies).await.unwrap()).len(), COUNT);
            assert!(with_timeout(sending).await.unwrap());
        });
    }
    while let Some(reader) = readers.join_next().await {
        reader.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_call_does_not_block_others_of_its_connection() {
    let server = start().await;
    let mut client = connect(server.addr).await;
    let mut stalled = ExampleCall::open_on(&mut client).await;
    let mut other = ExampleCall::open_on(&mut client).await;
    let text = "x".repeat(1_000);
    let mut sent = 0;
    while !stays_pending(&mut Box::pin(stalled.send("Sam", &text))).await {
        sent += 1;
    }
    for n in 0..10 {
        assert_eq!(other.echo("Ann", &n.to_string()).await, format!("Ann: {n}"));
    }
    for _ in 0..sent {
        assert_eq!(stalled.reply().await, format!("Sam: {text}"));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_never_read_use_bounded_memory() {
    const CALLS: u64 = 50;
    let server = Binary::start(&[]).await;
    assert_serving(server.addr).await;
    let before = server.resident_kib();
    let mut client = Http2Client::connect(server.addr).await;
    let _calls = stalled_calls(&mut client, CALLS as usize, usize::MAX, 1_000).await;
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < CALLS * 400, "{grown} KiB for {CALLS} calls");
    assert_serving(server.addr).await;
}

/// Opens calls on one connection that begin with `body`, and fills their windows with frames of one byte, of a message that is
/// never complete: each occupies hundreds of bytes in HTTP/2's buffers for as long as it is there. Returns by how many KiB the
/// process has grown.
#[cfg(target_os = "linux")]
async fn growth_by_tiny_frames(server: &Binary, path: &str, metadata: &[(&str, &str)], body: &[u8]) -> u64 {
    const ACK: u8 = 1;
    const CALLS: u32 = 30;
    const WINDOW: usize = 16 * 1024;
    let before = server.resident_kib();
    let mut peer = TcpClient::connect(server.addr).await;
    peer.write(&[http2_opening(), http2_frame(frame_type::SETTINGS, ACK, 0, &[])].concat()).await;
    for stream in (0..CALLS).map(|n| 2 * n + 1) {
        peer.write(&call_headers(stream, path, metadata)).await;
        if !body.is_empty() {
            peer.write(&http2_frame(frame_type::DATA, 0, stream, body)).await;
        }
        let unfinished = [0, 0, 0, 0xff, 0xff].into_iter().chain(std::iter::repeat(0)).take(WINDOW - body.len());
        let frames: Vec<u8> = unfinished.flat_map(|byte| http2_frame(frame_type::DATA, 0, stream, &[byte])).collect();
        peer.write(&frames).await;
    }
    // Everything before it has been received when this is acknowledged.
    peer.write(&http2_frame(frame_type::PING, 0, 0, b"the last")).await;
    loop {
        let frame = peer.next_frame().await.expect("the connection was closed");
        assert_ne!(frame.frame_type, frame_type::GOAWAY);
        if frame.frame_type == frame_type::PING && frame.flags == ACK && frame.payload == b"the last" {
            break;
        }
    }
    let grown = server.resident_kib().saturating_sub(before);
    assert_serving(server.addr).await;
    grown
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unary_calls_that_wait_for_their_turn_hold_little_of_what_they_are_sent() {
    let server = Binary::start(&[]).await;
    assert_serving(server.addr).await;
    let grown = growth_by_tiny_frames(&server, "/chat.v1.ChatService/ListRooms", &[], &[]).await;
    assert!(grown < 16 * 1024, "{grown} KiB");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_in_a_room_that_wait_because_of_a_rate_hold_little_of_what_they_send() {
    let mut command = binary();
    command.args(["--listen", "127.0.0.1:0", "--memory"]);
    for limit in ["CHANGES_PER_SECOND", "CHANGE_BURST", "NETWORK_SHARE"] {
        command.env(format!("CHAT_LIMITS_RATES_{limit}"), "1");
    }
    command.env("CHAT_LIMITS_RATES_HELLO_BURST", "100");
    command.env("CHAT_LIMITS_RATES_JOIN_BURST", "100");
    let server = Binary::spawn(command).await;
    assert_serving(server.addr).await;
    let line = chat_message("Sam", "Hi");
    let grown = growth_by_tiny_frames(&server, "/Chat/chat", &[("chat-room", "r")], &line.repeat(4)).await;
    assert!(grown < 16 * 1024, "{grown} KiB");
}
