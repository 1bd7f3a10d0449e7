//! From the types of the wire to those of `model`, and back.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use prost::Message;
use stubs::chat::v1::{self as pb, client_frame, event};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::error::Refused;
use crate::model::{
    Ack, Body, Change, Cursor, Draft, Durability, Event, Joined, MsgId, Page, ResetReason, Room, RoomId, Seq, Start,
    Target, Verdict,
};

/// The longest duration that is accepted from a service. Longer ones count as this.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The most events before the live ones that a Join may ask for.
const MAX_LAST: u32 = 1000;

pub(crate) fn change_to_wire(draft: &Draft) -> client_frame::Body {
    let Draft { id, room, change, epoch } = draft;
    let (room, client_msg_id, epoch) = (room.to_string(), id_to_wire(Some(*id)), epoch.unwrap_or(0));
    let Target { seq, id } = change.target().unwrap_or(Target { seq: 0, id: None });
    let target_client_msg_id = id_to_wire(id);
    match change.clone() {
        Change::Post { text, .. } => client_frame::Body::Send(pb::Send {
            room,
            text,
            client_msg_id,
            reply_to_seq: seq,
            epoch,
            target_client_msg_id,
        }),
        Change::Edit { text, .. } => {
            client_frame::Body::Edit(pb::Edit { room, seq, text, client_msg_id, epoch, target_client_msg_id })
        }
        Change::Delete { .. } => {
            client_frame::Body::Delete(pb::Delete { room, seq, client_msg_id, epoch, target_client_msg_id })
        }
        Change::React { reaction, remove, .. } => client_frame::Body::React(pb::React {
            room,
            seq,
            reaction,
            remove,
            client_msg_id,
            epoch,
            target_client_msg_id,
        }),
    }
}

/// Returns the draft in a frame, if there is one.
#[cfg(any(feature = "state", test))]
pub(crate) fn draft_from_wire(body: client_frame::Body) -> Option<Draft> {
    let (room, id, change, epoch) = match body {
        client_frame::Body::Send(pb::Send { room, text, client_msg_id, reply_to_seq, epoch, target_client_msg_id }) => {
            let reply_to = seq_from_wire(reply_to_seq).map(|seq| target_from_wire(seq, &target_client_msg_id));
            (room, client_msg_id, Change::Post { text, reply_to }, epoch)
        }
        client_frame::Body::Edit(pb::Edit { room, seq, text, client_msg_id, epoch, target_client_msg_id }) => {
            let target = target_from_wire(seq, &target_client_msg_id);
            (room, client_msg_id, Change::Edit { target, text }, epoch)
        }
        client_frame::Body::Delete(pb::Delete { room, seq, client_msg_id, epoch, target_client_msg_id }) => {
            (room, client_msg_id, Change::Delete { target: target_from_wire(seq, &target_client_msg_id) }, epoch)
        }
        client_frame::Body::React(pb::React {
            room,
            seq,
            reaction,
            remove,
            client_msg_id,
            epoch,
            target_client_msg_id,
        }) => {
            let target = target_from_wire(seq, &target_client_msg_id);
            (room, client_msg_id, Change::React { target, reaction, remove }, epoch)
        }
        _ => return None,
    };
    Some(Draft { id: id_from_wire(&id)?, room: room.parse().ok()?, change, epoch: (epoch != 0).then_some(epoch) })
}

pub(crate) fn join_to_wire(room: &RoomId, start: Start) -> client_frame::Body {
    let start = match start {
        Start::Live => None,
        Start::Last(last) | Start::Resume { or_last: last } => Some(pb::join::Start::Last(last.min(MAX_LAST))),
        Start::After(Cursor { epoch, seq, id }) => {
            Some(pb::join::Start::After(pb::Cursor { epoch, seq, client_msg_id: id_to_wire(id) }))
        }
    };
    client_frame::Body::Join(pb::Join { room: room.to_string(), start })
}

