//! Leaving: what was received is answered, everyone is told, and nobody can hold the server up.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use grpc_chat_service::config::Config;
use h2::RecvStream;
use tokio::net::TcpStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{
    Bare, Binary, Call, Sending, Wire, channel, connect, message, read, send_frame, soon, start, start_with, strings,
    waits,
};

#[tokio::test]
async fn open_calls_are_told_to_come_back_later() {
    let mut server = start().await;
    let mut client = connect(server.addr).await;
    let mut talking = Call::on(&mut client).await;
    let mut silent = Call::on(&mut client).await;
    talking.ask("Sam", "Hi").await;
    server.stop();
    for call in [&mut talking, &mut silent] {
        let status = call.next().await.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::Unavailable, "the server is shutting down; call again soon")
        );
    }
    server.left().await;
}

#[tokio::test]
async fn what_was_received_is_answered_before_the_farewell() {
    let mut server = start().await;
    let (mut answers, _sending, first) = call_with_500_messages_in_one_frame(server.addr).await;
    server.stop();
    let rest = soon(read(&mut answers)).await.unwrap();
    let expected: Vec<_> = (0..500).map(|n| format!("Sam: {n}")).collect();
    assert_eq!(strings(&[&first[..], &rest[..]].concat()), expected);
    assert_eq!(soon(answers.trailers()).await.unwrap().unwrap()["grpc-status"], "14");
    server.left().await;
}

/// Whoever has read the first answer knows that the server has the whole frame.
async fn call_with_500_messages_in_one_frame(addr: std::net::SocketAddr) -> (RecvStream, Sending, Bytes) {
    let mut wire = Wire::connect(addr).await;
    let (response, mut sending) = wire.chat().await;
    let messages: BytesMut = (0..500).flat_map(|n| message("Sam", &n.to_string())).collect();
    assert!(soon(send_frame(&mut sending, messages.freeze())).await);
    let mut answers = soon(response).await.unwrap().into_body();
    let first = soon(answers.data()).await.unwrap().unwrap();
    (answers, sending, first)
}

#[tokio::test]
async fn a_call_that_ends_by_itself_meanwhile_ends_with_ok() {
    let mut server = start().await;
    let mut wire = Wire::connect(server.addr).await;
    let (response, mut sending) = wire.chat().await;
    soon(send_frame(&mut sending, message("Sam", "Hi"))).await;
    sending.send_data(Bytes::new(), true).unwrap();
    let mut answers = soon(response).await.unwrap().into_body();
    assert_eq!(strings(&soon(read(&mut answers)).await.unwrap()), ["Sam: Hi"]);
    server.stop();
    assert_eq!(soon(answers.trailers()).await.unwrap().unwrap()["grpc-status"], "0");
    server.left().await;
}

#[tokio::test]
async fn health_watchers_see_not_serving_and_then_the_end() {
    let mut server = start().await;
    let mut client = HealthClient::new(channel(server.addr).await);
    let mut watches = Vec::new();
    for service in ["", "Chat"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut watch = soon(client.watch(request)).await.unwrap().into_inner();
        assert_eq!(soon(watch.message()).await.unwrap().unwrap().status(), ServingStatus::Serving);
        watches.push(watch);
    }
    server.stop();
    for mut watch in watches {
        assert_eq!(soon(watch.message()).await.unwrap().unwrap().status(), ServingStatus::NotServing);
        assert_eq!(soon(watch.message()).await.unwrap(), None);
    }
    server.left().await;
}

#[tokio::test]
async fn connections_without_calls_do_not_hold_the_server_up() {
    let mut server = start_with(Config { grace: Duration::from_secs(3_600), ..Config::default() }).await;
    let mut idle = Wire::connect(server.addr).await;
    assert_eq!(idle.call("/Chat/chat", &[], b"").await.code, Some(Code::Ok));
    let mut silent = Bare::connect(server.addr).await;
    let mut half_open = Bare::connect(server.addr).await;
    half_open.write(b"PRI * HTTP/2.0\r\n").await;
    server.stop();
    soon(idle.ended).await.unwrap().unwrap();
    assert_eq!(silent.rest().await, b"");
    assert_eq!(half_open.rest().await, b"");
    server.left().await;
}

