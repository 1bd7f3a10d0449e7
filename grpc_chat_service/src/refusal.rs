//! Why a request is not carried out, in the chat's own terms. `grpc/status.rs` maps each reason to a gRPC status.

use crate::history::{AppendError, ReadError};
use crate::model::{Invalid, RoomId, Seq};
use crate::rates::Limited;

/// Why a request is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The frame cannot be decoded.
    Undecodable,
    /// A field does not have the form it must have.
    Field { name: &'static str, why: Invalid },
    /// The frame's id is not higher than all earlier ones.
    IdNotRising,
    /// The frame has no body, or one that this server does not know.
    UnknownBody,
    /// The first frame was not Hello.
    HelloExpected,
    /// Hello was sent again.
    HelloRepeated,
    /// The room is not joined.
    NotJoined { room: RoomId },
    /// The room was left, or joined again, before this Join was carried out.
    JoinSuperseded { room: RoomId },
    /// More rooms than a session may join.
    TooManyRooms,
    /// More requests in flight than a session may have.
    TooManyInFlight,
    /// The message does not exist, or has been erased.
    NoSuchMessage { room: RoomId },
    /// The message belongs to another user.
    NotTheAuthor,
    /// The request refers to a message of another epoch.
    OtherEpoch,
    /// The `client_msg_id` was used before, with other content.
    IdReused,
    /// More than the user, or its network, may do in the time.
    RateLimited(Limited),
    /// Too many pages are being read, or have not been read by their callers.
    PagesUnread,
    /// Too many requests are waiting for the store.
    Overloaded,
    /// The store cannot be read or written at present.
    HistoryUnavailable,
    /// It is not known whether the draft was stored.
    OutcomeUnknown,
    /// The request refers to a message that is another one in this history.
    Forked,
    /// The message cannot be edited any more.
    TooManyEdits,
    /// There is no room for new messages, edits and reactions.
    StorageFull,
    /// Events that were asked for are no longer kept.
    Expired { room: RoomId, oldest: Seq },
    /// The store is damaged at this event.
    Corrupt { room: RoomId, seq: Seq },
    /// The session is ending and accepts nothing new.
    Draining,
    /// This server does not use tokens.
    NoTokens,
}

impl From<Limited> for Refusal {
    fn from(limited: Limited) -> Self {
        Self::RateLimited(limited)
    }
}

impl Refusal {
    pub(crate) fn from_append(error: AppendError, room: &RoomId) -> Self {
        match error {
            AppendError::Overloaded => Self::Overloaded,
            AppendError::NewRooms(limited) => Self::RateLimited(limited),
            AppendError::Unavailable => Self::HistoryUnavailable,
            AppendError::Unknown => Self::OutcomeUnknown,
            AppendError::Conflict => Self::IdReused,
            AppendError::NoSuchMessage => Self::NoSuchMessage { room: room.clone() },
            AppendError::NotTheAuthor => Self::NotTheAuthor,
            AppendError::OtherEpoch => Self::OtherEpoch,
            AppendError::Forked => Self::Forked,
            AppendError::TooManyEdits => Self::TooManyEdits,
            AppendError::StorageFull => Self::StorageFull,
        }
    }

    pub(crate) fn from_read(error: ReadError, room: &RoomId) -> Self {
        match error {
            ReadError::Unavailable => Self::HistoryUnavailable,
            ReadError::Expired { oldest } => Self::Expired { room: room.clone(), oldest },
            ReadError::Corrupt { seq } => Self::Corrupt { room: room.clone(), seq },
        }
    }
}
