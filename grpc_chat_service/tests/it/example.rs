//! The example: each message is answered at once, in order.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::example::{ExampleCall, assert_serving, connect};
use crate::support::http2::{
    Http2Client, Outcome, chat_message, decode_replies, length_prefixed, next_data, response_body, send_data,
};
use crate::support::process::Binary;
use crate::support::server::start;
use crate::support::with_timeout;

#[tokio::test]
async fn each_message_is_answered_before_the_caller_half_closes() {
    let server = start().await;
    let mut call = ExampleCall::open(server.addr).await;
    assert_eq!(call.echo("Sam", "Hi").await, "Sam: Hi");
    assert_eq!(call.echo("Ann", "Hey").await, "Ann: Hey");
    assert_eq!(call.echo("John", "Hello").await, "John: Hello");
}

#[tokio::test]
async fn a_half_closed_call_ends_with_ok_after_the_last_reply() {
    let server = start().await;
    let mut call = ExampleCall::open(server.addr).await;
    for text in ["1", "2", "3"] {
        call.send("Sam", text).await;
    }
    call.half_close();
    for text in ["1", "2", "3"] {
        assert_eq!(call.reply().await, format!("Sam: {text}"));
    }
    assert_eq!(call.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_call_without_messages_ends_with_ok_and_no_reply() {
    let server = start().await;
    let outcome = Http2Client::connect(server.addr).await.call_example(b"").await;
    assert_eq!((outcome.http_status, outcome.code), (200, Some(Code::Ok)), "{outcome:?}");
    assert!(outcome.replies.is_empty(), "{outcome:?}");
}

#[tokio::test]
async fn response_headers_arrive_before_the_first_message() {
    let server = start().await;
    let mut client = Http2Client::connect(server.addr).await;
    let (response, _request) = client.open_example().await;
    let response = with_timeout(response).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/grpc");
}

#[tokio::test]
async fn any_text_is_returned_unchanged() {
    let server = start().await;
    let mut call = ExampleCall::open(server.addr).await;
    let texts = [
        "",
        " ",
        ": ",
        "\0",
        "\r\n\n\t\u{7f}\u{85}\u{2028}",
        "\u{feff}byte order mark",
        "e\u{301} and \u{e9}, \u{1e9b}\u{323}",
        "Z\u{351}\u{36b}\u{343}a\u{327}\u{34e}l\u{31a}\u{308}g\u{301}o",
        "\u{202e}from right to left\u{202c}\u{2066}",
        "\u{200b}\u{200d}\u{2060}\u{ad}",
        "👨\u{200d}👩\u{200d}👧\u{200d}👦 🏳\u{fe0f}\u{200d}🌈 🇩🇪",
        "\u{fffd}\u{fffe}\u{ffff}\u{10ffff}\u{e000}\u{d7ff}",
        "\u{1b}[2J\u{1b}]0;title\u{7}",
        "ﷺ İıſß ǆ Σσς 漢字 한글 ไทย नमस्ते",
        "%00 ../../etc/passwd ' OR 1=1 -- <script>",
    ];
    for text in texts {
        assert_eq!(call.echo("Sam", text).await, format!("Sam: {text}"));
        assert_eq!(call.echo(text, "Hi").await, format!("{text}: Hi"));
        assert_eq!(call.echo(text, text).await, format!("{text}: {text}"));
    }
}

#[tokio::test]
async fn texts_of_64_kib_are_answered() {
    let server = start().await;
    let mut call = ExampleCall::open(server.addr).await;
    for length in [65_535, 65_536] {
        let text = "x".repeat(length);
        assert_eq!(call.echo("Sam", &text).await, format!("Sam: {text}"));
    }
}

#[tokio::test]
async fn message_boundaries_need_not_match_frame_boundaries() {
    let server = start().await;
    let mut client = Http2Client::connect(server.addr).await;

    let (response, mut request) = client.open_example().await;
    for byte in [chat_message("Sam", "Hi"), chat_message("Ann", "Hey")].concat() {
        assert!(with_timeout(send_data(&mut request, Bytes::from(vec![byte]))).await);
    }
    request.send_data(Bytes::new(), true).unwrap();
    assert_eq!(Outcome::read(response).await.replies, ["Sam: Hi", "Ann: Hey"]);

    let together: BytesMut = (0..500).flat_map(|n| chat_message("Sam", &n.to_string())).collect();
    let outcome = client.call_example(&together).await;
    let expected: Vec<_> = (0..500).map(|n| format!("Sam: {n}")).collect();
    assert_eq!(outcome.replies, expected);
    assert_eq!(outcome.code, Some(Code::Ok));
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let server = start().await;
    // A ChatMessage has no field 15; here it is a varint.
    let newer = length_prefixed(b"\x0a\x03Sam\x78\x2a\x12\x02Hi");
    let outcome = Http2Client::connect(server.addr).await.call_example(&newer).await;
    assert_eq!(outcome.replies, ["Sam: Hi"]);
}

#[tokio::test]
async fn callers_get_only_their_own_replies() {
    let server = start().await;
    let mut shared = connect(server.addr).await;
    let mut sam = ExampleCall::open_on(&mut shared).await;
    let mut ann = ExampleCall::open_on(&mut shared).await;
    let mut john = ExampleCall::open(server.addr).await;
    for n in 0..10 {
        let text = n.to_string();
        for (call, name) in [(&sam, "Sam"), (&ann, "Ann"), (&john, "John")] {
            call.send(name, &text).await;
        }
    }
    for (call, name) in [(&mut sam, "Sam"), (&mut ann, "Ann"), (&mut john, "John")] {
        call.half_close();
        for n in 0..10 {
            assert_eq!(call.reply().await, format!("{name}: {n}"));
        }
        assert_eq!(call.next().await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_connection_carries_a_hundred_calls_at_once() {
    let server = start().await;
    let mut client = connect(server.addr).await;
    let mut calls = Vec::new();
    for _ in 0..100 {
        calls.push(ExampleCall::open_on(&mut client).await);
    }
    for round in 0..3 {
        for (n, call) in calls.iter().enumerate() {
            call.send(&n.to_string(), &round.to_string()).await;
        }
        for (n, call) in calls.iter_mut().enumerate() {
            assert_eq!(call.reply().await, format!("{n}: {round}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_are_served_at_once() {
    const CALLERS: usize = 1_000;
    rlimit::increase_nofile_limit(4_096).unwrap();
    let server = Binary::start(&["--no-rates"]).await;
    let all_answered = Arc::new(Barrier::new(CALLERS));
    let mut callers = JoinSet::new();
    for n in 0..CALLERS {
        let (addr, all_answered) = (server.addr, Arc::clone(&all_answered));
        callers.spawn(async move {
            let mut client = Http2Client::connect(addr).await;
            let (response, mut request) = client.open_example().await;
            request.send_data(chat_message(&n.to_string(), "Hi"), false).unwrap();
            let mut replies = response_body(response).await;
            assert_eq!(decode_replies(&next_data(&mut replies).await), [format!("{n}: Hi")]);
            // Every connection stays open until all have been answered.
            with_timeout(all_answered.wait()).await;
        });
    }
    while let Some(caller) = with_timeout(callers.join_next()).await {
        caller.unwrap();
    }
    assert_serving(server.addr).await;
}
