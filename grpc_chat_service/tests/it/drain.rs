//! Shutdown: what was received is answered, every call ends with a status, and no caller can delay the end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use grpc_chat_service::config::Config;
use h2::RecvStream;
use tokio::net::TcpStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::admin;
use crate::support::example::{ExampleCall, connect};
use crate::support::http2::{
    Http2Client, RequestBody, chat_message, decode_replies, next_data, read_body, read_status, response_body, send_data,
};
use crate::support::process::Binary;
use crate::support::server::{start, start_with};
use crate::support::tcp::TcpClient;
use crate::support::{channel, stays_pending, with_timeout};

#[tokio::test]
async fn open_calls_end_with_unavailable() {
    let mut server = start().await;
    let mut client = connect(server.addr).await;
    let mut used = ExampleCall::open_on(&mut client).await;
    let mut unused = ExampleCall::open_on(&mut client).await;
    used.echo("Sam", "Hi").await;
    server.stop();
    for call in [&mut used, &mut unused] {
        let status = call.next().await.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::Unavailable, "the server is shutting down; call again soon")
        );
    }
    server.stopped().await;
}

#[tokio::test]
async fn what_was_received_is_answered_before_the_call_ends() {
    let mut server = start().await;
    let (mut replies, _request, first) = call_with_500_messages(server.addr).await;
    server.stop();
    let rest = read_body(&mut replies).await.unwrap();
    let expected: Vec<_> = (0..500).map(|n| format!("Sam: {n}")).collect();
    assert_eq!(decode_replies(&[&first[..], &rest[..]].concat()), expected);
    assert_eq!(read_status(&mut replies).await.code(), Code::Unavailable);
    server.stopped().await;
}

/// Opens a call and sends 500 messages in one HTTP/2 frame. Returns once the first reply has been read, which shows that
/// the server has the whole frame.
async fn call_with_500_messages(addr: SocketAddr) -> (RecvStream, RequestBody, Bytes) {
    let mut client = Http2Client::connect(addr).await;
    let (response, mut request) = client.open_example().await;
    let messages: BytesMut = (0..500).flat_map(|n| chat_message("Sam", &n.to_string())).collect();
    assert!(with_timeout(send_data(&mut request, messages.freeze())).await);
    let mut replies = response_body(response).await;
    let first = next_data(&mut replies).await;
    (replies, request, first)
}

#[tokio::test]
async fn a_call_that_is_complete_before_the_shutdown_ends_with_ok() {
    let mut server = start().await;
    let mut client = Http2Client::connect(server.addr).await;
    let (response, mut request) = client.open_example().await;
    with_timeout(send_data(&mut request, chat_message("Sam", "Hi"))).await;
    request.send_data(Bytes::new(), true).unwrap();
    let mut replies = response_body(response).await;
    assert_eq!(decode_replies(&read_body(&mut replies).await.unwrap()), ["Sam: Hi"]);
    server.stop();
    assert_eq!(read_status(&mut replies).await.code(), Code::Ok);
    server.stopped().await;
}

#[tokio::test]
async fn health_watchers_receive_not_serving_and_then_the_end() {
    let mut server = start().await;
    let mut client = HealthClient::new(channel(server.addr).await);
    let mut watches = Vec::new();
    for service in ["", "Chat", "chat.v1.ChatService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut watch = with_timeout(client.watch(request)).await.unwrap().into_inner();
        assert_eq!(with_timeout(watch.message()).await.unwrap().unwrap().status(), ServingStatus::Serving);
        watches.push(watch);
    }
    server.stop();
    for mut watch in watches {
        assert_eq!(with_timeout(watch.message()).await.unwrap().unwrap().status(), ServingStatus::NotServing);
        assert_eq!(with_timeout(watch.message()).await.unwrap(), None);
    }
    server.stopped().await;
}

#[tokio::test]
async fn connections_without_calls_do_not_delay_the_shutdown() {
    let mut server = start_with(Config { grace: Duration::from_secs(3_600), ..Config::default() }).await;
    let mut idle = Http2Client::connect(server.addr).await;
    assert_eq!(idle.call_example(b"").await.code, Some(Code::Ok));
    let mut silent = TcpClient::connect(server.addr).await;
    let mut incomplete = TcpClient::connect(server.addr).await;
    incomplete.write(b"PRI * HTTP/2.0\r\n").await;
    server.stop();
    with_timeout(idle.connection).await.unwrap().unwrap();
    assert_eq!(silent.read_to_end().await, b"");
    assert_eq!(incomplete.read_to_end().await, b"");
    server.stopped().await;
}

