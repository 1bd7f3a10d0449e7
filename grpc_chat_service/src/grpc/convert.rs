//! Converts between protobuf messages and the chat's own types: `from_wire` validates, `to_wire` encodes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use stubs::chat::v1 as pb;

use super::decode::PlainSend;
use super::messages::PREFIX_BYTES;
use super::{decode, status};
use crate::history::Expected;
use crate::model::{
    self, Change, ClientMsgId, DeviceId, Durability, Epoch, Event, Invalid, RoomId, Seq, UnixMillis, UserId,
};
use crate::refusal::Refusal;
use crate::session::frame::{
    Body, ChangeRequest, DrainReason, Hello, Inbound, Joined, Request, Start, Verdict, Welcome,
};

/// The most past events that a Join may ask for.
pub(super) const MAX_LAST: u32 = 1000;

/// The longest name or version of a client program, in bytes.
const MAX_CLIENT_BYTES: usize = 64;

/// Converts the frames of one stream.
pub(super) struct FrameDecoder {
    max_text_bytes: usize,
    /// The room of the last message. The next one is likely to be for the same room, and then its id need not be made again.
    last_room: Option<RoomId>,
}

impl FrameDecoder {
    pub(super) fn new(max_text_bytes: usize) -> Self {
        Self { max_text_bytes, last_room: None }
    }

    /// Converts a message, without its prefix.
    pub(super) fn frame_from_wire(&mut self, bytes: &[u8]) -> Inbound {
        if let Some(PlainSend { id, room, text, client_msg_id }) = decode::plain_send(bytes) {
            return Inbound { id, request: self.post(room, text, client_msg_id) };
        }
        match pb::ClientFrame::decode(bytes) {
            Ok(pb::ClientFrame { id, body }) => {
                let request = body.ok_or(Refusal::UnknownBody);
                Inbound { id, request: request.and_then(|body| request_from_wire(body, self.max_text_bytes)) }
            }
            Err(_) => Inbound { id: id_of(bytes), request: Err(Refusal::Undecodable) },
        }
    }

    /// Does what [`request_from_wire`] does, for a message without further fields.
    fn post(&mut self, room: &str, text: &str, client_msg_id: &[u8]) -> Result<Request, Refusal> {
        check_text(text, self.max_text_bytes)?;
        let client_msg_id = optional_id("client_msg_id", client_msg_id)?.unwrap_or_else(ClientMsgId::random);
        let room = match &self.last_room {
            Some(last) if last.as_str() == room => last.clone(),
            _ => self.last_room.insert(room_from_wire(room)?).clone(),
        };
        let change = Change::Post { text: text.into(), reply_to: None };
        Ok(Request::Change(ChangeRequest { room, client_msg_id, change, expected: Expected::default(), sender: None }))
    }
}

/// Returns the id of a frame that cannot be decoded as a whole, for example because a text in it is not UTF-8; 0 if the
/// id cannot be decoded either.
fn id_of(bytes: &[u8]) -> u64 {
    #[derive(Clone, PartialEq, prost::Message)]
    struct OnlyId {
        #[prost(uint64, tag = "1")]
        id: u64,
    }
    OnlyId::decode(bytes).map(|frame| frame.id).unwrap_or_default()
}