#[tokio::test]
async fn nobody_new_comes_in() {
    let mut server = start().await;
    let (_answers, _sending, _) = call_with_500_messages_in_one_frame(server.addr).await;
    let mut client = connect(server.addr).await;
    let mut call = Call::on(&mut client).await;
    server.stop();
    assert_eq!(call.next().await.unwrap_err().code(), Code::Unavailable);
    assert!(soon(TcpStream::connect(server.addr)).await.is_err());
    let late = soon(client.chat(tokio_stream::empty())).await;
    assert_eq!(late.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_caller_that_does_not_read_is_cut_when_the_grace_is_over() {
    let grace = Duration::from_millis(500);
    let mut server = start_with(Config { grace, ..Config::default() }).await;
    let mut wire = Wire::connect(server.addr).await;
    let (response, sending) = wire.chat().await;
    let _unread = soon(response).await.unwrap();
    held_back(sending).await;
    let began = Instant::now();
    server.stop();
    server.left().await;
    assert!(began.elapsed() >= grace);
    assert!(began.elapsed() < Duration::from_secs(10));
    let _cut = soon(wire.ended).await;
}

#[tokio::test]
async fn a_caller_that_did_not_read_and_then_does_gets_its_answers_and_the_farewell() {
    let mut server = start().await;
    let mut wire = Wire::connect(server.addr).await;
    let (response, sending) = wire.chat().await;
    let mut answers = soon(response).await.unwrap().into_body();
    let (_sending, sent) = held_back(sending).await;
    server.stop();
    let read = strings(&soon(read(&mut answers)).await.unwrap());
    assert!(read.len() <= sent && read.len() > sent / 2, "{} of {sent}", read.len());
    assert!(read.iter().enumerate().all(|(n, answer)| *answer == format!("{n}: {}", "x".repeat(1_000))));
    assert_eq!(soon(answers.trailers()).await.unwrap().unwrap()["grpc-status"], "14");
    server.left().await;
}

/// Sends until the server takes no more.
async fn held_back(mut sending: Sending) -> (Sending, usize) {
    let text = "x".repeat(1_000);
    for sent in 0.. {
        let mut next = Box::pin(send_frame(&mut sending, message(&sent.to_string(), &text)));
        if waits(&mut next).await {
            drop(next);
            return (sending, sent);
        }
    }
    unreachable!()
}

#[tokio::test]
async fn a_caller_that_never_pauses_does_not_hold_the_server_up() {
    let mut server = start_with(Config { grace: Duration::from_secs(1), ..Config::default() }).await;
    let mut wire = Wire::connect(server.addr).await;
    let (response, mut sending) = wire.chat().await;
    let flood = tokio::spawn(async move { while send_frame(&mut sending, message("Sam", "Hi")).await {} });
    let mut answers = soon(response).await.unwrap().into_body();
    soon(answers.data()).await.unwrap().unwrap();
    server.stop();
    // It ends with the farewell, or is cut: either way it ends.
    let _ = soon(read(&mut answers)).await;
    server.left().await;
    soon(flood).await.unwrap();
}

#[tokio::test]
async fn the_binary_leaves_in_order_when_asked() {
    for signal in ["TERM", "INT"] {
        let mut server = Binary::start(&[]).await;
        let (mut answers, _sending, first) = call_with_500_messages_in_one_frame(server.addr).await;
        let idle = Wire::connect(server.addr).await;
        server.signal(signal).await;
        let rest = soon(read(&mut answers)).await.unwrap();
        assert_eq!(strings(&[&first[..], &rest[..]].concat()).len(), 500);
        assert_eq!(soon(answers.trailers()).await.unwrap().unwrap()["grpc-status"], "14");
        drop(idle);
        let (status, stderr) = server.left().await;
        assert_eq!(status.code(), Some(0), "{signal}: {stderr}");
    }
}

#[tokio::test]
async fn the_binary_can_be_asked_to_leave_as_soon_as_it_says_where_it_listens() {
    for signal in ["TERM", "INT"].repeat(5) {
        let mut server = Binary::start(&[]).await;
        server.signal(signal).await;
        let (status, stderr) = server.left().await;
        assert_eq!(status.code(), Some(0), "{signal}: {status} {stderr}");
    }
}

#[tokio::test]
async fn asked_a_second_time_the_binary_leaves_at_once() {
    let mut server = Binary::start(&["--grace", "3600"]).await;
    let mut wire = Wire::connect(server.addr).await;
    let (response, sending) = wire.chat().await;
    let _unread = soon(response).await.unwrap();
    let _stalled = held_back(sending).await;
    let idle = Wire::connect(server.addr).await;
    server.signal("INT").await;
    // That the idle connection is closed shows that the first signal was taken.
    let _ = soon(idle.ended).await;
    server.signal("INT").await;
    let (status, stderr) = server.left().await;
    assert_eq!(status.code(), Some(1));
    assert!(stderr.contains("\ngrpc_chat_service: asked to stop a second time"), "{stderr}");
}

#[tokio::test]
async fn the_binary_cuts_who_does_not_read_when_the_grace_is_over() {
    let mut server = Binary::start(&["--grace", "1"]).await;
    let mut wire = Wire::connect(server.addr).await;
    let (response, sending) = wire.chat().await;
    let _unread = soon(response).await.unwrap();
    let _stalled = held_back(sending).await;
    server.signal("TERM").await;
    let (status, stderr) = server.left().await;
    assert_eq!(status.code(), Some(0));
    assert!(stderr.contains("the grace period is over"), "{stderr}");
}
