//! What is stored, and what happens when it cannot be.

use std::time::Duration;

use grpc_chat_service::Limits;
use grpc_chat_service::config::{Config, Store};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::frames::{ClientBody, delete, edit, is_event, last, mark_read, pb, react, send};
use crate::support::server::{start, start_with, start_with_limits};
use crate::support::session::Session;
use crate::support::{channel, with_timeout};

#[tokio::test]
async fn a_message_is_edited_a_hundred_times_and_no_more() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let seq = ann.post("r", "Hi").await;
    for n in 1..=100 {
        ann.expect_ack(edit("r", seq, &format!("Hi {n}"))).await;
    }
    let refusal = ann.expect_refusal(edit("r", seq, "Hi again")).await;
    assert_eq!((refusal.code, refusal.reason()), (Code::FailedPrecondition, "TOO_MANY_EDITS"));
    assert_eq!(refusal.precondition(), "TOO_MANY_EDITS");
    assert!(refusal.message.contains("100 times"), "{}", refusal.message);
    ann.expect_ack(delete("r", seq)).await;
}

#[tokio::test]
async fn a_reaction_that_changes_nothing_is_acked_and_is_no_event() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let message = ann.expect_ack(send("r", "Hi")).await;
    let absent = ann.expect_ack(react("r", message.seq, "👍", true)).await;
    assert_eq!((absent.seq, absent.time, absent.duplicate), (message.seq, message.time, true));
    ann.join_live("r").await;
    let added = ann.expect_ack(react("r", message.seq, "👍", false)).await;
    assert!(!added.duplicate);
    let body = react("r", message.seq, "👍", false);
    let ClientBody::React(asked) = &body else { unreachable!() };
    let client_msg_id = asked.client_msg_id.clone();
    let again = ann.expect_ack(body).await;
    assert_eq!(again, pb::Ack { client_msg_id, duplicate: true, ..added });
    ann.half_close();
    let (frames, end) = ann.read_to_end().await;
    end.unwrap();
    assert_eq!(frames.iter().filter(|frame| is_event(frame)).count(), 1);
}

#[tokio::test]
async fn on_a_disk_that_is_almost_full_messages_are_refused_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let start_with_floor = async |percent| {
        let mut limits = Limits::default();
        limits.storage.free_floor_percent = percent;
        limits.storage.free_floor_bytes = u64::MAX;
        start_with(Config { store: Store::disk(dir.path()), limits, ..Config::default() }).await
    };
    let mut server = start_with_floor(0).await;
    let mut ann = Session::open(server.addr, "ann").await;
    let seq = ann.post("r", "Hi").await;
    server.stop();
    server.stopped().await;

    // More than a disk that this test is on can have free.
    let server = start_with_floor(100).await;
    serving(server.addr, false).await;
    let mut ann = Session::open(server.addr, "ann").await;
    for body in [send("r", "Ho"), edit("r", seq, "Ho"), react("r", seq, "x", false)] {
        let refusal = ann.expect_refusal(body).await;
        assert_eq!((refusal.code, refusal.reason()), (Code::Unavailable, "STORAGE_FULL"));
        assert!(refusal.has_retry_delay());
    }
    ann.join("r", last(10)).await;
    assert_eq!(ann.next_event("r").await.seq, seq);
    ann.expect_done(mark_read("r", seq)).await;
    ann.expect_ack(delete("r", seq)).await;
}

#[tokio::test]
async fn a_history_in_memory_is_bounded() {
    let server = start_with_limits(|limits| limits.storage.memory_bytes = 10_000).await;
    let mut ann = Session::open(server.addr, "ann").await;
    let seq = ann.post("r", &"x".repeat(8_000)).await;
    ann.post("r", &"x".repeat(2_000)).await;
    let refusal = ann.expect_refusal(send("r", "Hi")).await;
    assert_eq!((refusal.code, refusal.reason()), (Code::Unavailable, "STORAGE_FULL"));
    serving(server.addr, false).await;
    ann.expect_ack(delete("r", seq)).await;
    serving(server.addr, true).await;
    ann.post("r", "Hi").await;
}

#[tokio::test]
async fn nothing_is_acked_when_the_files_have_gone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = start_with(Config { store: Store::disk(&data), ..Config::default() }).await;
    let mut ann = Session::open(server.addr, "ann").await;
    ann.post("r", "Hi").await;
    serving(server.addr, true).await;
    std::fs::remove_dir_all(&data).unwrap();
    let refusal = ann.expect_refusal(send("r", "Ho")).await;
    assert!(matches!(refusal.code, Code::Unknown | Code::Unavailable), "{refusal:?}");
    serving(server.addr, false).await;
    assert_eq!(ann.expect_refusal(send("r", "Ho")).await.reason(), "HISTORY_UNAVAILABLE");
}

/// Waits until the chat's health says so.
async fn serving(addr: std::net::SocketAddr, serving: bool) {
    let mut client = HealthClient::new(channel(addr).await);
    let wanted = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    let reached = async {
        let service = "chat.v1.ChatService".to_owned();
        let asked = HealthCheckRequest { service };
        while client.check(asked.clone()).await.unwrap().into_inner().status() != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    with_timeout(reached).await;
}
