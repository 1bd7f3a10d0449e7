//! Calls of the example that fail: each gets the status for its error, and the server goes on serving.

use bytes::Bytes;
use http::Request;
use tonic::Code;

use crate::support::example::{ExampleCall, assert_serving, connect};
use crate::support::http2::{EXAMPLE, Http2Client, Outcome, chat_message, length_prefixed, response_body, send_data};
use crate::support::process::Binary;
use crate::support::server::start;
use crate::support::tcp::TcpClient;
use crate::support::with_timeout;

/// Makes a call that sends a valid message, which is answered, and then `bytes`. Returns its outcome.
async fn call_that_sends(bytes: &[u8]) -> Outcome {
    let server = start().await;
    let mut client = Http2Client::connect(server.addr).await;
    let body = [&chat_message("Sam", "Hi"), bytes].concat();
    let outcome = client.call_example(&body).await;
    assert_eq!(outcome.http_status, 200);
    assert_eq!(outcome.replies, ["Sam: Hi"]);
    // The connection can still be used.
    assert_eq!(client.call_example(&chat_message("Ann", "Hey")).await.replies, ["Ann: Hey"]);
    assert_serving(server.addr).await;
    outcome
}

#[tokio::test]
async fn a_message_over_the_limit_is_resource_exhausted() {
    let over = length_prefixed(&vec![0; 65 * 1024 + 1]);
    let outcome = call_that_sends(&over).await;
    assert_eq!(outcome.code, Some(Code::ResourceExhausted), "{outcome:?}");
    assert!(outcome.message.contains("66560"), "{outcome:?}");
}

