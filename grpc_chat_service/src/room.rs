//! One room: its tail, what is live in it, and the seats of those who receive it.

pub(crate) mod live;
pub(crate) mod tail;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::time::Instant;

use crate::model::{Change, Event, RoomId, Seq, UserId};
use crate::room::live::{Live, News};
use crate::room::tail::{Tail, Taken};
use crate::rooms::Rooms;
use crate::session::outbox::Outbox;

/// One room, as long as somebody receives it. Its history is elsewhere.
///
/// Three short locks, none held across an await; see [`Outbox`] for the order in which locks may be held together.
#[derive(Debug)]
pub(crate) struct Room {
    id: RoomId,
    rooms: Weak<Rooms>,
    tail: Mutex<Tail>,
    live: Mutex<Live>,
    /// The version of `live` that readers may be told: changes are let out together, a few times a second.
    announced: AtomicU64,
    seats: Mutex<Vec<Arc<Seat>>>,
}

/// Where a room finds one session that receives it.
#[derive(Debug)]
pub(crate) struct Seat {
    /// The session has been told and has not looked since: it need not be told again. The teller changes the room and
    /// then looks here, the session clears this and then looks at the room: one of them has to see the other, so the
    /// two places are in one order for all (`SeqCst`, here and in [`Room::announced`]).
    due: AtomicBool,
    /// Names the reader in its session.
    reader: u64,
    outbox: Arc<Outbox>,
}

impl Room {
    pub(crate) fn new(id: RoomId, rooms: Weak<Rooms>, tail_bytes: usize) -> Self {
        Self {
            id,
            rooms,
            tail: Mutex::new(Tail::new(tail_bytes)),
            live: Mutex::default(),
            announced: AtomicU64::new(0),
            seats: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> &RoomId {
        &self.id
    }

    /// Extends the tail with what was stored, and tells everyone who is not already due.
    pub(crate) fn publish(&self, events: Vec<Event>, encode: fn(&Event, &mut bytes::BytesMut)) {
        {
            let mut live = lock(&self.live);
            for event in &events {
                // What was being typed has been said.
                if let Change::Post { .. } | Change::Edit { .. } = event.draft.change {
                    live.posted(&event.draft.sender);
                }
            }
        }
        lock(&self.tail).extend(events, encode);
        self.tell();
    }

    /// See [`Tail::take`].
    pub(crate) fn take(&self, after: Seq, max_bytes: usize, into: &mut Vec<Bytes>) -> Taken {
        lock(&self.tail).take(after, max_bytes, into)
    }

    /// A seat for a reader who is going to look. From that look on it is told.
    pub(crate) fn seat(&self, reader: u64, outbox: &Arc<Outbox>) -> Arc<Seat> {
        let seat = Arc::new(Seat { due: AtomicBool::new(true), reader, outbox: Arc::clone(outbox) });
        lock(&self.seats).push(Arc::clone(&seat));
        seat
    }

    pub(crate) fn unseat(&self, seat: &Seat) {
        lock(&self.seats).retain(|other| !std::ptr::eq(Arc::as_ptr(other), seat));
    }

    pub(crate) fn enter(&self, user: &UserId) -> u64 {
        let version = {
            let mut live = lock(&self.live);
            live.enter(user);
            live.version()
        };
        self.changed();
        version
    }

    pub(crate) fn exit(&self, user: &UserId) {
        lock(&self.live).exit(user);
        self.changed();
    }

    pub(crate) fn typing(&self, user: &UserId) {
        lock(&self.live).typing(user, Instant::now());
        self.changed();
    }

    pub(crate) fn read(&self, user: &UserId, seq: Seq) {
        lock(&self.live).read(user, seq);
        self.changed();
    }

    /// How far the user has read, as far as that has been told here; see [`Live::read_mark`].
    pub(crate) fn read_mark(&self, user: &UserId) -> Seq {
        lock(&self.live).read_mark(user)
    }

    pub(crate) fn present(&self) -> (Vec<UserId>, usize) {
        lock(&self.live).present()
    }

    /// What a reader who has been told up to `seen` has not been told, and the version it is then told up to.
    pub(crate) fn news(&self, seen: u64, me: &UserId) -> Option<(News, u64)> {
        if self.announced.load(Ordering::SeqCst) <= seen {
            return None;
        }
        let live = lock(&self.live);
        Some((live.since(seen, me), live.version()))
    }

    /// Lets readers know what is live. Whether that has to be looked at again soon, although nobody does anything.
    pub(crate) fn announce(&self) -> bool {
        let (again, version) = {
            let mut live = lock(&self.live);
            (live.expire(Instant::now()), live.version())
        };
        if self.announced.swap(version, Ordering::SeqCst) < version {
            self.tell();
        }
        again
    }

    fn changed(&self) {
        if let Some(rooms) = self.rooms.upgrade() {
            rooms.changed(&self.id);
        }
    }

    fn tell(&self) {
        for seat in lock(&self.seats).iter() {
            seat.tell();
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(rooms) = self.rooms.upgrade() {
            rooms.closed(&self.id);
        }
    }
}

impl Seat {
    /// Makes the session look at this room, unless it is going to anyway.
    pub(crate) fn tell(&self) {
        if !self.due.swap(true, Ordering::SeqCst) {
            self.outbox.due(self.reader);
        }
    }

    /// The session has looked, and may not have seen everything. Whether it was not due in any case.
    pub(crate) fn due_again(&self) -> bool {
        !self.due.swap(true, Ordering::SeqCst)
    }

    /// The session is about to look: what comes from here on is to be told again.
    pub(crate) fn looking(&self) {
        self.due.store(false, Ordering::SeqCst);
    }
}

/// A lock is never left in a broken state: everything done under one is a few assignments.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
