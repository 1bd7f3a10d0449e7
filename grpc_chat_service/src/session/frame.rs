//! What is said in a session, in both directions, in the chat's own words. `grpc/convert.rs` translates.

use std::time::Duration;

use bytes::BytesMut;

use crate::history::{AppendError, Appended, ReadError};
use crate::limits::Limits;
use crate::model::{Change, ClientMsgId, Durability, Epoch, Event, Invalid, RoomId, Seq, UnixMillis, UserId};

/// One frame from the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inbound {
    /// The client's number for it, 0 if it wants no reply.
    pub(crate) id: u64,
    /// What it asks, or why that cannot be understood.
    pub(crate) request: Result<Request, Refusal>,
}

/// What a client can ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Hello(Hello),
    Join {
        room: RoomId,
        start: Start,
    },
    Leave {
        room: RoomId,
    },
    Change {
        room: RoomId,
        client_msg_id: ClientMsgId,
        change: Change,
        /// The life of the history that the seqs in it belong to; 0 if that was not told.
        epoch: Epoch,
        /// Said in another's name. Never set by a frame of the chat; the example's callers may speak for anyone.
        sender: Option<UserId>,
    },
    MarkRead {
        room: RoomId,
        seq: Seq,
    },
    Typing {
        room: RoomId,
    },
    Ping,
    Pong,
    RefreshToken,
}

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) user: UserId,
    pub(crate) device: Option<UserId>,
    /// The client program and its version, for the log.
    pub(crate) client: String,
}

/// Where to begin with a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// With the last so many events; 0 is live only.
    Last(u32),
    /// After a place seen before.
    After { epoch: Epoch, seq: Seq },
}

/// One frame to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Welcome { session_id: String, user: UserId, limits: Limits, durability: Durability, now: UnixMillis },
    Ack { room: RoomId, client_msg_id: ClientMsgId, appended: Appended, durability: Durability },
    Refused(Refusal),
    Joined(Joined),
    CaughtUp { room: RoomId, seq: Seq },
    Presence { room: RoomId, came: Vec<UserId>, left: Vec<UserId>, snapshot: bool, count: usize },
    Typing { room: RoomId, users: Vec<UserId> },
    Read { room: RoomId, seq: Seq },
    Draining { reason: Leaving, reconnect_after: Duration, acks_until: UnixMillis },
    Ping,
    Pong,
    Done,
}

/// The answer to a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) room: RoomId,
    pub(crate) verdict: Verdict,
    pub(crate) epoch: Epoch,
    pub(crate) start: Seq,
    pub(crate) head: Seq,
    pub(crate) oldest: Seq,
    pub(crate) read: Seq,
    pub(crate) present: Vec<UserId>,
    pub(crate) present_count: usize,
}

/// Whether a reader misses something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No cursor was given.
    Live,
    /// Everything after the cursor follows.
    Recovered,
    /// The cursor belongs to another life of the history.
    ResetEpoch,
    /// The cursor is ahead of the head.
    ResetAhead,
    /// What followed the cursor is not kept.
    ResetExpired,
}

/// Why a session leaves in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// The server stops.
    Shutdown,
    /// The session has reached its age.
    Age,
}

/// Why a frame is not carried out. One table in `grpc/status.rs` makes a status of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The frame is not what its length or its fields say.
    Undecodable,
    /// A field is not what it must be.
    Field { name: &'static str, why: Invalid },
    /// Ids must rise.
    IdNotRising,
    /// The body is not known here.
    UnknownBody,
    /// The first frame was not Hello.
    HelloFirst,
    /// Hello came again.
    HelloTwice,
    /// The room has not been joined.
    NotJoined { room: RoomId },
    /// A Join after which the room was left, or joined again, before it was carried out.
    JoinOvertaken { room: RoomId },
    /// More rooms than a session may join.
    TooManyRooms,
    /// More changes in flight than a session may have.
    TooManyInFlight,
    /// The message does not exist (any more).
    NoSuchMessage { room: RoomId },
    /// The message is another user's.
    NotTheAuthor,
    /// It is about a message of another life of the history.
    OtherEpoch,
    /// The `client_msg_id` was used before, with other content.
    IdReused,
    /// The store has more to do than it can.
    Overloaded,
    /// The store cannot be read or written now.
    HistoryUnavailable,
    /// Stored or not: not known.
    OutcomeUnknown,
    /// The store is damaged there.
    Corrupt { room: RoomId, seq: Seq },
    /// Nothing new is accepted.
    Leaving,
    /// There are no tokens here.
    NoTokens,
}

/// How a session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client has closed its side, and all is delivered.
    Completed,
    /// A frame before or in Hello that leaves nothing to go on with.
    Refused(Refusal),
    /// No Hello in time.
    NoHello,
    /// Nothing heard for too long.
    Silent,
    /// The client does not read what it is answered.
    RepliesUnread,
    /// In order, after Draining.
    Left,
    /// A frame is longer than frames may be.
    FrameTooLarge,
    /// What came is not a stream of frames.
    NotFrames,
    /// The client is gone.
    Gone,
}

/// How frames become bytes on the wire, length prefix included. Given by the edge, so that a room can keep an event
/// as the bytes that every reader gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encode {
    pub(crate) event: fn(&Event, &mut BytesMut),
    pub(crate) frame: fn(reply_to: u64, &Body, &mut BytesMut),
}

impl Refusal {
    pub(crate) fn of_append(error: AppendError, room: &RoomId) -> Self {
        match error {
            AppendError::Overloaded => Self::Overloaded,
            AppendError::Unavailable => Self::HistoryUnavailable,
            AppendError::Unknown => Self::OutcomeUnknown,
            AppendError::Conflict => Self::IdReused,
            AppendError::NoSuchMessage => Self::NoSuchMessage { room: room.clone() },
            AppendError::NotTheAuthor => Self::NotTheAuthor,
            AppendError::OtherEpoch => Self::OtherEpoch,
        }
    }

    pub(crate) fn of_read(error: ReadError, room: &RoomId) -> Self {
        match error {
            ReadError::Unavailable => Self::HistoryUnavailable,
            ReadError::Corrupt { seq } => Self::Corrupt { room: room.clone(), seq },
        }
    }
}
