//! Sessions whose client does not read: they lose nothing, memory stays bounded, and other rooms and clients are served.

use std::net::SocketAddr;

use tonic::Code;

use crate::support::frames::{ServerBody, is_event, join, pb};
use crate::support::raw_session::{RawSession, decode_frames};
use crate::support::server::{start, start_with_limits};
use crate::support::session::Session;
#[cfg(target_os = "linux")]
use crate::support::{example::assert_serving, process::Binary};

/// Opens a session that has joined `rooms` and reads nothing: the window of its stream fills up.
async fn open_stalled(addr: SocketAddr, rooms: &[&str]) -> RawSession {
    let mut session = RawSession::open(addr, "stalled").await;
    for (id, room) in (2..).zip(rooms) {
        assert!(session.send_frame(id, join(room, None)).await);
    }
    session
}

/// Half-closes the session and returns all its frames.
async fn read_all(mut session: RawSession) -> Vec<pb::ServerFrame> {
    session.half_close();
    let (bytes, status) = session.read_to_end().await;
    assert_eq!(status.code(), Code::Ok, "{status:?}");
    decode_frames(&bytes)
}

/// Returns `prev_seq` and `seq` of each event of the room.
fn seqs(frames: &[pb::ServerFrame], room: &str) -> Vec<(u64, u64)> {
    let events = frames.iter().filter_map(|frame| match &frame.body {
        Some(ServerBody::Event(event)) if event.room == room => Some((event.prev_seq, event.seq)),
        _ => None,
    });
    events.collect()
}

/// Posts `count` messages of 1,000 bytes, 200 at a time.
async fn post_many(sender: &mut Session, room: &str, count: usize) {
    for _ in 0..count / 200 {
        sender.post_all(room, vec!["x".repeat(1000); 200]).await;
    }
}

/// Joins the room and waits until `user` is present in it, which shows that the user has a seat there.
async fn wait_until_present(session: &mut Session, room: &str, user: &str) {
    let joined = session.join_live(room).await;
    if !joined.present.iter().any(|present| present == user) {
        session.wait_for_enter(user).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_reader_gets_everything_later_in_order() {
    let server = start_with_limits(|limits| limits.room.tail_bytes = 100_000).await;
    let mut sender = Session::open(server.addr, "ann").await;
    let stalled = open_stalled(server.addr, &["busy"]).await;
    let mut reader = Session::open(server.addr, "bob").await;
    wait_until_present(&mut reader, "busy", "stalled").await;
    post_many(&mut sender, "busy", 2000).await;
    // Other readers are not affected.
    assert_eq!(reader.next_texts("busy", 0, 2000).await.len(), 2000);
    let frames = read_all(stalled).await;
    let without_gaps: Vec<(u64, u64)> = (1..=2000).map(|seq| (seq - 1, seq)).collect();
    assert_eq!(seqs(&frames, "busy"), without_gaps);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_room_does_not_starve_a_quiet_one() {
    let server = start().await;
    let mut sender = Session::open(server.addr, "ann").await;
    let stalled = open_stalled(server.addr, &["busy", "quiet"]).await;
    let mut reader = Session::open(server.addr, "bob").await;
    wait_until_present(&mut reader, "quiet", "stalled").await;
    post_many(&mut sender, "busy", 1000).await;
    sender.post("quiet", "Hi").await;
    post_many(&mut sender, "busy", 1000).await;
    let frames = read_all(stalled).await;
    let of = |room| move |frame: &pb::ServerFrame| matches!(&frame.body, Some(ServerBody::Event(event)) if event.room == room);
    let quiet = frames.iter().position(of("quiet")).unwrap();
    let before = frames[..quiet].iter().filter(|frame| is_event(frame)).count();
    // What the windows hold, and a turn or two of the busy room, which had a megabyte more to deliver.
    assert!(before < 500, "{before} events of the busy room came before the quiet one's");
    assert_eq!(seqs(&frames, "busy").len(), 2000);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_readers_of_a_busy_room_use_bounded_memory() {
    const READERS: u64 = 40;
    let server = Binary::start(&["--no-rates"]).await;
    let mut sender = Session::open(server.addr, "ann").await;
    let mut reader = Session::open(server.addr, "bob").await;
    wait_until_present(&mut reader, "busy", "bob").await;
    // The first messages fill the room's tail; the next ones show how much memory the history takes for as many.
    post_many(&mut sender, "busy", 4000).await;
    let with_tail = server.resident_kib();
    post_many(&mut sender, "busy", 4000).await;
    let history = server.resident_kib().saturating_sub(with_tail);
    let mut stalled = Vec::new();
    for _ in 0..READERS {
        stalled.push(open_stalled(server.addr, &["busy"]).await);
        post_many(&mut sender, "busy", 200).await;
    }
    let before = server.resident_kib();
    post_many(&mut sender, "busy", 4000).await;
    let grown = server.resident_kib().saturating_sub(before).saturating_sub(2 * history);
    assert!(grown < READERS * 400, "{grown} KiB for {READERS} readers");
    assert_serving(server.addr).await;
    drop(stalled);
}
