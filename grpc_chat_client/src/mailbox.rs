//! What the application has not taken yet.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio_stream::Stream;

use crate::model::{Body, Change, Cursor, RoomId, Update};

/// How much may wait for the application. Over either bound the client leaves its rooms and joins them again, where it
/// left them, when half of it has been taken: an application that is slow costs this much, and misses nothing. Meanwhile
/// refusals of drafts for whose answers nobody waits are only logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxLimits {
    /// Updates; fewer than 256 count as 256, which it takes to join rooms again a few at a time.
    pub updates: usize,
    /// Bytes of text in them; fewer than 65,536 count as that.
    pub bytes: usize,
}

impl MailboxLimits {
    /// What is enough to make progress with.
    pub(crate) fn clamped(self) -> Self {
        Self { updates: self.updates.max(256), bytes: self.bytes.max(64 * 1024) }
    }
}

impl Default for MailboxLimits {
    fn default() -> Self {
        Self { updates: 4_096, bytes: 4 * 1024 * 1024 }
    }
}

/// Updates in order that are given before one of those that replace each other gets its turn.
const IN_BETWEEN: usize = 16;

/// Between the task, which puts updates in, and the application, which takes them. Short lock, no await under it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
    /// An overfull mailbox has room again.
    room: Notify,
    bounds: MailboxLimits,
    /// Somebody asks what was seen.
    keeps: bool,
}

#[derive(Debug, Default)]
struct Inner {
    /// In order.
    queue: VecDeque<Update>,
    bytes: usize,
    /// What replaces what was told before: only the latest of each is kept, and given when nothing else waits, or has
    /// been given so often in between.
    latest: BTreeMap<Key, Update>,
    /// The one of them that was given last: each gets its turn.
    turn: Option<Key>,
    given_since_latest: usize,
    /// Rooms that are still to be told as joined, and how often. What is so in them is not told before.
    joining: HashMap<RoomId, usize>,
    /// Lives of the history, by room, as the application was told.
    epochs: HashMap<RoomId, u64>,
    overfull: bool,
    waker: Option<Waker>,
    /// The event that was given last. It counts as seen when the next update is asked for.
    given: Option<(RoomId, Cursor)>,
    /// The last event of each room that the application has seen, since this was asked.
    seen: HashMap<RoomId, Cursor>,
    /// Nothing more will be put in.
    closed: bool,
    /// Nothing more will be taken out.
    gone: bool,
}

/// What is replaced, and in which room.
type Key = (Kind, Option<RoomId>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Unsent,
    Present,
    Typing,
    Read,
}

/// What the application is told, in order. Ends when the client is over.
///
/// An event counts as seen when the next update is asked for: with a state on disk, an application that ends before, or
/// closes the client, gets it again when it comes back. Then what has not been taken when the client is over is not given
/// any more; the next run of the program gets it.
#[derive(Debug)]
pub struct Events {
    mailbox: Arc<Mailbox>,
}

/// A mailbox, and the application's side of it. `keeps`: [`Mailbox::take_seen`] will be asked.
pub(crate) fn open(bounds: MailboxLimits, keeps: bool) -> (Arc<Mailbox>, Events) {
    let mailbox = Arc::new(Mailbox { inner: Mutex::default(), room: Notify::new(), bounds, keeps });
    (Arc::clone(&mailbox), Events { mailbox })
}

impl Mailbox {
    /// Puts an update in. Answers whether there is too much in it now.
    pub(crate) fn put(&self, update: Update) -> bool {
        let mut inner = self.lock();
        if inner.gone {
            return false;
        }
        let key = match &update {
            Update::Unsent(_) => Some((Kind::Unsent, None)),
            Update::Present { room, .. } => Some((Kind::Present, Some(room.clone()))),
            Update::Typing { room, .. } => Some((Kind::Typing, Some(room.clone()))),
            Update::Read { room, .. } => Some((Kind::Read, Some(room.clone()))),
            _ => None,
        };
        match key {
            Some(key) => drop(inner.latest.insert(key, update)),
            // What the application does itself goes on although its rooms are left.
            None if inner.overfull && matches!(update, Update::Refused { .. }) => {
                tracing::warn!(?update, "an application that is slow is not told");
            }
            None => {
                if let Update::Joined(joined) = &update {
                    inner.is_joined_anew(&joined.room);
                }
                inner.bytes += cost(&update);
                match (inner.queue.back_mut(), &update) {
                    (Some(last @ Update::Connection(_)), Update::Connection(_)) => *last = update,
                    _ => inner.queue.push_back(update),
                }
            }
        }
        inner.overfull |= inner.queue.len() >= self.bounds.updates || inner.bytes >= self.bounds.bytes;
        let overfull = inner.overfull;
        wake(inner);
        overfull
    }