pub(crate) fn joined_from_wire(room: &RoomId, joined: &pb::Joined) -> Joined {
    let verdict = match pb::Verdict::try_from(joined.verdict) {
        Ok(pb::Verdict::Recovered) => Verdict::Recovered,
        Ok(pb::Verdict::Reset) => Verdict::Reset(match joined.reset_reason() {
            pb::ResetReason::Epoch => ResetReason::Epoch,
            pb::ResetReason::Ahead => ResetReason::Ahead,
            pb::ResetReason::Expired => ResetReason::Expired,
            pb::ResetReason::Forked => ResetReason::Forked,
            pb::ResetReason::Unspecified => ResetReason::Unknown,
        }),
        Ok(pb::Verdict::Live | pb::Verdict::Unspecified) => Verdict::Live,
        // A verdict of a later version of the protocol may say that events are missing.
        Err(_) => Verdict::Reset(ResetReason::Unknown),
    };
    Joined {
        room: room.clone(),
        verdict,
        epoch: joined.epoch,
        start: joined.start_seq,
        start_id: None,
        head: joined.head_seq,
        oldest: joined.oldest_seq,
        read: joined.read_seq,
    }
}

pub(crate) fn ack_from_wire(ack: &pb::Ack) -> Option<Ack> {
    Some(Ack {
        id: id_from_wire(&ack.client_msg_id)?,
        seq: ack.seq,
        time: time_from_wire(ack.time),
        duplicate: ack.duplicate,
        durability: match ack.durability() {
            pb::Durability::Memory => Durability::Memory,
            pb::Durability::Written => Durability::Written,
            pb::Durability::Synced => Durability::Synced,
            pb::Durability::Replicated => Durability::Replicated,
            pb::Durability::Unspecified => Durability::Unknown,
        },
    })
}

/// Returns an event of `room`, whose id is not parsed again for each event.
pub(crate) fn event_from_wire(room: &RoomId, event: pb::Event) -> Event {
    let pb::Event { room: _, seq, prev_seq, time, sender, device, client_msg_id, body } = event;
    let body = match body {
        Some(event::Body::Posted(pb::Posted { text, reply_to_seq, erased })) => {
            Body::Posted { text, reply_to: seq_from_wire(reply_to_seq), erased }
        }
        Some(event::Body::Edited(pb::Edited { seq, text, erased })) => Body::Edited { seq, text, erased },
        Some(event::Body::Deleted(pb::Deleted { seq })) => Body::Deleted { seq },
        Some(event::Body::Reacted(pb::Reacted { seq, reaction, removed })) => Body::Reacted { seq, reaction, removed },
        None => Body::Unknown,
    };
    // An id of another length is no draft's.
    let id = id_from_wire(&client_msg_id).unwrap_or(MsgId::UNKNOWN);
    Event { room: room.clone(), seq, prev_seq, time: time_from_wire(time), sender, device, id, body }
}

pub(crate) fn page_from_wire(room: &RoomId, page: pb::ListMessagesResponse) -> Page {
    let pb::ListMessagesResponse { events, epoch, head_seq, more } = page;
    let events = events.into_iter().map(|event| event_from_wire(room, event)).collect();
    Page { events, epoch, head: head_seq, more }
}

/// Returns `None` if the id is not valid: such a room could not be joined.
pub(crate) fn room_from_wire(room: pb::Room) -> Option<Room> {
    let pb::Room { room, head_seq, head_time } = room;
    Some(Room { id: room.parse().ok()?, head: head_seq, time: time_from_wire(head_time) })
}

/// Returns the status in an error frame.
pub(crate) fn status_from_wire(error: pb::Error) -> Status {
    let status = error.status.unwrap_or_default();
    let details = status.encode_to_vec().into();
    Status::with_details(Code::from(status.code), status.message, details)
}

/// Returns how long the service asks to wait before trying again, if it does.
pub(crate) fn retry_hint(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay.map(|delay| delay.min(LONGEST))
}

