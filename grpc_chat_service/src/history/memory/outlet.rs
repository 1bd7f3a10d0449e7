//! What a handle still has to publish.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::history::{Published, Publisher};
use crate::model::{Event, RoomId, Seq, UserId};

/// The publishing end of one handle. What is queued and what is followed change under the store's lock, so that the order
/// of the queue is that of the store.
#[derive(Debug)]
pub(super) struct Outlet {
    backlog: Mutex<Backlog>,
    followed: Mutex<HashMap<RoomId, usize>>,
    /// Events that may be queued. Beyond it, rooms are ahead instead.
    max_events: usize,
    /// Another handle has stored something.
    pub(super) stored_elsewhere: Notify,
    /// Held while sending, so that what two tasks send stays in order. `None` once the handle is closed.
    publisher: tokio::sync::Mutex<Option<Publisher>>,
}

/// What is queued, and what would be if it were not too much.
#[derive(Debug, Default)]
struct Backlog {
    queue: VecDeque<Published>,
    events: usize,
    /// The heads of rooms whose events are not queued any more. Comes after everything in the queue.
    ahead: HashMap<RoomId, Seq>,
    /// Read marks that are not queued any more.
    read: HashMap<(RoomId, UserId), Seq>,
}

/// Follows a room until it is dropped.
#[derive(Debug)]
pub(super) struct Guard {
    outlet: Arc<Outlet>,
    room: RoomId,
}

impl Outlet {
    pub(super) fn new(publisher: Publisher, max_events: usize) -> Self {
        Self {
            backlog: Mutex::default(),
            followed: Mutex::default(),
            max_events,
            stored_elsewhere: Notify::new(),
            publisher: tokio::sync::Mutex::new(Some(publisher)),
        }
    }

    /// Follows a room.
    pub(super) fn follow(self: &Arc<Self>, room: &RoomId) -> Guard {
        *lock(&self.followed).entry(room.clone()).or_default() += 1;
        Guard { outlet: Arc::clone(self), room: room.clone() }
    }

    /// Queues those events whose rooms are followed.
    pub(super) fn stored(&self, mut events: Vec<Event>) {
        let followed = lock(&self.followed);
        // Consecutive events are of one room, most often.
        let mut last: Option<(RoomId, bool)> = None;
        events.retain(|event| {
            let room = &event.draft.room;
            match &last {
                Some((same, is_followed)) if same == room => *is_followed,
                _ => last.insert((room.clone(), followed.contains_key(room))).1,
            }
        });
        let mut backlog = lock(&self.backlog);
        if events.is_empty() {
            return;
        }
        if backlog.ahead.is_empty() && backlog.events + events.len() <= self.max_events {
            backlog.events += events.len();
            backlog.queue.push_back(Published::Stored(events));
        } else {
            backlog.ahead.extend(events.into_iter().map(|event| (event.draft.room, event.seq)));
        }
    }

    /// Queues only where the rooms of those events stand, as a store does that has fallen behind.
    pub(super) fn skipped(&self, events: &[Event]) {
        let followed = lock(&self.followed);
        let skipped = events.iter().filter(|event| followed.contains_key(&event.draft.room));
        lock(&self.backlog).ahead.extend(skipped.map(|event| (event.draft.room.clone(), event.seq)));
    }

    /// Queues a read mark.
    pub(super) fn read(&self, room: &RoomId, user: &UserId, seq: Seq) {
        if !self.follows(room) {
            return;
        }
        let (room, user) = (room.clone(), user.clone());
        let mut backlog = lock(&self.backlog);
        if backlog.read.is_empty() && backlog.queue.len() < self.max_events {
            backlog.queue.push_back(Published::Read { room, user, seq });
        } else {
            backlog.read.insert((room, user), seq);
        }
    }

    /// Queues that something of the room has gone.
    pub(super) fn erased(&self, room: &RoomId) {
        if self.follows(room) {
            lock(&self.backlog).queue.push_back(Published::Erased { room: room.clone() });
        }
    }

    /// Sends everything that is queued. Waits while the channel is full.
    pub(super) async fn flush(&self) {
        let publisher = self.publisher.lock().await;
        while let Some(published) = self.next() {
            // Without a receiver nothing is published; what is stored is stored.
            if let Some(publisher) = &*publisher {
                publisher.send(published).await.ok();
            }
        }
    }

    /// Publishes nothing any more.
    pub(super) async fn close(&self) {
        *self.publisher.lock().await = None;
    }

    fn next(&self) -> Option<Published> {
        let mut backlog = lock(&self.backlog);
        if let Some(published) = backlog.queue.pop_front() {
            if let Published::Stored(events) = &published {
                backlog.events -= events.len();
            }
            return Some(published);
        }
        if let Some(room) = backlog.ahead.keys().min().cloned() {
            let head = backlog.ahead.remove(&room)?;
            return Some(Published::Ahead { room, head });
        }
        let key = backlog.read.keys().min().cloned()?;
        let seq = backlog.read.remove(&key)?;
        let (room, user) = key;
        Some(Published::Read { room, user, seq })
    }

    fn follows(&self, room: &RoomId) -> bool {
        lock(&self.followed).contains_key(room)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut followed = lock(&self.outlet.followed);
        if let Some(times) = followed.get_mut(&self.room) {
            *times -= 1;
            if *times == 0 {
                followed.remove(&self.room);
            }
        }
    }
}

/// Short lock, never held across an await.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