    /// Resolves when a mailbox that was overfull has room again, or may have.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    pub(crate) fn is_overfull(&self) -> bool {
        self.lock().overfull
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        let inner = self.lock();
        inner.queue.is_empty() && inner.latest.is_empty()
    }

    /// Nobody will take anything out any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.lock().gone
    }

    /// The life of a room's history that the application was told last.
    pub(crate) fn epoch(&self, room: &RoomId) -> Option<u64> {
        self.lock().epochs.get(room).copied()
    }

    /// How far the application has come, in rooms where that has changed since this was asked.
    pub(crate) fn take_seen(&self) -> HashMap<RoomId, Cursor> {
        std::mem::take(&mut self.lock().seen)
    }

    /// What a next run is given is not given any more, since nobody notes any more that it was seen. Answers what
    /// [`Mailbox::take_seen`] does.
    pub(crate) fn leave_to_next_run(&self) -> HashMap<RoomId, Cursor> {
        let mut inner = self.lock();
        let comes_again =
            |update: &Update| matches!(update, Update::Joined(_) | Update::Event(_) | Update::CaughtUp { .. });
        inner.queue.retain(|update| !comes_again(update));
        inner.bytes = inner.queue.iter().map(cost).sum();
        inner.joining.clear();
        std::mem::take(&mut inner.seen)
    }

    /// Nothing more is put in. What is in it can still be taken.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        wake(inner);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn settle_given(&mut self) {
        if let Some((room, cursor)) = self.given.take() {
            self.seen.insert(room, cursor);
        }
    }

    /// What was so in a room before is not told any more, and what is so from here on not before the application knows
    /// that it is joined.
    fn is_joined_anew(&mut self, room: &RoomId) {
        for kind in [Kind::Present, Kind::Typing, Kind::Read] {
            self.latest.remove(&(kind, Some(room.clone())));
        }
        *self.joining.entry(room.clone()).or_default() += 1;
    }

    /// One of what replaces what was told before, each in turn.
    fn take_latest(&mut self) -> Option<Update> {
        let after = self.turn.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let in_turn = self.latest.range((after, Bound::Unbounded)).map(|(key, _)| key).chain(self.latest.keys());
        let key = in_turn
            .into_iter()
            .find(|(_, room)| !room.as_ref().is_some_and(|room| self.joining.contains_key(room)))?
            .clone();
        let update = self.latest.remove(&key);
        self.turn = Some(key);
        update
    }
}

