//! Histories that are not what a client remembers: restored from a copy, started anew, or no longer kept as a whole.

use std::path::Path;

use bytes::Bytes;
use grpc_chat_service::cluster::MemoryCluster;
use grpc_chat_service::config::{Config, Store};
use grpc_chat_service::model::RoomId;
use stubs::chat::v1::chat_service_client::ChatServiceClient;
use tempfile::TempDir;
use tonic::Code;

use crate::support::frames::{ServerBody, after, draining, join, last, pb};
use crate::support::refusal::Refusal;
use crate::support::server::{TestServer, start_with};
use crate::support::session::Session;
use crate::support::{channel, with_timeout};

async fn start_in(dir: &Path) -> TestServer {
    start_with(Config { store: Store::disk(dir), ..Config::default() }).await
}

async fn stop(mut server: TestServer) {
    server.stop();
    server.stopped().await;
}

/// Copies a data directory, the high-water mark included, as an operator does who does not know better.
fn copy(from: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

/// A cursor that names its event.
fn cursor(epoch: u64, seq: u64, client_msg_id: &Bytes) -> Option<pb::join::Start> {
    Some(pb::join::Start::After(pb::Cursor { epoch, seq, client_msg_id: client_msg_id.clone() }))
}

#[tokio::test]
async fn a_history_that_was_restored_from_a_copy_and_went_on_is_forked() {
    let dir = tempfile::tempdir().unwrap();
    let server = start_in(dir.path()).await;
    let mut ann = Session::open(server.addr, "ann").await;
    ann.post("r", "A").await;
    stop(server).await;
    let backup = copy(dir.path());

    let server = start_in(dir.path()).await;
    let mut ann = Session::open(server.addr, "ann").await;
    let mut bob = Session::open(server.addr, "bob").await;
    let epoch = bob.join("r", last(9)).await.epoch;
    let first = bob.next_event("r").await;
    ann.post("r", "B").await;
    let second = bob.next_event("r").await;
    assert_eq!((first.seq, second.seq), (1, 2));
    stop(server).await;

    // The copy knows nothing of B.
    let server = start_in(backup.path()).await;
    let mut ann = Session::open(server.addr, "ann").await;
    let mut bob = Session::open(server.addr, "bob").await;
    let joined = bob.join("r", cursor(epoch, 2, &second.client_msg_id)).await;
    assert_eq!((joined.verdict(), joined.reset_reason()), (pb::Verdict::Reset, pb::ResetReason::Ahead));
    // It has as many events as bob has seen, and then more: without their ids, bob would miss C.
    for text in ["C", "D"] {
        ann.post("r", text).await;
        let joined = bob.join("r", cursor(epoch, 2, &second.client_msg_id)).await;
        assert_eq!((joined.verdict(), joined.reset_reason()), (pb::Verdict::Reset, pb::ResetReason::Forked));
        assert_eq!((joined.epoch, joined.start_seq), (epoch, joined.head_seq));
    }
    // A cursor from before the fork is as good as ever.
    let joined = bob.join("r", cursor(epoch, 1, &first.client_msg_id)).await;
    assert_eq!(joined.verdict(), pb::Verdict::Recovered);
    assert_eq!(bob.next_texts("r", 1, 2).await, ["C", "D"]);
    // One that names no event is not checked.
    assert_eq!(bob.join("r", after(epoch, 2)).await.verdict(), pb::Verdict::Recovered);
}

#[tokio::test]
async fn a_cursor_with_an_invalid_id_is_refused() {
    let server = start_with(Config::default()).await;
    let mut ann = Session::open(server.addr, "ann").await;
    let refusal = ann.expect_refusal(join("r", cursor(1, 1, &Bytes::from_static(b"short")))).await;
    assert_eq!((refusal.code, refusal.fields()), (Code::InvalidArgument, vec!["client_msg_id"]));
}

#[tokio::test]
async fn a_new_epoch_drains_sessions_and_resets_cursors() {
    let cluster = MemoryCluster::default();
    let server = start_with(Config { store: Store::Memory(cluster.clone()), ..Config::default() }).await;
    let mut ann = Session::open(server.addr, "ann").await;
    let epoch = ann.join_live("r").await.epoch;
    let seq = ann.post("r", "Hi").await;
    cluster.store.start_epoch();
    let (frames, end) = ann.read_to_end().await;
    let draining = frames.iter().find_map(draining).expect("Draining comes before the end");
    assert_eq!(draining.reason(), pb::DrainReason::Epoch);
    assert_eq!(end.unwrap_err().code(), Code::Unavailable);

    let mut ann = Session::open(server.addr, "ann").await;
    let joined = ann.join("r", after(epoch, seq)).await;
    assert_eq!((joined.verdict(), joined.reset_reason()), (pb::Verdict::Reset, pb::ResetReason::Epoch));
    assert_ne!(joined.epoch, epoch);
    ann.caught_up("r").await;
    ann.post("r", "Hey").await;
    assert_eq!(ann.next_texts("r", 1, 1).await, ["Hey"]);
}

#[tokio::test]
async fn what_is_no_longer_kept_is_reported_as_expired() {
    let cluster = MemoryCluster::default();
    let server = start_with(Config { store: Store::Memory(cluster.clone()), ..Config::default() }).await;
    let mut ann = Session::open(server.addr, "ann").await;
    let epoch = ann.join("r", None).await.epoch;
    ann.post_all("r", ["x"; 10]).await;
    assert!(cluster.store.expire(&RoomId::new("r").unwrap(), 6));

    let mut bob = Session::open(server.addr, "bob").await;
    for (start, expected) in [
        (after(epoch, 4), (pb::Verdict::Reset, pb::ResetReason::Expired)),
        (after(epoch, 5), (pb::Verdict::Recovered, pb::ResetReason::Unspecified)),
        (after(0, 0), (pb::Verdict::Reset, pb::ResetReason::Expired)),
    ] {
        let joined = bob.join("r", start).await;
        assert_eq!((joined.verdict(), joined.reset_reason()), expected);
        assert_eq!(joined.oldest_seq, 6);
    }
    assert_eq!(bob.join("r", last(99)).await.start_seq, 5);

    let mut pages = ChatServiceClient::new(channel(server.addr).await);
    let mut after_seq = async |after_seq| {
        let request = pb::ListMessagesRequest { room: "r".to_owned(), after_seq, ..pb::ListMessagesRequest::default() };
        let page = with_timeout(pages.list_messages(request)).await.map_err(Refusal::from)?.into_inner();
        Ok(page.events.iter().map(|event| event.seq).collect::<Vec<_>>())
    };
    // The beginning is that of what is kept.
    let kept = vec![6, 7, 8, 9, 10];
    for from in [None, Some(0), Some(5)] {
        assert_eq!(after_seq(from).await.unwrap_or_else(|refusal: Refusal| panic!("{refusal:?}")), kept);
    }
    let refusal = after_seq(Some(4)).await.unwrap_err();
    assert_eq!((refusal.code, refusal.reason()), (Code::OutOfRange, "EXPIRED"));
    let info = refusal.details.error_info().unwrap();
    assert_eq!((info.metadata["room"].as_str(), info.metadata["oldest_seq"].as_str()), ("r", "6"));
}

#[tokio::test]
async fn a_reader_whose_next_events_expire_is_told_to_join_again() {
    let cluster = MemoryCluster::default();
    let mut config = Config { store: Store::Memory(cluster.clone()), ..Config::default() };
    config.limits.room.tail_bytes = 1;
    let server = start_with(config).await;
    let mut ann = Session::open(server.addr, "ann").await;
    let text = "x".repeat(8_000);
    let epoch = ann.join("r", None).await.epoch;
    ann.post_all("r", vec![text; 500]).await;
    // More than fits on the way to bob, who does not read.
    let mut bob = Session::open(server.addr, "bob").await;
    let id = bob.send_frame(join("r", after(epoch, 0)));
    assert!(matches!(bob.reply(id).await, ServerBody::Joined(_)));
    assert!(cluster.store.expire(&RoomId::new("r").unwrap(), 499));
    let (frames, end) = bob.read_to_end().await;
    let refusal = Refusal::from(end.unwrap_err());
    assert_eq!((refusal.code, refusal.reason()), (Code::Unavailable, "EXPIRED"));
    let seqs = frames.iter().filter_map(|frame| match &frame.body {
        Some(ServerBody::Event(event)) => Some(event.seq),
        _ => None,
    });
    let seqs: Vec<_> = seqs.collect();
    assert!(seqs.is_sorted() && seqs.last().is_none_or(|last| *last < 499), "no gap: {seqs:?}");
}
