//! Two nodes over one store: what happens on one is seen on the other.

use grpc_chat_service::cluster::MemoryCluster;
use grpc_chat_service::config::{Config, Store};

use crate::support::frames::{ServerBody, after, mark_read, pb, typing};
use crate::support::server::{TestServer, start_with};
use crate::support::session::Session;

async fn two_nodes() -> (TestServer, TestServer) {
    let cluster = MemoryCluster::default();
    let config = || Config { store: Store::Memory(cluster.clone()), ..Config::default() };
    (start_with(config()).await, start_with(config()).await)
}

/// Opens a session on each node and joins the same room: ann here, bob there.
async fn ann_and_bob(here: &TestServer, there: &TestServer) -> (Session, Session) {
    let mut ann = Session::open(here.addr, "ann").await;
    ann.join_live("r").await;
    let mut bob = Session::open(there.addr, "bob").await;
    bob.join_live("r").await;
    (ann, bob)
}

#[tokio::test]
async fn messages_reach_readers_on_both_nodes_in_one_order() {
    let (here, there) = two_nodes().await;
    let (mut ann, mut bob) = ann_and_bob(&here, &there).await;
    for n in 0..20 {
        ann.post("r", &format!("ann {n}")).await;
        bob.post("r", &format!("bob {n}")).await;
    }
    let expected: Vec<_> = (0..20).flat_map(|n| [format!("ann {n}"), format!("bob {n}")]).collect();
    assert_eq!(ann.next_texts("r", 0, 40).await, expected);
    assert_eq!(bob.next_texts("r", 0, 40).await, expected);
}

#[tokio::test]
async fn a_cursor_from_one_node_resumes_on_the_other() {
    let (here, there) = two_nodes().await;
    let (mut ann, bob) = ann_and_bob(&here, &there).await;
    ann.post_all("r", ["1", "2", "3"]).await;
    let epoch = ann.join_live("r").await.epoch;
    drop(bob);
    let mut bob = Session::open(here.addr, "bob").await;
    let joined = bob.join("r", after(epoch, 1)).await;
    assert_eq!(joined.verdict(), pb::Verdict::Recovered);
    assert_eq!(bob.next_texts("r", 1, 2).await, ["2", "3"]);
}

#[tokio::test]
async fn users_of_one_node_are_present_on_the_other_until_they_leave() {
    let (here, there) = two_nodes().await;
    let mut ann = Session::open(here.addr, "ann").await;
    ann.join_live("r").await;
    let mut bob = Session::open(there.addr, "bob").await;
    // A node that opens a room asks who is there. The reply may come before the room is joined, or after.
    if !bob.join_live("r").await.present.contains(&"ann".to_owned()) {
        bob.wait_for_enter("ann").await;
    }
    ann.wait_for_enter("bob").await;
    let mut kim = Session::open(there.addr, "kim").await;
    assert_eq!(kim.join_live("r").await.present, ["ann", "bob", "kim"]);
    drop(bob);
    ann.wait_for_leave("bob").await;
    kim.wait_for_leave("bob").await;
}

#[tokio::test]
async fn users_of_a_node_that_shuts_down_leave() {
    let (here, mut there) = two_nodes().await;
    let (mut ann, bob) = ann_and_bob(&here, &there).await;
    ann.wait_for_enter("bob").await;
    there.stop();
    ann.wait_for_leave("bob").await;
    drop(bob);
    there.stopped().await;
    assert_eq!(ann.post("r", "still here").await, 1);
}

#[tokio::test]
async fn typing_and_read_marks_pass_between_nodes() {
    let (here, there) = two_nodes().await;
    let (mut ann, mut bob) = ann_and_bob(&here, &there).await;
    bob.expect_done(typing("r")).await;
    ann.wait_for(|frame| match &frame.body {
        Some(ServerBody::TypingChanged(changed)) if changed.users == ["bob"] => Some(()),
        _ => None,
    })
    .await;
    bob.post("r", "Hi").await;
    ann.wait_for(|frame| match &frame.body {
        Some(ServerBody::TypingChanged(changed)) if changed.users.is_empty() => Some(()),
        _ => None,
    })
    .await;
    let mut ann_there = Session::open(there.addr, "ann").await;
    ann_there.join_live("r").await;
    ann.expect_done(mark_read("r", 1)).await;
    ann_there
        .wait_for(|frame| match &frame.body {
            Some(ServerBody::ReadChanged(changed)) if changed.seq == 1 => Some(()),
            _ => None,
        })
        .await;
}
