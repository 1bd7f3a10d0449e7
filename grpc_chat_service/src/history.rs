//! Storage of what happens in rooms: the contract that every store fulfils.
//!
//! A store may be shared by many nodes, each with a handle of its own: a value of a type that implements [`History`]. A
//! history orders the events of each room, keeps what it has acknowledged, and publishes to each handle what has been
//! stored through any of them:
//!
//! 1. **Order.** [`History::append`] enqueues when it is called, not when its result is awaited: what one account
//!    appends to a room in turn through one handle is stored in that order. Sequence numbers rise strictly, and each event names its
//!    predecessor.
//! 2. **Durable, then acknowledged.** An append succeeds only once its event is as safe as [`History::durability`] says,
//!    and the event stays so.
//! 3. **Once.** `(room, sender, client_msg_id)` is stored with the event and kept as long as the event. A repeat with the
//!    same change, through any handle, returns the sequence number and time of the first with `duplicate` set, and stores
//!    nothing; a repeat with another change is [`AppendError::Conflict`]. Any repeat of an erased message is a duplicate,
//!    since its text cannot be compared any more. A change that does not meet its [`Expected`] target is refused, unless it
//!    is a repeat.
//!
//!    A reaction that is as asked already, added or not, is not stored, and neither is its id. The result is that of the
//!    sender's last event about it, or of the message if there is none, with `duplicate` set. A repeat of it is judged anew,
//!    and stored if the reaction has changed since.
//!
//!    A message that has been edited [`MAX_EDITS`] times is not edited again ([`AppendError::TooManyEdits`]), so that no
//!    request is much work.
//! 4. **Published once, in order.** A handle follows rooms with [`History::follow`]. Every event of a followed room, once it
//!    is durable, is published to the handle's [`Publisher`] in the order of the room: as [`Published::Stored`] exactly once,
//!    or covered by a [`Published::Ahead`]. What [`History::room_state`] does not include, if it is called after `follow`,
//!    is published. An event is published as it was when it was stored: a message deleted in the same batch still has its
//!    text. Without a receiver the store goes on and publishes nothing.
//! 5. **Never silently wrong.** What is read has passed its checksum and has no gap; otherwise it is
//!    [`ReadError::Corrupt`], or [`ReadError::Expired`] where events are no longer kept.
//! 6. **An unknown outcome is reported as such.** If a commit fails, everything in it is [`AppendError::Unknown`], nothing
//!    more is accepted ([`AppendError::Unavailable`]) and [`History::healthy`] becomes false until the store has been
//!    reopened and checked. An event whose outcome was unknown and that turns out to be stored is then published like
//!    any other.

pub mod embedded;
pub mod memory;

mod clock;
#[cfg(test)]
mod contract;
mod error;
mod page;
mod queue;
mod rules;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::Future;
use std::hash::BuildHasher;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};

use crate::limits::{HistoryLimits, Limits, RateLimits, StorageLimits};
use crate::metrics::HistoryMetrics;
use crate::model::{Account, ClientMsgId, Draft, Durability, Epoch, Event, RoomId, Seq, UnixMillis, UserId};
use crate::rates::Rates;

pub(crate) use clock::now;
pub use error::{AppendError, ReadError};
pub use page::Page;

/// How often a message can be edited. Deleting it erases every edit, in one piece of work that all others wait for.
pub const MAX_EDITS: usize = 100;

/// The channel on which a handle is told what has been stored. It is bounded: a store waits while it is full, or catches up
/// with [`Published::Ahead`], and never skips an event silently.
pub type Publisher = mpsc::Sender<Published>;

/// What a store accepts.
#[derive(Clone, Debug)]
pub struct Admission {
    /// How much may wait to be stored.
    pub limits: HistoryLimits,
    /// How much room there has to be, or may be used.
    pub storage: StorageLimits,
    /// How many rooms an account may create.
    pub rates: Arc<Rates>,
}

/// What has happened in the rooms that a handle follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// Events that have been stored, in order within each room. May include events of rooms that are not followed.
    Stored(Vec<Event>),
    /// The newest event of the room is this one. The events before it that have not been published are to be read from the
    /// history.
    Ahead {
        /// The room.
        room: RoomId,
        /// Its newest event.
        head: Seq,
    },
    /// Events have been erased or removed without an event that says so. Nothing of the room may stay in memory.
    Erased {
        /// The room.
        room: RoomId,
    },
    /// A user has read a room up to an event.
    Read {
        /// The room.
        room: RoomId,
        /// The user.
        user: UserId,
        /// The last event read.
        seq: Seq,
    },
}

