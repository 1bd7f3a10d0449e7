//! Storage of what happens in rooms: the contract that every store fulfils.
//!
//! A history orders the events of each room, keeps what it has acknowledged, and publishes what it has stored:
//!
//! 1. **Order.** [`History::append`] enqueues when it is called, not when its result is awaited: what one caller appends
//!    to a room in turn is stored in that order. Sequence numbers are dense: the first event of a room is 1, and each
//!    next one is one higher.
//! 2. **Durable, then acknowledged.** An append succeeds only once its event is as safe as [`History::durability`] says,
//!    and the event stays so.
//! 3. **Once.** `(room, sender, client_msg_id)` is stored with the event and kept as long as the event. A repeat with the
//!    same change returns the sequence number and time of the first with `duplicate` set, and stores nothing; a repeat
//!    with another change is [`AppendError::Conflict`]. Any repeat of an erased message is a duplicate, since its text
//!    cannot be compared any more. A change whose expected epoch is not the current one is [`AppendError::OtherEpoch`],
//!    unless it is a repeat.
//! 4. **Published once, in order.** Every event goes to the [`Committed`] channel given at opening exactly once, in the
//!    order of its room, after it is durable, before its append is answered, and as it was when it was stored: a message
//!    deleted in the same batch still has its text. The channel is bounded: a store waits while it is full and never
//!    drops an event. Its receiver must therefore not wait for the store's writer meanwhile. Without a receiver the
//!    store goes on and publishes nothing.
//! 5. **Never silently wrong.** What is read has passed its checksum and has no gap; otherwise it is
//!    [`ReadError::Corrupt`].
//! 6. **An unknown outcome is reported as such.** If a commit fails, everything in it is [`AppendError::Unknown`], nothing
//!    more is accepted ([`AppendError::Unavailable`]) and [`History::healthy`] becomes false until the store has been
//!    reopened and checked. An event whose outcome was unknown and that turns out to be stored is then published like
//!    any other.

pub mod embedded;
pub mod memory;

#[cfg(test)]
mod contract;
mod queue;
mod rules;

use std::collections::hash_map::RandomState;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::hash::BuildHasher;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};

use crate::model::{Draft, Durability, Epoch, Event, RoomId, Seq, UnixMillis, UserId};

/// The channel on which a history publishes what it has stored: batches of events, in order within each room.
pub type Committed = mpsc::Sender<Vec<Event>>;

/// The most appends that may wait for the writer, over all rooms and sessions. Further ones are
/// [`AppendError::Overloaded`].
pub const MAX_QUEUED: usize = 65_536;

/// The most requests that a writer stores and syncs together.
const MAX_BATCH: usize = 4_096;

/// A store of what happens in rooms. The [module documentation](self) has the contract.
pub trait History: Send + Sync + fmt::Debug + 'static {
    /// Returns the epoch of this history, which does not change while the process runs.
    fn epoch(&self) -> Epoch;

    /// Returns how safe an event is when its append succeeds.
    fn durability(&self) -> Durability;

    /// Requests that a draft be stored. When this returns, the request has its place behind the caller's earlier ones.
    ///
    /// `expected` is the epoch that the sequence number in the draft's change belongs to; `None` is not checked.
    fn append(&self, draft: Draft, expected: Option<Epoch>) -> Appending;

    /// Returns the state of a room, and how far `user`, if given, has read it. An unknown room has head 0.
    ///
    /// Includes everything sent to [`Committed`] before this is called.
    fn room_state<'a>(
        &'a self,
        room: &'a RoomId,
        user: Option<&'a UserId>,
    ) -> BoxFuture<'a, Result<RoomState, ReadError>>;

    /// Returns the first events after `after`, at most `page.events` of them and about `page.bytes` of text, but at least
    /// one if there is any. An empty page means that there is nothing after `after` yet.
    ///
    /// Includes everything sent to [`Committed`] before this is called.
    fn read_after<'a>(
        &'a self,
        room: &'a RoomId,
        after: Seq,
        page: Page,
    ) -> BoxFuture<'a, Result<Vec<Event>, ReadError>>;

    /// Returns the last events before `before`, oldest first, bounded as in [`History::read_after`]: the page ends
    /// immediately before `before`.
    fn read_before<'a>(
        &'a self,
        room: &'a RoomId,
        before: Seq,
        page: Page,
    ) -> BoxFuture<'a, Result<Vec<Event>, ReadError>>;

    /// Returns at most `max` rooms that have a history, by id, after `after`.
    fn rooms<'a>(&'a self, after: Option<&'a RoomId>, max: usize) -> BoxFuture<'a, Result<Vec<RoomHead>, ReadError>>;

    /// Stores how far a user has read. A mark never moves back; the result is the mark that holds now, as durable as an
    /// append. A mark beyond the head is [`AppendError::NoSuchMessage`]. A mark of 0 changes nothing and only returns the
    /// current one.
    fn mark_read(&self, room: RoomId, user: UserId, seq: Seq) -> Marking;

    /// Returns a watch on whether appends can be expected to work.
    fn healthy(&self) -> watch::Receiver<bool>;

    /// Stores everything accepted, closes the store, and resolves when all of it is on disk. Later appends are
    /// [`AppendError::Unavailable`]. What is stored meanwhile is still published, so keep receiving until this resolves,
    /// or drop the receiver.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// How much to read at once. Text here is that of messages, edits and reactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The most events; at least 1.
    pub events: usize,
    /// The page ends with the event whose text brings the total to this many bytes.
    pub bytes: usize,
}

