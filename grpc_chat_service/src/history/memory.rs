//! A history in memory: for tests and for `--memory`. Gone when the process ends.
//!
//! One task owns the order: it takes everything queued, applies it, tells it, then answers. It is a task and not a
//! thread so that a simulated network with a paused clock runs it deterministically.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::queue::{Ask, Mark, Queue, Reply};
use super::{
    Answer, AppendError, Appended, Appending, Committed, History, Look, MAX_BATCH, MAX_QUEUED, Marking, Page,
    ReadError, RoomHead, new_epoch, now, rules,
};
use crate::model::{Change, ClientMsgId, Draft, Durability, Epoch, Event, RoomId, Seq, UnixMillis, UserId};

/// See the module.
#[derive(Debug)]
pub struct Memory {
    epoch: Epoch,
    rooms: Rooms,
    queue: Queue,
    healthy: watch::Receiver<bool>,
}

/// Short locks, never held across an await.
#[derive(Clone, Debug, Default)]
struct Rooms(Arc<Mutex<BTreeMap<RoomId, Room>>>);

#[derive(Debug, Default)]
struct Room {
    /// The event with seq n is at n - 1.
    events: Vec<Event>,
    said: HashMap<(UserId, ClientMsgId), Seq>,
    read: HashMap<UserId, Seq>,
}

/// Goes on from the time of opening by tokio's clock, which tests can pause.
#[derive(Debug)]
struct Clock {
    start: UnixMillis,
    started: Instant,
}

impl Memory {
    /// A new, empty history. Must be called within a tokio runtime.
    #[must_use]
    pub fn open(committed: Committed) -> Self {
        Self::with_queue(committed, MAX_QUEUED)
    }

    /// As [`Memory::open`], with another bound than [`MAX_QUEUED`].
    pub(super) fn with_queue(committed: Committed, max_queued: usize) -> Self {
        let (queue, queued) = Queue::new(max_queued);
        let (health, healthy) = watch::channel(true);
        let rooms = Rooms::default();
        let epoch = new_epoch();
        tokio::spawn(write(epoch, rooms.clone(), queued, committed, health));
        Self { epoch, rooms, queue, healthy }
    }
}

impl History for Memory {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }

    fn append(&self, draft: Draft) -> Appending {
        self.queue.append(draft)
    }

    fn look<'a>(&'a self, room: &'a RoomId, user: Option<&'a UserId>) -> Answer<'a, Result<Look, ReadError>> {
        Box::pin(async move {
            Ok(self.rooms.lock().get(room).map_or_else(Look::default, |room| Look {
                head: room.head(),
                oldest: room.head().min(1),
                read: user.and_then(|user| room.read.get(user)).copied().unwrap_or(0),
            }))
        })
    }

    fn read_after<'a>(&'a self, room: &'a RoomId, after: Seq, page: Page) -> Answer<'a, Result<Vec<Event>, ReadError>> {
        Box::pin(async move {
            let rooms = self.rooms.lock();
            let Some(room) = rooms.get(room) else { return Ok(Vec::new()) };
            Ok(page.fill(room.events[index(after).min(room.events.len())..].iter()))
        })
    }

    fn read_before<'a>(
        &'a self,
        room: &'a RoomId,
        before: Seq,
        page: Page,
    ) -> Answer<'a, Result<Vec<Event>, ReadError>> {
        Box::pin(async move {
            let rooms = self.rooms.lock();
            let Some(room) = rooms.get(room) else { return Ok(Vec::new()) };
            let mut events =
                page.fill(room.events[..index(before.saturating_sub(1)).min(room.events.len())].iter().rev());
            events.reverse();
            Ok(events)
        })
    }

    fn rooms<'a>(&'a self, after: Option<&'a RoomId>, max: usize) -> Answer<'a, Result<Vec<RoomHead>, ReadError>> {
        Box::pin(async move {
            let rooms = self.rooms.lock();
            let from = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
            let heads = rooms.range::<RoomId, _>(from).filter_map(|(id, room)| {
                room.events.last().map(|last| RoomHead { room: id.clone(), head: last.seq, time: last.time })
            });
            Ok(heads.take(max).collect())
        })
    }

    fn mark_read(&self, room: RoomId, user: UserId, seq: Seq) -> Marking {
        self.queue.mark(Mark { room, user, seq })
    }

    fn healthy(&self) -> watch::Receiver<bool> {
        self.healthy.clone()
    }

    fn close(&self) -> Answer<'_, ()> {
        self.queue.close();
        let mut healthy = self.healthy.clone();
        // The writer holds the other end as long as it lives.
        Box::pin(async move { while healthy.changed().await.is_ok() {} })
    }
}

