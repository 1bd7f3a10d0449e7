//! Heartbeats: a silent client is pinged, and considered gone if it stays silent, unless flow control keeps it from seeing
//! the Ping.

use std::time::{Duration, Instant};

use grpc_chat_service::Limits;
use tonic::Code;

use crate::support::channel;
use crate::support::frames::{ClientBody, ServerBody, draining, join, pb, pong};
use crate::support::http2::Http2Client;
use crate::support::raw_session::RawSession;
use crate::support::server::start_with_limits;
use crate::support::session::Session;

const SHORT: Duration = Duration::from_millis(200);

/// For a client that has to reply within one and a half heartbeats, however busy the machine is.
const LONG: Duration = Duration::from_secs(2);

fn short_heartbeat(limits: &mut Limits) {
    limits.session.heartbeat = SHORT;
}

fn long_heartbeat(limits: &mut Limits) {
    limits.session.heartbeat = LONG;
}

fn pinged(frame: &pb::ServerFrame) -> Option<()> {
    matches!(frame.body, Some(ServerBody::Ping(_))).then_some(())
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_then_considered_gone() {
    let server = start_with_limits(short_heartbeat).await;
    let mut ann = Session::open(server.addr, "ann").await;
    let opened = Instant::now();
    let (frames, end) = ann.read_to_end().await;
    assert_eq!(end.unwrap_err().code(), Code::DeadlineExceeded);
    // Once or twice: on a busy machine the second may be late. The protocol's own tests check the exact instants.
    let pings = frames.iter().filter_map(pinged).count();
    assert!((1..=2).contains(&pings), "{frames:?}");
    assert_eq!(frames.len(), pings, "{frames:?}");
    let lasted = opened.elapsed();
    assert!(lasted > SHORT * 2, "{lasted:?}");
}

#[tokio::test]
async fn a_client_that_wants_no_heartbeat_may_stay_silent() {
    let server = start_with_limits(short_heartbeat).await;
    let mut ann = Session::before_hello(&channel(server.addr).await).await;
    let hello = pb::Hello { user: "ann".to_owned(), no_heartbeat: true, ..pb::Hello::default() };
    let welcome = ann.request(ClientBody::Hello(hello)).await;
    assert!(matches!(welcome, ServerBody::Welcome(_)), "{welcome:?}");
    // Longer than the two and a half heartbeats after which another client is considered gone.
    tokio::time::sleep(SHORT * 4).await;
    let frames = ann.received_so_far().await;
    assert!(frames.iter().all(|frame| pinged(frame).is_none()), "{frames:?}");
    ann.post("r", "Hi").await;
}

#[tokio::test]
async fn a_client_that_replies_with_pong_stays_connected() {
    let server = start_with_limits(long_heartbeat).await;
    let mut ann = Session::open(server.addr, "ann").await;
    // Three heartbeats; a silent client is considered gone after two and a half.
    for _ in 0..3 {
        ann.wait_for(pinged).await;
        ann.send_frame_with_id(0, pong());
    }
    ann.post("r", "Hi").await;
}

#[tokio::test]
async fn any_frame_is_a_sign_of_life() {
    let server = start_with_limits(long_heartbeat).await;
    let mut ann = Session::open(server.addr, "ann").await;
    for n in 0..3 {
        ann.wait_for(pinged).await;
        assert_eq!(ann.post("r", "Hi").await, n + 1);
    }
}

#[tokio::test]
async fn a_client_that_only_reads_is_considered_gone_however_busy_its_room() {
    let server = start_with_limits(short_heartbeat).await;
    let mut reader = Session::open(server.addr, "ann").await;
    reader.join("r", None).await;
    let mut sender = Session::open(server.addr, "bob").await;
    let sending = async {
        loop {
            sender.post("r", "Hi").await;
        }
    };
    let end = tokio::select! {
        (_, end) = reader.read_to_end() => end,
        () = sending => unreachable!(),
    };
    assert_eq!(end.unwrap_err().code(), Code::DeadlineExceeded);
}

/// A client cannot see a Ping behind bytes that it has not read, so its silence proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_blocked_by_flow_control_is_not_considered_gone() {
    let server = start_with_limits(short_heartbeat).await;
    let mut blocked = Vec::new();
    // The window holds one byte of Welcome, a part of it, or all of it and many events.
    for (window, room) in [(1, "quiet"), (50, "quiet"), (20_000, "busy")] {
        let mut client = Http2Client::connect_with_window(server.addr, window).await;
        let mut session = RawSession::open_on(&mut client, "ann").await;
        assert!(session.send_frame(2, join(room, None)).await);
        blocked.push((window, client, session));
    }
    // It may be slow to answer pings.
    let mut sender = Session::before_hello(&channel(server.addr).await).await;
    let hello = pb::Hello { user: "bob".to_owned(), no_heartbeat: true, ..pb::Hello::default() };
    sender.request(ClientBody::Hello(hello)).await;
    let text = "x".repeat(1000);
    let until = Instant::now() + SHORT * 8;
    while Instant::now() < until {
        sender.post("busy", &text).await;
    }
    for (window, _client, mut session) in blocked {
        session.half_close();
        let (_, status) = session.read_to_end().await;
        assert_eq!(status.code(), Code::Ok, "{window}: {status:?}");
    }
}

#[tokio::test]
async fn a_session_at_its_maximum_age_is_told_to_reconnect() {
    let age = Duration::from_millis(300);
    let server = start_with_limits(|limits| limits.session.age = age).await;
    let mut ann = Session::open(server.addr, "ann").await;
    ann.join_live("r").await;
    let since = Instant::now();
    let notice = ann.wait_for(draining).await;
    assert!(since.elapsed() > age / 2);
    assert_eq!(notice.reason(), pb::DrainReason::Age);
    assert_eq!(notice.reconnect_after.unwrap(), prost_types::Duration::default());
    let refusal = ann.expect_failure().await;
    assert_eq!(refusal.code, Code::Unavailable);
    assert!(refusal.has_retry_delay());
    Session::open(server.addr, "ann").await.post("r", "Hi").await;
}