fn request_from_wire(body: pb::client_frame::Body, max_text_bytes: usize) -> Result<Request, Refusal> {
    use pb::client_frame::Body;
    Ok(match body {
        Body::Hello(hello) => Request::Hello(hello_from_wire(hello)?),
        Body::Join(pb::Join { room, start }) => Request::Join {
            room: room_from_wire(&room)?,
            start: match start {
                None => Start::Last(0),
                Some(pb::join::Start::Last(count)) if count > MAX_LAST => {
                    return Err(field("last", Invalid("must be at most 1,000; page the history for more")));
                }
                Some(pb::join::Start::Last(count)) => Start::Last(count),
                Some(pb::join::Start::After(pb::Cursor { epoch: 0, seq: 0, .. })) => Start::Beginning,
                Some(pb::join::Start::After(pb::Cursor { epoch, seq, client_msg_id })) => {
                    Start::After { epoch, seq, client_msg_id: optional_id("client_msg_id", &client_msg_id)? }
                }
            },
        },
        Body::Leave(pb::Leave { room }) => Request::Leave { room: room_from_wire(&room)? },
        Body::Send(send) => Request::Change(send_from_wire(send, max_text_bytes)?),
        Body::Edit(pb::Edit { room, seq, text, client_msg_id, epoch, target_client_msg_id }) => {
            let text = text_from_wire(&text, max_text_bytes)?;
            let edit = Change::Edit { seq: seq_from_wire("seq", seq)?, text };
            Request::Change(change(&room, &client_msg_id, edit, epoch, &target_client_msg_id)?)
        }
        Body::Delete(pb::Delete { room, seq, client_msg_id, epoch, target_client_msg_id }) => {
            let delete = Change::Delete { seq: seq_from_wire("seq", seq)? };
            Request::Change(change(&room, &client_msg_id, delete, epoch, &target_client_msg_id)?)
        }
        Body::React(pb::React { room, seq, reaction, remove, client_msg_id, epoch, target_client_msg_id }) => {
            // Unlike a text, a reaction has no lines.
            if model::check_text(&reaction, model::MAX_REACTION_BYTES).is_err() || reaction.contains(['\n', '\t']) {
                return Err(field("reaction", Invalid("must be 1 to 64 bytes without control characters")));
            }
            let react = Change::React { seq: seq_from_wire("seq", seq)?, reaction, remove };
            Request::Change(change(&room, &client_msg_id, react, epoch, &target_client_msg_id)?)
        }
        Body::MarkRead(pb::MarkRead { room, seq }) => {
            Request::MarkRead { room: room_from_wire(&room)?, seq: seq_from_wire("seq", seq)? }
        }
        Body::Typing(pb::Typing { room }) => Request::Typing { room: room_from_wire(&room)? },
        Body::Ping(pb::Ping {}) => Request::Ping,
        Body::Pong(pb::Pong {}) => Request::Pong,
        Body::RefreshToken(_) => Request::RefreshToken,
    })
}

/// Converts a message to post.
pub(super) fn send_from_wire(send: pb::Send, max_text_bytes: usize) -> Result<ChangeRequest, Refusal> {
    let pb::Send { room, text, client_msg_id, reply_to_seq, epoch, target_client_msg_id } = send;
    let text = text_from_wire(&text, max_text_bytes)?;
    let reply_to = if reply_to_seq == 0 { None } else { Some(seq_from_wire("reply_to_seq", reply_to_seq)?) };
    change(&room, &client_msg_id, Change::Post { text, reply_to }, epoch, &target_client_msg_id)
}

fn hello_from_wire(hello: pb::Hello) -> Result<Hello, Refusal> {
    let pb::Hello { client_name, client_version, user, token, device, no_heartbeat } = hello;
    for (name, value) in [("client_name", &client_name), ("client_version", &client_version)] {
        if value.len() > MAX_CLIENT_BYTES || value.chars().any(char::is_control) {
            return Err(field(name, Invalid("must be at most 64 bytes without control characters")));
        }
    }
    // Whether a token will do instead of a user is not for this layer to decide.
    let user = if user.is_empty() && !token.is_empty() { None } else { Some(user) };
    Ok(Hello {
        user: user.map(|user| user_from_wire(&user)).transpose()?,
        device: device_from_wire(&device)?,
        heartbeats: !no_heartbeat,
        client: format!("{client_name} {client_version}").trim().to_owned(),
    })
}

fn change(
    room: &str,
    client_msg_id: &[u8],
    change: Change,
    epoch: Epoch,
    target: &[u8],
) -> Result<ChangeRequest, Refusal> {
    let client_msg_id = optional_id("client_msg_id", client_msg_id)?.unwrap_or_else(ClientMsgId::random);
    // 0 is how the wire says that an epoch is not given.
    let epoch = (epoch != 0).then_some(epoch);
    let target = optional_id("target_client_msg_id", target)?;
    let room = room_from_wire(room)?;
    Ok(ChangeRequest { room, client_msg_id, change, expected: Expected { epoch, target }, sender: None })
}

