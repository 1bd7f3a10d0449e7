//! Shutdown of sessions: Draining, then the replies that are due, then the end.

use std::time::{Duration, Instant};

use tonic::Code;

use crate::support::channel;
use crate::support::frames::{draining, pb, send};
use crate::support::refusal::Refusal;
use crate::support::server::start;
use crate::support::session::Session;

#[tokio::test]
async fn a_session_gets_draining_then_its_replies_then_the_end() {
    let mut server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    ann.join_live("r").await;
    let ids: Vec<u64> = (0..100).map(|n| ann.send_frame(send("r", &n.to_string()))).collect();
    ann.ack(ids[0]).await;
    server.stop();
    let notice = ann.wait_for(draining).await;
    assert_eq!(notice.reason(), pb::DrainReason::Shutdown);
    let delay = notice.reconnect_after.unwrap();
    assert!(delay.seconds < 5 || (delay.seconds, delay.nanos) == (5, 0), "{delay:?}");
    assert!(notice.acks_until.unwrap().seconds >= ann.welcome.server_time.unwrap().seconds);
    let (frames, end) = ann.read_to_end().await;
    let refusal = Refusal::from(end.unwrap_err());
    assert_eq!(refusal.code, Code::Unavailable);
    assert!(refusal.has_retry_delay());
    // The server had received all of them when it acked the first. Each is acked or refused.
    let replied = frames.iter().filter(|frame| ids[1..].contains(&frame.reply_to)).count();
    assert_eq!(replied, 99, "{frames:?}");
    assert_eq!(frames.iter().filter_map(draining).count(), 0, "Draining is sent once");
    server.stopped().await;
}

#[tokio::test]
async fn a_session_before_hello_ends_with_unavailable() {
    let mut server = start().await;
    let channel = channel(server.addr).await;
    let mut before_hello = Session::before_hello(&channel).await;
    // On the same connection: when this one is open, the server knows of both.
    let mut open = Session::open_on(&channel, "ann").await;
    server.stop();
    assert_eq!(before_hello.expect_failure().await.code, Code::Unavailable);
    assert_eq!(open.expect_failure().await.code, Code::Unavailable);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_sessions_end_well_within_the_grace_period() {
    let mut server = start().await;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        let channel = channel(server.addr).await;
        for n in 0..100 {
            let mut session = Session::open_on(&channel, &format!("u{n}")).await;
            session.join("r", None).await;
            sessions.push(session);
        }
    }
    let began = Instant::now();
    server.stop();
    server.stopped().await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    for mut session in sessions {
        let (frames, end) = session.read_to_end().await;
        assert_eq!(end.unwrap_err().code(), Code::Unavailable);
        assert_eq!(frames.iter().filter_map(draining).count(), 1);
    }
}
