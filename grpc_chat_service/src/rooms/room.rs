//! One room: its tail, its ephemeral state, and the seats of its readers.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::ephemeral::{Ephemeral, Personal, Presence, PresenceKey};
use super::seat::{Seat, Subscriber};
use super::tail::{Tail, Taken};
use crate::history::Following;
use crate::metrics::Counted;
use crate::model::{Change, Event, RoomId, Seq, UserId};
use crate::peers::{NodeId, Signal};

/// The rooms whose ephemeral state has changed since it was last announced, or that have been closed. Shared by all rooms.
#[derive(Clone, Debug, Default)]
pub(super) struct Changed(Arc<Mutex<HashSet<RoomId>>>);

impl Changed {
    pub(super) fn insert(&self, room: &RoomId) {
        lock(&self.0).insert(room.clone());
    }

    pub(super) fn take(&self) -> HashSet<RoomId> {
        std::mem::take(&mut *lock(&self.0))
    }
}

/// What has changed in a room's ephemeral state since a reader was last sent it.
#[derive(Debug)]
pub(crate) struct Delta {
    /// Who is present, encoded, if that has changed.
    pub(crate) presence: Option<Bytes>,
    pub(crate) personal: Personal,
    /// The version that the reader has seen then.
    pub(crate) version: u64,
}

/// One room, for as long as it has readers. Its history is stored elsewhere.
///
/// Short locks, never held across an await; the session's outbox documents the order in which locks may nest.
#[derive(Debug)]
pub(crate) struct Room {
    id: RoomId,
    changed: Changed,
    tail: Mutex<Tail>,
    ephemeral: Mutex<Ephemeral>,
    /// The version of `ephemeral` that readers may see: changes are announced together, a few times a second.
    announced: AtomicU64,
    /// The presence that a reader was sent last, encoded. Others have seen the same version, and are sent the same bytes. Taken
    /// while `ephemeral` is locked.
    encoded: Mutex<Option<(PresenceKey, Bytes)>>,
    seats: Mutex<Vec<Arc<Seat>>>,
    /// See [`Room::last_published`].
    published: AtomicU64,
    /// The history publishes what is stored in the room for as long as this is held.
    _following: Following,
    _open: Counted,
}

impl Room {
    pub(super) fn new(id: RoomId, changed: Changed, tail: Tail, following: Following, open: Counted) -> Self {
        Self {
            id,
            changed,
            tail: Mutex::new(tail),
            ephemeral: Mutex::default(),
            announced: AtomicU64::new(0),
            encoded: Mutex::default(),
            seats: Mutex::default(),
            published: AtomicU64::new(0),
            _following: following,
            _open: open,
        }
    }

    pub(crate) fn id(&self) -> &RoomId {
        &self.id
    }

    /// Adds stored events to the tail and notifies every reader that is not due already. `now` is a number that rises.
    pub(crate) fn publish(&self, events: Vec<Event>, encode: fn(&Event, &mut BytesMut), now: u64) {
        self.published.store(now, Ordering::Relaxed);
        {
            let mut ephemeral = lock(&self.ephemeral);
            for event in &events {
                if let Change::Post { .. } | Change::Edit { .. } = event.draft.change {
                    ephemeral.stop_typing(&event.draft.sender);
                }
            }
        }
        lock(&self.tail).extend(events, encode);
        self.notify();
    }

    /// Notes that the newest event of the room is `head`: readers get what the tail does not have from the history.
    pub(super) fn ahead(&self, head: Seq) {
        lock(&self.tail).skip_to(head);
        self.notify();
    }

    /// Forgets the events in the tail. Readers get them from the history.
    pub(super) fn clear_tail(&self) {
        lock(&self.tail).clear();
    }

    /// Returns when events were last added to the tail, in the numbers given to [`Room::publish`], if there are any in it.
    pub(super) fn last_published(&self) -> Option<u64> {
        (!lock(&self.tail).is_empty()).then(|| self.published.load(Ordering::Relaxed))
    }

    /// See [`Tail::take`].
    pub(crate) fn take(&self, after: Seq, max_bytes: usize, into: &mut Vec<Bytes>) -> Taken {
        lock(&self.tail).take(after, max_bytes, into)
    }

