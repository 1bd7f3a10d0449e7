//! The engine by itself: in random worlds, and at exact moments.

mod connection;
mod drafts;
mod rates;
mod read_marks;
mod rooms;
mod tokens;
mod world;

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use stubs::chat::v1::{client_frame, server_frame};
use tonic_types::{ErrorDetails, StatusExt};

use super::*;
use crate::model::{Ack, Change, Draft, Joined, Start};
use crate::reply::{self, Receiver};

const SETTINGS: Settings = Settings {
    backoff: Backoff { base: Duration::from_millis(250), max: Duration::from_secs(6) },
    can_refresh: false,
    saves: true,
};

const EPOCH: u64 = 7;

type Acked = Receiver<Result<Ack, SendError>>;

fn room(room: &str) -> RoomId {
    room.parse().unwrap()
}

fn new() -> (Engine, Time) {
    (Engine::new(SETTINGS, SavedState::default(), 1), Time::default())
}

/// An engine with a session, and the time.
fn online() -> (Engine, Time) {
    let (mut engine, now) = new();
    engine.session_opened(&welcome(), now);
    engine.actions.clear();
    (engine, now)
}

fn command(engine: &mut Engine, command: Command) {
    engine.command(command, Time::default());
}

fn post(engine: &mut Engine, name: &str, text: &str) -> Acked {
    let (reply, acked) = reply::channel();
    let draft = Draft::new(room(name), Change::post(text));
    command(engine, Command::Post(Queued { draft, reply: Some(reply) }));
    acked
}

fn join(engine: &mut Engine, name: &str, start: Start) -> Receiver<Result<Joined, JoinError>> {
    let (reply, joined) = reply::channel();
    command(engine, Command::Join { room: room(name), start, reply });
    joined
}

/// The frames that the engine sends now.
fn sent(engine: &mut Engine) -> Vec<(u64, client_frame::Body)> {
    let frames = std::iter::from_fn(|| engine.next_frame());
    frames.map(|frame| (frame.id, frame.body.unwrap())).collect()
}

/// The ids of the frames that the engine sends now, of which there must be `N`.
fn ids<const N: usize>(engine: &mut Engine) -> [u64; N] {
    let frames = sent(engine);
    let ids: Vec<u64> = frames.iter().map(|(id, _)| *id).collect();
    ids.try_into().unwrap_or_else(|_| panic!("{frames:?}"))
}

/// The states of the connection that were delivered.
fn connections(engine: &mut Engine) -> Vec<ConnectionState> {
    let connection = |action| match action {
        Action::Deliver(Update::Connection(connection)) => Some(connection),
        _ => None,
    };
    engine.actions.drain(..).filter_map(connection).collect()
}

fn welcome() -> pb::Welcome {
    let limits = pb::Limits {
        max_text_bytes: 100,
        max_rooms: 3,
        max_in_flight: 4,
        max_frame_bytes: 1_000,
        ..pb::Limits::default()
    };
    let heartbeat = Some(prost_types::Duration { seconds: 10, nanos: 0 });
    pb::Welcome { user: "sam".to_owned(), limits: Some(limits), heartbeat, ..pb::Welcome::default() }
}

fn frame(reply_to: u64, body: server_frame::Body) -> pb::ServerFrame {
    pb::ServerFrame { reply_to, body: Some(body) }
}

fn done(reply_to: u64) -> pb::ServerFrame {
    frame(reply_to, server_frame::Body::Done(pb::Done {}))
}

fn error(reply_to: u64, status: &Status) -> pb::ServerFrame {
    let details = tonic_types::pb::Status::decode(status.details()).unwrap().details;
    let status = tonic_types::pb::Status { code: status.code().into(), message: status.message().to_owned(), details };
    frame(reply_to, server_frame::Body::Error(pb::Error { status: Some(status) }))
}

fn ack(reply_to: u64, room: &str, seq: u64, id: Bytes) -> pb::ServerFrame {
    let ack = pb::Ack { room: room.to_owned(), seq, client_msg_id: id, ..pb::Ack::default() };
    frame(reply_to, server_frame::Body::Ack(ack))
}

/// The reply to the Join of "north".
fn join_reply(reply_to: u64, epoch: u64, start_seq: u64, verdict: pb::Verdict) -> pb::ServerFrame {
    let verdict = verdict.into();
    let joined = pb::Joined { room: "north".to_owned(), epoch, start_seq, verdict, ..pb::Joined::default() };
    frame(reply_to, server_frame::Body::Joined(joined))
}

/// An event in "north".
fn event(seq: u64, prev_seq: u64) -> pb::ServerFrame {
    let client_msg_id = msg_id(seq);
    let event = pb::Event { room: "north".to_owned(), seq, prev_seq, client_msg_id, ..pb::Event::default() };
    frame(0, server_frame::Body::Event(event))
}

/// The id of the event with this seq.
fn msg_id(seq: u64) -> Bytes {
    u128::from(seq).to_be_bytes().to_vec().into()
}

/// A start after an event of "north" that was received, or of which only the seq is known.
fn after(seq: u64, received: bool) -> Option<pb::join::Start> {
    let client_msg_id = if received { msg_id(seq) } else { Bytes::new() };
    Some(pb::join::Start::After(pb::Cursor { epoch: EPOCH, seq, client_msg_id }))
}

/// The service cannot take requests for so long.
fn retry_in(delay: Duration) -> Status {
    Status::with_error_details(Code::Unavailable, "not now", ErrorDetails::with_retry_info(Some(delay)))
}

/// The refusal of a request that is over this rate.
fn over(rate: &str, hint: Duration) -> Status {
    let metadata = [("rate".to_owned(), rate.to_owned())];
    let mut details = ErrorDetails::with_error_info(pb::Reason::RateLimited.as_str_name(), "chat.v1", metadata);
    details.set_retry_info(Some(hint));
    Status::with_error_details(Code::ResourceExhausted, "too fast", details)
}

fn draining(reconnect_after: Duration) -> pb::ServerFrame {
    let reconnect_after = prost_types::Duration::try_from(reconnect_after).ok();
    frame(0, server_frame::Body::Draining(pb::Draining { reconnect_after, ..pb::Draining::default() }))
}