impl From<&Status> for Refused {
    fn from(status: &Status) -> Self {
        let info = status.get_details_error_info().map(|info| info.reason);
        let violation = || Some(status.get_details_precondition_failure()?.violations.into_iter().next()?.r#type);
        let reason = info.or_else(violation).unwrap_or_default();
        Self { reason, ..Self::new(status.code(), status.message()) }
    }
}

/// Whether another attempt may succeed after this status: it is one of those of `chat.v1`, or one that the client's own
/// transport returns when a connection breaks (`Cancelled`, or `Ok` for an end without a status).
pub(crate) fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::Ok
            | Code::Cancelled
            | Code::Unavailable
            | Code::ResourceExhausted
            | Code::DeadlineExceeded
            | Code::Unknown
            | Code::Internal
    )
}

/// Whether this is the reason that the service gave.
pub(crate) fn has_reason(status: &Status, reason: pb::Reason) -> bool {
    status.get_details_error_info().is_some_and(|info| info.reason == reason.as_str_name())
}

/// Returns the rate that the user or the address is over, if that is why the service refuses.
pub(crate) fn rate(status: &Status) -> Option<String> {
    let info = status.get_details_error_info().filter(|info| info.reason == pb::Reason::RateLimited.as_str_name());
    info.map(|mut info| info.metadata.remove("rate").unwrap_or_default())
}

/// Returns the room whose history the service cannot read, if it names one.
pub(crate) fn damaged_room(status: &Status) -> Option<String> {
    status.get_details_error_info().filter(|_| status.code() == Code::DataLoss)?.metadata.remove("room")
}

pub(crate) fn duration_from_wire(duration: Option<prost_types::Duration>) -> Option<Duration> {
    duration.and_then(|duration| Duration::try_from(duration).ok()).map(|duration| duration.min(LONGEST))
}

#[cfg(any(feature = "state", test))]
fn target_from_wire(seq: Seq, id: &[u8]) -> Target {
    Target { seq, id: id_from_wire(id) }
}

/// 0 stands for no event.
fn seq_from_wire(seq: Seq) -> Option<Seq> {
    (seq != 0).then_some(seq)
}

/// An empty id stands for none.
fn id_to_wire(id: Option<MsgId>) -> Bytes {
    id.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(&id.0))
}

pub(crate) fn id_from_wire(id: &[u8]) -> Option<MsgId> {
    id.try_into().map(MsgId).ok()
}

fn time_from_wire(time: Option<prost_types::Timestamp>) -> SystemTime {
    time.and_then(|time| SystemTime::try_from(time).ok()).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> RoomId {
        "general".parse().unwrap()
    }

    #[test]
    fn a_draft_is_the_same_after_a_round_trip() {
        let target = Target { seq: 1, id: Some(MsgId::new()) };
        for change in [
            Change::post("Hi"),
            Change::reply(3, "Hi"),
            Change::reply(target, "Hi"),
            Change::Edit { target, text: "Hey".to_owned() },
            Change::Delete { target },
            Change::React { target, reaction: "👍".to_owned(), remove: true },
            Change::Delete { target: 1.into() },
        ] {
            let draft = Draft { epoch: Some(7), ..Draft::new(room(), change) };
            assert_eq!(draft_from_wire(change_to_wire(&draft)), Some(draft));
        }
        assert_eq!(draft_from_wire(client_frame::Body::Ping(pb::Ping {})), None);
    }

    #[test]
    fn unknown_and_missing_fields_get_neutral_values() {
        let event = event_from_wire(
            &room(),
            pb::Event { seq: 3, client_msg_id: Bytes::from_static(b"x"), ..Default::default() },
        );
        assert_eq!((event.seq, event.body, event.time), (3, Body::Unknown, SystemTime::UNIX_EPOCH));
        // An empty message in field 100, which no message of this version has.
        let later = &[0xa2, 0x06, 0x00][..];
        assert_eq!(pb::ServerFrame::decode(later), Ok(pb::ServerFrame::default()));
        assert_eq!(pb::Event::decode(later), Ok(pb::Event::default()));
        assert_eq!(ack_from_wire(&pb::Ack::default()), None);
        let forever = prost_types::Duration { seconds: i64::MAX, nanos: 0 };
        assert_eq!(duration_from_wire(Some(forever)), Some(LONGEST));
        assert_eq!(duration_from_wire(Some(prost_types::Duration { seconds: -1, nanos: 0 })), None);
    }
}
