//! A history in memory, for tests and for `--memory`. It is lost when the last handle is dropped.
//!
//! Each handle has one task that writes: it takes what is queued, applies it, publishes it to all handles, then sends the
//! results. It is a task and not a thread so that a simulated network with a paused clock runs it deterministically.

mod outlet;
mod tables;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, FutureExt, ready};
use tokio::sync::watch;
use tokio::time::Instant;

use super::queue::{Batch, Queue, Queued, ReadMark, Reply, Request};
use super::{
    Admission, Appending, Expected, Feed, Following, History, Marking, Page, Position, Publisher, ReadError, RoomHead,
    RoomQuery, RoomState, new_epoch, now,
};
use crate::metrics::HistoryMetrics;
use crate::model::{Account, Draft, Durability, Epoch, Event, RoomId, Seq, UnixMillis, UserId};
use crate::rates::Rates;
use outlet::Outlet;
use tables::Tables;

/// Events that may wait for the receiver of a handle, if another handle stored them.
const MAX_BACKLOG: usize = 4_096;

/// A store in memory, which any number of handles share.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    epoch: watch::Sender<Epoch>,
    /// Of what one handle stores, this share is not published to the others, who are told that they are behind.
    skip_share: f64,
    max_backlog: usize,
}

#[derive(Debug)]
struct State {
    tables: Tables,
    outlets: Vec<Arc<Outlet>>,
    /// Decides what is skipped.
    random: fastrand::Rng,
    skips: u64,
}

/// A handle on a store in memory.
#[derive(Debug)]
pub struct Memory {
    shared: Arc<Shared>,
    outlet: Arc<Outlet>,
    queue: Queue,
    healthy: watch::Receiver<bool>,
}

/// The time of opening, continued by tokio's clock, which tests can pause.
#[derive(Debug)]
struct Clock {
    start: UnixMillis,
    started: Instant,
}

impl MemoryStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with(0.0, 0, MAX_BACKLOG)
    }

    /// Creates an empty store whose handles fall behind: `skip_share` of what one of them stores is published to the others
    /// as [`Published::Ahead`](super::Published::Ahead), chosen by `seed`.
    #[doc(hidden)]
    #[must_use]
    pub fn lagging(skip_share: f64, seed: u64) -> Self {
        Self::with(skip_share, seed, MAX_BACKLOG)
    }

    /// Creates an empty store with another bound than [`MAX_BACKLOG`].
    #[cfg(test)]
    pub(super) fn with_backlog(max_backlog: usize) -> Self {
        Self::with(0.0, 0, max_backlog)
    }

    fn with(skip_share: f64, seed: u64, max_backlog: usize) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        let state = State { tables: Tables::default(), outlets: Vec::new(), random, skips: 0 };
        let epoch = watch::Sender::new(new_epoch());
        Self { shared: Arc::new(Shared { state: Mutex::new(state), epoch, skip_share, max_backlog }) }
    }

    /// Opens a handle that publishes to `publisher`. Must be called within a tokio runtime. The bound on its bytes holds for
    /// the store from now on.
    #[must_use]
    pub fn open(&self, admission: Admission, publisher: Publisher) -> Memory {
        let shared = Arc::clone(&self.shared);
        shared.lock().tables.set_max_bytes(admission.storage.memory_bytes);
        let outlet = Arc::new(Outlet::new(publisher, shared.max_backlog));
        shared.lock().outlets.push(Arc::clone(&outlet));
        let (queue, queued) = Queue::new(admission);
        let (health, healthy) = watch::channel(true);
        tokio::spawn(write(Arc::clone(&shared), Arc::clone(&outlet), queued, health));
        Memory { shared, outlet, queue, healthy }
    }

    /// Returns how often a handle was told only that it is behind; see [`MemoryStore::lagging`].
    #[doc(hidden)]
    #[must_use]
    pub fn skips(&self) -> u64 {
        self.shared.lock().skips
    }

    /// Removes the events of a room before `oldest`, as retention does. Returns whether there were any.
    #[doc(hidden)]
    pub fn expire(&self, room: &RoomId, oldest: Seq) -> bool {
        let mut state = self.shared.lock();
        let removed = state.tables.expire(room, oldest);
        if removed {
            for outlet in &state.outlets {
                outlet.erased(room);
                outlet.stored_elsewhere.notify_one();
            }
        }
        removed
    }

    /// Starts a new epoch, as when a store is restored beneath its handles.
    #[doc(hidden)]
    pub fn start_epoch(&self) {
        self.shared.epoch.send_replace(new_epoch());
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl History for Memory {
    fn epoch(&self) -> watch::Receiver<Epoch> {
        self.shared.epoch.subscribe()
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }

    fn follow(&self, room: &RoomId) -> Following {
        let _state = self.shared.lock();
        Following::new(self.outlet.follow(room))
    }

    fn append(&self, account: &Account, draft: Draft, expected: Expected) -> Appending {
        self.queue.append(account, draft, expected)
    }

    fn room_state(&self, query: RoomQuery) -> BoxFuture<'static, Result<RoomState, ReadError>> {
        ready(Ok(self.shared.lock().tables.state(&query))).boxed()
    }

    fn read_after(&self, room: RoomId, after: Seq, page: Page) -> BoxFuture<'static, Result<Vec<Event>, ReadError>> {
        ready(self.shared.lock().tables.read_after(&room, after, page)).boxed()
    }

    fn read_before(&self, room: RoomId, before: Seq, page: Page) -> BoxFuture<'static, Result<Vec<Event>, ReadError>> {
        ready(Ok(self.shared.lock().tables.read_before(&room, before, page))).boxed()
    }

    fn since(&self, position: Position, page: Page) -> BoxFuture<'static, Result<Feed, ReadError>> {
        ready(Ok(self.shared.lock().tables.since(position, page))).boxed()
    }

    fn rooms(&self, after: Option<RoomId>, max: usize) -> BoxFuture<'static, Result<Vec<RoomHead>, ReadError>> {
        ready(Ok(self.shared.lock().tables.rooms(after.as_ref(), max))).boxed()
    }

    fn mark_read(&self, account: &Account, room: RoomId, user: UserId, seq: Seq) -> Marking {
        self.queue.mark_read(account, ReadMark { room, user, seq })
    }

    fn metrics(&self) -> HistoryMetrics {
        self.queue.metrics().clone()
    }

    fn healthy(&self) -> watch::Receiver<bool> {
        self.healthy.clone()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.queue.close();
        let mut healthy = self.healthy.clone();
        // The writer drops the sender when it ends.
        Box::pin(async move { while healthy.changed().await.is_ok() {} })
    }
}