/// Converts an id that may be left out.
fn optional_id(name: &'static str, id: &[u8]) -> Result<Option<ClientMsgId>, Refusal> {
    if id.is_empty() { Ok(None) } else { ClientMsgId::new(id).map(Some).map_err(|why| field(name, why)) }
}

/// Converts the field `user`.
pub(super) fn user_from_wire(user: &str) -> Result<UserId, Refusal> {
    UserId::new(user).map_err(|why| field("user", why))
}

/// Converts the field `device`, which may be left out.
pub(super) fn device_from_wire(device: &str) -> Result<Option<DeviceId>, Refusal> {
    if device.is_empty() { Ok(None) } else { DeviceId::new(device).map(Some).map_err(|why| field("device", why)) }
}

/// Converts the field `room`.
pub(super) fn room_from_wire(room: &str) -> Result<RoomId, Refusal> {
    RoomId::new(room).map_err(|why| field("room", why))
}

fn text_from_wire(text: &str, max_bytes: usize) -> Result<Arc<str>, Refusal> {
    check_text(text, max_bytes)?;
    Ok(text.into())
}

fn check_text(text: &str, max_bytes: usize) -> Result<(), Refusal> {
    model::check_text(text, max_bytes).map_err(|why| field("text", why))
}

fn seq_from_wire(name: &'static str, seq: Seq) -> Result<Seq, Refusal> {
    // Stores count in signed integers.
    if seq == 0 || i64::try_from(seq).is_err() {
        return Err(field(name, Invalid("must be the seq of an event of the room")));
    }
    Ok(seq)
}

/// Returns the refusal of a field.
pub(super) fn field(name: &'static str, why: Invalid) -> Refusal {
    Refusal::Field { name, why }
}

/// Appends a message, with its prefix.
pub(super) fn encode_message(message: &impl Message, out: &mut BytesMut) {
    let length = message.encoded_len();
    out.reserve(PREFIX_BYTES + length);
    out.put_u8(0);
    // A message is about as long as what a client may send, far below 4 GiB.
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // Fails only if there is no room in the buffer, which was reserved above.
    let _ = message.encode(out);
}

/// Removes the first message from the front, without its prefix, if all of it is there.
pub(super) fn split_frame(bytes: &mut Bytes) -> Option<Bytes> {
    let length = bytes.get(1..PREFIX_BYTES)?.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
    if bytes.len() - PREFIX_BYTES < length {
        return None;
    }
    bytes.advance(PREFIX_BYTES);
    Some(bytes.split_to(length))
}

pub(super) fn event_to_wire(event: &Event) -> pb::Event {
    let Event { seq, prev_seq, time, draft, erased } = event;
    let body = match &draft.change {
        Change::Post { text, reply_to } => pb::event::Body::Posted(pb::Posted {
            text: text.to_string(),
            reply_to_seq: reply_to.unwrap_or_default(),
            erased: *erased,
        }),
        Change::Edit { seq, text } => {
            pb::event::Body::Edited(pb::Edited { seq: *seq, text: text.to_string(), erased: *erased })
        }
        Change::Delete { seq } => pb::event::Body::Deleted(pb::Deleted { seq: *seq }),
        Change::React { seq, reaction, remove } => {
            pb::event::Body::Reacted(pb::Reacted { seq: *seq, reaction: reaction.clone(), removed: *remove })
        }
    };
    pb::Event {
        room: draft.room.to_string(),
        seq: *seq,
        prev_seq: *prev_seq,
        time: Some(time_to_wire(*time)),
        sender: draft.sender.to_string(),
        device: draft.device.as_ref().map(DeviceId::to_string).unwrap_or_default(),
        client_msg_id: Bytes::copy_from_slice(&draft.client_msg_id.0),
        body: Some(body),
    }
}

