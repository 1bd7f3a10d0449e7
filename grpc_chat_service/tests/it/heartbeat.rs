//! Who is silent is asked, who does not answer is taken for gone, who cannot see the question is left alone.

use std::time::{Duration, Instant};

use grpc_chat_service::Limits;
use tonic::Code;

use crate::support::session::{Said, Say, Session, hello, join, pb};
use crate::support::{Wire, framed, read, send_frame, soon, start_limited};

const HEARTBEAT: Duration = Duration::from_millis(200);

/// For a client that answers: what it has to answer within, half of it more than one, is long for any machine.
const UNHURRIED: Duration = Duration::from_secs(2);

fn impatient(limits: &mut Limits) {
    limits.session.heartbeat = HEARTBEAT;
}

fn patient(limits: &mut Limits) {
    limits.session.heartbeat = UNHURRIED;
}

fn asked(frame: &pb::ServerFrame) -> Option<()> {
    matches!(frame.body, Some(Said::Ping(_))).then_some(())
}

#[tokio::test]
async fn a_silent_client_is_asked_and_then_taken_for_gone() {
    let server = start_limited(impatient).await;
    let mut ann = Session::open(server.addr, "ann").await;
    let since = Instant::now();
    let (frames, end) = ann.rest().await;
    assert_eq!(end.unwrap_err().code(), Code::DeadlineExceeded);
    // Once or twice: a machine in a hurry may be late with the second. The exact instants are the protocol's own test.
    let times = frames.iter().filter_map(asked).count();
    assert!((1..=2).contains(&times), "{frames:?}");
    assert_eq!(frames.len(), times, "{frames:?}");
    let lasted = since.elapsed();
    assert!(lasted > HEARTBEAT * 2, "{lasted:?}");
}

#[tokio::test]
async fn a_client_that_answers_lives() {
    let server = start_limited(patient).await;
    let mut ann = Session::open(server.addr, "ann").await;
    // More than the two and a half heartbeats after which it would be gone.
    for _ in 0..3 {
        ann.wait(asked).await;
        ann.say_as(0, Some(Say::Pong(pb::Pong {})));
    }
    ann.post("r", "Hi").await;
}

#[tokio::test]
async fn any_frame_is_a_sign_of_life() {
    let server = start_limited(patient).await;
    let mut ann = Session::open(server.addr, "ann").await;
    for n in 0..3 {
        ann.wait(asked).await;
        assert_eq!(ann.post("r", "Hi").await, n + 1);
    }
}

#[tokio::test]
async fn a_client_that_reads_but_says_nothing_is_gone_however_busy_its_room() {
    let server = start_limited(impatient).await;
    let mut hung = Session::open(server.addr, "hung").await;
    hung.join("r", None).await;
    let mut busy = Session::open(server.addr, "busy").await;
    let talking = async {
        loop {
            busy.post("r", "Hi").await;
        }
    };
    let end = tokio::select! {
        (_, end) = hung.rest() => end,
        () = talking => unreachable!(),
    };
    assert_eq!(end.unwrap_err().code(), Code::DeadlineExceeded);
}

/// Behind what it has not read no Ping can be seen: its silence proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_not_ended_for_silence() {
    let server = start_limited(impatient).await;
    let frame = |id, body| framed(&prost::Message::encode_to_vec(&pb::ClientFrame { id, body: Some(body) }));
    let mut blocked = Vec::new();
    // Room for a byte of Welcome, for some, and for all of it and of many events.
    for (window, room) in [(1, "quiet"), (50, "quiet"), (20_000, "hot")] {
        let mut wire = Wire::with_window(server.addr, window).await;
        let (response, mut sending) = wire.open("/chat.v1.ChatService/Session", &[]).await;
        assert!(send_frame(&mut sending, frame(1, hello("ann"))).await);
        assert!(send_frame(&mut sending, frame(2, join(room, None))).await);
        blocked.push((window, wire, soon(response).await.unwrap().into_body(), sending));
    }
    let mut other = Session::open(server.addr, "bob").await;
    let text = "x".repeat(1000);
    let until = Instant::now() + HEARTBEAT * 8;
    while Instant::now() < until {
        other.post("hot", &text).await;
    }
    for (window, _wire, mut body, mut sending) in blocked {
        sending.send_data(bytes::Bytes::new(), true).unwrap();
        soon(read(&mut body)).await.unwrap();
        let trailers = soon(body.trailers()).await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "0", "{window}: {trailers:?}");
    }
}

#[tokio::test]
async fn a_session_that_is_old_is_told_to_connect_again() {
    let age = Duration::from_millis(300);
    let server = start_limited(|limits| limits.session.age = age).await;
    let mut ann = Session::open(server.addr, "ann").await;
    ann.enter("r").await;
    let since = Instant::now();
    let draining = ann
        .wait(|frame| match &frame.body {
            Some(Said::Draining(draining)) => Some(*draining),
            _ => None,
        })
        .await;
    assert!(since.elapsed() > age / 2);
    assert_eq!(draining.reason(), pb::DrainReason::Age);
    assert_eq!(draining.reconnect_after.unwrap(), prost_types::Duration::default());
    let refused = ann.failed().await;
    assert_eq!(refused.code, Code::Unavailable);
    assert!(refused.has_retry());
    Session::open(server.addr, "ann").await.post("r", "Hi").await;
}
