//! The requests of a session: the reply to each, and what is refused.

use bytes::Bytes;
use tonic::Code;

use crate::support::frames::{
    ClientBody, ServerBody, delete, edit, join, last, leave, mark_read, new_msg_id, pb, ping, pong, react, reply, send,
    send_with_msg_id, typing,
};
use crate::support::refusal::Refusal;
use crate::support::server::{TestServer, start, start_with_limits};
use crate::support::session::Session;

/// Starts a server and opens a session for the user `ann`.
async fn open() -> (TestServer, Session) {
    let server = start().await;
    let session = Session::open(server.addr, "ann").await;
    (server, session)
}

#[tokio::test]
async fn every_frame_with_an_id_gets_exactly_one_reply() {
    let (_server, mut ann) = open().await;
    let seq = ann.post("r", "Hi").await;
    let bodies = [
        join("r", None),
        typing("r"),
        send("r", "one"),
        edit("r", seq, "two"),
        react("r", seq, "👍", false),
        delete("r", seq),
        mark_read("r", seq),
        ping(),
        pong(),
        ClientBody::RefreshToken(pb::RefreshToken::default()),
        send("no room!", "x"),
        leave("r"),
        leave("r"),
    ];
    let ids: Vec<u64> = bodies.into_iter().map(|body| ann.send_frame(body)).collect();
    ann.half_close();
    let (frames, end) = ann.read_to_end().await;
    end.unwrap();
    let mut replied: Vec<u64> = frames.iter().map(|frame| frame.reply_to).filter(|id| *id > 0).collect();
    replied.sort_unstable();
    assert_eq!(replied, ids);
}

#[tokio::test]
async fn frames_without_an_id_get_their_reply_without_one_except_for_done() {
    let (_server, mut ann) = open().await;
    let seq = ann.post("r", "Hi").await;
    for body in [typing("nowhere"), pong(), mark_read("r", seq), join("r", None), leave("r"), send("r", ""), ping()] {
        ann.send_frame_with_id(0, body);
    }
    ann.send_frame_with_id(0, send("r", "Hey"));
    ann.half_close();
    let (frames, end) = ann.read_to_end().await;
    end.unwrap();
    assert!(frames.iter().all(|frame| frame.reply_to == 0), "{frames:?}");
    let count = |is: fn(&ServerBody) -> bool| frames.iter().filter(|frame| frame.body.as_ref().is_some_and(is)).count();
    assert_eq!(count(|body| matches!(body, ServerBody::Pong(_))), 1);
    // The Join is answered, whether or not it was superseded by the Leave; the empty text is refused.
    let joined = count(|body| matches!(body, ServerBody::Joined(_)));
    assert_eq!(joined + count(|body| matches!(body, ServerBody::Error(_))), 2, "{frames:?}");
    assert_eq!(count(|body| matches!(body, ServerBody::Ack(ack) if ack.seq == 2)), 1);
    assert_eq!(count(|body| matches!(body, ServerBody::Done(_))), 0);
}

#[tokio::test]
async fn a_message_without_an_id_gets_one_from_the_server() {
    let (_server, mut ann) = open().await;
    ann.join_live("r").await;
    let ack = ann.expect_ack(send_with_msg_id("r", "Hi", Bytes::new())).await;
    assert_eq!(ack.client_msg_id.len(), 16);
    assert_eq!(ann.next_event("r").await.client_msg_id, ack.client_msg_id);
    // It can be repeated under the id from the ack, and without one it is another message.
    let repeat = ann.expect_ack(send_with_msg_id("r", "Hi", ack.client_msg_id)).await;
    assert_eq!((repeat.seq, repeat.duplicate), (ack.seq, true));
    assert_eq!(ann.expect_ack(send_with_msg_id("r", "Hi", Bytes::new())).await.seq, ack.seq + 1);
}

#[tokio::test]
async fn ids_must_rise() {
    let (_server, mut ann) = open().await;
    ann.send_frame_with_id(10, ping());
    assert!(matches!(ann.reply(10).await, ServerBody::Pong(_)));
    for id in [9, 8, 7] {
        ann.send_frame_with_id(id, send("r", "x"));
        let refusal = ann.refusal(id).await;
        assert_eq!((refusal.code, refusal.fields()), (Code::InvalidArgument, vec!["id"]));
    }
    ann.send_frame_with_id(u64::MAX, ping());
    assert!(matches!(ann.reply(u64::MAX).await, ServerBody::Pong(_)));
}

