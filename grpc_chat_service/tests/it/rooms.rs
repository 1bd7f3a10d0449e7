//! Rooms: all readers receive the same events in the same order, from the tail or from the history.

use tonic::Code;

use crate::support::channel;
use crate::support::frames::{
    ClientBody, EventBody, ServerBody, delete, edit, hello, is_event, join, last, leave, mark_read, pb, react, reply,
    send,
};
use crate::support::server::start;
use crate::support::session::Session;

#[tokio::test]
async fn an_event_has_its_sender_time_and_content() {
    let server = start().await;
    let channel = channel(server.addr).await;
    let mut ann = Session::before_hello(&channel).await;
    let ClientBody::Hello(hello) = hello("ann") else { unreachable!() };
    ann.send_frame(ClientBody::Hello(pb::Hello { device: "phone".to_owned(), ..hello }));
    let mut bob = Session::open_on(&channel, "bob").await;
    bob.join("team/eu", None).await;
    let first = ann.expect_ack(send("team/eu", "Hi\n\tthere 👋")).await;
    let second = ann.expect_ack(reply("team/eu", first.seq, "Hey")).await;

    let event = bob.next_event("team/eu").await;
    assert_eq!((event.seq, event.prev_seq, &event.time), (first.seq, 0, &first.time));
    assert_eq!((&event.sender[..], &event.device[..], &event.client_msg_id), ("ann", "phone", &first.client_msg_id));
    let posted = pb::Posted { text: "Hi\n\tthere 👋".to_owned(), reply_to_seq: 0, erased: false };
    assert_eq!(event.body, Some(EventBody::Posted(posted)));
    let event = bob.next_event("team/eu").await;
    assert_eq!((event.seq, event.prev_seq), (second.seq, first.seq));
    assert!(matches!(event.body, Some(EventBody::Posted(posted)) if posted.reply_to_seq == first.seq));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_readers_receive_the_same_events_without_gaps() {
    const EACH: usize = 300;
    let server = start().await;
    let mut readers = [Session::open(server.addr, "x").await, Session::open(server.addr, "y").await];
    for reader in &mut readers {
        reader.join_live("r").await;
    }
    let mut senders = Vec::new();
    for user in ["ann", "bob"] {
        let mut sender = Session::open(server.addr, user).await;
        senders.push(tokio::spawn(async move {
            sender.post_all("r", (0..EACH).map(|n| format!("{user} {n}"))).await;
        }));
    }
    let texts = readers[0].next_texts("r", 0, 2 * EACH).await;
    assert_eq!(readers[1].next_texts("r", 0, 2 * EACH).await, texts);
    for user in ["ann", "bob"] {
        let theirs: Vec<&String> = texts.iter().filter(|text| text.starts_with(user)).collect();
        assert!(theirs.iter().enumerate().all(|(n, text)| **text == format!("{user} {n}")), "not in the order sent");
    }
    for sender in senders {
        sender.await.unwrap();
    }
}

#[tokio::test]
async fn edits_reactions_and_deletions_are_events() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let mut bob = Session::open(server.addr, "bob").await;
    ann.join("r", None).await;
    let seq = ann.post("r", "Hi").await;
    ann.expect_ack(edit("r", seq, "Hey")).await;
    bob.expect_ack(react("r", seq, "👍", false)).await;
    bob.expect_ack(react("r", seq, "👍", true)).await;
    ann.expect_ack(delete("r", seq)).await;
    let mut events = Vec::new();
    for seq in 1..=5 {
        let event = ann.next_event("r").await;
        assert_eq!((event.seq, event.prev_seq), (seq, seq - 1));
        events.push((event.sender, event.body.unwrap()));
    }
    let [posted, edited, reacted, unreacted, deleted] = &events[..] else { unreachable!() };
    assert!(matches!(posted, (sender, EventBody::Posted(posted)) if sender == "ann" && posted.text == "Hi"));
    let expected = pb::Edited { seq, text: "Hey".to_owned(), erased: false };
    assert_eq!(*edited, ("ann".to_owned(), EventBody::Edited(expected)));
    for (reaction, removed) in [(reacted, false), (unreacted, true)] {
        let expected = pb::Reacted { seq, reaction: "👍".to_owned(), removed };
        assert_eq!(*reaction, ("bob".to_owned(), EventBody::Reacted(expected)));
    }
    assert_eq!(deleted.1, EventBody::Deleted(pb::Deleted { seq }));
}

