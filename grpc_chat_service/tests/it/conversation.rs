//! The example, to the letter: each message is answered, in order and at once.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::{Binary, Call, Outcome, Wire, assert_alive, connect, framed, message, send_frame, soon, start};

#[tokio::test]
async fn each_message_is_answered_before_the_caller_closes() {
    let server = start().await;
    let mut call = Call::open(server.addr).await;
    assert_eq!(call.ask("Sam", "Hi").await, "Sam: Hi");
    assert_eq!(call.ask("Ann", "Hey").await, "Ann: Hey");
    assert_eq!(call.ask("John", "Hello").await, "John: Hello");
}

#[tokio::test]
async fn after_the_last_answer_a_half_closed_call_ends_with_ok() {
    let server = start().await;
    let mut call = Call::open(server.addr).await;
    for text in ["1", "2", "3"] {
        call.say("Sam", text).await;
    }
    call.close();
    for text in ["1", "2", "3"] {
        assert_eq!(call.next().await.unwrap().unwrap(), format!("Sam: {text}"));
    }
    assert_eq!(call.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_caller_with_nothing_to_say_gets_ok_and_no_answer() {
    let server = start().await;
    let outcome = Wire::connect(server.addr).await.call("/Chat/chat", &[], b"").await;
    assert_eq!((outcome.http, outcome.code, outcome.answers.len()), (200, Some(Code::Ok), 0), "{outcome:?}");
}

#[tokio::test]
async fn the_response_begins_before_the_first_message() {
    let server = start().await;
    let mut wire = Wire::connect(server.addr).await;
    let (response, _silent) = wire.chat().await;
    let response = soon(response).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/grpc");
}

#[tokio::test]
async fn any_text_comes_back_as_it_was_said() {
    let server = start().await;
    let mut call = Call::open(server.addr).await;
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
        assert_eq!(call.ask("Sam", text).await, format!("Sam: {text}"));
        assert_eq!(call.ask(text, "Hi").await, format!("{text}: Hi"));
        assert_eq!(call.ask(text, text).await, format!("{text}: {text}"));
    }
}

#[tokio::test]
async fn a_text_of_64_kib_less_one_is_answered() {
    let server = start().await;
    let mut call = Call::open(server.addr).await;
    for length in [65_535, 65_536] {
        let text = "x".repeat(length);
        assert_eq!(call.ask("Sam", &text).await, format!("Sam: {text}"));
    }
}

#[tokio::test]
async fn how_messages_are_cut_into_frames_makes_no_difference() {
    let server = start().await;
    let mut wire = Wire::connect(server.addr).await;

    let (response, mut sending) = wire.chat().await;
    for byte in [message("Sam", "Hi"), message("Ann", "Hey")].concat() {
        assert!(soon(send_frame(&mut sending, Bytes::from(vec![byte]))).await);
    }
    sending.send_data(Bytes::new(), true).unwrap();
    assert_eq!(Outcome::of(response).await.answers, ["Sam: Hi", "Ann: Hey"]);

    let together: BytesMut = (0..500).flat_map(|n| message("Sam", &n.to_string())).collect();
    let outcome = wire.call("/Chat/chat", &[], &together).await;
    let expected: Vec<_> = (0..500).map(|n| format!("Sam: {n}")).collect();
    assert_eq!(outcome.answers, expected);
    assert_eq!(outcome.code, Some(Code::Ok));
}

#[tokio::test]
async fn fields_of_a_later_contract_are_passed_over() {
    let server = start().await;
    // Field 15, a varint, is not in today's contract.
    let newer = framed(b"\x0a\x03Sam\x78\x2a\x12\x02Hi");
    let outcome = Wire::connect(server.addr).await.call("/Chat/chat", &[], &newer).await;
    assert_eq!(outcome.answers, ["Sam: Hi"]);
}

#[tokio::test]
async fn callers_do_not_see_each_other() {
    let server = start().await;
    let mut shared = connect(server.addr).await;
    let mut sam = Call::on(&mut shared).await;
    let mut ann = Call::on(&mut shared).await;
    let mut john = Call::open(server.addr).await;
    for n in 0..10 {
        let text = n.to_string();
        for (call, name) in [(&sam, "Sam"), (&ann, "Ann"), (&john, "John")] {
            call.say(name, &text).await;
        }
    }
    for (call, name) in [(&mut sam, "Sam"), (&mut ann, "Ann"), (&mut john, "John")] {
        call.close();
        for n in 0..10 {
            assert_eq!(call.next().await.unwrap().unwrap(), format!("{name}: {n}"));
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
        calls.push(Call::on(&mut client).await);
    }
    for round in 0..3 {
        for (n, call) in calls.iter().enumerate() {
            call.say(&n.to_string(), &round.to_string()).await;
        }
        for (n, call) in calls.iter_mut().enumerate() {
            assert_eq!(call.next().await.unwrap().unwrap(), format!("{n}: {round}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_talk_at_once() {
    const CALLERS: usize = 1_000;
    rlimit::increase_nofile_limit(4_096).unwrap();
    let server = Binary::start(&[]).await;
    let all_open = Arc::new(Barrier::new(CALLERS));
    let mut callers = JoinSet::new();
    for n in 0..CALLERS {
        let (addr, all_open) = (server.addr, Arc::clone(&all_open));
        callers.spawn(async move {
            let mut wire = Wire::connect(addr).await;
            let (response, mut sending) = wire.chat().await;
            sending.send_data(message(&n.to_string(), "Hi"), false).unwrap();
            let mut answers = soon(response).await.unwrap().into_body();
            assert_eq!(crate::support::strings(&soon(answers.data()).await.unwrap().unwrap()), [format!("{n}: Hi")]);
            // Nobody leaves before everybody has been answered.
            soon(all_open.wait()).await;
        });
    }
    while let Some(caller) = soon(callers.join_next()).await {
        caller.unwrap();
    }
    assert_alive(server.addr).await;
}
