//! What a room remembers: the contract every store fulfils.
//!
//! A history orders each room, keeps what it has acknowledged, and tells what it has kept:
//!
//! 1. **Order.** [`History::append`] enqueues at the call, not when its answer is awaited: what one caller appends
//!    to a room in turn is stored in that order. Seqs are dense: the first event of a room is 1, the next is one more.
//! 2. **Durable, then answered.** An append is answered with success only when its event is as safe as
//!    [`History::durability`] says, and stays so.
//! 3. **Once.** `(room, sender, client_msg_id)` is kept with the event and as long. A repeat with the same change is
//!    answered with the first one's place and `duplicate`, and stores nothing; with another change it is
//!    [`AppendError::Conflict`]. Of an erased message any repeat is a duplicate: its text cannot be compared any more.
//!    What is about a place in another life of the history is [`AppendError::OtherEpoch`], unless it is a repeat.
//! 4. **Told once, in order.** Every event goes to the [`Committed`] channel given at opening, exactly once, in the
//!    order of its room, after it is durable, before its append is answered, and as it was when it was stored: a message
//!    deleted in the same batch still has its text. The channel is bounded: a store waits when it is full, it never
//!    drops. Whoever receives must therefore not wait for an answer of the store's writer meanwhile. If nobody receives
//!    any more, the store goes on without telling.
//! 5. **Never silently wrong.** What is read has passed its checksum and has no gap; else it is [`ReadError::Corrupt`].
//! 6. **Unknown is said.** If a commit fails, everything in it is [`AppendError::Unknown`], nothing more is accepted
//!    ([`AppendError::Unavailable`]) and [`History::healthy`] turns false until the store has been reopened and
//!    checked. An event whose outcome was unknown and that turns out to be stored is then told like any other.

pub mod embedded;
pub mod memory;

#[cfg(test)]
mod contract;
mod queue;
mod rules;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::Future;
use std::hash::BuildHasher;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use tokio::sync::{mpsc, oneshot, watch};

use crate::model::{Draft, Durability, Epoch, Event, RoomId, Seq, UnixMillis, UserId};

/// Where a history tells what it has stored: batches of events, each room's in order.
pub type Committed = mpsc::Sender<Vec<Event>>;

/// Appends waiting for the writer, over all rooms and sessions. One more is [`AppendError::Overloaded`].
pub const MAX_QUEUED: usize = 65_536;

/// What a writer takes from its queue at once, to be stored and synced together.
const MAX_BATCH: usize = 4_096;

/// An answer that takes a while.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// See the module.
pub trait History: Send + Sync + fmt::Debug + 'static {
    /// The life of this history. The same until the process ends.
    fn epoch(&self) -> Epoch;

    /// How safe an event is when its append is answered.
    fn durability(&self) -> Durability;

    /// Asks for a draft to be stored. The request is in order with the caller's others when this returns.
    fn append(&self, draft: Draft) -> Appending;

    /// Where a room stands, and how far `user`, if given, has read it. An unknown room has head 0.
    ///
    /// Everything told to [`Committed`] before this is called is included.
    fn look<'a>(&'a self, room: &'a RoomId, user: Option<&'a UserId>) -> Answer<'a, Result<Look, ReadError>>;

    /// The first events after `after`, at most `page.events` of them and about `page.bytes` of text, but at least one if
    /// there is any. An empty page means that there is nothing after `after` yet.
    ///
    /// Everything told to [`Committed`] before this is called is included.
    fn read_after<'a>(&'a self, room: &'a RoomId, after: Seq, page: Page) -> Answer<'a, Result<Vec<Event>, ReadError>>;

    /// The last events before `before`, oldest first, bounded as in [`History::read_after`]: the page ends right
    /// before `before`.
    fn read_before<'a>(
        &'a self,
        room: &'a RoomId,
        before: Seq,
        page: Page,
    ) -> Answer<'a, Result<Vec<Event>, ReadError>>;

    /// Rooms that have a history, by id, after `after`.
    fn rooms<'a>(&'a self, after: Option<&'a RoomId>, max: usize) -> Answer<'a, Result<Vec<RoomHead>, ReadError>>;

    /// Notes how far a user has read; never moves back. Answers with the mark that holds now. As durable as an append.
    /// A mark beyond the head is [`AppendError::NoSuchMessage`]. A mark of 0 only asks.
    fn mark_read(&self, room: RoomId, user: UserId, seq: Seq) -> Marking;

    /// Whether appends can be expected to work. Changes are seen by every receiver.
    fn healthy(&self) -> watch::Receiver<bool>;

    /// Stores everything accepted, closes the store, and resolves when all is on disk. Later appends are
    /// [`AppendError::Unavailable`]. What is stored meanwhile is still told, so keep receiving until this resolves, or
    /// drop the receiver.
    fn close(&self) -> Answer<'_, ()>;
}

