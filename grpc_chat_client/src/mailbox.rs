//! What the application has not taken yet.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio_stream::Stream;

use crate::model::{Body, Cursor, Update};

/// How much may wait for the application. Over either bound the client leaves its rooms and joins them again, where it
/// left them, when half of it has been taken: an application that is slow costs this much, and misses nothing. Meanwhile
/// refusals of drafts for whose answers nobody waits are only logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Updates.
    pub updates: usize,
    /// Bytes of text in them.
    pub bytes: usize,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { updates: 4_096, bytes: 4 * 1024 * 1024 }
    }
}

/// Updates in order that are given before those that replace each other get their turn.
const IN_BETWEEN: usize = 64;

/// Between the task, which puts updates in, and the application, which takes them. Short lock, no await under it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
    /// An overfull mailbox has room again.
    room: Notify,
    bounds: Waiting,
}

#[derive(Debug, Default)]
struct Inner {
    /// In order.
    queue: VecDeque<Update>,
    bytes: usize,
    /// What replaces what was told before: only the latest of each is kept, and given when nothing else waits, or has
    /// been given so often in between.
    latest: BTreeMap<(Kind, String), Update>,
    given_since_latest: usize,
    overfull: bool,
    waker: Option<Waker>,
    /// The event that was given last. It counts as seen when the next update is asked for.
    given: Option<(String, Cursor)>,
    /// The last event of each room that the application has seen, since this was asked.
    seen: HashMap<String, Cursor>,
    /// Nothing more will be put in.
    closed: bool,
    /// Nothing more will be taken out.
    gone: bool,
}

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
    /// Lives of the history that the cursors of this client's rooms belong to.
    epochs: HashMap<String, u64>,
}

/// A mailbox, and the application's side of it.
pub(crate) fn open(bounds: Waiting) -> (Arc<Mailbox>, Events) {
    let mailbox = Arc::new(Mailbox { inner: Mutex::default(), room: Notify::new(), bounds });
    (Arc::clone(&mailbox), Events { mailbox, epochs: HashMap::new() })
}

impl Mailbox {
    /// Puts an update in. Answers whether there is too much in it now.
    pub(crate) fn put(&self, update: Update) -> bool {
        let mut inner = self.lock();
        if inner.gone {
            return false;
        }
        let key = match &update {
            Update::Unsent(_) => Some((Kind::Unsent, String::new())),
            Update::Present { room, .. } => Some((Kind::Present, room.clone())),
            Update::Typing { room, .. } => Some((Kind::Typing, room.clone())),
            Update::Read { room, .. } => Some((Kind::Read, room.clone())),
            _ => None,
        };
        match key {
            Some(key) => drop(inner.latest.insert(key, update)),
            // What the application does itself goes on although its rooms are left.
            None if inner.overfull && matches!(update, Update::Refused { .. } | Update::JoinRefused { .. }) => {
                tracing::warn!(?update, "an application that is slow is not told");
            }
            None => {
                inner.bytes += cost(&update);
                match (inner.queue.back_mut(), &update) {
                    (Some(last @ Update::Connection(_)), Update::Connection(_)) => *last = update,
                    _ => inner.queue.push_back(update),
                }
            }
        }
        inner.overfull |= inner.queue.len() >= self.bounds.updates || inner.bytes >= self.bounds.bytes;
        let overfull = inner.overfull;
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        overfull
    }

