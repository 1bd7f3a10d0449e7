//! What is wrong with a call is said in the status that belongs to it, and the server lives on.

use bytes::Bytes;
use http::Request;
use tonic::Code;

use crate::support::{
    Bare, Binary, Call, Outcome, Wire, assert_alive, connect, framed, message, send_frame, soon, start,
};

/// A call that says `Sam: Hi` and then `bytes`: the first is answered, the second decides the status.
async fn after_a_good_message(bytes: &[u8]) -> Outcome {
    let server = start().await;
    let mut wire = Wire::connect(server.addr).await;
    let body = [&message("Sam", "Hi"), bytes].concat();
    let outcome = wire.call("/Chat/chat", &[], &body).await;
    assert_eq!(outcome.http, 200);
    assert_eq!(outcome.answers, ["Sam: Hi"]);
    // The connection is not to blame.
    assert_eq!(wire.call("/Chat/chat", &[], &message("Ann", "Hey")).await.answers, ["Ann: Hey"]);
    assert_alive(server.addr).await;
    outcome
}

#[tokio::test]
async fn a_message_over_the_limit_is_resource_exhausted() {
    let over = framed(&vec![0; 65 * 1024 + 1]);
    let outcome = after_a_good_message(&over).await;
    assert_eq!(outcome.code, Some(Code::ResourceExhausted), "{outcome:?}");
    assert!(outcome.message.contains("66560"), "{outcome:?}");
}

