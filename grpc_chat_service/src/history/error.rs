//! Why a history cannot be written or read.

use std::error::Error;
use std::fmt;

use crate::model::Seq;
use crate::rates::Limited;

/// Why a draft is not stored, or may not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// Too many appends are waiting: not stored.
    Overloaded,
    /// The room does not exist, and the account has created as many as it may: not stored.
    NewRooms(Limited),
    /// The store cannot be written at present: not stored.
    Unavailable,
    /// The store failed during the commit, so the draft may or may not be stored. A repeat finds out.
    Unknown,
    /// The `client_msg_id` was used before, with other content: not stored.
    Conflict,
    /// The message that the change refers to does not exist, is not a message, or has been erased: not stored.
    NoSuchMessage,
    /// The message to change belongs to another user: not stored.
    NotTheAuthor,
    /// The change refers to a message of another epoch: not stored.
    OtherEpoch,
    /// The message at the sequence number is not the one that the change refers to, since the history was restored from a
    /// copy and has gone on differently: not stored.
    Forked,
    /// The message has been edited [`MAX_EDITS`](super::MAX_EDITS) times: not stored.
    TooManyEdits,
    /// There is no room for new messages, edits and reactions: not stored.
    StorageFull,
}

/// Why a read fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The store cannot be read at present.
    Unavailable,
    /// Events that were asked for are no longer kept.
    Expired {
        /// The oldest event of the room that is kept.
        oldest: Seq,
    },
    /// An event differs from what was stored, or is missing.
    Corrupt {
        /// The event's sequence number.
        seq: Seq,
    },
}

impl AppendError {
    /// The name of the error in the figures.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::NewRooms(_) => "new_rooms",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
            Self::Conflict => "conflict",
            Self::NoSuchMessage => "no_such_message",
            Self::NotTheAuthor => "not_the_author",
            Self::OtherEpoch => "other_epoch",
            Self::Forked => "forked",
            Self::TooManyEdits => "too_many_edits",
            Self::StorageFull => "storage_full",
        }
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overloaded => "not stored: too many appends are waiting",
            Self::NewRooms(_) => "not stored: the room is new, and too many new rooms were created lately",
            Self::Unavailable => "not stored: the history cannot be written at present",
            Self::Unknown => "it is not known whether it was stored: the history failed during the commit",
            Self::Conflict => "not stored: the client_msg_id was used before with other content",
            Self::NoSuchMessage => "not stored: the message it refers to does not exist",
            Self::NotTheAuthor => "not stored: the message belongs to another user",
            Self::OtherEpoch => "not stored: the message it refers to belongs to another epoch",
            Self::Forked => "not stored: another message has the sequence number that it refers to",
            Self::TooManyEdits => "not stored: the message has been edited too often",
            Self::StorageFull => "not stored: there is no room for anything new",
        })
    }
}

impl Error for AppendError {}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable => f.write_str("the history cannot be read at present"),
            Self::Expired { oldest } => write!(f, "events before seq {oldest} are no longer kept"),
            Self::Corrupt { seq } => write!(f, "the history is damaged at seq {seq}"),
        }
    }
}

impl Error for ReadError {}