    /// Resolves when a mailbox that was overfull has room again, or may have.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    pub(crate) fn is_overfull(&self) -> bool {
        self.lock().overfull
    }

    /// Nobody will take anything out any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.lock().gone
    }

    /// How far the application has come, in rooms where that has changed since this was asked.
    pub(crate) fn take_seen(&self) -> HashMap<String, Cursor> {
        std::mem::take(&mut self.lock().seen)
    }

    /// Nothing more is put in. What is in it can still be taken, but for what a next run is given, if there is one: nobody
    /// notes any more that it was seen. Answers what [`Mailbox::take_seen`] does.
    pub(crate) fn close(&self, next_run: bool) -> HashMap<String, Cursor> {
        let mut inner = self.lock();
        inner.closed = true;
        if next_run {
            let comes_again =
                |update: &Update| matches!(update, Update::Joined(_) | Update::Event(_) | Update::CaughtUp { .. });
            inner.queue.retain(|update| !comes_again(update));
            inner.bytes = 0;
        }
        let seen = std::mem::take(&mut inner.seen);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        seen
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
        let turn = inner.queue.is_empty() || inner.given_since_latest >= IN_BETWEEN;
        if turn && let Some((_, update)) = inner.latest.pop_first() {
            return Poll::Ready(Some(update));
        }
        let Some(update) = inner.queue.pop_front() else {
            if inner.closed {
                return Poll::Ready(None);
            }
            inner.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        inner.given_since_latest = if turn { 0 } else { inner.given_since_latest + 1 };
        inner.bytes -= cost(&update);
        let Waiting { updates, bytes } = self.mailbox.bounds;
        if inner.overfull && inner.queue.len() <= updates / 2 && inner.bytes <= bytes / 2 {
            inner.overfull = false;
            self.mailbox.room.notify_one();
        }
        match &update {
            Update::Joined(joined) => {
                self.epochs.insert(joined.room.clone(), joined.epoch);
                // Also after a reset: what is seen from here on is of this life of the history.
                inner.given = Some((joined.room.clone(), Cursor { epoch: joined.epoch, seq: joined.start }));
            }
            Update::Event(event) => {
                let epoch = self.epochs.get(&event.room).copied().unwrap_or_default();
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
        (inner.bytes, inner.overfull) = (0, false);
        drop(inner);
        // Nobody is slow any more.
        self.mailbox.room.notify_one();
    }
}

/// Bytes of text. What is replaced by the next of its kind is not counted.
fn cost(update: &Update) -> usize {
    match update {
        Update::Event(event) => {
            let said = match &event.body {
                Body::Posted { text, .. } | Body::Edited { text, .. } => text.len(),
                Body::Reacted { reaction, .. } => reaction.len(),
                Body::Deleted { .. } | Body::Unknown => 0,
            };
            event.room.len() + event.sender.len() + event.device.len() + said
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::model::{Connection, Event, Joined, MsgId, Verdict};

    fn event(seq: u64, text: &str) -> Update {
        Update::Event(Event {
            room: "r".to_owned(),
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
        Update::Joined(Joined { room: "r".to_owned(), verdict, epoch, start, head: 9, oldest: 1, read: 0 })
    }

    #[test]
    fn updates_come_in_order_and_what_is_replaced_comes_once_after_them() {
        let (mailbox, mut events) = open(Waiting::default());
        mailbox.put(Update::Unsent(1));
        mailbox.put(event(1, "a"));
        mailbox.put(Update::Unsent(2));
        mailbox.put(event(2, "b"));
        mailbox.close(false);
        let all: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
        assert_eq!(all, [event(1, "a"), event(2, "b"), Update::Unsent(2)]);
    }

    #[test]
    fn a_connection_that_comes_and_goes_untold_leaves_one_update() {
        let (mailbox, mut events) = open(Waiting::default());
        mailbox.put(Update::Connection(Connection::Connecting));
        mailbox.put(Update::Connection(Connection::Draining));
        mailbox.put(event(1, "a"));
        mailbox.put(Update::Connection(Connection::Closed));
        mailbox.close(false);
        let all: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
        let connection = Update::Connection;
        assert_eq!(all, [connection(Connection::Draining), event(1, "a"), connection(Connection::Closed)]);
    }

    #[tokio::test]
    async fn it_is_overfull_until_half_is_taken() {
        let bounds = Waiting { updates: 4, bytes: 100 };
        let (mailbox, mut events) = open(bounds);
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
        let (mailbox, mut events) = open(Waiting::default());
        let closed = Update::Connection(Connection::Closed);
        for update in [joined(7, 3), event(4, "a"), event(5, "b"), closed.clone()] {
            mailbox.put(update);
        }
        events.try_next().unwrap();
        events.try_next().unwrap();
        assert_eq!(mailbox.close(true), HashMap::from([("r".to_owned(), Cursor { epoch: 7, seq: 3 })]));
        assert_eq!(std::iter::from_fn(|| events.try_next()).collect::<Vec<_>>(), [closed]);
    }

    #[test]
    fn what_is_replaced_comes_although_the_queue_is_never_empty() {
        let (mailbox, mut events) = open(Waiting::default());
        mailbox.put(Update::Unsent(1));
        for seq in 1..200 {
            mailbox.put(event(seq, "x"));
        }
        let before = std::iter::from_fn(|| events.try_next()).take_while(|update| *update != Update::Unsent(1)).count();
        assert_eq!(before, IN_BETWEEN);
    }

    #[test]
    fn an_event_is_seen_when_the_next_update_is_asked_for() {
        let (mailbox, mut events) = open(Waiting::default());
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
