//! All rooms that somebody receives, and the one place from which what is stored goes out to them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::mpsc;

use crate::model::{Event, RoomId};
use crate::room::Room;

/// How often presence, typing and read marks go out: what changes in between is told once.
const LIVE: Duration = Duration::from_millis(250);

/// The rooms that somebody receives. Each is here as long as someone holds it.
#[derive(Debug)]
pub(crate) struct Rooms {
    open: Mutex<HashMap<RoomId, Weak<Room>>>,
    /// Rooms in which something live has changed since readers were last told.
    changed: Mutex<HashSet<RoomId>>,
    encode: fn(&Event, &mut BytesMut),
    tail_bytes: usize,
}

impl Rooms {
    pub(crate) fn new(encode: fn(&Event, &mut BytesMut), tail_bytes: usize) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), changed: Mutex::default(), encode, tail_bytes })
    }

    /// The room. From here on it keeps what is stored in it, as long as it is held: whatever the history has not shown
    /// by then will be in the tail.
    pub(crate) fn open(self: &Arc<Self>, id: &RoomId) -> Arc<Room> {
        let mut open = self.lock();
        if let Some(room) = open.get(id).and_then(Weak::upgrade) {
            return room;
        }
        let room = Arc::new(Room::new(id.clone(), Arc::downgrade(self), self.tail_bytes));
        open.insert(id.clone(), Arc::downgrade(&room));
        room
    }

    /// The room, if somebody receives it.
    pub(crate) fn get(&self, id: &RoomId) -> Option<Arc<Room>> {
        self.lock().get(id).and_then(Weak::upgrade)
    }

    /// Passes on what the history has stored, in the order in which it tells it, until it is closed.
    pub(crate) async fn publish(self: Arc<Self>, mut committed: mpsc::Receiver<Vec<Event>>) {
        while let Some(batch) = committed.recv().await {
            let mut batch = batch.into_iter().peekable();
            // Usually one room's in a row; never reordered.
            while let Some(event) = batch.next() {
                let room = self.get(&event.draft.room);
                let mut run = vec![event];
                while let Some(next) = batch.next_if(|next| next.draft.room == run[0].draft.room) {
                    run.push(next);
                }
                if let Some(room) = room {
                    room.publish(run, self.encode);
                }
            }
        }
    }

    /// Lets readers know what is live, a few times a second, for ever.
    pub(crate) async fn announce(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(LIVE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let changed = std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner));
            for id in changed {
                if let Some(room) = self.get(&id)
                    && room.announce()
                {
                    self.changed(&id);
                }
            }
        }
    }

    /// Something live has changed in the room.
    pub(crate) fn changed(&self, id: &RoomId) {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
    }

    /// Nobody holds the room any more; unless it was opened again meanwhile, it goes.
    pub(crate) fn closed(&self, id: &RoomId) {
        let mut open = self.lock();
        if open.get(id).is_some_and(|room| room.strong_count() == 0) {
            open.remove(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RoomId, Weak<Room>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