async fn write(
    epoch: Epoch,
    rooms: Rooms,
    mut queued: mpsc::Receiver<Ask>,
    committed: Committed,
    health: watch::Sender<bool>,
) {
    let clock = Clock { start: now(), started: Instant::now() };
    let mut asks = Vec::new();
    while queued.recv_many(&mut asks, MAX_BATCH).await > 0 {
        let mut events = Vec::new();
        let mut replies = Vec::with_capacity(asks.len());
        {
            let mut rooms = rooms.lock();
            let time = clock.now();
            for ask in asks.drain(..) {
                replies.push(match ask {
                    Ask::Append(draft, answerer) => {
                        Reply::Append(answerer, append(&mut rooms, epoch, draft, time, &mut events))
                    }
                    Ask::Mark(mark, answerer) => Reply::Mark(answerer, note(&mut rooms, mark)),
                });
            }
        }
        if !events.is_empty() {
            // An error says that nobody listens any more; what is stored is stored.
            committed.send(events).await.ok();
        }
        replies.into_iter().for_each(Reply::send);
    }
    health.send_replace(false);
}

fn append(
    rooms: &mut BTreeMap<RoomId, Room>,
    epoch: Epoch,
    draft: Draft,
    time: UnixMillis,
    told: &mut Vec<Event>,
) -> Result<Appended, AppendError> {
    let said = (draft.sender.clone(), draft.client_msg_id);
    let known = rooms.get(&draft.room);
    if let Some(stored) = known.and_then(|room| room.get(*room.said.get(&said)?)) {
        rules::check_repeat(&draft, stored)?;
        return Ok(Appended { seq: stored.seq, time: stored.time, duplicate: true });
    }
    if let Some(about) = draft.change.about() {
        rules::check_target(&draft, epoch, known.and_then(|room| room.get(about)))?;
    }
    let room = rooms.entry(draft.room.clone()).or_default();
    if let Change::Delete { seq: deleted } = draft.change {
        room.erase(deleted);
    }
    let prev_seq = room.head();
    let time = room.events.last().map_or(time, |last| last.time.max(time));
    let draft = Draft { epoch: 0, ..draft };
    let event = Event { seq: prev_seq + 1, prev_seq, time, draft, erased: false };
    let appended = Appended { seq: event.seq, time, duplicate: false };
    room.said.insert(said, event.seq);
    told.push(event.clone());
    room.events.push(event);
    Ok(appended)
}

fn note(rooms: &mut BTreeMap<RoomId, Room>, mark: Mark) -> Result<Seq, AppendError> {
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

impl Rooms {
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

    /// Takes the text out of a message and out of all its edits.
    fn erase(&mut self, message: Seq) {
        for event in self.events.iter_mut().skip(index(message.saturating_sub(1))) {
            if event.seq == message || matches!(event.draft.change, Change::Edit { seq, .. } if seq == message) {
                rules::erase(event);
            }
        }
    }
}

impl Clock {
    fn now(&self) -> UnixMillis {
        self.start + UnixMillis::try_from(self.started.elapsed().as_millis()).unwrap_or(0)
    }
}
