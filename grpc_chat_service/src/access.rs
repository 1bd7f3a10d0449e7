//! Who calls, and what they may do: permits that prove a check, and a history that is only reached with one.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::history::{
    Appending, Expected, Following, History, Marking, Page, ReadError, RoomHead, RoomQuery, RoomState,
};
use crate::model::{Draft, Durability, Epoch, Event, RoomId, Seq, UserId};
use crate::refusal::Refusal;

/// The facts known about a caller when its call arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The address at the other end of the connection.
    pub(crate) peer: SocketAddr,
}

/// Proves that a caller may read a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadPermit(RoomId);

/// Proves that a caller may write to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WritePermit(RoomId);

/// Decides what callers may do. At present everyone may do everything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Policy;

impl Policy {
    /// Checks that `caller` may read `room`.
    ///
    /// # Errors
    ///
    /// The refusal to send to a caller who may not.
    pub(crate) fn read(&self, _caller: &Caller, room: RoomId) -> Result<ReadPermit, Refusal> {
        Ok(ReadPermit(room))
    }

    /// Checks that `caller` may write to `room`.
    ///
    /// # Errors
    ///
    /// The refusal to send to a caller who may not.
    pub(crate) fn write(&self, _caller: &Caller, room: RoomId) -> Result<WritePermit, Refusal> {
        Ok(WritePermit(room))
    }
}

impl ReadPermit {
    pub(crate) fn room(&self) -> &RoomId {
        &self.0
    }
}

impl WritePermit {
    pub(crate) fn room(&self) -> &RoomId {
        &self.0
    }
}

/// The history, as callers reach it: every method that reads or writes a room takes the permit to do so.
#[derive(Clone, Debug)]
pub(crate) struct PermittedHistory(Arc<dyn History>);

impl PermittedHistory {
    pub(crate) fn new(history: Arc<dyn History>) -> Self {
        Self(history)
    }

    /// See [`History::epoch`].
    pub(crate) fn epoch(&self) -> watch::Receiver<Epoch> {
        self.0.epoch()
    }

    /// See [`History::durability`].
    pub(crate) fn durability(&self) -> Durability {
        self.0.durability()
    }

    /// See [`History::follow`].
    pub(crate) fn follow(&self, permit: &ReadPermit) -> Following {
        self.0.follow(permit.room())
    }

    /// See [`History::append`].
    pub(crate) fn append(&self, permit: &WritePermit, draft: Draft, expected: Expected) -> Appending {
        debug_assert_eq!(permit.room(), &draft.room);
        self.0.append(draft, expected)
    }

    /// See [`History::mark_read`].
    pub(crate) fn mark_read(&self, permit: &ReadPermit, user: UserId, seq: Seq) -> Marking {
        self.0.mark_read(permit.room().clone(), user, seq)
    }

    /// See [`History::room_state`].
    pub(crate) fn room_state(
        &self,
        permit: &ReadPermit,
        user: Option<UserId>,
        last: u32,
        at: Seq,
    ) -> BoxFuture<'static, Result<RoomState, ReadError>> {
        self.0.room_state(RoomQuery { room: permit.room().clone(), user, last, at })
    }

    /// Returns the newest event of a room.
    pub(crate) async fn head(&self, permit: &ReadPermit) -> Result<Seq, ReadError> {
        Ok(self.0.room_state(RoomQuery::head(permit.room().clone())).await?.head)
    }

    /// See [`History::read_after`].
    pub(crate) fn read_after(
        &self,
        permit: &ReadPermit,
        after: Seq,
        page: Page,
    ) -> BoxFuture<'static, Result<Vec<Event>, ReadError>> {
        self.0.read_after(permit.room().clone(), after, page)
    }

    /// See [`History::read_before`].
    pub(crate) fn read_before(
        &self,
        permit: &ReadPermit,
        before: Seq,
        page: Page,
    ) -> BoxFuture<'static, Result<Vec<Event>, ReadError>> {
        self.0.read_before(permit.room().clone(), before, page)
    }

    /// Returns at most `max` rooms that have a history and that the caller may read, by id, after `after`.
    pub(crate) fn rooms(
        &self,
        _policy: &Policy,
        _caller: &Caller,
        after: Option<RoomId>,
        max: usize,
    ) -> BoxFuture<'static, Result<Vec<RoomHead>, ReadError>> {
        self.0.rooms(after, max)
    }
}
