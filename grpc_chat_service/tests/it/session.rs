//! A session's frames: what is answered with what, and what is wrong is said where it belongs.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use grpc_chat_service::Limits;
use prost::Message;
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::session::{
    Refused, Said, Say, Session, delete, edit, hello, join, leave, mark, msg_id, pb, ping, react, send, send_as, typing,
};
use crate::support::{InProcess, Wire, channel, framed, send_frame, soon, start, start_limited};

const SESSION: &str = "/chat.v1.ChatService/Session";

fn answer(room: &str, reply_to_seq: u64, epoch: u64) -> Say {
    let (room, text) = (room.to_owned(), "x".to_owned());
    Say::Send(pb::Send { room, text, client_msg_id: msg_id(), reply_to_seq, epoch })
}

/// A server with these limits, and a caller who has said hello.
async fn open() -> (InProcess, Session) {
    with(|_| ()).await
}

async fn with(set: impl FnOnce(&mut Limits)) -> (InProcess, Session) {
    let server = start_limited(set).await;
    let session = Session::open(server.addr, "ann").await;
    (server, session)
}

#[tokio::test]
async fn welcome_comes_first_and_tells_what_the_session_may_do() {
    let set = |limits: &mut Limits| {
        limits.session.text_bytes = 100;
        limits.session.rooms = 3;
        limits.session.in_flight = 7;
        limits.session.heartbeat = Duration::from_millis(2500);
        limits.connection.message_bytes = 2000;
    };
    let (_server, session) = with(set).await;
    let welcome = session.welcome;
    let told = welcome.limits.unwrap();
    assert_eq!((told.max_text_bytes, told.max_rooms, told.max_in_flight, told.max_frame_bytes), (100, 3, 7, 2000));
    let heartbeat = welcome.heartbeat.unwrap();
    assert_eq!((heartbeat.seconds, heartbeat.nanos), (2, 500_000_000));
    assert_eq!(welcome.durability, i32::from(pb::Durability::Memory));
    assert_eq!(welcome.server_version, env!("CARGO_PKG_VERSION"));
    assert!(welcome.server_time.unwrap().seconds > 1_700_000_000);
    assert!(!welcome.session_id.is_empty());
}

#[tokio::test]
async fn every_frame_with_an_id_gets_exactly_one_reply() {
    let (_server, mut ann) = open().await;
    let seq = ann.post("r", "Hi").await;
    let all = [
        join("r", None),
        typing("r"),
        send("r", "one"),
        edit("r", seq, "two"),
        react("r", seq, "👍", false),
        delete("r", seq),
        mark("r", seq),
        ping(),
        Say::Pong(pb::Pong {}),
        Say::RefreshToken(pb::RefreshToken::default()),
        send("no room!", "x"),
        leave("r"),
        leave("r"),
    ];
    let ids: Vec<u64> = all.into_iter().map(|body| ann.say(body)).collect();
    ann.close();
    let (frames, end) = ann.rest().await;
    end.unwrap();
    let mut replied: Vec<u64> = frames.iter().map(|frame| frame.reply_to).filter(|id| *id > 0).collect();
    replied.sort_unstable();
    assert_eq!(replied, ids);
}

#[tokio::test]
async fn frames_without_an_id_are_not_replied_to_but_a_ping_is_answered() {
    let (_server, mut ann) = open().await;
    ann.say_as(0, Some(typing("nowhere")));
    ann.say_as(0, Some(Say::Pong(pb::Pong {})));
    ann.say_as(0, Some(ping()));
    let frame = ann.next().await;
    assert_eq!((frame.reply_to, frame.body), (0, Some(Said::Pong(pb::Pong {}))));
}

