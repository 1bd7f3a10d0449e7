//! Who calls, and what they may do: permits that prove a check, and a history that is only reached with one.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::address::Peer;
use crate::history::{
    Appending, Expected, Following, History, Marking, Page, ReadError, RoomHead, RoomQuery, RoomState,
};
use crate::model::{self, Account, Draft, Durability, Epoch, Event, RoomId, Seq, UserId};
use crate::refusal::Refusal;
use crate::turns::Turns;

/// How many pages of the history are read at a time, and how many states of rooms, for joins. They wait apart from each other,
/// so that whoever reads a long history does not keep others from joining.
const READS: usize = 2;

/// The facts known about a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The address at the other end of the connection.
    pub(crate) peer: Peer,
    account: Account,
}

/// Proves that a caller may read a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadPermit {
    room: RoomId,
    account: Account,
}

/// Proves that a caller may write to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WritePermit {
    room: RoomId,
    account: Account,
}

/// Decides what callers may do. At present everyone may do everything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Policy;

impl Caller {
    /// Returns a caller that has not said who it is.
    pub(crate) fn at(peer: Peer) -> Self {
        Self { peer, account: Account { user: None, network: model::network(peer.ip()) } }
    }

    /// Returns this caller as the user that it is.
    pub(crate) fn named(&self, user: UserId) -> Self {
        Self { peer: self.peer, account: Account { user: Some(user), network: self.account.network } }
    }

    /// Returns on whose account the caller acts.
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }
}

impl Policy {
    /// Checks that `caller` may read `room`.
    ///
    /// # Errors
    ///
    /// The refusal to send to a caller who may not.
    pub(crate) fn read(&self, caller: &Caller, room: RoomId) -> Result<ReadPermit, Refusal> {
        Ok(ReadPermit { room, account: caller.account.clone() })
    }

    /// Checks that `caller` may write to `room`.
    ///
    /// # Errors
    ///
    /// The refusal to send to a caller who may not.
    pub(crate) fn write(&self, caller: &Caller, room: RoomId) -> Result<WritePermit, Refusal> {
        Ok(WritePermit { room, account: caller.account.clone() })
    }
}

impl ReadPermit {
    pub(crate) fn room(&self) -> &RoomId {
        &self.room
    }

    /// Returns on whose account the room is read.
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }
}

impl WritePermit {
    pub(crate) fn room(&self) -> &RoomId {
        &self.room
    }

    /// Returns on whose account the room is written to.
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }
}

/// The history, as callers reach it: every method that reads or writes a room takes the permit to do so.
#[derive(Clone, Debug)]
pub(crate) struct PermittedHistory {
    history: Arc<dyn History>,
    states: Turns,
    pages: Turns,
}

impl PermittedHistory {
    pub(crate) fn new(history: Arc<dyn History>) -> Self {
        Self { history, states: Turns::new(READS), pages: Turns::new(READS) }
    }

    /// See [`History::epoch`].
    pub(crate) fn epoch(&self) -> watch::Receiver<Epoch> {
        self.history.epoch()
    }

    /// See [`History::durability`].
    pub(crate) fn durability(&self) -> Durability {
        self.history.durability()
    }

    /// See [`History::follow`].
    pub(crate) fn follow(&self, permit: &ReadPermit) -> Following {
        self.history.follow(permit.room())
    }

    /// See [`History::append`].
    pub(crate) fn append(&self, permit: &WritePermit, draft: Draft, expected: Expected) -> Appending {
        debug_assert_eq!(permit.room(), &draft.room);
        self.history.append(&permit.account, draft, expected)
    }

    /// See [`History::mark_read`].
    pub(crate) fn mark_read(&self, permit: &ReadPermit, user: UserId, seq: Seq) -> Marking {
        self.history.mark_read(&permit.account, permit.room().clone(), user, seq)
    }

    /// See [`History::room_state`].
    pub(crate) fn room_state(
        &self,
        permit: &ReadPermit,
        user: Option<UserId>,
        last: u32,
        at: Seq,
    ) -> BoxFuture<'static, Result<RoomState, ReadError>> {
        self.state(permit, RoomQuery { room: permit.room().clone(), user, last, at })
    }

    /// Returns the newest event of a room.
    pub(crate) async fn head(&self, permit: &ReadPermit) -> Result<Seq, ReadError> {
        Ok(self.state(permit, RoomQuery::head(permit.room().clone())).await?.head)
    }

    /// See [`History::read_after`].
    pub(crate) fn read_after(
        &self,
        permit: &ReadPermit,
        after: Seq,
        page: Page,
    ) -> BoxFuture<'static, Result<Vec<Event>, ReadError>> {
        let (history, room) = (Arc::clone(&self.history), permit.room().clone());
        in_turn(&self.pages, &permit.account, move || history.read_after(room, after, page))
    }

    /// See [`History::read_before`].
    pub(crate) fn read_before(
        &self,
        permit: &ReadPermit,
        before: Seq,
        page: Page,
    ) -> BoxFuture<'static, Result<Vec<Event>, ReadError>> {
        let (history, room) = (Arc::clone(&self.history), permit.room().clone());
        in_turn(&self.pages, &permit.account, move || history.read_before(room, before, page))
    }

    /// Returns at most `max` rooms that have a history and that the caller may read, by id, after `after`.
    pub(crate) fn rooms(
        &self,
        _policy: &Policy,
        caller: &Caller,
        after: Option<RoomId>,
        max: usize,
    ) -> BoxFuture<'static, Result<Vec<RoomHead>, ReadError>> {
        let history = Arc::clone(&self.history);
        in_turn(&self.pages, &caller.account, move || history.rooms(after, max))
    }

    /// Reads the state of a room in the account's turn.
    fn state(&self, permit: &ReadPermit, query: RoomQuery) -> BoxFuture<'static, Result<RoomState, ReadError>> {
        let history = Arc::clone(&self.history);
        in_turn(&self.states, &permit.account, move || history.room_state(query))
    }
}

/// Reads in the account's turn, on a task of its own: the connection that waits for it may be busy for long, and would hold its
/// place meanwhile.
fn in_turn<T, F>(
    turns: &Turns,
    account: &Account,
    read: impl FnOnce() -> F + Send + 'static,
) -> BoxFuture<'static, Result<T, ReadError>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ReadError>> + Send,
{
    let (turns, account) = (turns.clone(), account.clone());
    let reading = tokio::spawn(async move {
        let _turn = turns.take(&account).await;
        read().await
    });
    let reading = AbortOnDropHandle::new(reading);
    Box::pin(async move { reading.await.unwrap_or(Err(ReadError::Unavailable)) })
}
