//! Why a store cannot be served, in sentences for its operator.

use std::fmt;
use std::io;

use super::record::RecordError;

/// Why a store cannot be served. Displays as the rest of a sentence that begins with "the data directory DIR".
#[derive(Debug)]
pub(super) enum StoreError {
    NotADirectory,
    NotAFile {
        name: &'static str,
    },
    /// A symbolic link, through which a file elsewhere would be written.
    Link {
        name: &'static str,
    },
    Locked,
    /// A file that is in use was removed, moved or replaced.
    Replaced {
        name: &'static str,
    },
    NotAHistory,
    Newer {
        found: i64,
        known: usize,
    },
    OtherStore,
    Lost {
        events: u64,
        marks: u64,
    },
    Gap(Gap),
    Damaged {
        room: String,
        seq: u64,
    },
    Corrupt,
    Sqlite(rusqlite::Error),
    Io(io::Error),
}

/// Events that are missing between others.
#[derive(Debug)]
pub(super) struct Gap {
    pub(super) events: u64,
    /// One of the rooms concerned, if it can be determined.
    pub(super) room: Option<String>,
}

/// What to do when something is lost for good.
const REMEDY: &str =
    "restore a backup, or start with --accept-loss to serve what is left in a new epoch, so that clients notice";

impl StoreError {
    /// Whether what is left can be served if the operator accepts the loss.
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

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotADirectory => f.write_str("is a file: choose a directory with --data"),
            Self::NotAFile { name } => {
                write!(f, "has something named {name} that is not a file: move it away, or choose another directory")
            }
            Self::Link { name } => write!(
                f,
                "has a symbolic link named {name}, which is not followed: put the file itself there, or name its \
                 directory with --data"
            ),
            Self::Locked => f.write_str("is in use by another process: stop that one, or choose another directory"),
            Self::Replaced { name } => write!(
                f,
                "no longer has the {name} that is in use: put it back, or stop the service, restore a backup and start it"
            ),
            Self::NotAHistory => {
                f.write_str("has a history.db that is not a chat history: move it away, or choose another directory")
            }
            Self::Newer { found, known } => write!(
                f,
                "was written by a newer version (schema {found}, this one knows {known}): upgrade, or restore a backup"
            ),
            Self::OtherStore => {
                write!(f, "has another history than the one it had when it was last served: {REMEDY}")
            }
            Self::Lost { events: 0, marks } => write!(f, "has lost {marks} acknowledged read marks: {REMEDY}"),
            Self::Lost { events, .. } => write!(f, "has lost {events} acknowledged events: {REMEDY}"),
            Self::Gap(Gap { events, room: Some(room) }) => {
                write!(f, "lacks {events} events, at least one of them in the middle of room {room}: {REMEDY}")
            }
            Self::Gap(Gap { events, room: None }) => write!(f, "lacks {events} events: {REMEDY}"),
            Self::Damaged { room, seq } => write!(f, "has a damaged record at seq {seq} of room {room}: {REMEDY}"),
            Self::Corrupt => write!(f, "has a damaged history.db: {REMEDY}"),
            Self::Sqlite(error) => {
                write!(f, "cannot be used ({error}): check its permissions and the free space on its disk")
            }
            Self::Io(error) => write!(f, "cannot be used ({error}): check its path and its permissions"),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        if error.sqlite_error_code() == Some(rusqlite::ffi::ErrorCode::NotADatabase) {
            return Self::NotAHistory;
        }
        match RecordError::at(error, 0) {
            RecordError::Sqlite(error) => Self::Sqlite(error),
            RecordError::Damaged(_) | RecordError::Refused(_) => Self::Corrupt,
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Gap> for StoreError {
    fn from(gap: Gap) -> Self {
        Self::Gap(gap)
    }
}