#[tokio::test]
async fn a_message_over_the_limit_has_the_same_status_in_every_method() {
    let server = start().await;
    let over = length_prefixed(&vec![0; 65 * 1024 + 1]);
    for path in ["/Chat/chat", "/chat.v1.ChatService/Session", "/chat.v1.ChatService/ListMessages"] {
        let outcome = Http2Client::connect(server.addr).await.call(path, &[], &over).await;
        assert_eq!(outcome.code, Some(Code::ResourceExhausted), "{path}: {outcome:?}");
        // Its prefix is enough, also if it comes byte by byte.
        let mut client = Http2Client::connect(server.addr).await;
        let (response, mut request) = client.open(path, &[]).await;
        for byte in &over[..5] {
            assert!(send_data(&mut request, Bytes::copy_from_slice(&[*byte])).await);
        }
        let outcome = Outcome::read(response).await;
        assert_eq!(outcome.code, Some(Code::ResourceExhausted), "{path}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_message_at_the_limit_is_answered() {
    let server = start().await;
    let mut call = ExampleCall::open(server.addr).await;
    // The text has a tag and, at this size, a length of three bytes; the name has a tag and a length of one byte.
    let text = "x".repeat(65 * 1024 - 4 - 2 - 3);
    assert_eq!(call.echo("Sam", &text).await.len(), "Sam: ".len() + text.len());
    call.send("Sam", &(text + "x")).await;
    assert_eq!(call.next().await.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_length_prefix_over_the_limit_is_refused_before_the_message_arrives() {
    let outcome = call_that_sends(&[0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]).await;
    assert_eq!(outcome.code, Some(Code::ResourceExhausted), "{outcome:?}");
}

#[tokio::test]
async fn undecodable_messages_are_an_internal_error() {
    for bytes in [
        &b"\xff\xff\xff"[..],    // an incomplete tag
        b"\x0a\x7fshort",        // a string longer than the message
        b"\x0a\x02\xff\xfe",     // not UTF-8
        b"\x0a\x03\xed\xa0\x80", // a lone surrogate
        b"\x08\x01",             // the name as a number
    ] {
        let outcome = call_that_sends(&length_prefixed(bytes)).await;
        assert_eq!(outcome.code, Some(Code::Internal), "{bytes:x?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_truncated_message_is_an_internal_error() {
    for bytes in [&[0][..], &[0, 0, 0], &[0, 0, 0, 0, 9, 1], &chat_message("Sam", "Hi")[..8]] {
        let outcome = call_that_sends(bytes).await;
        assert_eq!(outcome.code, Some(Code::Internal), "{bytes:x?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_compressed_message_in_an_uncompressed_call_is_an_internal_error() {
    for flag in [1, 2, 0xff] {
        let outcome = call_that_sends(&[flag, 0, 0, 0, 0]).await;
        assert_eq!(outcome.code, Some(Code::Internal), "{flag}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_compressed_call_is_unimplemented() {
    let server = start().await;
    let mut client = Http2Client::connect(server.addr).await;
    for encoding in ["gzip", "deflate", "zstd", "nonsense"] {
        let outcome = client.call(EXAMPLE, &[("grpc-encoding", encoding)], &chat_message("Sam", "Hi")).await;
        assert_eq!((outcome.http_status, outcome.code), (200, Some(Code::Unimplemented)), "{encoding}: {outcome:?}");
    }
    assert_serving(server.addr).await;
}

#[tokio::test]
async fn unknown_methods_are_unimplemented() {
    let server = start().await;
    let mut client = Http2Client::connect(server.addr).await;
    let long = format!("/{}", "x".repeat(4_000));
    for path in ["/Chat/Chat", "/Chat/", "/Chat", "/chat/chat", "/Chat/chat/", "//Chat/chat", "/", "/%2e%2e/x", &long] {
        let outcome = client.call(path, &[], &chat_message("Sam", "Hi")).await;
        assert_eq!((outcome.http_status, outcome.code), (200, Some(Code::Unimplemented)), "{path}: {outcome:?}");
    }
    assert_serving(server.addr).await;
}

#[tokio::test]
async fn other_content_types_are_an_unsupported_media_type() {
    let server = start().await;
    let mut client = Http2Client::connect(server.addr).await;
    for content_type in ["application/json", "text/plain", "application/grpc-web", "application/grpcx", ""] {
        let outcome = client.call(EXAMPLE, &[("content-type", content_type)], &chat_message("Sam", "Hi")).await;
        assert_eq!(outcome.http_status, 415, "{content_type}: {outcome:?}");
    }
    for content_type in ["application/grpc+proto", "application/grpc;charset=utf-8"] {
        let outcome = client.call(EXAMPLE, &[("content-type", content_type)], &chat_message("Sam", "Hi")).await;
        assert_eq!(outcome.replies, ["Sam: Hi"]);
    }
    assert_serving(server.addr).await;
}

#[tokio::test]
async fn a_method_other_than_post_is_not_allowed() {
    let server = start().await;
    let mut client = Http2Client::connect(server.addr).await;
    for method in ["GET", "PUT", "OPTIONS", "CONJURE"] {
        let request = Request::builder().method(method).uri("http://localhost/Chat/chat");
        let request = request.header("content-type", "application/grpc").body(()).unwrap();
        let (response, _) = client.send.send_request(request, true).unwrap();
        assert_eq!(Outcome::read(response).await.http_status, 405, "{method}");
    }
    assert_serving(server.addr).await;
}

#[tokio::test]
async fn the_callers_grpc_timeout_is_left_to_the_caller() {
    let server = start().await;
    let mut client = Http2Client::connect(server.addr).await;
    for timeout in ["1S", "99999999H", "1n", "soon", ""] {
        let outcome = client.call(EXAMPLE, &[("grpc-timeout", timeout)], &chat_message("Sam", "Hi")).await;
        assert_eq!((outcome.http_status, outcome.code), (200, Some(Code::Ok)), "{timeout}: {outcome:?}");
        assert_eq!(outcome.replies, ["Sam: Hi"]);
    }
}

#[tokio::test]
async fn http_1_gets_505_and_an_explanation() {
    let server = start().await;
    for request in [
        "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        "POST /Chat/chat HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\nabc".to_owned(),
        format!("GET /{} HTTP/1.0\r\n\r\n", "x".repeat(20_000)),
        "OPTIONS * HTTP/1.1\r\nhost: localhost\r\nupgrade: h2c\r\n\r\n".to_owned(),
    ] {
        let mut client = TcpClient::connect(server.addr).await;
        client.write(request.as_bytes()).await;
        let reply = String::from_utf8(client.read_to_end().await).unwrap();
        assert!(reply.starts_with("HTTP/1.1 505 "), "{reply:?}");
        assert!(reply.contains("gRPC"), "{reply:?}");
    }
    assert_serving(server.addr).await;
}

#[tokio::test]
async fn connections_that_are_not_http_are_closed_at_once() {
    let server = start().await;
    let tls_client_hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 500]].concat();
    for bytes in [&tls_client_hello[..], &[0; 64], b"\n", &[0xff], b"prI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\r\n\r\n"] {
        let mut client = TcpClient::connect(server.addr).await;
        client.write(bytes).await;
        assert_eq!(client.read_to_end().await, b"", "{bytes:x?}");
    }
    assert_serving(server.addr).await;
}

#[tokio::test]
async fn resetting_a_call_leaves_the_others_open() {
    let server = start().await;
    let mut client = Http2Client::connect(server.addr).await;
    let (other_response, mut other_request) = client.open_example().await;
    for _ in 0..200 {
        let (response, mut request) = client.open_example().await;
        assert!(with_timeout(send_data(&mut request, chat_message("Sam", "Hi"))).await);
        let _replies = response_body(response).await;
        request.send_reset(h2::Reason::CANCEL);
    }
    assert!(with_timeout(send_data(&mut other_request, chat_message("Ann", "Hey"))).await);
    other_request.send_data(Bytes::new(), true).unwrap();
    assert_eq!(Outcome::read(other_response).await.replies, ["Ann: Hey"]);
    assert_serving(server.addr).await;
}

#[tokio::test]
async fn dropped_connections_leave_the_binary_serving() {
    let server = Binary::start(&[]).await;
    for _ in 0..50 {
        let mut client = Http2Client::connect(server.addr).await;
        let (response, mut request) = client.open_example().await;
        request.send_data(chat_message("Sam", "Hi").slice(..6), false).unwrap();
        let _replies = response_body(response).await;
        client.disconnect();
    }
    let mut client = connect(server.addr).await;
    assert_eq!(ExampleCall::open_on(&mut client).await.echo("Ann", "Hey").await, "Ann: Hey");
}