/// Each is refused with INVALID_ARGUMENT that names the field, and the stream lives on.
#[tokio::test]
async fn a_bad_field_is_named() {
    let (_server, mut ann) = with(|limits| limits.session.text_bytes = 50).await;
    ann.post("r", "Hi").await;
    let long = "x".repeat(51);
    let beyond = u64::MAX;
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
        (send_as("r", "x", short_id), "client_msg_id"),
        (send_as("r", "x", Bytes::new()), "client_msg_id"),
        (edit("r", 0, "x"), "seq"),
        (edit("r", beyond, "x"), "seq"),
        (edit("r", 1, &long), "text"),
        (delete("r", 0), "seq"),
        (react("r", 1, "", false), "reaction"),
        (react("r", 1, &"x".repeat(65), false), "reaction"),
        (react("r", 0, "x", false), "seq"),
        (mark("r", 0), "seq"),
        (typing("r r"), "room"),
        (leave("-/"), "room"),
        (join("é", None), "room"),
        (join("r", crate::support::session::last(1001)), "last"),
    ] {
        let refused = ann.refused(body.clone()).await;
        assert_eq!((refused.code, refused.fields()), (Code::InvalidArgument, vec![field]), "{body:?}: {refused:?}");
        assert!(refused.message.starts_with(field), "{refused:?}");
    }
    assert_eq!(ann.post("r", &"x".repeat(50)).await, 2);
}

#[tokio::test]
async fn an_id_has_to_rise_and_may_be_zero_only_for_hints() {
    let (_server, mut ann) = open().await;
    ann.say_as(10, Some(ping()));
    assert!(matches!(ann.reply(10).await, Said::Pong(_)));
    for id in [9, 8, 0] {
        ann.say_as(id, Some(send("r", "x")));
        let refused = ann.refusal(id).await;
        assert_eq!((refused.code, refused.fields()), (Code::InvalidArgument, vec!["id"]));
    }
    ann.say_as(u64::MAX, Some(ping()));
    assert!(matches!(ann.reply(u64::MAX).await, Said::Pong(_)));
}

#[tokio::test]
async fn what_is_about_a_message_needs_that_message_and_its_author() {
    let (server, mut ann) = open().await;
    let mut bob = Session::open(server.addr, "bob").await;
    let seq = ann.post("r", "Hi").await;
    for body in [edit("r", 9, "x"), delete("r", 9), react("r", 9, "x", false), mark("r", 9), edit("empty", 1, "x")] {
        let refused = ann.refused(body.clone()).await;
        assert_eq!(refused.code, Code::NotFound, "{body:?}: {refused:?}");
        let resource = refused.details.resource_info().expect("a ResourceInfo");
        assert!(["r", "empty"].contains(&resource.resource_name.as_str()), "{resource:?}");
    }
    assert_eq!(ann.refused(answer("r", 9, 0)).await.code, Code::NotFound);
    for body in [edit("r", seq, "x"), delete("r", seq)] {
        let refused = bob.refused(body).await;
        assert_eq!((refused.code, refused.reason()), (Code::PermissionDenied, "NOT_THE_AUTHOR"));
    }
    bob.acked(react("r", seq, "x", false)).await;
    ann.acked(edit("r", seq, "Hey")).await;
    ann.acked(delete("r", seq)).await;
    assert_eq!(ann.refused(edit("r", seq, "again")).await.code, Code::NotFound);
}

