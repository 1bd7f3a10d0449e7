//! The open rooms, that is, those with readers, and the one place from which stored events reach them.

mod ephemeral;
mod room;
mod seat;
mod tail;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::mpsc;

use crate::access::{ReadPermit, WritePermit};
use crate::limits::RoomLimits;
use crate::model::{Event, RoomId};

pub(crate) use ephemeral::Delta;
use room::Changed;
pub(crate) use room::Room;
pub(crate) use seat::{Seat, Subscriber};
pub(crate) use tail::Taken;

/// How often presence, typing and read marks are announced. Changes in between are sent once.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(250);

/// The open rooms. A room stays open as long as someone holds it.
#[derive(Debug)]
pub(crate) struct Rooms {
    open: Mutex<HashMap<RoomId, Weak<Room>>>,
    changed: Changed,
    encode: fn(&Event, &mut BytesMut),
    limits: RoomLimits,
}

impl Rooms {
    pub(crate) fn new(encode: fn(&Event, &mut BytesMut), limits: RoomLimits) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), changed: Changed::default(), encode, limits })
    }

    /// Opens a room. Events committed after this call are in its tail, so open a room before reading its head.
    pub(crate) fn open(&self, permit: &ReadPermit) -> Arc<Room> {
        let id = permit.room();
        let mut open = self.lock();
        if let Some(room) = open.get(id).and_then(Weak::upgrade) {
            return room;
        }
        let room = Arc::new(Room::new(id.clone(), self.changed.clone(), self.limits.tail_bytes));
        open.insert(id.clone(), Arc::downgrade(&room));
        room
    }

    /// Returns a room if it is open.
    pub(crate) fn get_to_read(&self, permit: &ReadPermit) -> Option<Arc<Room>> {
        self.get(permit.room())
    }

    /// Returns a room if it is open.
    pub(crate) fn get_to_write(&self, permit: &WritePermit) -> Option<Arc<Room>> {
        self.get(permit.room())
    }

    /// Passes stored events on to the open rooms, in the order in which they come, until the channel is closed.
    pub(crate) async fn publish(self: Arc<Self>, mut committed: mpsc::Receiver<Vec<Event>>) {
        while let Some(batch) = committed.recv().await {
            let mut batch = batch.into_iter().peekable();
            while let Some(event) = batch.next() {
                let room = self.get(&event.draft.room);
                // Consecutive events of one room, which is the usual case, are published together.
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

    /// Announces presence, typing and read marks to the readers of each room, a few times a second, for ever.
    pub(crate) async fn announce(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(ANNOUNCE_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for id in self.changed.take() {
                match self.get(&id) {
                    Some(room) if room.announce() => self.changed.insert(&id),
                    Some(_) => {}
                    None => self.forget(&id),
                }
            }
        }
    }

    fn get(&self, id: &RoomId) -> Option<Arc<Room>> {
        self.lock().get(id).and_then(Weak::upgrade)
    }

    /// Removes the entry of a closed room, unless the room has been opened again.
    fn forget(&self, id: &RoomId) {
        let mut open = self.lock();
        if open.get(id).is_some_and(|room| room.strong_count() == 0) {
            open.remove(id);
        }
    }

    /// Short lock, never held across an await.
    fn lock(&self) -> MutexGuard<'_, HashMap<RoomId, Weak<Room>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
