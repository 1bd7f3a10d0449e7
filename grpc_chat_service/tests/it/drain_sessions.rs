//! Leaving, as sessions see it: told, answered, and sent away in time.

use std::time::{Duration, Instant};

use tonic::Code;

use crate::support::session::{Refused, Said, Session, pb, send};
use crate::support::{channel, start};

fn draining(frame: &pb::ServerFrame) -> Option<pb::Draining> {
    match &frame.body {
        Some(Said::Draining(draining)) => Some(*draining),
        _ => None,
    }
}

#[tokio::test]
async fn a_session_is_told_then_answered_then_ended() {
    let mut server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    ann.enter("r").await;
    let accepted: Vec<u64> = (0..100).map(|n| ann.say(send("r", &n.to_string()))).collect();
    ann.ack(accepted[0]).await;
    server.stop();
    let told = ann.wait(draining).await;
    assert_eq!(told.reason(), pb::DrainReason::Shutdown);
    let wait = told.reconnect_after.unwrap();
    assert!(wait.seconds < 5 || (wait.seconds, wait.nanos) == (5, 0), "{wait:?}");
    assert!(told.acks_until.unwrap().seconds >= ann.welcome.server_time.unwrap().seconds);
    let (frames, end) = ann.rest().await;
    let refused = Refused::from(end.unwrap_err());
    assert_eq!(refused.code, Code::Unavailable);
    assert!(refused.has_retry());
    // Every one of them had come before the end of the first; each is answered, in one way or the other.
    let replied = frames.iter().filter(|frame| accepted[1..].contains(&frame.reply_to)).count();
    assert_eq!(replied, 99, "{frames:?}");
    assert_eq!(frames.iter().filter_map(draining).count(), 0, "told once");
    server.left().await;
}

#[tokio::test]
async fn who_has_not_said_hello_is_sent_away_too() {
    let mut server = start().await;
    let channel = channel(server.addr).await;
    let mut silent = Session::silent(&channel).await;
    // On the same connection, so that the server knows of both.
    let mut other = Session::on(&channel, "ann").await;
    server.stop();
    assert_eq!(silent.failed().await.code, Code::Unavailable);
    assert_eq!(other.failed().await.code, Code::Unavailable);
    server.left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_sessions_are_gone_well_within_the_grace() {
    let mut server = start().await;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        let channel = channel(server.addr).await;
        for n in 0..100 {
            let mut session = Session::on(&channel, &format!("u{n}")).await;
            session.join("r", None).await;
            sessions.push(session);
        }
    }
    let began = Instant::now();
    server.stop();
    server.left().await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    for mut session in sessions {
        let (frames, end) = session.rest().await;
        assert_eq!(end.unwrap_err().code(), Code::Unavailable);
        assert_eq!(frames.iter().filter_map(draining).count(), 1);
    }
}