#[tokio::test]
async fn what_is_about_a_message_of_another_life_of_the_history_is_refused() {
    let (_server, mut ann) = open().await;
    let epoch = ann.join("r", None).await.epoch;
    let seq = ann.post("r", "Hi").await;
    let about = |epoch| {
        let mut all = [edit("r", seq, "x"), react("r", seq, "x", false), delete("r", seq)];
        for body in &mut all {
            match body {
                Say::Edit(edit) => edit.epoch = epoch,
                Say::React(react) => react.epoch = epoch,
                Say::Delete(delete) => delete.epoch = epoch,
                other => panic!("{other:?} is about nothing"),
            }
        }
        [answer("r", seq, epoch)].into_iter().chain(all)
    };
    for body in about(epoch ^ 1) {
        let refused = ann.refused(body).await;
        assert_eq!(refused.code, Code::FailedPrecondition);
        let violations = &refused.details.precondition_failure().expect("a PreconditionFailure").violations;
        assert_eq!(violations[0].r#type, "OTHER_EPOCH");
    }
    for body in about(epoch) {
        ann.acked(body).await;
    }
    // A message that answers nothing belongs to every life.
    ann.acked(answer("r", 0, epoch ^ 1)).await;
}

#[tokio::test]
async fn a_repeat_is_answered_with_the_first_place_and_other_content_is_refused() {
    let (server, mut ann) = open().await;
    let id = msg_id();
    let first = ann.acked(send_as("r", "Hi", id.clone())).await;
    assert!(!first.duplicate);
    assert_eq!((&first.room[..], &first.client_msg_id), ("r", &id));
    ann.post("r", "between").await;
    let mut elsewhere = Session::open(server.addr, "ann").await;
    for session in [&mut ann, &mut elsewhere] {
        let again = session.acked(send_as("r", "Hi", id.clone())).await;
        assert_eq!((again.seq, &again.time, again.duplicate), (first.seq, &first.time, true));
        let refused = session.refused(send_as("r", "Hey", id.clone())).await;
        assert_eq!((refused.code, refused.reason()), (Code::AlreadyExists, "CLIENT_MSG_ID_REUSED"));
    }
    // An id belongs to a room and a user.
    assert!(!ann.acked(send_as("other", "Hey", id.clone())).await.duplicate);
    assert!(!Session::open(server.addr, "bob").await.acked(send_as("r", "Hey", id)).await.duplicate);
}

#[tokio::test]
async fn what_needs_a_room_joined_says_so() {
    let (_server, mut ann) = open().await;
    for body in [leave("r"), typing("r")] {
        let refused = ann.refused(body).await;
        assert_eq!((refused.code, refused.precondition()), (Code::FailedPrecondition, "NOT_JOINED"));
    }
    ann.post("r", "sending does not").await;
}

#[tokio::test]
async fn one_room_too_many_is_refused_until_one_is_left() {
    let (_server, mut ann) = with(|limits| limits.session.rooms = 2).await;
    ann.join("a", None).await;
    ann.join("b", None).await;
    ann.join("b", None).await;
    let refused = ann.refused(join("c", None)).await;
    assert_eq!((refused.code, refused.quota()), (Code::ResourceExhausted, "rooms"));
    ann.done(leave("a")).await;
    ann.join("c", None).await;
}

#[tokio::test]
async fn too_many_in_flight_are_refused_each_and_the_rest_is_stored() {
    let (_server, mut ann) = with(|limits| limits.session.in_flight = 4).await;
    let ids: Vec<u64> = (0..200).map(|n| ann.say(send("r", &n.to_string()))).collect();
    let mut stored = 0;
    for id in ids {
        match ann.reply(id).await {
            Said::Ack(_) => stored += 1,
            Said::Error(error) => {
                let refused = Refused::from(status_of(error));
                assert_eq!((refused.code, refused.quota()), (Code::ResourceExhausted, "in_flight"));
                assert!(refused.has_retry());
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((4..200).contains(&stored), "{stored}");
    assert_eq!(ann.post("r", "more").await, stored + 1);
}

fn status_of(error: pb::Error) -> tonic::Status {
    let status = error.status.unwrap();
    tonic::Status::with_details(status.code.into(), status.message.clone(), status.encode_to_vec().into())
}

#[tokio::test]
async fn hello_comes_once() {
    let (_server, mut ann) = open().await;
    let refused = ann.refused(hello("bob")).await;
    assert_eq!((refused.code, refused.precondition()), (Code::FailedPrecondition, "HELLO_TWICE"));
    ann.join("r", None).await;
    ann.post("r", "Hi").await;
    assert_eq!(ann.event("r").await.sender, "ann");
}

#[tokio::test]
async fn hello_comes_first() {
    let server = start().await;
    let channel = channel(server.addr).await;
    for body in [join("r", None), send("r", "x"), ping(), typing("r")] {
        let mut session = Session::silent(&channel).await;
        session.say(body);
        let refused = session.failed().await;
        assert_eq!((refused.code, refused.precondition()), (Code::FailedPrecondition, "HELLO_FIRST"));
    }
    let mut session = Session::silent(&channel).await;
    session.say_as(0, Some(ping()));
    assert_eq!(session.failed().await.code, Code::FailedPrecondition);
}

#[tokio::test]
async fn a_hello_that_cannot_be_used_ends_the_stream_with_the_reason() {
    let server = start().await;
    let channel = channel(server.addr).await;
    let good = pb::Hello { user: "ann".to_owned(), ..pb::Hello::default() };
    for (hello, field) in [
        (pb::Hello { user: String::new(), ..good.clone() }, "user"),
        (pb::Hello { user: "a/b".to_owned(), ..good.clone() }, "user"),
        (pb::Hello { device: "my phone".to_owned(), ..good.clone() }, "device"),
        (pb::Hello { client_name: "x".repeat(65), ..good.clone() }, "client_name"),
        (pb::Hello { client_version: "\u{1b}".to_owned(), ..good.clone() }, "client_version"),
    ] {
        let mut session = Session::silent(&channel).await;
        session.say(Say::Hello(hello));
        let refused = session.failed().await;
        assert_eq!((refused.code, refused.fields()), (Code::InvalidArgument, vec![field]));
    }
}

#[tokio::test]
async fn without_hello_in_time_the_stream_ends() {
    let server = start_limited(|limits| limits.session.hello = Duration::from_millis(200)).await;
    let channel = channel(server.addr).await;
    assert_eq!(Session::silent(&channel).await.failed().await.code, Code::DeadlineExceeded);
    // One who has said it has all the time there is.
    let mut ann = Session::on(&channel, "ann").await;
    assert!(ann.hears_nothing().await);
    ann.post("r", "Hi").await;
}

#[tokio::test]
async fn closing_without_hello_is_no_error() {
    let server = start().await;
    let mut session = Session::silent(&channel(server.addr).await).await;
    session.close();
    session.rest().await.1.unwrap();
}

#[tokio::test]
async fn a_frame_over_the_limit_ends_the_stream_and_no_other() {
    let server = start_limited(|limits| limits.connection.message_bytes = 1000).await;
    let channel = channel(server.addr).await;
    let mut neighbour = Session::on(&channel, "bob").await;
    let mut ann = Session::on(&channel, "ann").await;
    ann.say(send("r", &"x".repeat(1000)));
    let refused = ann.failed().await;
    assert_eq!((refused.code, refused.quota()), (Code::ResourceExhausted, "frame"));
    neighbour.post("r", "Hi").await;
}

#[tokio::test]
async fn compressed_frames_are_not_accepted_and_the_caller_is_told() {
    let server = start().await;
    let mut wire = Wire::connect(server.addr).await;
    let outcome = wire.call(SESSION, &[("grpc-encoding", "gzip")], &[]).await;
    assert_eq!(outcome.code, Some(Code::Unimplemented), "{outcome:?}");
}

/// A session on the bare wire: these encoded frames after a hello, and what is said to them.
async fn raw(frames: &[Vec<u8>]) -> (Vec<pb::ServerFrame>, tonic::Status) {
    let server = start().await;
    let mut wire = Wire::connect(server.addr).await;
    let (response, mut sending) = wire.open(SESSION, &[]).await;
    let hello = pb::ClientFrame { id: 1, body: Some(hello("ann")) }.encode_to_vec();
    for frame in [&hello].into_iter().chain(frames) {
        assert!(send_frame(&mut sending, framed(frame)).await);
    }
    sending.send_data(Bytes::new(), true).unwrap();
    let mut body = soon(response).await.unwrap().into_body();
    let all = soon(crate::support::read(&mut body)).await.unwrap();
    let trailers = soon(body.trailers()).await.unwrap().unwrap();
    (server_frames(all), tonic::Status::from_header_map(&trailers).unwrap())
}

fn server_frames(mut all: BytesMut) -> Vec<pb::ServerFrame> {
    let mut frames = Vec::new();
    while !all.is_empty() {
        let length = u32::from_be_bytes([all[1], all[2], all[3], all[4]]) as usize;
        let frame = all.split_to(5 + length);
        frames.push(pb::ServerFrame::decode(&frame[5..]).unwrap());
    }
    frames
}

fn errors(frames: &[pb::ServerFrame]) -> Vec<(u64, Refused)> {
    let refused = |frame: &pb::ServerFrame| match &frame.body {
        Some(Said::Error(error)) => Some((frame.reply_to, Refused::from(status_of(error.clone())))),
        _ => None,
    };
    frames.iter().filter_map(refused).collect()
}

#[tokio::test]
async fn a_text_that_is_not_utf8_is_refused_in_the_stream_which_lives_on() {
    let good = pb::ClientFrame { id: 2, body: Some(send("r", "....")) }.encode_to_vec();
    let place = good.windows(4).position(|four| four == b"....").unwrap();
    let mut bad = good.clone();
    bad[place..place + 2].copy_from_slice(b"\xff\xfe");
    let mut next = good;
    next[1] = 3;
    let (frames, end) = raw(&[bad, next]).await;
    let refused = errors(&frames);
    assert_eq!((refused.len(), refused[0].0), (1, 2), "{frames:?}");
    assert_eq!((refused[0].1.code, refused[0].1.fields()), (Code::InvalidArgument, vec!["frame"]));
    assert!(matches!(&frames.last().unwrap().body, Some(Said::Ack(ack)) if ack.seq == 1), "{frames:?}");
    assert_eq!(end.code(), Code::Ok);
}

#[tokio::test]
async fn bytes_that_are_no_frame_are_refused_in_the_stream_which_lives_on() {
    let ping = pb::ClientFrame { id: 2, body: Some(ping()) }.encode_to_vec();
    let (frames, end) = raw(&[b"\xff\xff\xff".to_vec(), b"\x2a\x7fshort".to_vec(), ping]).await;
    let refused = errors(&frames);
    assert_eq!(refused.len(), 2, "{frames:?}");
    for (id, refused) in refused {
        assert_eq!((id, refused.code, refused.fields()), (0, Code::InvalidArgument, vec!["frame"]));
    }
    assert_eq!(frames.last().unwrap().reply_to, 2);
    assert_eq!(end.code(), Code::Ok);
}

#[tokio::test]
async fn a_body_from_the_future_is_unimplemented_and_the_stream_lives_on() {
    // Field 1000, a message of two bytes; with an id, and as a hint without one.
    let unknown = [0xc2, 0x3e, 2, 8, 1];
    let with_id = [&[8, 2][..], &unknown].concat();
    let none = vec![8, 3];
    let ping = pb::ClientFrame { id: 4, body: Some(ping()) }.encode_to_vec();
    let (frames, end) = raw(&[with_id, unknown.to_vec(), none, ping]).await;
    let refused = errors(&frames);
    assert_eq!(refused.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 0, 3], "{frames:?}");
    for (_, refused) in refused {
        assert_eq!((refused.code, refused.reason()), (Code::Unimplemented, "UNKNOWN_FRAME"));
    }
    assert_eq!(frames.last().unwrap().reply_to, 4);
    assert_eq!(end.code(), Code::Ok);
}

#[tokio::test]
async fn what_is_no_stream_of_messages_is_an_internal_error_in_the_trailers() {
    let server = start().await;
    let mut wire = Wire::connect(server.addr).await;
    // A message that ends before its length.
    let outcome = wire.call(SESSION, &[], &[0, 0, 0, 0, 9, 1]).await;
    assert_eq!(outcome.code, Some(Code::Internal), "{outcome:?}");
}

#[tokio::test]
async fn replies_that_are_not_read_end_the_session_and_no_other() {
    let server = start_limited(|limits| limits.session.unread_reply_bytes = 20_000).await;
    let mut wire = Wire::connect(server.addr).await;
    let (response, mut sending) = wire.open(SESSION, &[]).await;
    let (neighbour_response, mut neighbour) = wire.open(SESSION, &[]).await;
    let framed_frame = |id, body| framed(&pb::ClientFrame { id, body: Some(body) }.encode_to_vec());
    assert!(send_frame(&mut sending, framed_frame(1, hello("ann"))).await);
    // Nobody reads the answers, each of which is longer than its question.
    let mut body = soon(response).await.unwrap().into_body();
    for id in 2..4000 {
        // Once the server has said the end it takes no more.
        if !soon(send_frame(&mut sending, framed_frame(id, leave("r")))).await {
            break;
        }
    }
    assert!(send_frame(&mut neighbour, framed_frame(1, hello("bob"))).await);
    let mut heard = soon(neighbour_response).await.unwrap().into_body();
    let welcome = soon(heard.data()).await.unwrap().unwrap();
    assert_eq!(server_frames(welcome[..].into()).len(), 1);

    let all = soon(crate::support::read(&mut body)).await.unwrap();
    // What the window on the way holds, what the stream took then, and the limit.
    assert!((65_535..65_535 + 3 * 20_000).contains(&all.len()), "{}", all.len());
    let trailers = soon(body.trailers()).await.unwrap().unwrap();
    let status = tonic::Status::from_header_map(&trailers).unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.get_error_details().retry_info().is_some());
    assert!(send_frame(&mut neighbour, framed_frame(2, send("r", "Hi"))).await);
    assert!(soon(heard.data()).await.is_some());
}

#[tokio::test]
async fn who_reads_may_ask_more_at_once_than_it_could_leave_unread() {
    let (_server, mut ann) = with(|limits| limits.session.unread_reply_bytes = 5_000).await;
    let ids: Vec<u64> =
        (0..200).flat_map(|_| [leave("no"), join("r", None), send("r", "Hi")]).map(|body| ann.say(body)).collect();
    for id in ids {
        ann.reply(id).await;
    }
    ann.close();
    ann.rest().await.1.unwrap();
}

#[tokio::test]
async fn joins_whose_answers_are_not_read_end_the_session_too() {
    let server = start_limited(|limits| limits.session.unread_reply_bytes = 5_000).await;
    let mut wire = Wire::connect(server.addr).await;
    let (response, mut sending) = wire.open(SESSION, &[]).await;
    let framed_frame = |id, body| framed(&pb::ClientFrame { id, body: Some(body) }.encode_to_vec());
    assert!(send_frame(&mut sending, framed_frame(1, hello("ann"))).await);
    let mut body = soon(response).await.unwrap().into_body();
    for id in 2..6000 {
        if !soon(send_frame(&mut sending, framed_frame(id, join("r", None)))).await {
            break;
        }
    }
    soon(crate::support::read(&mut body)).await.unwrap();
    let trailers = soon(body.trailers()).await.unwrap().unwrap();
    assert_eq!(tonic::Status::from_header_map(&trailers).unwrap().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_join_overtaken_by_a_leave_or_another_join_is_answered_too() {
    let (_server, mut ann) = open().await;
    for n in 0..50 {
        let room = format!("r{n}");
        let ids = [ann.say(join(&room, None)), ann.say(leave(&room)), ann.say(join(&room, None))];
        let first = ann.reply(ids[0]).await;
        match first {
            Said::Joined(_) => {}
            Said::Error(error) => assert_eq!(Refused::from(status_of(error)).precondition(), "JOIN_OVERTAKEN"),
            other => panic!("{other:?}"),
        }
        assert!(matches!(ann.reply(ids[1]).await, Said::Done(_)));
        assert!(matches!(ann.reply(ids[2]).await, Said::Joined(_)));
        ann.post(&room, "Hi").await;
        ann.event(&room).await;
    }
}

#[tokio::test]
async fn half_closing_lets_everything_be_answered_and_delivered_first() {
    let (_server, mut ann) = open().await;
    ann.join("r", None).await;
    let ids: Vec<u64> = (0..500).map(|n| ann.say(send("r", &n.to_string()))).collect();
    ann.close();
    for id in ids {
        ann.ack(id).await;
    }
    let texts = ann.texts("r", 0, 500).await;
    assert!(texts.iter().enumerate().all(|(n, text)| *text == n.to_string()));
    let (_, end) = ann.rest().await;
    end.unwrap();
}
