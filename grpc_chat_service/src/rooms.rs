//! The open rooms, that is, those with readers, and the one place from which stored events reach them.

mod ephemeral;
mod room;
mod seat;
mod tail;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::access::{PermittedHistory, ReadPermit, WritePermit};
use crate::budgets::Budget;
use crate::history::Published;
use crate::limits::RoomLimits;
use crate::metrics::Metrics;
use crate::model::{Epoch, Event, RoomId};
use crate::peers::{NodeId, Peers, Signal};

pub(crate) use ephemeral::{Personal, Presence};
use room::Changed;
pub(crate) use room::{Delta, Room};
pub(crate) use seat::{Seat, Subscriber};
use tail::Tail;
pub(crate) use tail::Taken;

/// How often presence, typing and read marks are announced. Changes in between are sent once.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(250);

/// How often a node tells the others that it is running.
const ALIVE_EVERY: Duration = Duration::from_secs(2);

/// After this time without a signal, a node is considered stopped, and those who were present through it are not any more.
const SILENT_AFTER: Duration = Duration::from_secs(6);

/// The open rooms. A room stays open as long as someone holds it.
#[derive(Debug)]
pub(crate) struct Rooms {
    open: Mutex<Open>,
    epoch: watch::Receiver<Epoch>,
    changed: Changed,
    history: PermittedHistory,
    peers: Arc<dyn Peers>,
    encode: fn(&Event, &mut BytesMut),
    limits: RoomLimits,
    /// Of all tails.
    budget: Budget,
    /// How often events have been published.
    published: AtomicU64,
    metrics: Arc<Metrics>,
}

/// The open rooms of one epoch.
#[derive(Debug)]
struct Open {
    epoch: Epoch,
    rooms: HashMap<RoomId, Weak<Room>>,
}

impl Rooms {
    pub(crate) fn new(
        history: PermittedHistory,
        peers: Arc<dyn Peers>,
        encode: fn(&Event, &mut BytesMut),
        limits: RoomLimits,
        budget: Budget,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let epoch = history.epoch();
        let published = AtomicU64::new(0);
        let open = Mutex::new(Open { epoch: *epoch.borrow(), rooms: HashMap::new() });
        Arc::new(Self {
            open,
            epoch,
            changed: Changed::default(),
            history,
            peers,
            encode,
            limits,
            budget,
            published,
            metrics,
        })
    }

    /// Opens a room. Events committed after this call are in its tail, so open a room before reading its head.
    pub(crate) fn open(&self, permit: &ReadPermit) -> Arc<Room> {
        let id = permit.room();
        let mut open = self.lock();
        if let Some(room) = open.rooms.get(id).and_then(Weak::upgrade) {
            return room;
        }
        let following = self.history.follow(permit);
        let room = Arc::new(Room::new(
            id.clone(),
            self.changed.clone(),
            Tail::new(self.limits.tail_bytes, self.budget.lease()),
            following,
            self.metrics.rooms.open(),
        ));
        open.rooms.insert(id.clone(), Arc::downgrade(&room));
        drop(open);
        self.peers.send(Signal::Ask { room: id.clone() });
        room
    }

    /// Returns a room if it is open.
    pub(crate) fn get(&self, permit: &WritePermit) -> Option<Arc<Room>> {
        self.find(permit.room())
    }

    /// Passes on to the open rooms what the history publishes, until the channel is closed.
    pub(crate) async fn publish(self: Arc<Self>, mut published: mpsc::Receiver<Published>) {
        while let Some(published) = published.recv().await {
            match published {
                Published::Stored(events) => self.stored(events),
                Published::Ahead { room, head } => {
                    if let Some(room) = self.find(&room) {
                        room.ahead(head);
                    }
                }
                Published::Erased { room } => {
                    if let Some(room) = self.find(&room) {
                        room.clear_tail();
                    }
                }
                Published::Read { room, user, seq } => {
                    if let Some(room) = self.find(&room) {
                        room.read(&user, seq);
                    }
                }
            }
        }
    }

