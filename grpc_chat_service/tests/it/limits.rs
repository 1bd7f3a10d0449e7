//! Limits: each one holds, affects only the peer that exceeds it, and ends once there is capacity again.

use std::time::{Duration, Instant};

use grpc_chat_service::Limits;
use tonic::Code;

use crate::support::example::{ExampleCall, assert_serving, connect};
use crate::support::http2::{EXAMPLE, Http2Client, chat_message};
#[cfg(target_os = "linux")]
use crate::support::process::{Binary, shell};
use crate::support::server::{start, start_with_limits};
use crate::support::tcp::{PREFACE, TcpClient, example_headers, frame_type, http2_frame, http2_opening};
use crate::support::{stays_pending, with_timeout};

#[tokio::test]
async fn a_call_over_the_limit_per_connection_waits_until_another_ends() {
    let server = start().await;
    let mut client = connect(server.addr).await;
    let mut calls = Vec::new();
    for _ in 0..128 {
        let mut call = ExampleCall::open_on(&mut client).await;
        call.echo("Sam", "Hi").await;
        calls.push(call);
    }
    let mut one_more = Box::pin(ExampleCall::open_on(&mut client));
    assert!(stays_pending(&mut one_more).await);
    assert_serving(server.addr).await;

    let mut first = calls.swap_remove(0);
    first.half_close();
    assert_eq!(first.next().await.unwrap(), None);
    assert_eq!(one_more.await.echo("Ann", "Hey").await, "Ann: Hey");
}

#[tokio::test]
async fn a_peer_that_ignores_the_stream_limit_has_the_call_refused() {
    const REFUSED_STREAM: u32 = 7;
    let server = start_with_limits(|limits| limits.connection.streams = 3).await;
    let mut peer = TcpClient::connect(server.addr).await;
    peer.write(&http2_opening()).await;
    for stream in [1, 3, 5, 7] {
        peer.write(&example_headers(stream)).await;
    }
    let reset = loop {
        let frame = peer.next_frame().await.expect("the connection was closed");
        if frame.frame_type == frame_type::RST_STREAM {
            break frame;
        }
    };
    assert_eq!((reset.stream, &reset.payload[..]), (7, &REFUSED_STREAM.to_be_bytes()[..]));
}

#[tokio::test]
async fn a_peer_that_provokes_too_many_resets_is_disconnected() {
    const ENHANCE_YOUR_CALM: u32 = 11;
    let server = start().await;
    let limit = Limits::default().connection.local_resets;
    let mut peer = TcpClient::connect(server.addr).await;
    let mut attack = http2_opening();
    for n in 0..u32::try_from(limit).unwrap() + 10 {
        attack.extend(example_headers(2 * n + 1));
        // "MadeYouReset": a window beyond 2^31 is an error for which the server has to reset the call.
        attack.extend(http2_frame(frame_type::WINDOW_UPDATE, 0, 2 * n + 1, &0x7fff_ffff_u32.to_be_bytes()));
    }
    peer.write(&attack).await;
    let mut resets = 0;
    let goaway = loop {
        let frame = peer.next_frame().await.expect("the connection was closed without GOAWAY");
        match frame.frame_type {
            frame_type::RST_STREAM => resets += 1,
            frame_type::GOAWAY => break frame,
            _ => {}
        }
    };
    assert!(resets <= limit, "{resets}");
    assert_eq!(goaway.payload[4..8], ENHANCE_YOUR_CALM.to_be_bytes());
    assert_serving(server.addr).await;
}

#[tokio::test]
async fn a_peer_that_opens_and_resets_calls_rapidly_is_disconnected() {
    const CANCEL: u32 = 8;
    let server = start().await;
    let mut peer = TcpClient::connect(server.addr).await;
    let mut attack = http2_opening();
    for n in 0..5_000 {
        attack.extend(example_headers(2 * n + 1));
        attack.extend(http2_frame(frame_type::RST_STREAM, 0, 2 * n + 1, &CANCEL.to_be_bytes()));
    }
    peer.write(&attack).await;
    loop {
        let frame = peer.next_frame().await.expect("the connection was closed without GOAWAY");
        if frame.frame_type == frame_type::GOAWAY {
            break;
        }
    }
    assert_serving(server.addr).await;
}

