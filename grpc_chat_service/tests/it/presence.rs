//! Presence and typing: sent to the others in a room as they change, and coalesced.

use std::time::{Duration, Instant};

use stubs::chat::v1 as pb;

use crate::support::channel;
use crate::support::frames::{ServerBody, leave, presence_changed, send, typing};
use crate::support::server::{TestServer, start};
use crate::support::session::Session;

/// Waits until the users who are typing in the room `r` are exactly these.
async fn wait_for_typing(session: &mut Session, users: &[&str]) {
    session
        .wait_for(|frame| match &frame.body {
            Some(ServerBody::TypingChanged(typing)) => (typing.room == "r" && typing.users == users).then_some(()),
            _ => None,
        })
        .await;
}

/// Starts a server with two users in the room `r`.
async fn start_with_ann_and_bob() -> (TestServer, Session, Session) {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let mut bob = Session::open(server.addr, "bob").await;
    for session in [&mut ann, &mut bob] {
        session.join_live("r").await;
    }
    (server, ann, bob)
}

#[tokio::test]
async fn joined_lists_who_is_present_and_others_are_notified() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let joined = ann.join_live("r").await;
    assert_eq!((joined.present, joined.present_count), (vec!["ann".to_owned()], 1));
    let mut bob = Session::open(server.addr, "bob").await;
    let joined = bob.join_live("r").await;
    assert_eq!((joined.present, joined.present_count), (vec!["ann".to_owned(), "bob".to_owned()], 2));
    let changed = ann.wait_for_enter("bob").await;
    assert_eq!((&changed.room[..], changed.snapshot, changed.present_count), ("r", false, 2));
    assert!(changed.left.is_empty());
    bob.expect_done(leave("r")).await;
    assert_eq!(ann.wait_for_leave("bob").await.present_count, 1);
}

#[tokio::test]
async fn a_user_who_disconnects_is_absent_within_two_seconds() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    ann.join_live("r").await;
    for how in ["half-closes", "resets the stream", "closes the connection"] {
        // Dropping a session resets its stream, and closes the connection unless a channel holds it open.
        let channel = channel(server.addr).await;
        let mut bob = match how {
            "resets the stream" => Session::open_on(&channel, "bob").await,
            _ => Session::open(server.addr, "bob").await,
        };
        bob.join_live("r").await;
        ann.wait_for_enter("bob").await;
        if how == "half-closes" {
            bob.half_close();
            bob.read_to_end().await.1.unwrap();
        }
        let left = Instant::now();
        drop(bob);
        assert_eq!(ann.wait_for_leave("bob").await.present_count, 1, "{how}");
        assert!(left.elapsed() < Duration::from_secs(2), "{how}: {:?}", left.elapsed());
    }
}

#[tokio::test]
async fn several_sessions_of_a_user_count_once() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    ann.join_live("r").await;
    let mut first = Session::open(server.addr, "bob").await;
    first.join_live("r").await;
    ann.wait_for_enter("bob").await;
    let mut second = Session::open(server.addr, "bob").await;
    assert_eq!(second.join_live("r").await.present_count, 2);
    // Joining again changes nothing either.
    second.join_live("r").await;
    drop(first);
    // Any change about bob would come before this one.
    let mut kim = Session::open(server.addr, "kim").await;
    kim.join_live("r").await;
    let changed = ann.wait_for(presence_changed).await;
    assert_eq!((changed.came, changed.left, changed.present_count), (vec!["kim".to_owned()], vec![], 3));
    drop(second);
    assert_eq!(ann.wait_for_leave("bob").await.present_count, 2);
}

#[tokio::test]
async fn a_user_is_shown_as_typing_until_the_message_arrives() {
    let (_server, mut ann, mut bob) = start_with_ann_and_bob().await;
    ann.send_frame_with_id(0, typing("r"));
    wait_for_typing(&mut bob, &["ann"]).await;
    bob.expect_done(typing("r")).await;
    wait_for_typing(&mut ann, &["bob"]).await;
    ann.post("r", "Hi").await;
    wait_for_typing(&mut bob, &[]).await;
    drop(bob);
    wait_for_typing(&mut ann, &[]).await;
}

#[tokio::test]
async fn typing_ends_after_six_seconds() {
    let (_server, mut ann, mut bob) = start_with_ann_and_bob().await;
    let began = Instant::now();
    ann.expect_done(typing("r")).await;
    wait_for_typing(&mut bob, &["ann"]).await;
    wait_for_typing(&mut bob, &[]).await;
    let lasted = began.elapsed();
    assert!(lasted > Duration::from_millis(5900) && lasted < Duration::from_secs(9), "{lasted:?}");
}

#[tokio::test]
async fn joins_close_together_are_coalesced() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    ann.join_live("r").await;
    let channel = channel(server.addr).await;
    let mut others = Vec::new();
    for n in 0..50 {
        let mut session = Session::open_on(&channel, &format!("u{n:02}")).await;
        session.join_live("r").await;
        others.push(session);
    }
    let mut came = Vec::new();
    let mut frames = 0;
    while came.len() < 50 {
        came.extend(ann.wait_for(presence_changed).await.came);
        frames += 1;
    }
    came.sort_unstable();
    assert_eq!(came, (0..50).map(|n| format!("u{n:02}")).collect::<Vec<_>>());
    assert!(frames < 25, "{frames} frames");
    ann.expect_ack(send("r", "Hi")).await;
}

#[tokio::test]
async fn at_most_256_users_are_listed_and_more_are_counted() {
    let server = start().await;
    let mut others = Vec::new();
    let mut channels = Vec::new();
    for hundred in 0..3 {
        channels.push(channel(server.addr).await);
        for n in 0..100 {
            let mut session = Session::open_on(&channels[hundred], &format!("u{hundred}{n:02}")).await;
            let joined = session.join_live("r").await;
            let present = hundred * 100 + n + 1;
            let listed = if present <= 256 { present } else { 0 };
            assert_eq!((joined.present.len(), joined.present_count), (listed, present as u32));
            others.push(session);
        }
    }
    // The first, who was sent names, is sent a number.
    let mut first = others.remove(0);
    let counted = first.wait_for(|frame| presence_changed(frame).filter(|changed| changed.present_count > 256)).await;
    assert_eq!((counted.came, counted.left, counted.snapshot), (vec![], vec![], true));
    // Names again, once there are clearly fewer.
    others.truncate(150);
    let is_named = |changed: &pb::PresenceChanged| changed.snapshot && !changed.came.is_empty();
    let named = first.wait_for(|frame| presence_changed(frame).filter(is_named)).await;
    assert_eq!(named.came.len(), named.present_count as usize);
    assert!(named.came.len() <= 192, "{named:?}");
}
