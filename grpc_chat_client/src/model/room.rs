//! Joining rooms, and reading their history.

use std::fmt;
use std::time::SystemTime;

use super::event::{Cursor, Event, Seq};
use super::id::{MsgId, RoomId};

/// Where to begin in a room.
///
/// ```no_run
/// # async fn example(client: grpc_chat_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use grpc_chat_client::{Cursor, Start};
///
/// client.join("alerts", Start::Live).await?;
/// client.join("general", Start::Last(20)).await?;
/// client.join("audit", Start::After(Cursor { epoch: 5306945376019108, seq: 117, id: None })).await?;
/// client.join("orders", Start::Resume { or_last: 100 }).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Only new events.
    Live,
    /// The last so many events, at most 1,000, then new ones.
    Last(u32),
    /// Everything after this cursor.
    After(Cursor),
    /// Everything after the last event that the application has seen in this room, in this run or, with a state file, in an
    /// earlier one; if there is none, the last so many.
    Resume {
        /// How many, if nothing was seen yet.
        or_last: u32,
    },
}

/// Whether the application will miss something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There was no cursor: new events follow, or the last so many.
    Live,
    /// Everything after the cursor follows.
    Recovered,
    /// The cursor does not belong to this history. New events follow: discard what the application has of the room, and
    /// read the history ([`Client::history`](crate::Client::history)) as far back as is wanted.
    Reset(ResetReason),
}

/// Why a cursor could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetReason {
    /// The history has begun a new epoch since: it was restored from a backup, or lost.
    Epoch,
    /// The cursor is ahead of the newest event.
    Ahead,
    /// What followed the cursor is no longer kept.
    Expired,
    /// The event at the cursor is another one: the history was restored from a copy and has gone on differently.
    Forked,
    /// A reason that this client does not know.
    Unknown,
}

impl fmt::Display for ResetReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Epoch => "the service's history has begun anew",
            Self::Ahead => "the service's history ends before what was already seen",
            Self::Expired => "the service no longer keeps what was missed",
            Self::Forked => "the service's history was restored, and has gone on differently since",
            Self::Unknown => "the service cannot continue from what was seen",
        })
    }
}

/// A room was joined, for the first time or again after the connection was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The room's id.
    pub room: RoomId,
    /// Whether the application will miss something.
    pub verdict: Verdict,
    /// The epoch of the history.
    pub epoch: u64,
    /// The first event that follows is the first one after this seq.
    pub start: Seq,
    /// The id of the event at `start`, if the client knows it: it was in the cursor.
    pub start_id: Option<MsgId>,
    /// The newest event, 0 in an empty room.
    pub head: Seq,
    /// The oldest event that is kept, 0 in an empty room.
    pub oldest: Seq,
    /// The last event that this user has read.
    pub read: Seq,
}

impl Joined {
    /// Returns the position from which events follow.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.start, id: self.start_id }
    }
}

/// A page of a room's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// The epoch of the history; see [`Event::cursor`].
    pub epoch: u64,
    /// The newest event's seq, 0 in an empty room.
    pub head: Seq,
    /// Whether there are more events in the direction that was asked for.
    pub more: bool,
}

/// Which page of a room's history to read; see [`Client::history`](crate::Client::history).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageAt {
    /// The newest events.
    Newest,
    /// The events right before this one.
    Before(Seq),
    /// The events right after this one.
    After(Seq),
}

/// A room that has a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// The room's id.
    pub id: RoomId,
    /// The newest event's seq.
    pub head: Seq,
    /// When that event was stored, by the service's clock.
    pub time: SystemTime,
}