#[tokio::test]
async fn a_message_at_the_limit_is_answered() {
    let server = start().await;
    let mut call = Call::open(server.addr).await;
    // Each field costs a tag and a length of three bytes at this size, the name two and its text.
    let text = "x".repeat(65 * 1024 - 4 - 2 - 3);
    assert_eq!(call.ask("Sam", &text).await.len(), text.len() + 5);
    call.say("Sam", &(text + "x")).await;
    assert_eq!(call.next().await.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_length_far_beyond_what_follows_is_refused_before_it_follows() {
    let outcome = after_a_good_message(&[0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]).await;
    assert_eq!(outcome.code, Some(Code::ResourceExhausted), "{outcome:?}");
}

#[tokio::test]
async fn bytes_that_are_no_message_are_an_internal_error() {
    for bytes in [
        &b"\xff\xff\xff"[..],    // no tag
        b"\x0a\x7fshort",        // a string longer than its message
        b"\x0a\x02\xff\xfe",     // not UTF-8
        b"\x0a\x03\xed\xa0\x80", // a lone surrogate
        b"\x08\x01",             // a number where the name belongs
    ] {
        let outcome = after_a_good_message(&framed(bytes)).await;
        assert_eq!(outcome.code, Some(Code::Internal), "{bytes:x?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_message_that_stops_halfway_is_an_internal_error() {
    for bytes in [&[0][..], &[0, 0, 0], &[0, 0, 0, 0, 9, 1], &message("Sam", "Hi")[..8]] {
        let outcome = after_a_good_message(bytes).await;
        assert_eq!(outcome.code, Some(Code::Internal), "{bytes:x?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_compressed_message_in_an_uncompressed_call_is_an_internal_error() {
    for flag in [1, 2, 0xff] {
        let outcome = after_a_good_message(&[flag, 0, 0, 0, 0]).await;
        assert_eq!(outcome.code, Some(Code::Internal), "{flag}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_compressed_call_is_unimplemented() {
    let server = start().await;
    let mut wire = Wire::connect(server.addr).await;
    for encoding in ["gzip", "deflate", "zstd", "nonsense"] {
        let outcome = wire.call("/Chat/chat", &[("grpc-encoding", encoding)], &message("Sam", "Hi")).await;
        assert_eq!((outcome.http, outcome.code), (200, Some(Code::Unimplemented)), "{encoding}: {outcome:?}");
    }
    assert_alive(server.addr).await;
}

#[tokio::test]
async fn what_is_not_served_is_unimplemented() {
    let server = start().await;
    let mut wire = Wire::connect(server.addr).await;
    let long = format!("/{}", "x".repeat(4_000));
    for path in ["/Chat/Chat", "/Chat/", "/Chat", "/chat/chat", "/Chat/chat/", "//Chat/chat", "/", "/%2e%2e/x", &long] {
        let outcome = wire.call(path, &[], &message("Sam", "Hi")).await;
        assert_eq!((outcome.http, outcome.code), (200, Some(Code::Unimplemented)), "{path}: {outcome:?}");
    }
    assert_alive(server.addr).await;
}

#[tokio::test]
async fn what_is_not_grpc_is_an_unsupported_media_type() {
    let server = start().await;
    let mut wire = Wire::connect(server.addr).await;
    for content_type in ["application/json", "text/plain", "application/grpc-web", "application/grpcx", ""] {
        let outcome = wire.call("/Chat/chat", &[("content-type", content_type)], &message("Sam", "Hi")).await;
        assert_eq!(outcome.http, 415, "{content_type}: {outcome:?}");
    }
    for content_type in ["application/grpc+proto", "application/grpc;charset=utf-8"] {
        let outcome = wire.call("/Chat/chat", &[("content-type", content_type)], &message("Sam", "Hi")).await;
        assert_eq!(outcome.answers, ["Sam: Hi"]);
    }
    assert_alive(server.addr).await;
}

#[tokio::test]
async fn a_method_other_than_post_is_not_allowed() {
    let server = start().await;
    let mut wire = Wire::connect(server.addr).await;
    for method in ["GET", "PUT", "OPTIONS", "CONJURE"] {
        let request = Request::builder().method(method).uri("http://localhost/Chat/chat");
        let request = request.header("content-type", "application/grpc").body(()).unwrap();
        let (response, _) = wire.send.send_request(request, true).unwrap();
        assert_eq!(Outcome::of(response).await.http, 405, "{method}");
    }
    assert_alive(server.addr).await;
}

#[tokio::test]
async fn a_deadline_the_caller_states_is_left_to_the_caller() {
    let server = start().await;
    let mut wire = Wire::connect(server.addr).await;
    for timeout in ["1S", "99999999H", "1n", "soon", ""] {
        let outcome = wire.call("/Chat/chat", &[("grpc-timeout", timeout)], &message("Sam", "Hi")).await;
        assert_eq!((outcome.http, outcome.code), (200, Some(Code::Ok)), "{timeout}: {outcome:?}");
        assert_eq!(outcome.answers, ["Sam: Hi"]);
    }
}

#[tokio::test]
async fn http_1_is_told_what_this_port_speaks() {
    let server = start().await;
    for request in [
        "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        "POST /Chat/chat HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\nabc".to_owned(),
        format!("GET /{} HTTP/1.0\r\n\r\n", "x".repeat(20_000)),
        "OPTIONS * HTTP/1.1\r\nhost: localhost\r\nupgrade: h2c\r\n\r\n".to_owned(),
    ] {
        let mut browser = Bare::connect(server.addr).await;
        browser.write(request.as_bytes()).await;
        let answer = String::from_utf8(browser.rest().await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 505 "), "{answer:?}");
        assert!(answer.contains("gRPC"), "{answer:?}");
    }
    assert_alive(server.addr).await;
}

#[tokio::test]
async fn a_tls_client_and_noise_are_closed_at_once() {
    let server = start().await;
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 500]].concat();
    for opening in [&hello[..], &[0; 64], b"\n", &[0xff], b"prI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\r\n\r\n"] {
        let mut stranger = Bare::connect(server.addr).await;
        stranger.write(opening).await;
        assert_eq!(stranger.rest().await, b"", "{opening:x?}");
    }
    assert_alive(server.addr).await;
}

#[tokio::test]
async fn a_caller_that_resets_takes_only_its_own_call_along() {
    let server = start().await;
    let mut wire = Wire::connect(server.addr).await;
    let (_response, mut neighbour) = wire.chat().await;
    for _ in 0..200 {
        let (response, mut sending) = wire.chat().await;
        assert!(soon(send_frame(&mut sending, message("Sam", "Hi"))).await);
        let _answers = soon(response).await.unwrap();
        sending.send_reset(h2::Reason::CANCEL);
    }
    assert!(soon(send_frame(&mut neighbour, message("Ann", "Hey"))).await);
    neighbour.send_data(Bytes::new(), true).unwrap();
    assert_eq!(Outcome::of(_response).await.answers, ["Ann: Hey"]);
    assert_alive(server.addr).await;
}

#[tokio::test]
async fn callers_that_vanish_in_the_middle_leave_the_binary_serving() {
    let server = Binary::start(&[]).await;
    for _ in 0..50 {
        let mut wire = Wire::connect(server.addr).await;
        let (response, mut sending) = wire.chat().await;
        sending.send_data(message("Sam", "Hi").slice(..6), false).unwrap();
        soon(response).await.unwrap();
        wire.ended.abort();
    }
    let mut client = connect(server.addr).await;
    assert_eq!(Call::on(&mut client).await.ask("Ann", "Hey").await, "Ann: Hey");
}