/// Returns `None` for an Ack, which `encode` writes.
pub(super) fn body_to_wire(body: &Body) -> Option<pb::server_frame::Body> {
    use pb::server_frame::Body as Wire;
    Some(match body {
        Body::Welcome(welcome) => Wire::Welcome(welcome_to_wire(welcome)),
        Body::Ack { .. } => return None,
        Body::Error(refusal) => Wire::Error(pb::Error { status: Some(status::to_frame(refusal)) }),
        Body::Joined(joined) => Wire::Joined(joined_to_wire(joined)),
        Body::CaughtUp { room, seq } => Wire::CaughtUp(pb::CaughtUp { room: room.to_string(), seq: *seq }),
        Body::Presence { room, came, left, snapshot, count: present } => Wire::PresenceChanged(pb::PresenceChanged {
            room: room.to_string(),
            came: users_to_wire(came),
            left: users_to_wire(left),
            snapshot: *snapshot,
            present_count: count(*present),
        }),
        Body::Typing { room, users } => {
            Wire::TypingChanged(pb::TypingChanged { room: room.to_string(), users: users_to_wire(users) })
        }
        Body::Read { room, seq } => Wire::ReadChanged(pb::ReadChanged { room: room.to_string(), seq: *seq }),
        Body::Draining { reason, reconnect_after, acks_until } => Wire::Draining(pb::Draining {
            reason: match reason {
                DrainReason::Shutdown => pb::DrainReason::Shutdown,
                DrainReason::Age => pb::DrainReason::Age,
                DrainReason::Epoch => pb::DrainReason::Epoch,
            }
            .into(),
            reconnect_after: Some(duration_to_wire(*reconnect_after)),
            acks_until: Some(time_to_wire(*acks_until)),
        }),
        Body::Ping => Wire::Ping(pb::Ping {}),
        Body::Pong => Wire::Pong(pb::Pong {}),
        Body::Done => Wire::Done(pb::Done {}),
    })
}

fn welcome_to_wire(welcome: &Welcome) -> pb::Welcome {
    let Welcome { session_id, user, limits, rates, max_frame_bytes, durability, now } = welcome;
    pb::Welcome {
        session_id: session_id.clone(),
        user: user.to_string(),
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        limits: Some(pb::Limits {
            max_text_bytes: count(limits.text_bytes),
            max_rooms: count(limits.rooms),
            max_in_flight: count(limits.in_flight),
            max_frame_bytes: count(*max_frame_bytes),
            changes_per_second: rates.changes_per_second,
            change_burst: rates.change_burst,
            bytes_per_second: rates.bytes_per_second,
            byte_burst: rates.burst_bytes,
        }),
        heartbeat: Some(duration_to_wire(limits.heartbeat)),
        durability: durability_to_wire(*durability).into(),
        server_time: Some(time_to_wire(*now)),
    }
}

fn joined_to_wire(joined: &Joined) -> pb::Joined {
    let Joined { room, verdict, epoch, start, head, oldest, read, present, present_count } = joined;
    let (verdict, reset_reason) = match verdict {
        Verdict::Live => (pb::Verdict::Live, pb::ResetReason::Unspecified),
        Verdict::Recovered => (pb::Verdict::Recovered, pb::ResetReason::Unspecified),
        Verdict::ResetEpoch => (pb::Verdict::Reset, pb::ResetReason::Epoch),
        Verdict::ResetAhead => (pb::Verdict::Reset, pb::ResetReason::Ahead),
        Verdict::ResetExpired => (pb::Verdict::Reset, pb::ResetReason::Expired),
        Verdict::ResetForked => (pb::Verdict::Reset, pb::ResetReason::Forked),
    };
    pb::Joined {
        room: room.to_string(),
        verdict: verdict.into(),
        reset_reason: reset_reason.into(),
        epoch: *epoch,
        start_seq: *start,
        head_seq: *head,
        oldest_seq: *oldest,
        read_seq: *read,
        present: users_to_wire(present),
        present_count: count(*present_count),
    }
}

pub(super) fn durability_to_wire(durability: Durability) -> pb::Durability {
    match durability {
        Durability::Memory => pb::Durability::Memory,
        Durability::Written => pb::Durability::Written,
        Durability::Synced => pb::Durability::Synced,
        Durability::Replicated => pb::Durability::Replicated,
    }
}

fn users_to_wire(users: &[UserId]) -> Vec<String> {
    users.iter().map(UserId::to_string).collect()
}

pub(super) fn time_to_wire(time: UnixMillis) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: i64::try_from(time / 1000).unwrap_or(i64::MAX),
        // Always below 10^9.
        nanos: i32::try_from(time % 1000 * 1_000_000).unwrap_or_default(),
    }
}

fn duration_to_wire(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        // Always below 10^9.
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
