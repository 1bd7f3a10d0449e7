//! A history in memory, for tests and for `--memory`. It is lost when the process ends.
//!
//! One task orders everything: it takes what is queued, applies it, publishes it, then sends the results. It is a task
//! and not a thread so that a simulated network with a paused clock runs it deterministically.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::queue::{Append, Queue, ReadMark, Reply, Request};
use super::{
    AppendError, Appended, Appending, Committed, History, MAX_BATCH, MAX_QUEUED, Marking, Page, ReadError, RoomHead,
    RoomState, new_epoch, now, rules,
};
use crate::model::{Change, ClientMsgId, Draft, Durability, Epoch, Event, RoomId, Seq, UnixMillis, UserId};

/// A history in memory.
#[derive(Debug)]
pub struct Memory {
    epoch: Epoch,
    tables: Tables,
    queue: Queue,
    healthy: watch::Receiver<bool>,
}

/// Short locks, never held across an await.
#[derive(Clone, Debug, Default)]
struct Tables(Arc<Mutex<BTreeMap<RoomId, Room>>>);

#[derive(Debug, Default)]
struct Room {
    /// The event with seq n is at index n - 1.
    events: Vec<Event>,
    by_client_msg_id: HashMap<(UserId, ClientMsgId), Seq>,
    read: HashMap<UserId, Seq>,
}

/// The time of opening, continued by tokio's clock, which tests can pause.
#[derive(Debug)]
struct Clock {
    start: UnixMillis,
    started: Instant,
}

impl Memory {
    /// Creates an empty history. Must be called within a tokio runtime.
    #[must_use]
    pub fn open(committed: Committed) -> Self {
        Self::with_queue(committed, MAX_QUEUED)
    }

    /// As [`Memory::open`], with another bound than [`MAX_QUEUED`].
    pub(super) fn with_queue(committed: Committed, max_queued: usize) -> Self {
        let (queue, queued) = Queue::new(max_queued);
        let (health, healthy) = watch::channel(true);
        let tables = Tables::default();
        let epoch = new_epoch();
        tokio::spawn(write(epoch, tables.clone(), queued, committed, health));
        Self { epoch, tables, queue, healthy }
    }
}

impl History for Memory {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }

    fn append(&self, draft: Draft, expected: Option<Epoch>) -> Appending {
        self.queue.append(draft, expected)
    }

    fn room_state<'a>(
        &'a self,
        room: &'a RoomId,
        user: Option<&'a UserId>,
    ) -> BoxFuture<'a, Result<RoomState, ReadError>> {
        Box::pin(async move {
            Ok(self.tables.lock().get(room).map_or_else(RoomState::default, |room| RoomState {
                head: room.head(),
                oldest: room.head().min(1),
                read: user.and_then(|user| room.read.get(user)).copied().unwrap_or(0),
            }))
        })
    }

    fn read_after<'a>(
        &'a self,
        room: &'a RoomId,
        after: Seq,
        page: Page,
    ) -> BoxFuture<'a, Result<Vec<Event>, ReadError>> {
        Box::pin(async move {
            let rooms = self.tables.lock();
            let Some(room) = rooms.get(room) else { return Ok(Vec::new()) };
            Ok(page.fill(room.events[index(after).min(room.events.len())..].iter()))
        })
    }

    fn read_before<'a>(
        &'a self,
        room: &'a RoomId,
        before: Seq,
        page: Page,
    ) -> BoxFuture<'a, Result<Vec<Event>, ReadError>> {
        Box::pin(async move {
            let rooms = self.tables.lock();
            let Some(room) = rooms.get(room) else { return Ok(Vec::new()) };
            let mut events =
                page.fill(room.events[..index(before.saturating_sub(1)).min(room.events.len())].iter().rev());
            events.reverse();
            Ok(events)
        })
    }

    fn rooms<'a>(&'a self, after: Option<&'a RoomId>, max: usize) -> BoxFuture<'a, Result<Vec<RoomHead>, ReadError>> {
        Box::pin(async move {
            let rooms = self.tables.lock();
            let from = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
            let heads = rooms.range::<RoomId, _>(from).filter_map(|(id, room)| {
                room.events.last().map(|last| RoomHead { room: id.clone(), head: last.seq, time: last.time })
            });
            Ok(heads.take(max).collect())
        })
    }

    fn mark_read(&self, room: RoomId, user: UserId, seq: Seq) -> Marking {
        self.queue.mark_read(ReadMark { room, user, seq })
    }

    fn healthy(&self) -> watch::Receiver<bool> {
        self.healthy.clone()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.queue.close();
        let mut healthy = self.healthy.clone();
        // The writer drops the sender when it ends.
        Box::pin(async move { while healthy.changed().await.is_ok() {} })
    }
}