#[tokio::test]
async fn an_invalid_field_is_named() {
    let server = start_with_limits(|limits| limits.session.text_bytes = 50).await;
    let mut ann = Session::open(server.addr, "ann").await;
    ann.post("r", "Hi").await;
    let long = "x".repeat(51);
    let short_id = Bytes::from_static(b"fifteen bytes..");
    for (body, field) in [
        (send("", "x"), "room"),
        (send("/r", "x"), "room"),
        (send("a//b", "x"), "room"),
        (send("r m", "x"), "room"),
        (send(&"r".repeat(65), "x"), "room"),
        (send("r", ""), "text"),
        (send("r", &long), "text"),
        (send("r", "\u{1b}[2J"), "text"),
        (send_with_msg_id("r", "x", short_id), "client_msg_id"),
        (edit("r", 0, "x"), "seq"),
        (edit("r", u64::MAX, "x"), "seq"),
        (edit("r", 1, &long), "text"),
        (delete("r", 0), "seq"),
        (react("r", 1, "", false), "reaction"),
        (react("r", 1, &"x".repeat(65), false), "reaction"),
        (react("r", 0, "x", false), "seq"),
        (mark_read("r", 0), "seq"),
        (typing("r r"), "room"),
        (leave("-/"), "room"),
        (join("é", None), "room"),
        (join("r", last(1001)), "last"),
    ] {
        let refusal = ann.expect_refusal(body.clone()).await;
        assert_eq!((refusal.code, refusal.fields()), (Code::InvalidArgument, vec![field]), "{body:?}: {refusal:?}");
        assert!(refusal.message.starts_with(field), "{refusal:?}");
    }
    assert_eq!(ann.post("r", &"x".repeat(50)).await, 2);
}

#[tokio::test]
async fn changes_need_an_existing_message_and_its_author() {
    let (server, mut ann) = open().await;
    let mut bob = Session::open(server.addr, "bob").await;
    let seq = ann.post("r", "Hi").await;
    for body in [edit("r", 9, "x"), delete("r", 9), react("r", 9, "x", false), mark_read("r", 9), edit("empty", 1, "x")]
    {
        let refusal = ann.expect_refusal(body.clone()).await;
        assert_eq!(refusal.code, Code::NotFound, "{body:?}: {refusal:?}");
        let resource = refusal.details.resource_info().expect("a ResourceInfo");
        assert!(["r", "empty"].contains(&resource.resource_name.as_str()), "{resource:?}");
    }
    assert_eq!(ann.expect_refusal(reply("r", 9, "x")).await.code, Code::NotFound);
    for body in [edit("r", seq, "x"), delete("r", seq)] {
        let refusal = bob.expect_refusal(body).await;
        assert_eq!((refusal.code, refusal.reason()), (Code::PermissionDenied, "NOT_THE_AUTHOR"));
    }
    bob.expect_ack(react("r", seq, "x", false)).await;
    ann.expect_ack(edit("r", seq, "Hey")).await;
    ann.expect_ack(delete("r", seq)).await;
    assert_eq!(ann.expect_refusal(edit("r", seq, "again")).await.code, Code::NotFound);
}

/// Sets the epoch that a change expects.
fn with_epoch(mut body: ClientBody, epoch: u64) -> ClientBody {
    match &mut body {
        ClientBody::Send(send) => send.epoch = epoch,
        ClientBody::Edit(edit) => edit.epoch = epoch,
        ClientBody::React(react) => react.epoch = epoch,
        ClientBody::Delete(delete) => delete.epoch = epoch,
        other => panic!("{other:?} has no epoch"),
    }
    body
}

#[tokio::test]
async fn changes_of_another_epoch_are_refused() {
    let (_server, mut ann) = open().await;
    let epoch = ann.join("r", None).await.epoch;
    let seq = ann.post("r", "Hi").await;
    let changes = || [reply("r", seq, "x"), edit("r", seq, "x"), react("r", seq, "x", false), delete("r", seq)];
    for body in changes() {
        let refusal = ann.expect_refusal(with_epoch(body, epoch ^ 1)).await;
        assert_eq!((refusal.code, refusal.precondition()), (Code::FailedPrecondition, "OTHER_EPOCH"));
    }
    for body in changes() {
        ann.expect_ack(with_epoch(body, epoch)).await;
    }
    // A message that names no other message is accepted in every epoch.
    ann.expect_ack(with_epoch(send("r", "x"), epoch ^ 1)).await;
}

/// Sets the message that a change expects at its sequence number.
fn with_target(mut body: ClientBody, target: &Bytes) -> ClientBody {
    let target = target.clone();
    match &mut body {
        ClientBody::Send(send) => send.target_client_msg_id = target,
        ClientBody::Edit(edit) => edit.target_client_msg_id = target,
        ClientBody::React(react) => react.target_client_msg_id = target,
        ClientBody::Delete(delete) => delete.target_client_msg_id = target,
        other => panic!("{other:?} has no target"),
    }
    body
}

#[tokio::test]
async fn changes_of_another_message_at_the_same_seq_are_refused() {
    let (_server, mut ann) = open().await;
    let target = new_msg_id();
    let seq = ann.expect_ack(send_with_msg_id("r", "Hi", target.clone())).await.seq;
    let changes = || [reply("r", seq, "x"), edit("r", seq, "x"), react("r", seq, "x", false), delete("r", seq)];
    for body in changes() {
        let refusal = ann.expect_refusal(with_target(body, &new_msg_id())).await;
        assert_eq!((refusal.code, refusal.precondition()), (Code::FailedPrecondition, "FORKED"));
        assert_eq!(refusal.reason(), "FORKED");
    }
    for body in changes() {
        ann.expect_ack(with_target(body, &target)).await;
    }
}

