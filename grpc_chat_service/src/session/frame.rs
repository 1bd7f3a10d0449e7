//! The frames of a session, in both directions, in the chat's own terms. `grpc/convert.rs` translates them.

use std::time::Duration;

use bytes::BytesMut;

use crate::history::{Appended, Expected};
use crate::limits::{RateLimits, SessionLimits};
use crate::model::{Change, ClientMsgId, DeviceId, Durability, Epoch, Event, RoomId, Seq, UnixMillis, UserId};
use crate::refusal::Refusal;

/// One frame from the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inbound {
    /// The client's number for it, 0 if it wants no reply.
    pub(crate) id: u64,
    /// The request, or why it cannot be understood.
    pub(crate) request: Result<Request, Refusal>,
}

/// What a client can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Hello(Hello),
    Join { room: RoomId, start: Start },
    Leave { room: RoomId },
    Change(ChangeRequest),
    MarkRead { room: RoomId, seq: Seq },
    Typing { room: RoomId },
    Ping,
    Pong,
    RefreshToken,
}

/// A change to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChangeRequest {
    pub(crate) room: RoomId,
    pub(crate) client_msg_id: ClientMsgId,
    pub(crate) change: Change,
    /// The history that the sequence number in the change refers to, as far as the client named it.
    pub(crate) expected: Expected,
    /// Another user to send it as. No frame of the chat sets this; callers of the example may use any name.
    pub(crate) sender: Option<UserId>,
}

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The user that the caller claims to be; `None` if it only has a token.
    pub(crate) user: Option<UserId>,
    pub(crate) device: Option<DeviceId>,
    /// Whether a silent client is pinged, and considered gone if it stays silent.
    pub(crate) heartbeats: bool,
    /// The client program and its version, for the log.
    pub(crate) client: String,
}

/// Where a reader starts in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// With the last so many events; 0 delivers only new ones.
    Last(u32),
    /// At the beginning of the history.
    Beginning,
    /// After an event seen before, which the client may name by its `client_msg_id`, too.
    After { epoch: Epoch, seq: Seq, client_msg_id: Option<ClientMsgId> },
}

/// One frame to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Welcome(Welcome),
    Ack { room: RoomId, client_msg_id: ClientMsgId, appended: Appended, durability: Durability },
    Error(Refusal),
    Joined(Joined),
    CaughtUp { room: RoomId, seq: Seq },
    Presence { room: RoomId, came: Vec<UserId>, left: Vec<UserId>, snapshot: bool, count: usize },
    Typing { room: RoomId, users: Vec<UserId> },
    Read { room: RoomId, seq: Seq },
    Draining { reason: DrainReason, reconnect_after: Duration, acks_until: UnixMillis },
    Ping,
    Pong,
    Done,
}

/// The reply to Hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Welcome {
    pub(crate) session_id: String,
    pub(crate) user: UserId,
    pub(crate) limits: SessionLimits,
    pub(crate) rates: RateLimits,
    pub(crate) max_frame_bytes: usize,
    pub(crate) durability: Durability,
    pub(crate) now: UnixMillis,
}

/// The reply to Join.
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

/// Whether a reader misses events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No cursor was given.
    Live,
    /// Everything after the cursor follows.
    Recovered,
    /// The cursor belongs to another epoch.
    ResetEpoch,
    /// The cursor is ahead of the head.
    ResetAhead,
    /// Events after the cursor are no longer kept.
    ResetExpired,
    /// The event at the cursor is another one: the history was restored from a copy and has gone on differently.
    ResetForked,
}

/// Why a session drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DrainReason {
    /// The server is shutting down.
    Shutdown,
    /// The session has reached its maximum age.
    Age,
    /// The history has started a new epoch.
    Epoch,
}

/// How a session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client has half-closed its stream, and everything is delivered.
    Completed,
    /// The session cannot go on after this: a bad first frame, or a damaged history.
    Refused(Refusal),
    /// No Hello in time.
    HelloTimeout,
    /// Nothing was received for too long.
    Unresponsive,
    /// The client does not read its replies.
    RepliesUnread,
    /// In order, after Draining.
    Drained,
    /// Events that a reader has still to be sent are no longer kept.
    Expired { room: RoomId },
    /// A frame is longer than the limit.
    FrameTooLarge,
    /// The bytes received are not a stream of frames.
    NotFrames,
    /// The client has disconnected.
    Disconnected,
}

impl End {
    /// Returns a short name for the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Refused(_) => "refused",
            Self::HelloTimeout => "no hello in time",
            Self::Unresponsive => "unresponsive",
            Self::RepliesUnread => "replies unread",
            Self::Drained => "drained",
            Self::Expired { .. } => "events expired",
            Self::FrameTooLarge => "frame too large",
            Self::NotFrames => "not a stream of frames",
            Self::Disconnected => "disconnected",
        }
    }
}

/// How frames become bytes on the wire, length prefix included. Supplied by the gRPC layer, so that a room can keep an
/// event as the bytes that every reader is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encode {
    pub(crate) event: fn(&Event, &mut BytesMut),
    pub(crate) frame: fn(reply_to: u64, &Body, &mut BytesMut),
    /// Returns the name of the machine-readable reason in the frame of a refusal.
    pub(crate) reason: fn(&Refusal) -> &'static str,
}