async fn write(
    epoch: Epoch,
    tables: Tables,
    mut queued: mpsc::Receiver<Request>,
    committed: Committed,
    health: watch::Sender<bool>,
) {
    let clock = Clock { start: now(), started: Instant::now() };
    let mut requests = Vec::new();
    while queued.recv_many(&mut requests, MAX_BATCH).await > 0 {
        let mut events = Vec::new();
        let mut replies = Vec::with_capacity(requests.len());
        {
            let mut rooms = tables.lock();
            let time = clock.now();
            for request in requests.drain(..) {
                replies.push(match request {
                    Request::Append(draft, sender) => {
                        Reply::Append(sender, append(&mut rooms, epoch, draft, time, &mut events))
                    }
                    Request::MarkRead(mark, sender) => Reply::MarkRead(sender, mark_read(&mut rooms, mark)),
                });
            }
        }
        if !events.is_empty() {
            // Without a receiver nothing is published; what is stored is stored.
            committed.send(events).await.ok();
        }
        replies.into_iter().for_each(Reply::send);
    }
    health.send_replace(false);
}

fn append(
    rooms: &mut BTreeMap<RoomId, Room>,
    epoch: Epoch,
    Append { draft, expected }: Append,
    time: UnixMillis,
    stored: &mut Vec<Event>,
) -> Result<Appended, AppendError> {
    let id = (draft.sender.clone(), draft.client_msg_id);
    let known = rooms.get(&draft.room);
    if let Some(first) = known.and_then(|room| room.get(*room.by_client_msg_id.get(&id)?)) {
        rules::check_repeat(&draft, first)?;
        return Ok(Appended { seq: first.seq, time: first.time, duplicate: true });
    }
    if let Some(target) = draft.change.target() {
        rules::check_target(&draft, expected, epoch, known.and_then(|room| room.get(target)))?;
    }
    let room = rooms.entry(draft.room.clone()).or_default();
    if let Change::Delete { seq: deleted } = draft.change {
        room.erase(deleted);
    }
    let prev_seq = room.head();
    let time = room.events.last().map_or(time, |last| last.time.max(time));
    let event = Event { seq: prev_seq + 1, prev_seq, time, draft, erased: false };
    let appended = Appended { seq: event.seq, time, duplicate: false };
    room.by_client_msg_id.insert(id, event.seq);
    stored.push(event.clone());
    room.events.push(event);
    Ok(appended)
}

fn mark_read(rooms: &mut BTreeMap<RoomId, Room>, mark: ReadMark) -> Result<Seq, AppendError> {
    let Some(room) = rooms.get_mut(&mark.room) else {
        return if mark.seq == 0 { Ok(0) } else { Err(AppendError::NoSuchMessage) };
    };
    if mark.seq > room.head() {
        return Err(AppendError::NoSuchMessage);
    }
    let read = room.read.entry(mark.user).or_default();
    *read = mark.seq.max(*read);
    Ok(*read)
}

fn index(seq: Seq) -> usize {
    usize::try_from(seq).unwrap_or(usize::MAX)
}

impl Tables {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<RoomId, Room>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    fn head(&self) -> Seq {
        self.events.last().map_or(0, |last| last.seq)
    }

    fn get(&self, seq: Seq) -> Option<&Event> {
        self.events.get(index(seq.checked_sub(1)?))
    }

    /// Erases the text of a message and of all its edits.
    fn erase(&mut self, message: Seq) {
        for event in self.events.iter_mut().skip(index(message.saturating_sub(1))) {
            if event.seq == message || matches!(event.draft.change, Change::Edit { seq, .. } if seq == message) {
                event.erase();
            }
        }
    }
}

impl Clock {
    fn now(&self) -> UnixMillis {
        self.start + UnixMillis::try_from(self.started.elapsed().as_millis()).unwrap_or(0)
    }
}