#[tokio::test]
async fn new_connections_and_calls_are_refused() {
    let mut server = start_with(Config { grace: Duration::from_secs(3_600), ..Config::default() }).await;
    // Keeps the server from ending.
    let _stalled = StalledCall::open(server.addr).await;
    let mut client = connect(server.addr).await;
    let mut call = ExampleCall::open_on(&mut client).await;
    server.stop();
    assert_eq!(call.next().await.unwrap_err().code(), Code::Unavailable);
    // A process that another test starts has a copy of the listening socket until it executes its own program.
    let refused = async { while TcpStream::connect(server.addr).await.is_ok() {} };
    with_timeout(refused).await;
    let late = with_timeout(client.chat(tokio_stream::empty())).await;
    assert_eq!(late.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn the_admin_listener_reports_it_and_answers_to_the_end() {
    let mut server = admin::start().await;
    let address = server.admin.unwrap();
    // Keeps the server from ending.
    let stalled = StalledCall::open(server.addr).await;
    assert_eq!(admin::request(address, "GET /ready").await.status, 200);
    server.stop();
    let not_ready = async {
        loop {
            let response = admin::request(address, "GET /ready").await;
            if response.status != 200 {
                return response;
            }
        }
    };
    let response = with_timeout(not_ready).await;
    assert_eq!((response.status, response.body.contains("shutting down")), (503, true), "{}", response.body);
    assert_eq!(admin::request(address, "GET /live").await.status, 200);
    assert!(admin::metrics(address).await.contains("chat_connections_open 1"));
    drop(stalled);
    server.stopped().await;
    // As above, another test's process may still have the socket.
    let closed = async { while TcpStream::connect(address).await.is_ok() {} };
    with_timeout(closed).await;
}

#[tokio::test]
async fn a_caller_that_does_not_read_is_disconnected_when_the_grace_period_ends() {
    let grace = Duration::from_millis(500);
    let mut server = start_with(Config { grace, ..Config::default() }).await;
    let stalled = StalledCall::open(server.addr).await;
    let began = Instant::now();
    server.stop();
    server.stopped().await;
    assert!(began.elapsed() >= grace);
    assert!(began.elapsed() < Duration::from_secs(10));
    let _disconnected = with_timeout(stalled.client.connection).await;
}

#[tokio::test]
async fn a_caller_that_starts_to_read_gets_its_replies_and_the_status() {
    let mut server = start().await;
    let mut stalled = StalledCall::open(server.addr).await;
    server.stop();
    let (sent, read) = (stalled.sent, decode_replies(&read_body(&mut stalled.replies).await.unwrap()));
    assert!(read.len() <= sent && read.len() > sent / 2, "{} of {sent}", read.len());
    assert!(read.iter().enumerate().all(|(n, reply)| *reply == format!("{n}: {}", "x".repeat(1_000))));
    assert_eq!(read_status(&mut stalled.replies).await.code(), Code::Unavailable);
    server.stopped().await;
}

/// A call whose caller does not read, and has sent until flow control stopped it.
struct StalledCall {
    client: Http2Client,
    _request: RequestBody,
    replies: RecvStream,
    /// How many messages have been sent.
    sent: usize,
}

impl StalledCall {
    async fn open(addr: SocketAddr) -> Self {
        let mut client = Http2Client::connect(addr).await;
        let (response, mut request) = client.open_example().await;
        let replies = response_body(response).await;
        let text = "x".repeat(1_000);
        let mut sent = 0;
        while !stays_pending(&mut Box::pin(send_data(&mut request, chat_message(&sent.to_string(), &text)))).await {
            sent += 1;
            assert!(sent < 10_000, "flow control does not stop the caller, or the call has ended");
        }
        Self { client, _request: request, replies, sent }
    }
}

#[tokio::test]
async fn a_caller_that_never_stops_sending_does_not_delay_the_shutdown() {
    let mut server = start_with(Config { grace: Duration::from_secs(1), ..Config::default() }).await;
    let mut client = Http2Client::connect(server.addr).await;
    let (response, mut request) = client.open_example().await;
    let sending = tokio::spawn(async move { while send_data(&mut request, chat_message("Sam", "Hi")).await {} });
    let mut replies = response_body(response).await;
    next_data(&mut replies).await;
    server.stop();
    // The call may end with a status, or with its connection.
    let _ = read_body(&mut replies).await;
    server.stopped().await;
    with_timeout(sending).await.unwrap();
}

#[tokio::test]
async fn a_signal_shuts_the_binary_down_in_order() {
    for signal in ["TERM", "INT"] {
        let mut server = Binary::start(&[]).await;
        let (mut replies, _request, first) = call_with_500_messages(server.addr).await;
        let idle = Http2Client::connect(server.addr).await;
        server.signal(signal).await;
        let rest = read_body(&mut replies).await.unwrap();
        assert_eq!(decode_replies(&[&first[..], &rest[..]].concat()).len(), 500);
        assert_eq!(read_status(&mut replies).await.code(), Code::Unavailable);
        drop(idle);
        let (status, stderr) = server.exited().await;
        assert_eq!(status.code(), Some(0), "{signal}: {stderr}");
    }
}

#[tokio::test]
async fn a_signal_right_after_the_address_is_printed_shuts_the_binary_down() {
    for signal in ["TERM", "INT"].repeat(5) {
        let mut server = Binary::start(&[]).await;
        server.signal(signal).await;
        let (status, stderr) = server.exited().await;
        assert_eq!(status.code(), Some(0), "{signal}: {status} {stderr}");
    }
}

#[tokio::test]
async fn a_second_signal_ends_the_binary_at_once() {
    let mut server = Binary::start(&["--grace", "3600"]).await;
    let _stalled = StalledCall::open(server.addr).await;
    let idle = Http2Client::connect(server.addr).await;
    server.signal("INT").await;
    // The end of the idle connection shows that the first signal has been handled.
    let _ = with_timeout(idle.connection).await;
    server.signal("INT").await;
    let (status, stderr) = server.exited().await;
    assert_eq!(status.code(), Some(1));
    assert!(stderr.contains("\ngrpc_chat_service: asked to stop a second time"), "{stderr}");
}

#[tokio::test]
async fn the_binary_disconnects_a_stalled_caller_when_the_grace_period_ends() {
    let mut server = Binary::start(&["--grace", "1"]).await;
    let _stalled = StalledCall::open(server.addr).await;
    server.signal("TERM").await;
    let (status, stderr) = server.exited().await;
    assert_eq!(status.code(), Some(0));
    assert!(stderr.contains("the grace period is over"), "{stderr}");
}
