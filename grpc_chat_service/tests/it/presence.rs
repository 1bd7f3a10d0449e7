//! Who is here and who is typing: live, coalesced, and never about oneself.

use std::time::{Duration, Instant};

use crate::support::session::{Said, Session, leave, pb, send, typing};
use crate::support::{channel, start};

fn changed(frame: &pb::ServerFrame) -> Option<pb::PresenceChanged> {
    match &frame.body {
        Some(Said::PresenceChanged(presence)) => Some(presence.clone()),
        _ => None,
    }
}

/// Waits until `user` has come to, or left, the room.
async fn told(session: &mut Session, user: &str, came: bool) -> pb::PresenceChanged {
    session
        .wait(|frame| {
            changed(frame).filter(|news| if came { &news.came } else { &news.left }.iter().any(|one| one == user))
        })
        .await
}

async fn told_typing(session: &mut Session, users: &[&str]) {
    session
        .wait(|frame| match &frame.body {
            Some(Said::TypingChanged(typing)) => (typing.room == "r" && typing.users == users).then_some(()),
            _ => None,
        })
        .await;
}

#[tokio::test]
async fn joined_tells_who_is_present_and_the_others_are_told_who_came() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let joined = ann.enter("r").await;
    assert_eq!((joined.present, joined.present_count), (vec!["ann".to_owned()], 1));
    let mut bob = Session::open(server.addr, "bob").await;
    let joined = bob.enter("r").await;
    assert_eq!((joined.present, joined.present_count), (vec!["ann".to_owned(), "bob".to_owned()], 2));
    let news = told(&mut ann, "bob", true).await;
    assert_eq!((&news.room[..], news.snapshot, news.present_count), ("r", false, 2));
    assert!(news.left.is_empty());
    bob.done(leave("r")).await;
    assert_eq!(told(&mut ann, "bob", false).await.present_count, 1);
}

#[tokio::test]
async fn who_closes_or_loses_the_connection_has_left_within_two_seconds() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    ann.enter("r").await;
    for way in ["closes", "is dropped", "loses its connection"] {
        // A stream that is dropped is reset; with its connection, the connection goes.
        let kept = channel(server.addr).await;
        let mut bob = match way {
            "is dropped" => Session::on(&kept, "bob").await,
            _ => Session::open(server.addr, "bob").await,
        };
        bob.enter("r").await;
        told(&mut ann, "bob", true).await;
        if way == "closes" {
            bob.close();
            bob.rest().await.1.unwrap();
        }
        let left = Instant::now();
        drop(bob);
        assert_eq!(told(&mut ann, "bob", false).await.present_count, 1, "{way}");
        assert!(left.elapsed() < Duration::from_secs(2), "{way}: {:?}", left.elapsed());
    }
}

#[tokio::test]
async fn several_sessions_of_a_user_are_one_presence() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    ann.enter("r").await;
    let mut first = Session::open(server.addr, "bob").await;
    first.enter("r").await;
    told(&mut ann, "bob", true).await;
    let mut second = Session::open(server.addr, "bob").await;
    assert_eq!(second.enter("r").await.present_count, 2);
    // Joining again is no news either.
    second.enter("r").await;
    drop(first);
    // Had anything been told of bob, it would have come before this.
    let mut carol = Session::open(server.addr, "carol").await;
    carol.enter("r").await;
    let news = ann.wait(changed).await;
    assert_eq!((news.came, news.left, news.present_count), (vec!["carol".to_owned()], vec![], 3));
    drop(second);
    assert_eq!(told(&mut ann, "bob", false).await.present_count, 2);
}

#[tokio::test]
async fn others_see_who_is_typing_until_the_message_comes() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let mut bob = Session::open(server.addr, "bob").await;
    for session in [&mut ann, &mut bob] {
        session.enter("r").await;
    }
    ann.say_as(0, Some(typing("r")));
    told_typing(&mut bob, &["ann"]).await;
    bob.done(typing("r")).await;
    told_typing(&mut ann, &["bob"]).await;
    ann.post("r", "Hi").await;
    told_typing(&mut bob, &[]).await;
    drop(bob);
    told_typing(&mut ann, &[]).await;
}

#[tokio::test]
async fn who_stops_typing_is_forgotten_after_six_seconds() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let mut bob = Session::open(server.addr, "bob").await;
    for session in [&mut ann, &mut bob] {
        session.enter("r").await;
    }
    let began = Instant::now();
    ann.done(typing("r")).await;
    told_typing(&mut bob, &["ann"]).await;
    told_typing(&mut bob, &[]).await;
    let lasted = began.elapsed();
    assert!(lasted > Duration::from_millis(5900) && lasted < Duration::from_secs(9), "{lasted:?}");
}

#[tokio::test]
async fn many_who_come_at_once_are_told_together() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    ann.enter("r").await;
    let channel = channel(server.addr).await;
    let mut others = Vec::new();
    for n in 0..50 {
        let mut session = Session::on(&channel, &format!("u{n:02}")).await;
        session.enter("r").await;
        others.push(session);
    }
    let mut came = Vec::new();
    let mut frames = 0;
    while came.len() < 50 {
        let news = ann.wait(changed).await;
        came.extend(news.came);
        frames += 1;
    }
    came.sort_unstable();
    assert_eq!(came, (0..50).map(|n| format!("u{n:02}")).collect::<Vec<_>>());
    assert!(frames < 25, "{frames} frames");
    ann.acked(send("r", "Hi")).await;
}

#[tokio::test]
async fn at_most_256_are_named_and_all_are_counted() {
    let server = start().await;
    let mut others = Vec::new();
    for hundred in 0..3 {
        let channel = channel(server.addr).await;
        for n in 0..100 {
            let mut session = Session::on(&channel, &format!("u{hundred}{n:02}")).await;
            session.enter("r").await;
            others.push(session);
        }
    }
    let joined = Session::open(server.addr, "zoe").await.enter("r").await;
    assert_eq!((joined.present.len(), joined.present_count), (256, 301));
    assert_eq!(joined.present[0], "u000");
}