/// Runs the writer of one handle until its queue is closed.
async fn write(shared: Arc<Shared>, outlet: Arc<Outlet>, mut queued: Queued, health: watch::Sender<bool>) {
    let clock = Clock { start: now(), started: Instant::now() };
    let mut batch = Batch::default();
    loop {
        tokio::select! {
            biased;
            open = queued.take(&mut batch) => {
                if !open {
                    break;
                }
                let started = Instant::now();
                let replies = shared.apply(&outlet, &mut batch, &queued.rates, clock.now());
                shared.show_health(&health);
                outlet.flush().await;
                queued.metrics().committed(replies.len(), started.elapsed());
                Reply::count(&replies, queued.metrics());
                replies.into_iter().for_each(Reply::send);
            }
            () = outlet.stored_elsewhere.notified() => {
                shared.show_health(&health);
                outlet.flush().await;
            }
        }
    }
    shared.lock().outlets.retain(|other| !Arc::ptr_eq(other, &outlet));
    outlet.close().await;
    health.send_replace(false);
}

impl Shared {
    /// Applies requests and queues what they have changed for all handles.
    fn apply(&self, own: &Arc<Outlet>, batch: &mut Batch, rates: &Rates, now: UnixMillis) -> Vec<Reply> {
        let epoch = *self.epoch.borrow();
        let mut stored = Vec::new();
        let mut marks = Vec::new();
        let mut replies = Vec::with_capacity(batch.len());
        let mut state = self.lock();
        let state = &mut *state;
        for request in batch.drain() {
            replies.push(match request {
                Request::Append(append, sender) => {
                    Reply::Append(sender, state.tables.append(epoch, append, rates, now, &mut stored))
                }
                Request::MarkRead(mark, sender) => {
                    let marked = state.tables.mark_read(&mark);
                    marks.extend(marked.is_ok_and(|(_, moved)| moved).then_some(mark));
                    Reply::MarkRead(sender, marked.map(|(seq, _)| seq))
                }
            });
        }
        for outlet in &state.outlets {
            for ReadMark { room, user, seq } in &marks {
                outlet.read(room, user, *seq);
            }
            if Arc::ptr_eq(outlet, own) {
                continue;
            }
            if self.skip_share > 0.0 && state.random.f64() < self.skip_share {
                state.skips += 1;
                outlet.skipped(&stored);
            } else {
                outlet.stored(stored.clone());
            }
            outlet.stored_elsewhere.notify_one();
        }
        own.stored(stored);
        replies
    }

    /// Shows on one handle whether the store has room, whichever handle has used it.
    fn show_health(&self, health: &watch::Sender<bool>) {
        let has_room = !self.lock().tables.is_full();
        health.send_if_modified(|was| std::mem::replace(was, has_room) != has_room);
    }

    /// Short lock, never held across an await.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock {
    fn now(&self) -> UnixMillis {
        self.start + UnixMillis::try_from(self.started.elapsed().as_millis()).unwrap_or(0)
    }
}