/// How much to read at once. Text here is that of messages, edits and reactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// At most so many events; at least 1.
    pub events: usize,
    /// Stop after the event with which the text reaches so many bytes.
    pub bytes: usize,
}

/// Where a room stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The newest event, 0 if there is none.
    pub head: Seq,
    /// The oldest event kept, 0 if there is none.
    pub oldest: Seq,
    /// How far the user has read.
    pub read: Seq,
}

/// A room, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomHead {
    /// Its id.
    pub room: RoomId,
    /// The newest event.
    pub head: Seq,
    /// When that was stored.
    pub time: UnixMillis,
}

/// The answer to an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The event's place.
    pub seq: Seq,
    /// When it was stored.
    pub time: UnixMillis,
    /// It had been stored by an earlier attempt.
    pub duplicate: bool,
}

/// Why a draft is not, or perhaps not, stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// Too many are waiting: not stored.
    Overloaded,
    /// The store cannot be written now: not stored.
    Unavailable,
    /// The store failed while it was being written: stored or not. A repeat will tell.
    Unknown,
    /// The `client_msg_id` was used before, with other content: not stored.
    Conflict,
    /// The message it is about, or answers, does not exist, is no message, or has been erased: not stored.
    NoSuchMessage,
    /// The message it is about is another user's: not stored.
    NotTheAuthor,
    /// It is about a message of another life of this history: not stored.
    OtherEpoch,
}

/// Why nothing can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The store cannot be read now.
    Unavailable,
    /// An event is not what was stored, or is missing.
    Corrupt {
        /// Where.
        seq: Seq,
    },
}

/// Something asked of the writer and not answered yet. Dropping it does not call it off.
#[derive(Debug)]
pub struct Writing<T>(oneshot::Receiver<Result<T, AppendError>>);

/// An append on its way.
pub type Appending = Writing<Appended>;

/// A read mark on its way.
pub type Marking = Writing<Seq>;

impl Page {
    /// As many of `events` as there is room for.
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

/// A page while it fills.
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
        self.bytes += rules::text_bytes(&event.draft.change);
    }
}

impl<T> Writing<T> {
    /// One that is asked, and the end at which it is answered. An answerer that is dropped answers
    /// [`AppendError::Unknown`].
    #[must_use]
    pub fn new() -> (oneshot::Sender<Result<T, AppendError>>, Self) {
        let (answerer, answer) = oneshot::channel();
        (answerer, Self(answer))
    }

    /// One that is [`AppendError::Unavailable`] at once.
    fn refused() -> Self {
        let (answerer, answer) = Self::new();
        _ = answerer.send(Err(AppendError::Unavailable));
        answer
    }
}

impl<T> Future for Writing<T> {
    type Output = Result<T, AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or(Err(AppendError::Unknown)))
    }
}

/// The wall clock. One before 1970 reads as 1970.
pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis::try_from(since.as_millis()).unwrap_or(UnixMillis::MAX)
}

/// Random, not 0, and fits a signed integer, so that every store and every language can hold it.
fn new_epoch() -> Epoch {
    (RandomState::new().hash_one(SystemTime::now()) >> 1).max(1)
}