#[tokio::test]
async fn a_peer_without_an_http_2_preface_in_time_is_disconnected() {
    let server = start_with_limits(|limits| limits.connection.handshake = Duration::from_millis(300)).await;
    let mut call = ExampleCall::open(server.addr).await;
    for sent in [&b""[..], b"P", &PREFACE[..12], &PREFACE[..23]] {
        let began = Instant::now();
        let mut peer = TcpClient::connect(server.addr).await;
        peer.write(sent).await;
        assert_eq!(peer.read_to_end().await, b"");
        assert!(began.elapsed() >= Duration::from_millis(250), "{sent:?}: closed before the deadline");
    }
    // The deadline does not apply to connections that have sent the preface.
    assert_eq!(call.echo("Sam", "Hi").await, "Sam: Hi");
}

#[tokio::test]
async fn a_preface_sent_byte_by_byte_does_not_extend_the_deadline() {
    let server = start_with_limits(|limits| limits.connection.handshake = Duration::from_millis(300)).await;
    let mut peer = TcpClient::connect(server.addr).await;
    let began = Instant::now();
    let sending = async {
        for byte in PREFACE {
            if peer.try_write(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(peer.read_to_end().await, b"");
    };
    with_timeout(sending).await;
    assert!(began.elapsed() < Duration::from_millis(100) * 23 + Duration::from_secs(5));
    assert_serving(server.addr).await;
}

#[tokio::test]
async fn a_peer_that_stops_acknowledging_pings_is_disconnected() {
    const ACK: u8 = 1;
    let (ping_after, ping_timeout) = (Duration::from_millis(100), Duration::from_millis(300));
    let server = start_with_limits(|limits| {
        limits.connection.ping_after = ping_after;
        limits.connection.ping_timeout = ping_timeout;
    })
    .await;
    let mut responsive = ExampleCall::open(server.addr).await;

    let mut unresponsive = TcpClient::connect(server.addr).await;
    unresponsive.write(&[http2_opening(), http2_frame(frame_type::SETTINGS, ACK, 0, &[])].concat()).await;
    let mut pinged = false;
    while let Some(frame) = unresponsive.next_frame().await {
        pinged |= frame.frame_type == frame_type::PING && frame.flags == 0;
    }
    assert!(pinged);
    // This caller was as silent, but its library acknowledges the PINGs.
    assert_eq!(responsive.echo("Sam", "Hi").await, "Sam: Hi");
}

/// Before a peer has acknowledged the settings, it may send as much as HTTP/2 allows by default, which is more than the window
/// that the settings announce.
#[tokio::test]
async fn a_peer_that_sends_more_than_a_window_before_it_acknowledges_the_settings_may_send_more_afterwards() {
    const ACK: u8 = 1;
    for early_bytes in [16_486, 20_000, 60_000] {
        let server = start().await;
        let mut peer = TcpClient::connect(server.addr).await;
        // Each response is as long as its message.
        let message = chat_message("x", "hello");
        let messages = message.repeat(early_bytes / message.len());
        // The responses have to fit.
        let window = http2_frame(frame_type::WINDOW_UPDATE, 0, 0, &0x10_0000_u32.to_be_bytes());
        peer.write(&[http2_opening(), window, example_headers(1)].concat()).await;
        for part in messages.chunks(16_384) {
            peer.write(&http2_frame(frame_type::DATA, 0, 1, part)).await;
        }
        // What has been sent, less what was allowed again: the rest of the window that HTTP/2 starts with.
        let (mut replies, mut allowed) = (0, 65_535 - i64::try_from(messages.len()).unwrap());
        let mut stream_window = 65_535;
        let mut acknowledged = false;
        while !acknowledged || allowed <= 0 {
            let frame = peer.next_frame().await.expect("the connection was closed, or nothing may be sent any more");
            match frame.frame_type {
                frame_type::DATA => replies += frame.payload.len(),
                frame_type::WINDOW_UPDATE if frame.stream == 1 => {
                    allowed += i64::from(u32::from_be_bytes(frame.payload[..].try_into().unwrap()));
                }
                frame_type::SETTINGS if frame.flags & ACK == 0 => {
                    const INITIAL_WINDOW_SIZE: u16 = 4;
                    for setting in frame.payload.chunks(6) {
                        if setting[..2] == INITIAL_WINDOW_SIZE.to_be_bytes() {
                            stream_window = u32::from_be_bytes(setting[2..].try_into().unwrap()).into();
                        }
                    }
                }
                _ => {}
            }
            if !acknowledged && replies >= messages.len() {
                acknowledged = true;
                peer.write(&http2_frame(frame_type::SETTINGS, ACK, 0, &[])).await;
                allowed += stream_window - 65_535;
            }
        }
    }
}

#[tokio::test]
async fn metadata_over_the_limit_is_refused_and_the_connection_stays_open() {
    let server = start().await;
    let mut client = Http2Client::connect(server.addr).await;
    let large = "x".repeat(20 * 1024);
    assert_eq!(client.call(EXAMPLE, &[("x-large", &large)], b"").await.http_status, 431);
    assert_eq!(client.call(EXAMPLE, &[("x-large", &large[..8_000])], b"").await.code, Some(Code::Ok));
}

#[tokio::test]
async fn a_connection_over_the_limit_waits_until_one_closes() {
    let server = start_with_limits(|limits| limits.listener.connections = 2).await;
    let first = ExampleCall::open(server.addr).await;
    let mut second = ExampleCall::open(server.addr).await;
    let addr = server.addr;
    let mut third = Box::pin(async move {
        let mut client = Http2Client::connect(addr).await;
        client.call_example(&chat_message("John", "Hello")).await
    });
    assert!(stays_pending(&mut third).await);
    assert_eq!(second.echo("Ann", "Hey").await, "Ann: Hey");
    drop(first);
    assert_eq!(third.await.replies, ["John: Hello"]);
}

#[tokio::test]
async fn a_connection_over_the_limit_per_network_is_closed_at_once() {
    let server = start_with_limits(|limits| limits.listener.connections_per_address = 2).await;
    let first = ExampleCall::open(server.addr).await;
    let mut second = ExampleCall::open(server.addr).await;
    assert_eq!(TcpClient::connect(server.addr).await.read_to_end().await, b"");
    assert_eq!(second.echo("Ann", "Hey").await, "Ann: Hey");

    let mut other_address = TcpClient::connect_from([127, 0, 0, 2], server.addr).await;
    other_address.write(&http2_opening()).await;
    assert_eq!(other_address.next_frame().await.unwrap().frame_type, frame_type::SETTINGS);

    drop(first);
    // The server takes a moment to notice that the first connection is closed.
    let accepted = async {
        loop {
            let mut again = TcpClient::connect(server.addr).await;
            let _ = again.try_write(&http2_opening()).await;
            if again.next_frame().await.is_some() {
                return;
            }
        }
    };
    with_timeout(accepted).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn out_of_file_descriptors_the_service_waits_and_recovers() {
    let command = shell("ulimit -n 40; exec \"$0\" --listen 127.0.0.1:0");
    let mut server = Binary::spawn(command).await;
    let mut early = ExampleCall::open(server.addr).await;
    assert_eq!(early.echo("Sam", "Hi").await, "Sam: Hi");

    let mut clients = Vec::new();
    // One address may have a quarter of the descriptors.
    for n in 0..60 {
        clients.push(TcpClient::connect_from([127, 0, 0, 2 + n % 10], server.addr).await);
    }
    let mut late = Box::pin(ExampleCall::open(server.addr));
    assert!(stays_pending(&mut late).await);

    // An accept loop that did not wait between attempts would take about a hundred ticks in this time.
    let before = server.cpu_ticks();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let spent = server.cpu_ticks() - before;
    assert!(spent < 25, "{spent} ticks of CPU while there was nothing to do");
    assert_eq!(early.echo("Sam", "still here").await, "Sam: still here");

    drop(clients);
    assert_eq!(late.await.echo("Ann", "Hey").await, "Ann: Hey");
    assert_serving(server.addr).await;
    server.signal("TERM").await;
    let (status, stderr) = server.exited().await;
    assert!(status.success(), "{status}");
    // One line for each time that the descriptors ran out, not for each attempt to accept.
    assert!((1..10).contains(&stderr.matches("cannot accept connections").count()), "{stderr}");
}

#[tokio::test]
async fn a_refusal_states_the_configured_limit() {
    let server = start_with_limits(|limits| limits.connection.message_bytes = 16).await;
    let message = chat_message("Sam", "a text that is too long");
    let outcome = Http2Client::connect(server.addr).await.call_example(&message).await;
    assert_eq!(outcome.code, Some(Code::ResourceExhausted));
    assert!(outcome.message.contains("limit") && outcome.message.contains("16"), "{outcome:?}");
}