/// The state of a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomState {
    /// The newest event, 0 if there is none.
    pub head: Seq,
    /// The oldest event kept, 0 if there is none.
    pub oldest: Seq,
    /// How far the user has read.
    pub read: Seq,
}

/// A room and its newest event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomHead {
    /// The room's id.
    pub room: RoomId,
    /// The newest event.
    pub head: Seq,
    /// When the newest event was stored.
    pub time: UnixMillis,
}

/// The result of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The event's sequence number.
    pub seq: Seq,
    /// When it was stored.
    pub time: UnixMillis,
    /// It had been stored by an earlier attempt.
    pub duplicate: bool,
}

/// Why a draft is not stored, or may not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// Too many appends are waiting: not stored.
    Overloaded,
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
}

/// Why a read fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The store cannot be read at present.
    Unavailable,
    /// An event differs from what was stored, or is missing.
    Corrupt {
        /// The event's sequence number.
        seq: Seq,
    },
}

/// A write that has been requested. Resolves with its result; dropping it does not cancel the write.
#[derive(Debug)]
pub struct Writing<T>(oneshot::Receiver<Result<T, AppendError>>);

/// A requested append.
pub type Appending = Writing<Appended>;

/// A requested read mark.
pub type Marking = Writing<Seq>;

impl Page {
    /// Takes as many of `events` as fit.
    fn fill<'a>(self, events: impl Iterator<Item = &'a Event>) -> Vec<Event> {
        let mut filling = Filling::new(self);
        let mut filled = Vec::new();
        for event in events {
            if filling.is_full() {
                break;
            }
            filling.add(event);
            filled.push(event.clone());
        }
        filled
    }
}

/// The fill level of a page.
#[derive(Debug)]
struct Filling {
    page: Page,
    events: usize,
    bytes: usize,
}

impl Filling {
    fn new(page: Page) -> Self {
        Self { page, events: 0, bytes: 0 }
    }

    fn is_full(&self) -> bool {
        self.events > 0 && (self.events >= self.page.events || self.bytes >= self.page.bytes)
    }

    fn add(&mut self, event: &Event) {
        self.events += 1;
        self.bytes += event.draft.change.text_bytes();
    }
}

impl<T> Writing<T> {
    /// Returns a pending write and the sender of its result. A sender that is dropped counts as
    /// [`AppendError::Unknown`].
    #[must_use]
    pub fn new() -> (oneshot::Sender<Result<T, AppendError>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }

    /// Returns a write that fails with [`AppendError::Unavailable`].
    fn unavailable() -> Self {
        let (sender, writing) = Self::new();
        _ = sender.send(Err(AppendError::Unavailable));
        writing
    }
}

impl<T> Future for Writing<T> {
    type Output = Result<T, AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|result| result.unwrap_or(Err(AppendError::Unknown)))
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overloaded => "not stored: too many appends are waiting",
            Self::Unavailable => "not stored: the history cannot be written at present",
            Self::Unknown => "it is not known whether it was stored: the history failed during the commit",
            Self::Conflict => "not stored: the client_msg_id was used before with other content",
            Self::NoSuchMessage => "not stored: the message it refers to does not exist",
            Self::NotTheAuthor => "not stored: the message belongs to another user",
            Self::OtherEpoch => "not stored: the message it refers to belongs to another epoch",
        })
    }
}

impl Error for AppendError {}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable => f.write_str("the history cannot be read at present"),
            Self::Corrupt { seq } => write!(f, "the history is damaged at seq {seq}"),
        }
    }
}

impl Error for ReadError {}

/// Returns the time of the wall clock; a time before 1970 is returned as 1970.
pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis::try_from(since.as_millis()).unwrap_or(UnixMillis::MAX)
}

/// Returns a random epoch: not 0, and small enough for a signed integer, so that every store and language can hold it.
fn new_epoch() -> Epoch {
    (RandomState::new().hash_one(SystemTime::now()) >> 1).max(1)
}