#[tokio::test]
async fn a_repeat_gets_the_first_ack_and_other_content_is_refused() {
    let (server, mut ann) = open().await;
    let id = new_msg_id();
    let first = ann.expect_ack(send_with_msg_id("r", "Hi", id.clone())).await;
    assert!(!first.duplicate);
    assert_eq!((&first.room[..], &first.client_msg_id), ("r", &id));
    ann.post("r", "between").await;
    let mut other_session = Session::open(server.addr, "ann").await;
    for session in [&mut ann, &mut other_session] {
        let again = session.expect_ack(send_with_msg_id("r", "Hi", id.clone())).await;
        assert_eq!((again.seq, &again.time, again.duplicate), (first.seq, &first.time, true));
        let refusal = session.expect_refusal(send_with_msg_id("r", "Hey", id.clone())).await;
        assert_eq!((refusal.code, refusal.reason()), (Code::AlreadyExists, "CLIENT_MSG_ID_REUSED"));
    }
    // Ids are per room and user.
    assert!(!ann.expect_ack(send_with_msg_id("other", "Hey", id.clone())).await.duplicate);
    let mut bob = Session::open(server.addr, "bob").await;
    assert!(!bob.expect_ack(send_with_msg_id("r", "Hey", id)).await.duplicate);
}

#[tokio::test]
async fn leave_and_typing_need_a_joined_room() {
    let (_server, mut ann) = open().await;
    for body in [leave("r"), typing("r")] {
        let refusal = ann.expect_refusal(body).await;
        assert_eq!((refusal.code, refusal.precondition()), (Code::FailedPrecondition, "NOT_JOINED"));
    }
    ann.post("r", "sending does not").await;
}

#[tokio::test]
async fn a_room_over_the_limit_is_refused_until_one_is_left() {
    let server = start_with_limits(|limits| limits.session.rooms = 2).await;
    let mut ann = Session::open(server.addr, "ann").await;
    ann.join("a", None).await;
    ann.join("b", None).await;
    ann.join("b", None).await;
    let refusal = ann.expect_refusal(join("c", None)).await;
    assert_eq!((refusal.code, refusal.quota()), (Code::ResourceExhausted, "rooms"));
    ann.expect_done(leave("a")).await;
    ann.join("c", None).await;
}

#[tokio::test]
async fn requests_over_the_in_flight_limit_are_refused_and_the_others_stored() {
    let server = start_with_limits(|limits| limits.session.in_flight = 4).await;
    let mut ann = Session::open(server.addr, "ann").await;
    let ids: Vec<u64> = (0..200).map(|n| ann.send_frame(send("r", &n.to_string()))).collect();
    let mut stored = 0;
    for id in ids {
        match ann.reply(id).await {
            ServerBody::Ack(_) => stored += 1,
            ServerBody::Error(error) => {
                let refusal = Refusal::from(error);
                assert_eq!((refusal.code, refusal.quota()), (Code::ResourceExhausted, "in_flight"));
                assert!(refusal.has_retry_delay());
            }
            other => panic!("neither Ack nor Error: {other:?}"),
        }
    }
    assert!((4..200).contains(&stored), "{stored}");
    assert_eq!(ann.post("r", "more").await, stored + 1);
}

#[tokio::test]
async fn every_join_is_answered_even_if_it_is_superseded() {
    let (_server, mut ann) = open().await;
    for n in 0..50 {
        let room = format!("r{n}");
        let ids = [join(&room, None), leave(&room), join(&room, None)].map(|body| ann.send_frame(body));
        match ann.reply(ids[0]).await {
            ServerBody::Joined(_) => {}
            ServerBody::Error(error) => assert_eq!(Refusal::from(error).precondition(), "JOIN_OVERTAKEN"),
            other => panic!("neither Joined nor Error: {other:?}"),
        }
        assert!(matches!(ann.reply(ids[1]).await, ServerBody::Done(_)));
        assert!(matches!(ann.reply(ids[2]).await, ServerBody::Joined(_)));
        ann.post(&room, "Hi").await;
        ann.next_event(&room).await;
    }
}

#[tokio::test]
async fn a_half_closed_session_gets_its_replies_and_events_before_the_end() {
    let (_server, mut ann) = open().await;
    ann.join("r", None).await;
    let ids: Vec<u64> = (0..500).map(|n| ann.send_frame(send("r", &n.to_string()))).collect();
    ann.half_close();
    for id in ids {
        ann.ack(id).await;
    }
    let texts = ann.next_texts("r", 0, 500).await;
    assert!(texts.iter().enumerate().all(|(n, text)| *text == n.to_string()));
    ann.read_to_end().await.1.unwrap();
}
