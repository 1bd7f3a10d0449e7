//! Bytes in a session's stream that are not a valid frame: where the stream can continue, it does.

use prost::Message;
use tonic::{Code, Status};

use crate::support::channel;
use crate::support::frames::{ServerBody, pb, ping, send};
use crate::support::http2::Http2Client;
use crate::support::raw_session::{RawSession, SESSION, decode_frames};
use crate::support::refusal::Refusal;
use crate::support::server::{start, start_with_limits};
use crate::support::session::Session;

/// Opens a session, sends these encoded frames, and half-closes. Returns the server's frames and the final status.
async fn session_with(frames: &[Vec<u8>]) -> (Vec<pb::ServerFrame>, Status) {
    let server = start().await;
    let mut session = RawSession::open(server.addr, "ann").await;
    for frame in frames {
        session.send_encoded(frame).await;
    }
    session.half_close();
    let (bytes, status) = session.read_to_end().await;
    (decode_frames(&bytes), status)
}

/// Returns the Errors among the frames, with the ids that they reply to.
fn refusals(frames: &[pb::ServerFrame]) -> Vec<(u64, Refusal)> {
    let refusal = |frame: &pb::ServerFrame| match &frame.body {
        Some(ServerBody::Error(error)) => Some((frame.reply_to, Refusal::from(error.clone()))),
        _ => None,
    };
    frames.iter().filter_map(refusal).collect()
}

#[tokio::test]
async fn a_text_that_is_not_utf_8_is_refused_and_the_stream_continues() {
    let valid = pb::ClientFrame { id: 2, body: Some(send("r", "....")) }.encode_to_vec();
    let text = valid.windows(4).position(|window| window == b"....").unwrap();
    let mut invalid = valid.clone();
    invalid[text..text + 2].copy_from_slice(b"\xff\xfe");
    let mut next = valid;
    next[1] = 3; // its id
    let (frames, status) = session_with(&[invalid, next]).await;
    let refusals = refusals(&frames);
    assert_eq!((refusals.len(), refusals[0].0), (1, 2), "{frames:?}");
    assert_eq!((refusals[0].1.code, refusals[0].1.fields()), (Code::InvalidArgument, vec!["frame"]));
    assert!(matches!(&frames.last().unwrap().body, Some(ServerBody::Ack(ack)) if ack.seq == 1), "{frames:?}");
    assert_eq!(status.code(), Code::Ok);
}

#[tokio::test]
async fn undecodable_frames_are_refused_and_the_stream_continues() {
    let ping = pb::ClientFrame { id: 2, body: Some(ping()) }.encode_to_vec();
    let (frames, status) = session_with(&[b"\xff\xff\xff".to_vec(), b"\x2a\x7fshort".to_vec(), ping]).await;
    let refusals = refusals(&frames);
    assert_eq!(refusals.len(), 2, "{frames:?}");
    for (id, refusal) in refusals {
        assert_eq!((id, refusal.code, refusal.fields()), (0, Code::InvalidArgument, vec!["frame"]));
    }
    assert_eq!(frames.last().unwrap().reply_to, 2);
    assert_eq!(status.code(), Code::Ok);
}

#[tokio::test]
async fn unknown_bodies_are_unimplemented_and_the_stream_continues() {
    // Field 1000, a message of two bytes: with the id 2, and without an id.
    let unknown = [0xc2, 0x3e, 2, 8, 1];
    let with_id = [&[8, 2][..], &unknown].concat();
    let without_body = vec![8, 3];
    let ping = pb::ClientFrame { id: 4, body: Some(ping()) }.encode_to_vec();
    let (frames, status) = session_with(&[with_id, unknown.to_vec(), without_body, ping]).await;
    let refusals = refusals(&frames);
    assert_eq!(refusals.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 0, 3], "{frames:?}");
    for (_, refusal) in refusals {
        assert_eq!((refusal.code, refusal.reason()), (Code::Unimplemented, "UNKNOWN_FRAME"));
    }
    assert_eq!(frames.last().unwrap().reply_to, 4);
    assert_eq!(status.code(), Code::Ok);
}

#[tokio::test]
async fn a_truncated_message_ends_the_stream_with_an_internal_error() {
    let server = start().await;
    // The prefix states nine bytes; one follows.
    let outcome = Http2Client::connect(server.addr).await.call(SESSION, &[], &[0, 0, 0, 0, 9, 1]).await;
    assert_eq!(outcome.code, Some(Code::Internal), "{outcome:?}");
}

#[tokio::test]
async fn a_frame_over_the_limit_ends_only_its_own_stream() {
    let server = start_with_limits(|limits| limits.connection.message_bytes = 1000).await;
    let channel = channel(server.addr).await;
    let mut other = Session::open_on(&channel, "bob").await;
    let mut ann = Session::open_on(&channel, "ann").await;
    ann.send_frame(send("r", &"x".repeat(1000)));
    let refusal = ann.expect_failure().await;
    assert_eq!((refusal.code, refusal.quota()), (Code::ResourceExhausted, "frame"));
    other.post("r", "Hi").await;
}

#[tokio::test]
async fn a_compressed_stream_is_unimplemented() {
    let server = start().await;
    let mut client = Http2Client::connect(server.addr).await;
    let outcome = client.call(SESSION, &[("grpc-encoding", "gzip")], &[]).await;
    assert_eq!(outcome.code, Some(Code::Unimplemented), "{outcome:?}");
}
