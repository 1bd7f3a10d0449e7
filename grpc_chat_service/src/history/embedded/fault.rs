//! Why a store cannot be served, in sentences for its operator.

use std::fmt;
use std::io;

use super::record::Trouble;

/// What is wrong with a store.
#[derive(Debug)]
pub(super) enum Fault {
    Locked,
    NotAHistory,
    Newer { found: i64, known: usize },
    OtherStore,
    Lost { events: u64, marks: u64 },
    Gap(Gap),
    Damaged { room: String, seq: u64 },
    Corrupt,
    Sqlite(rusqlite::Error),
    Io(io::Error),
}

/// Events that are missing in between.
#[derive(Debug)]
pub(super) struct Gap {
    pub(super) events: u64,
    /// One of the rooms, if it can be told.
    pub(super) room: Option<String>,
}

/// How to get on when something is lost for good.
const WAY_OUT: &str =
    "restore a backup, or start with --accept-loss to serve what is left in a new epoch, so that clients notice";

impl Fault {
    /// Whether what is left can be served if the operator says so.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self, Self::OtherStore | Self::Lost { .. } | Self::Gap(_) | Self::Damaged { .. } | Self::Corrupt)
    }

    pub(super) fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Sqlite(error) => Some(error),
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked => f.write_str("is in use by another process: stop that one, or choose another directory"),
            Self::NotAHistory => {
                f.write_str("has a history.db that is not a chat history: move it away, or choose another directory")
            }
            Self::Newer { found, known } => write!(
                f,
                "was written by a newer version (schema {found}, this one knows {known}): upgrade, or restore a backup"
            ),
            Self::OtherStore => write!(f, "has another history than the one it had when it was last served: {WAY_OUT}"),
            Self::Lost { events: 0, marks } => write!(f, "has lost {marks} acknowledged read marks: {WAY_OUT}"),
            Self::Lost { events, .. } => write!(f, "has lost {events} acknowledged events: {WAY_OUT}"),
            Self::Gap(Gap { events, room: Some(room) }) => {
                write!(f, "lacks {events} events, at least one of them in the middle of room {room}: {WAY_OUT}")
            }
            Self::Gap(Gap { events, room: None }) => write!(f, "lacks {events} events: {WAY_OUT}"),
            Self::Damaged { room, seq } => write!(f, "has a damaged record at seq {seq} of room {room}: {WAY_OUT}"),
            Self::Corrupt => write!(f, "has a damaged history.db: {WAY_OUT}"),
            Self::Sqlite(error) => {
                write!(f, "cannot be used ({error}): see to its permissions and the space on its disk")
            }
            Self::Io(error) => write!(f, "cannot be used ({error}): see to its path and its permissions"),
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        if error.sqlite_error_code() == Some(rusqlite::ffi::ErrorCode::NotADatabase) {
            return Self::NotAHistory;
        }
        match Trouble::at(error, 0) {
            Trouble::Failed(error) => Self::Sqlite(error),
            Trouble::Damaged(_) | Trouble::Refused(_) => Self::Corrupt,
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Gap> for Fault {
    fn from(gap: Gap) -> Self {
        Self::Gap(gap)
    }
}