#[tokio::test]
async fn later_readers_get_deleted_messages_without_their_text() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    // A room exists, with its tail, as long as somebody receives it.
    let mut live = Session::open(server.addr, "live").await;
    live.join_live("r").await;
    let seq = ann.post("r", "secret").await;
    ann.expect_ack(edit("r", seq, "secret too")).await;
    ann.post("r", "kept").await;
    ann.expect_ack(delete("r", seq)).await;
    for _ in 0..4 {
        live.next_event("r").await;
    }

    let mut late = Session::open(server.addr, "late").await;
    late.join("r", last(10)).await;
    let mut texts = Vec::new();
    for _ in 0..4 {
        match late.next_event("r").await.body.unwrap() {
            EventBody::Posted(posted) => texts.push((posted.text, posted.erased)),
            EventBody::Edited(edited) => texts.push((edited.text, edited.erased)),
            EventBody::Deleted(deleted) => assert_eq!(deleted.seq, seq),
            EventBody::Reacted(_) => unreachable!(),
        }
    }
    assert_eq!(texts, [(String::new(), true), (String::new(), true), ("kept".to_owned(), false)]);
}

#[tokio::test]
async fn leaving_stops_delivery_of_that_room_only() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let mut bob = Session::open(server.addr, "bob").await;
    for room in ["a", "b"] {
        ann.join_live(room).await;
    }
    ann.expect_done(leave("a")).await;
    bob.post("a", "in the room that was left").await;
    bob.post("b", "in the other room").await;
    ann.next_texts("b", 0, 1).await;
    let frames = ann.received_so_far().await;
    assert!(!frames.iter().any(is_event), "{frames:?}");
}

#[tokio::test]
async fn a_read_mark_only_moves_forward_and_reaches_the_users_other_sessions() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let mut other = Session::open(server.addr, "ann").await;
    let mut bob = Session::open(server.addr, "bob").await;
    ann.post_all("r", ["1", "2", "3"]).await;
    for session in [&mut ann, &mut other, &mut bob] {
        assert_eq!(session.join_live("r").await.read_seq, 0);
    }
    ann.expect_done(mark_read("r", 2)).await;
    let read_changed = |frame: &pb::ServerFrame| match &frame.body {
        Some(ServerBody::ReadChanged(read)) => Some((read.room.clone(), read.seq)),
        _ => None,
    };
    assert_eq!(other.wait_for(read_changed).await, ("r".to_owned(), 2));
    ann.expect_done(mark_read("r", 1)).await;
    other.expect_done(mark_read("r", 3)).await;
    // A session is not notified of its own marks, so this is the first.
    assert_eq!(ann.wait_for(read_changed).await, ("r".to_owned(), 3));
    assert_eq!(Session::open(server.addr, "ann").await.join_live("r").await.read_seq, 3);
    assert_eq!(Session::open(server.addr, "bob").await.join_live("r").await.read_seq, 0);
    assert_eq!(bob.expect_refusal(mark_read("r", 4)).await.code, Code::NotFound);
    let frames = bob.received_so_far().await;
    assert!(!frames.iter().any(|frame| read_changed(frame).is_some()), "{frames:?}");
}

#[tokio::test]
async fn a_hundred_rooms_share_a_stream() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let mut bob = Session::open(server.addr, "bob").await;
    let rooms: Vec<String> = (0..100).map(|n| format!("room-{n}")).collect();
    let ids: Vec<u64> = rooms.iter().map(|room| ann.send_frame(join(room, None))).collect();
    for id in ids {
        assert!(matches!(ann.reply(id).await, ServerBody::Joined(_)));
    }
    let ids: Vec<u64> = (0..5)
        .flat_map(|n| rooms.iter().map(move |room| (room, n)))
        .map(|(room, n)| bob.send_frame(send(room, &n.to_string())))
        .collect();
    for id in ids {
        bob.ack(id).await;
    }
    for room in &rooms {
        assert_eq!(ann.next_texts(room, 0, 5).await, ["0", "1", "2", "3", "4"]);
    }
}