    /// Gives a seat to a reader that is about to look. It is notified of what comes after that.
    pub(crate) fn seat(&self, reader: u64, session: Weak<dyn Subscriber>) -> Arc<Seat> {
        let seat = Arc::new(Seat::new(reader, session));
        lock(&self.seats).push(Arc::clone(&seat));
        seat
    }

    pub(crate) fn unseat(&self, seat: &Arc<Seat>) {
        lock(&self.seats).retain(|other| !Arc::ptr_eq(other, seat));
    }

    /// Adds a session of `user` to those present. Returns the version of the ephemeral state that includes it.
    pub(crate) fn enter(&self, user: &UserId) -> u64 {
        let version = {
            let mut ephemeral = lock(&self.ephemeral);
            ephemeral.enter(user);
            ephemeral.version()
        };
        self.changed.insert(&self.id);
        version
    }

    /// Removes a session of `user` from those present.
    pub(crate) fn exit(&self, user: &UserId) {
        lock(&self.ephemeral).exit(user);
        self.changed.insert(&self.id);
    }

    pub(crate) fn typing(&self, user: &UserId) {
        lock(&self.ephemeral).typing(user, Instant::now());
        self.changed.insert(&self.id);
    }

    pub(super) fn read(&self, user: &UserId, seq: Seq) {
        lock(&self.ephemeral).read(user, seq);
        self.changed.insert(&self.id);
    }

    /// See [`Ephemeral::read_mark`].
    pub(crate) fn read_mark(&self, user: &UserId) -> Seq {
        lock(&self.ephemeral).read_mark(user)
    }

    /// See [`Ephemeral::present`].
    pub(crate) fn present(&self) -> (Vec<UserId>, usize) {
        lock(&self.ephemeral).present()
    }

    /// Returns what has been announced since version `seen` of the ephemeral state.
    pub(crate) fn delta(&self, seen: u64, reader: &UserId, encode: impl FnOnce(Presence) -> Bytes) -> Option<Delta> {
        if self.announced.load(Ordering::SeqCst) <= seen {
            return None;
        }
        let ephemeral = lock(&self.ephemeral);
        let presence = ephemeral.presence_key(seen).map(|key| {
            let mut encoded = lock(&self.encoded);
            match &*encoded {
                Some((of, bytes)) if *of == key => bytes.clone(),
                _ => encoded.insert((key, encode(ephemeral.presence_since(seen)))).1.clone(),
            }
        });
        Some(Delta { presence, personal: ephemeral.personal_since(seen, reader), version: ephemeral.version() })
    }

    /// Announces the ephemeral state to readers. Returns what to tell other nodes, and whether this has to be repeated soon,
    /// since something in the state expires or is announced later.
    pub(super) fn announce(&self) -> (Vec<Signal>, bool) {
        let now = Instant::now();
        let (signals, again, version) = {
            let mut ephemeral = lock(&self.ephemeral);
            let again = ephemeral.expire(now) | ephemeral.count(now);
            (ephemeral.signals(&self.id), again, ephemeral.version())
        };
        if self.announced.swap(version, Ordering::SeqCst) < version {
            self.notify();
        }
        (signals, again)
    }

    /// See [`Ephemeral::whole`].
    pub(super) fn whole(&self) -> Signal {
        lock(&self.ephemeral).whole(&self.id)
    }

    /// See [`Ephemeral::apply`].
    pub(super) fn apply(&self, node: NodeId, signal: Signal) -> bool {
        let applied = lock(&self.ephemeral).apply(node, signal, Instant::now());
        self.changed.insert(&self.id);
        applied
    }

    /// See [`Ephemeral::node_stopped`].
    pub(super) fn node_stopped(&self, node: NodeId) {
        lock(&self.ephemeral).node_stopped(node);
        self.changed.insert(&self.id);
    }

    fn notify(&self) {
        for seat in lock(&self.seats).iter() {
            seat.notify();
        }
    }
}

impl Drop for Room {
    /// The entry of a closed room is removed at the next announcement.
    fn drop(&mut self) {
        self.changed.insert(&self.id);
    }
}

/// A lock is never left in an inconsistent state: everything done under one is a few assignments.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