    fn stored(&self, events: Vec<Event>) {
        let now = self.published.fetch_add(1, Ordering::Relaxed);
        let mut events = events.into_iter().peekable();
        while let Some(event) = events.next() {
            let room = self.find(&event.draft.room);
            // Consecutive events of one room, which is the usual case, are published together.
            let mut run = vec![event];
            while let Some(next) = events.next_if(|next| next.draft.room == run[0].draft.room) {
                run.push(next);
            }
            if let Some(room) = room {
                room.publish(run, self.encode, now);
            }
        }
        if self.budget.is_overdrawn() {
            self.evict();
        }
    }

    /// Empties the tails to which nothing has been added for longest, until a quarter of the budget is free.
    fn evict(&self) {
        let mut rooms: Vec<_> =
            self.open_rooms().into_iter().filter_map(|room| Some((room.last_published()?, room))).collect();
        rooms.sort_unstable_by_key(|(published, _)| *published);
        for (_, room) in rooms {
            if self.budget.used() <= self.budget.max() / 4 * 3 {
                break;
            }
            room.clear_tail();
            self.metrics.limit_reached("memory.tail-bytes");
        }
    }

    /// Announces presence, typing and read marks to the readers of each room and to the other nodes, a few times a second,
    /// and applies what the other nodes announce. Runs for ever.
    pub(crate) async fn announce(self: Arc<Self>) {
        let mut signals = self.peers.receive();
        let mut ticks = tokio::time::interval(ANNOUNCE_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last_alive = Instant::now();
        let mut last_heard: HashMap<NodeId, Instant> = HashMap::new();
        loop {
            tokio::select! {
                now = ticks.tick() => {
                    self.announce_changes();
                    if now - last_alive >= ALIVE_EVERY {
                        last_alive = now;
                        self.peers.send(Signal::Alive);
                        for (node, _) in last_heard.extract_if(|_, heard| now - *heard > SILENT_AFTER) {
                            self.open_rooms().iter().for_each(|room| room.node_stopped(node));
                        }
                    }
                }
                Some((node, signal)) = signals.recv() => {
                    last_heard.insert(node, Instant::now());
                    self.apply(node, signal);
                }
            }
        }
    }

    fn announce_changes(&self) {
        for id in self.changed.take() {
            match self.find(&id) {
                Some(room) => {
                    let (signals, again) = room.announce();
                    signals.into_iter().for_each(|signal| self.peers.send(signal));
                    if again {
                        self.changed.insert(&id);
                    }
                }
                None => {
                    self.forget(&id);
                    // Nobody is present through this node any more.
                    self.peers.send(Signal::Present { room: id, version: 0, users: Vec::new() });
                }
            }
        }
    }

    fn apply(&self, node: NodeId, signal: Signal) {
        let id = match &signal {
            Signal::Alive => return,
            Signal::Ask { room }
            | Signal::Present { room, .. }
            | Signal::Changed { room, .. }
            | Signal::Typing { room, .. } => room.clone(),
        };
        let Some(room) = self.find(&id) else { return };
        if let Signal::Ask { .. } = signal {
            self.peers.send(room.whole());
        } else if !room.apply(node, signal) {
            self.peers.send(Signal::Ask { room: id });
        }
    }

    fn find(&self, id: &RoomId) -> Option<Arc<Room>> {
        self.lock().rooms.get(id).and_then(Weak::upgrade)
    }

    fn open_rooms(&self) -> Vec<Arc<Room>> {
        self.lock().rooms.values().filter_map(Weak::upgrade).collect()
    }

    /// Removes the entry of a closed room, unless the room has been opened again.
    fn forget(&self, id: &RoomId) {
        let mut open = self.lock();
        if open.rooms.get(id).is_some_and(|room| room.strong_count() == 0) {
            open.rooms.remove(id);
        }
    }

    /// Short lock, never held across an await. Rooms of an earlier epoch are left to their readers, whose sessions end: their
    /// sequence numbers are other ones.
    fn lock(&self) -> MutexGuard<'_, Open> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = *self.epoch.borrow();
        if open.epoch != epoch {
            *open = Open { epoch, rooms: HashMap::new() };
        }
        open
    }
}