/// A handle on a store of what happens in rooms. The [module documentation](self) has the contract.
pub trait History: Send + Sync + fmt::Debug + 'static {
    /// Returns a watch on the epoch of the history. When it changes, every cursor is invalid and readers have to join again.
    fn epoch(&self) -> watch::Receiver<Epoch>;

    /// Returns how safe an event is when its append succeeds.
    fn durability(&self) -> Durability;

    /// Starts publishing what is stored in `room`, until the guard is dropped.
    fn follow(&self, room: &RoomId) -> Following;

    /// Requests that a draft be stored. When this returns, the request has its place behind the earlier ones of its account.
    /// Requests of different accounts are served in turn.
    fn append(&self, account: &Account, draft: Draft, expected: Expected) -> Appending;

    /// Returns the state of a room. An unknown room has head 0.
    ///
    /// Includes everything that has been published to this handle, or acknowledged by any, before this is called.
    fn room_state(&self, query: RoomQuery) -> BoxFuture<'static, Result<RoomState, ReadError>>;

    /// Returns the first events after `after`, at most `page.events` of them and about `page.bytes` of text, but at least one
    /// if there is any. An empty page means that there is nothing after `after` yet. If events after it are no longer kept,
    /// the result is [`ReadError::Expired`].
    ///
    /// Includes what [`History::room_state`] does.
    fn read_after(&self, room: RoomId, after: Seq, page: Page) -> BoxFuture<'static, Result<Vec<Event>, ReadError>>;

    /// Returns the last events before `before` that are kept, oldest first, bounded as in [`History::read_after`]: the page
    /// ends immediately before `before`.
    fn read_before(&self, room: RoomId, before: Seq, page: Page) -> BoxFuture<'static, Result<Vec<Event>, ReadError>>;

    /// Returns the first events of all rooms that were stored after `position`, bounded as in [`History::read_after`], in an
    /// order that keeps the order of each room. What is read once keeps its place: a program that goes on from the position
    /// it has reached, such as a search index, an export or an audit, sees every event that is still kept once.
    fn since(&self, position: Position, page: Page) -> BoxFuture<'static, Result<Feed, ReadError>>;

    /// Returns at most `max` rooms that have a history, by id, after `after`.
    fn rooms(&self, after: Option<RoomId>, max: usize) -> BoxFuture<'static, Result<Vec<RoomHead>, ReadError>>;

    /// Stores how far a user has read. A mark never moves back; the result is the mark that holds now, as durable as an
    /// append. A mark that moves is published as [`Published::Read`]. A mark beyond the head is
    /// [`AppendError::NoSuchMessage`]. A mark of 0 changes nothing and only returns the current one.
    fn mark_read(&self, account: &Account, room: RoomId, user: UserId, seq: Seq) -> Marking;

    /// Returns a watch on whether appends can be expected to work.
    fn healthy(&self) -> watch::Receiver<bool>;

    /// Returns what this handle counts. A store of its own kind need not count anything.
    fn metrics(&self) -> HistoryMetrics {
        HistoryMetrics::default()
    }

    /// Stores everything accepted by this handle, closes it, and resolves when all of it is as safe as
    /// [`History::durability`] says. Later appends are [`AppendError::Unavailable`]. What is stored meanwhile is still
    /// published, so keep receiving until this resolves, or drop the receiver.
    fn close(&self) -> BoxFuture<'static, ()>;
}

impl Admission {
    /// Takes from `limits` what concerns a store.
    #[must_use]
    pub fn new(limits: &Limits, rates: Arc<Rates>) -> Self {
        Self { limits: limits.history, storage: limits.storage, rates }
    }
}

impl Default for Admission {
    /// The default limits, and as many rooms as anybody likes.
    fn default() -> Self {
        Self::new(&Limits::default(), Arc::new(Rates::new(&RateLimits::none())))
    }
}

/// Keeps a room followed until it is dropped.
#[derive(Debug)]
pub struct Following {
    _guard: Option<Box<dyn fmt::Debug + Send + Sync>>,
}

impl Following {
    /// Holds `guard`, whose drop ends the following.
    #[must_use]
    pub fn new(guard: impl fmt::Debug + Send + Sync + 'static) -> Self {
        Self { _guard: Some(Box::new(guard)) }
    }

    /// For a store that publishes every room anyway.
    #[must_use]
    pub fn everything() -> Self {
        Self { _guard: None }
    }
}

/// The history that the sequence number in a change refers to. In another one, the same sequence number is another message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The epoch of the sequence number; `None` is not checked. In another one the change is [`AppendError::OtherEpoch`].
    pub epoch: Option<Epoch>,
    /// The `client_msg_id` of the message that the change refers to; `None` is not checked. If the message at the sequence
    /// number has another one, the change is [`AppendError::Forked`].
    pub target: Option<ClientMsgId>,
}

/// A position in the events of all rooms, see [`History::since`]. The default is before the first event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

/// Events of all rooms, and how far they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// The events, as they are now: erased ones have no text.
    pub events: Vec<Event>,
    /// The position after the last of them.
    pub position: Position,
}

/// What to find out about a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomQuery {
    /// The room.
    pub room: RoomId,
    /// Whose read mark to return.
    pub user: Option<UserId>,
    /// How many of the last events [`RoomState::before_last`] shall precede.
    pub last: u32,
    /// The event whose `client_msg_id` to return; 0 for none.
    pub at: Seq,
}

impl RoomQuery {
    /// Asks for head and oldest event only.
    #[must_use]
    pub fn head(room: RoomId) -> Self {
        Self { room, user: None, last: 0, at: 0 }
    }
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
    /// The sequence number after which the last [`RoomQuery::last`] events, or as many as are kept, follow.
    pub before_last: Seq,
    /// The `client_msg_id` of the event [`RoomQuery::at`], if that event is kept.
    pub id_at: Option<ClientMsgId>,
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
    /// Nothing was stored now: it had been by an earlier attempt, or the reaction was as asked since this event.
    pub duplicate: bool,
}

/// A write that has been requested. Resolves with its result; dropping it does not cancel the write.
#[derive(Debug)]
pub struct Writing<T>(oneshot::Receiver<Result<T, AppendError>>);

/// A requested append.
pub type Appending = Writing<Appended>;

/// A requested read mark.
pub type Marking = Writing<Seq>;

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

/// Returns a random epoch: not 0, and below 2^53, so that every store and every language can hold it. JavaScript rounds
/// larger integers.
fn new_epoch() -> Epoch {
    (RandomState::new().hash_one(SystemTime::now()) >> 11).max(1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn epochs_fit_into_the_integers_of_every_language() {
        for _ in 0..1_000 {
            assert!((1..1 << 53).contains(&super::new_epoch()));
        }
    }
}
