//! A history in memory: for tests and for `--memory`. Gone when the process ends.
//!
//! One task owns the order: it takes everything queued, applies it, tells it, then answers. It is a task and not a
//! thread so that a simulated network with a paused clock runs it deterministically.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

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
    /// Taken out by [`History::close`]: the writer ends when it has emptied the queue.
    queue: Mutex<Option<mpsc::Sender<Ask>>>,
    healthy: watch::Receiver<bool>,
}

#[derive(Debug)]
enum Ask {
    Append(Draft, oneshot::Sender<Result<Appended, AppendError>>),
    Mark(RoomId, UserId, Seq, oneshot::Sender<Result<Seq, AppendError>>),
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
        let (queue, queued) = mpsc::channel(max_queued);
        let (health, healthy) = watch::channel(true);
        let rooms = Rooms::default();
        tokio::spawn(write(rooms.clone(), queued, committed, health));
        Self { epoch: new_epoch(), rooms, queue: Mutex::new(Some(queue)), healthy }
    }

    #[expect(clippy::result_large_err, reason = "the draft goes back to be refused")]
    fn ask(&self, ask: Ask) -> Result<(), (Ask, AppendError)> {
        use mpsc::error::TrySendError::{Closed, Full};
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = &*queue else { return Err((ask, AppendError::Unavailable)) };
        queue.try_send(ask).map_err(|refused| match refused {
            Full(ask) => (ask, AppendError::Overloaded),
            Closed(ask) => (ask, AppendError::Unavailable),
        })
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
        let (answerer, answer) = Appending::new();
        if let Err((ask, error)) = self.ask(Ask::Append(draft, answerer)) {
            ask.refuse(error);
        }
        answer
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
        let (answerer, answer) = Marking::new();
        if let Err((ask, error)) = self.ask(Ask::Mark(room, user, seq, answerer)) {
            ask.refuse(error);
        }
        answer
    }

    fn healthy(&self) -> watch::Receiver<bool> {
        self.healthy.clone()
    }

    fn close(&self) -> Answer<'_, ()> {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let mut healthy = self.healthy.clone();
        // The writer holds the other end as long as it lives.
        Box::pin(async move { while healthy.changed().await.is_ok() {} })
    }
}

async fn write(rooms: Rooms, mut queued: mpsc::Receiver<Ask>, committed: Committed, health: watch::Sender<bool>) {
    let clock = Clock { start: now(), started: Instant::now() };
    let mut asks = Vec::new();
    while queued.recv_many(&mut asks, MAX_BATCH).await > 0 {
        let mut events = Vec::new();
        let mut answers: Vec<Box<dyn FnOnce() + Send>> = Vec::with_capacity(asks.len());
        {
            let mut rooms = rooms.lock();
            let time = clock.now();
            for ask in asks.drain(..) {
                match ask {
                    Ask::Append(draft, answerer) => {
                        let result = append(&mut rooms, draft, time, &mut events);
                        answers.push(Box::new(move || {
                            let _ = answerer.send(result);
                        }));
                    }
                    Ask::Mark(room, user, seq, answerer) => {
                        let result = mark(&mut rooms, &room, user, seq);
                        answers.push(Box::new(move || {
                            let _ = answerer.send(result);
                        }));
                    }
                }
            }
        }
        if !events.is_empty() {
            // An error says that nobody listens any more; what is stored is stored.
            committed.send(events).await.ok();
        }
        answers.into_iter().for_each(|answer| answer());
    }
    health.send_replace(false);
}

fn append(
    rooms: &mut BTreeMap<RoomId, Room>,
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
        rules::check_target(&draft, known.and_then(|room| room.get(about)))?;
    }
    let room = rooms.entry(draft.room.clone()).or_default();
    if let Change::Delete { seq: deleted } = draft.change {
        room.erase(deleted);
    }
    let prev_seq = room.head();
    let time = room.events.last().map_or(time, |last| last.time.max(time));
    let event = Event { seq: prev_seq + 1, prev_seq, time, draft, erased: false };
    let appended = Appended { seq: event.seq, time, duplicate: false };
    room.said.insert(said, event.seq);
    told.push(event.clone());
    room.events.push(event);
    Ok(appended)
}

fn mark(rooms: &mut BTreeMap<RoomId, Room>, room: &RoomId, user: UserId, seq: Seq) -> Result<Seq, AppendError> {
    let Some(room) = rooms.get_mut(room) else {
        return if seq == 0 { Ok(0) } else { Err(AppendError::NoSuchMessage) };
    };
    if seq > room.head() {
        return Err(AppendError::NoSuchMessage);
    }
    let mark = room.read.entry(user).or_default();
    *mark = seq.max(*mark);
    Ok(*mark)
}

fn index(seq: Seq) -> usize {
    usize::try_from(seq).unwrap_or(usize::MAX)
}

impl Ask {
    fn refuse(self, error: AppendError) {
        // An error says that nobody waits for the answer any more.
        match self {
            Self::Append(_, answerer) => drop(answerer.send(Err(error))),
            Self::Mark(_, _, _, answerer) => drop(answerer.send(Err(error))),
        }
    }
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