impl Events {
    /// The next update; `None` when the client is over.
    pub async fn next(&mut self) -> Option<Update> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// The next update, if one is there already.
    pub fn try_next(&mut self) -> Option<Update> {
        match self.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(update) => update,
            Poll::Pending => None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Update>> {
        let mut inner = self.mailbox.lock();
        inner.settle_given();
        let due = inner.queue.is_empty() || inner.given_since_latest >= IN_BETWEEN;
        if due && let Some(update) = inner.take_latest() {
            inner.given_since_latest = 0;
            return Poll::Ready(Some(update));
        }
        let Some(update) = inner.queue.pop_front() else {
            if inner.closed {
                return Poll::Ready(None);
            }
            inner.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        inner.given_since_latest += 1;
        inner.bytes -= cost(&update);
        let MailboxLimits { updates, bytes } = self.mailbox.bounds;
        if inner.overfull && inner.queue.len() <= updates / 2 && inner.bytes <= bytes / 2 {
            inner.overfull = false;
            self.mailbox.room.notify_one();
        }
        match &update {
            Update::Joined(joined) => {
                if let Some(times) = inner.joining.get_mut(&joined.room) {
                    *times -= 1;
                    if *times == 0 {
                        inner.joining.remove(&joined.room);
                    }
                }
                inner.epochs.insert(joined.room.clone(), joined.epoch);
                if self.mailbox.keeps {
                    // Also after a reset: what is seen from here on is of this life of the history.
                    inner.given = Some((joined.room.clone(), Cursor { epoch: joined.epoch, seq: joined.start }));
                }
            }
            Update::Event(event) if self.mailbox.keeps => {
                let epoch = inner.epochs.get(&event.room).copied().unwrap_or_default();
                inner.given = Some((event.room.clone(), Cursor { epoch, seq: event.seq }));
            }
            _ => {}
        }
        Poll::Ready(Some(update))
    }
}

impl Stream for Events {
    type Item = Update;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Update>> {
        self.poll(cx)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut inner = self.mailbox.lock();
        inner.gone = true;
        inner.queue.clear();
        inner.latest.clear();
        inner.joining.clear();
        (inner.bytes, inner.overfull) = (0, false);
        drop(inner);
        // Nobody is slow any more.
        self.mailbox.room.notify_one();
    }
}

/// Whoever waits for an update looks again, when the lock is free.
fn wake(mut inner: MutexGuard<'_, Inner>) {
    let waker = inner.waker.take();
    drop(inner);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Bytes of text. What is replaced by the next of its kind is not counted.
fn cost(update: &Update) -> usize {
    match update {
        Update::Refused { draft, .. } | Update::Restored(draft) => {
            let said = match &draft.change {
                Change::Post { text, .. } | Change::Edit { text, .. } => text.len(),
                Change::React { reaction, .. } => reaction.len(),
                Change::Delete { .. } => 0,
            };
            draft.room.as_str().len() + said
        }
        Update::Event(event) => {
            let said = match &event.body {
                Body::Posted { text, .. } | Body::Edited { text, .. } => text.len(),
                Body::Reacted { reaction, .. } => reaction.len(),
                Body::Deleted { .. } | Body::Unknown => 0,
            };
            event.room.as_str().len() + event.sender.len() + event.device.len() + said
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::model::{ConnectionState, Event, Joined, MsgId, Verdict};

    fn room(name: &str) -> RoomId {
        name.parse().unwrap()
    }

    fn event(seq: u64, text: &str) -> Update {
        Update::Event(Event {
            room: room("r"),
            seq,
            prev_seq: seq - 1,
            time: SystemTime::UNIX_EPOCH,
            sender: "u".to_owned(),
            device: String::new(),
            id: MsgId([0; 16]),
            body: Body::Posted { text: text.to_owned(), reply_to: None, erased: false },
        })
    }

    fn joined(epoch: u64, start: u64) -> Update {
        let verdict = Verdict::Live;
        Update::Joined(Joined { room: room("r"), verdict, epoch, start, head: 9, oldest: 1, read: 0 })
    }

    #[test]
    fn updates_come_in_order_and_what_is_replaced_comes_once_after_them() {
        let (mailbox, mut events) = open(MailboxLimits::default(), true);
        mailbox.put(Update::Unsent(1));
        mailbox.put(event(1, "a"));
        mailbox.put(Update::Unsent(2));
        mailbox.put(event(2, "b"));
        mailbox.close();
        let all: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
        assert_eq!(all, [event(1, "a"), event(2, "b"), Update::Unsent(2)]);
    }

    #[test]
    fn a_connection_that_comes_and_goes_untold_leaves_one_update() {
        let (mailbox, mut events) = open(MailboxLimits::default(), true);
        mailbox.put(Update::Connection(ConnectionState::Connecting));
        mailbox.put(Update::Connection(ConnectionState::Draining));
        mailbox.put(event(1, "a"));
        mailbox.put(Update::Connection(ConnectionState::Closed));
        mailbox.close();
        let all: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
        let connection = Update::Connection;
        assert_eq!(all, [connection(ConnectionState::Draining), event(1, "a"), connection(ConnectionState::Closed)]);
    }

    #[tokio::test]
    async fn it_is_overfull_until_half_is_taken() {
        let bounds = MailboxLimits { updates: 4, bytes: 100 };
        let (mailbox, mut events) = open(bounds, true);
        assert_eq!([1, 2, 3, 4].map(|seq| mailbox.put(event(seq, ""))), [false, false, false, true]);
        events.next().await.unwrap();
        assert!(mailbox.is_overfull());
        events.next().await.unwrap();
        assert!(!mailbox.is_overfull());
        mailbox.room().await;

        assert!(mailbox.put(event(5, &"x".repeat(100))), "bytes count, too");
        while mailbox.is_overfull() {
            events.next().await.unwrap();
        }
        assert!(mailbox.put(event(6, &"x".repeat(100))));
        drop(events);
        mailbox.room().await;
        assert!(!mailbox.is_overfull());
        assert!(!mailbox.put(event(7, "x")), "what nobody takes is not kept");
    }

    #[test]
    fn what_a_next_run_is_given_is_not_given_after_the_end() {
        let (mailbox, mut events) = open(MailboxLimits::default(), true);
        let closed = Update::Connection(ConnectionState::Closed);
        for update in [joined(7, 3), event(4, "a"), event(5, "b"), closed.clone()] {
            mailbox.put(update);
        }
        events.try_next().unwrap();
        events.try_next().unwrap();
        assert_eq!(mailbox.leave_to_next_run(), HashMap::from([(room("r"), Cursor { epoch: 7, seq: 3 })]));
        mailbox.close();
        assert_eq!(std::iter::from_fn(|| events.try_next()).collect::<Vec<_>>(), [closed]);
    }

    #[test]
    fn what_is_replaced_comes_although_the_queue_is_never_empty() {
        let (mailbox, mut events) = open(MailboxLimits::default(), true);
        mailbox.put(Update::Unsent(1));
        for seq in 1..200 {
            mailbox.put(event(seq, "x"));
        }
        let before = std::iter::from_fn(|| events.try_next()).take_while(|update| *update != Update::Unsent(1)).count();
        assert_eq!(before, IN_BETWEEN);
    }

    /// What is given while one more update that replaces others is put in before each.
    fn given(put: impl Fn(&Mailbox, u64), times: u64) -> Vec<Update> {
        let (mailbox, mut events) = open(MailboxLimits::default(), false);
        for seq in 1..=1_000 {
            mailbox.put(event(seq, "x"));
        }
        (0..times)
            .map(|n| {
                put(&mailbox, n);
                events.try_next().unwrap()
            })
            .collect()
    }

    #[test]
    fn what_is_replaced_all_the_time_does_not_keep_events_out_nor_its_like() {
        let typing = |name: &str| Update::Typing { room: room(name), users: Vec::new() };
        let given = given(
            |mailbox, n| {
                mailbox.put(Update::Unsent(n as usize));
                mailbox.put(typing("a"));
                mailbox.put(typing("b"));
            },
            510,
        );
        let events = given.iter().filter(|update| matches!(update, Update::Event(_))).count();
        assert_eq!(events, 480, "16 for one of the others");
        let unsent = given.iter().filter(|update| matches!(update, Update::Unsent(_))).count();
        let of = |room| given.iter().filter(|update| **update == typing(room)).count();
        assert_eq!([unsent, of("a"), of("b")], [10, 10, 10]);
    }

    #[test]
    fn what_is_so_in_a_room_is_told_after_it_is_joined_and_what_was_so_before_is_not() {
        let (mailbox, mut events) = open(MailboxLimits::default(), false);
        let read = |seq| Update::Read { room: room("r"), seq };
        mailbox.put(read(500));
        for seq in 1..100 {
            mailbox.put(event(seq, "x"));
        }
        mailbox.put(joined(8, 0));
        mailbox.put(read(3));
        let all: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
        assert!(all[99..] == [joined(8, 0), read(3)], "{all:?}");
        assert_eq!(mailbox.epoch(&room("r")), Some(8));
    }

    #[test]
    fn refusals_count_by_what_they_carry() {
        let (mailbox, _events) = open(MailboxLimits { updates: 100, bytes: 1_000 }, false);
        let draft = crate::model::Draft::new(room("r"), Change::post("x".repeat(1_000)));
        let why = crate::error::Refused::new(tonic::Code::InvalidArgument, "no".to_owned());
        assert!(mailbox.put(Update::Refused { draft, why }));
    }

    #[test]
    fn an_event_is_seen_when_the_next_update_is_asked_for() {
        let (mailbox, mut events) = open(MailboxLimits::default(), true);
        mailbox.put(joined(7, 3));
        mailbox.put(event(4, "a"));
        mailbox.put(event(5, "b"));
        let seen = || mailbox.take_seen().remove("r").map(|Cursor { epoch, seq }| (epoch, seq));
        events.try_next().unwrap();
        assert_eq!(seen(), None);
        events.try_next().unwrap();
        assert_eq!(seen(), Some((7, 3)));
        events.try_next().unwrap();
        assert_eq!(seen(), Some((7, 4)));
        assert!(events.try_next().is_none());
        assert_eq!(seen(), Some((7, 5)));
        assert_eq!(seen(), None, "it is told once");
    }
}
