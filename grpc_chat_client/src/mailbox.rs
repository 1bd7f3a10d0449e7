//! The updates that the application has not taken yet.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio_stream::Stream;

use crate::model::{Body, Change, Cursor, RoomId, Update};

/// How much may wait for an application that is slow to take its updates.
///
/// Over either limit the client leaves its rooms, and resumes them when half of what waits was taken: a slow application
/// costs this much memory, and misses nothing. Meanwhile refusals of drafts whose outcome nobody waits for are only logged.
///
/// ```
/// use grpc_chat_client::MailboxLimits;
///
/// let small = MailboxLimits { updates: 512, bytes: 256 * 1024 };
/// assert!(small.updates < MailboxLimits::default().updates);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxLimits {
    /// The number of updates, 4,096 by default. Fewer than 256 count as 256: so many it takes to resume rooms a few at a
    /// time.
    pub updates: usize,
    /// The bytes of text in them, 4 MiB by default. Fewer than 64 KiB count as that.
    pub bytes: usize,
}

impl MailboxLimits {
    /// Returns limits with which the client can make progress.
    pub(crate) fn clamped(self) -> Self {
        Self { updates: self.updates.max(256), bytes: self.bytes.max(64 * 1024) }
    }
}

impl Default for MailboxLimits {
    fn default() -> Self {
        Self { updates: 4_096, bytes: 4 * 1024 * 1024 }
    }
}

/// How many updates of the queue are taken before one of those that replace each other gets its turn.
const IN_BETWEEN: usize = 16;

/// What the task puts updates into, and the application takes them from. The lock is held for short, and not across an await.
#[derive(Debug)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
    /// Notified when a full mailbox has room again.
    room: Notify,
    limits: MailboxLimits,
    /// Whether the cursors of what the application has seen are recorded.
    records_seen: bool,
}

#[derive(Debug, Default)]
struct Inner {
    /// Updates that are delivered in order.
    queue: VecDeque<Update>,
    /// The bytes of text in the queue.
    bytes: usize,
    /// Updates that replace the previous one of their kind, so that only the latest is delivered.
    latest: BTreeMap<Key, Update>,
    /// The one of them that was delivered last: each gets its turn.
    turn: Option<Key>,
    /// Updates of the queue that were delivered since one of the latest was.
    since_latest: usize,
    /// How many `Joined` of each room wait in the queue. The room's presence is not delivered before them.
    joining: HashMap<RoomId, usize>,
    /// The epoch of each room that was last delivered.
    epochs: HashMap<RoomId, u64>,
    overfull: bool,
    waker: Option<Waker>,
    /// The event that was delivered last. It counts as seen when the next update is asked for.
    delivered: Option<(RoomId, Cursor)>,
    /// The last event seen in each room, since this was last taken.
    seen: HashMap<RoomId, Cursor>,
    /// Whether nothing more is put in.
    closed: bool,
    /// Whether the application has dropped its side.
    abandoned: bool,
}

/// What is replaced by the next update of its kind, in a room if it belongs to one.
type Key = (Kind, Option<RoomId>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Unsent,
    Present,
    Typing,
    Read,
}

/// What a client reports, in order: a [`Stream`] of [`Update`]s that ends with the client.
///
/// An event counts as seen when the next update is asked for. With a state file, an application that ends before that, or
/// closes the client, gets the event again in its next run; what it has not taken when the client ends also waits for the
/// next run.
///
/// ```no_run
/// # async fn example(mut events: grpc_chat_client::Events) {
/// use grpc_chat_client::Update;
///
/// while let Some(update) = events.next().await {
///     if let Update::Event(event) = update {
///         println!("{event:?}");
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Events {
    mailbox: Arc<Mailbox>,
}

/// Returns a mailbox, and the application's side of it.
pub(crate) fn open(limits: MailboxLimits, records_seen: bool) -> (Arc<Mailbox>, Events) {
    let mailbox = Arc::new(Mailbox { inner: Mutex::default(), room: Notify::new(), limits, records_seen });
    (Arc::clone(&mailbox), Events { mailbox })
}

impl Mailbox {
    /// Puts an update in. Returns whether the mailbox is over its limits now.
    pub(crate) fn put(&self, update: Update) -> bool {
        let mut inner = self.lock();
        if inner.abandoned {
            return false;
        }
        match key(&update) {
            Some(key) => drop(inner.latest.insert(key, update)),
            // The only update that does not stop coming when rooms are left.
            None if inner.overfull && matches!(update, Update::Refused { .. }) => {
                tracing::warn!(?update, "not delivered, since the application is slow");
            }
            None => inner.enqueue(update),
        }
        inner.overfull |= inner.queue.len() >= self.limits.updates || inner.bytes >= self.limits.bytes;
        let overfull = inner.overfull;
        wake(inner);
        overfull
    }

    /// Waits until a mailbox that was over its limits has room again. May return early.
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

    /// Whether the application has dropped its side.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.lock().abandoned
    }

    /// Returns the epoch of a room that was last delivered to the application.
    pub(crate) fn epoch(&self, room: &RoomId) -> Option<u64> {
        self.lock().epochs.get(room).copied()
    }

    /// Takes the last event seen in each room where that has changed since this was last called.
    pub(crate) fn take_seen(&self) -> HashMap<RoomId, Cursor> {
        std::mem::take(&mut self.lock().seen)
    }

    /// Removes what the next run of the program will get, since nobody records any more that it was seen. Returns what
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

    /// Ends the application's stream after what is in the mailbox.
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
    fn enqueue(&mut self, update: Update) {
        if let Update::Joined(joined) = &update {
            // What was true in the room before is no longer delivered, and what is true from now on waits.
            for kind in [Kind::Present, Kind::Typing, Kind::Read] {
                self.latest.remove(&(kind, Some(joined.room.clone())));
            }
            *self.joining.entry(joined.room.clone()).or_default() += 1;
        }
        self.bytes += cost(&update);
        match (self.queue.back_mut(), &update) {
            // The application has not seen the state before; only the latest counts.
            (Some(last @ Update::Connection(_)), Update::Connection(_)) => *last = update,
            _ => self.queue.push_back(update),
        }
    }

    /// Takes one of the updates that replace each other, each kind in its turn.
    fn take_latest(&mut self) -> Option<Update> {
        let after = self.turn.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let in_turn = self.latest.range((after, Bound::Unbounded)).map(|(key, _)| key).chain(self.latest.keys());
        let waits = |room: &Option<RoomId>| room.as_ref().is_some_and(|room| self.joining.contains_key(room));
        let key = in_turn.into_iter().find(|(_, room)| !waits(room))?.clone();
        let update = self.latest.remove(&key);
        self.turn = Some(key);
        update
    }

    /// Takes the next update of the queue.
    fn take_queued(&mut self, records_seen: bool) -> Option<Update> {
        let update = self.queue.pop_front()?;
        self.bytes -= cost(&update);
        match &update {
            Update::Joined(joined) => {
                if let Some(times) = self.joining.get_mut(&joined.room) {
                    *times -= 1;
                    if *times == 0 {
                        self.joining.remove(&joined.room);
                    }
                }
                self.epochs.insert(joined.room.clone(), joined.epoch);
                if records_seen {
                    // After a reset, too: what is seen from here on belongs to this epoch.
                    self.delivered = Some((joined.room.clone(), joined.cursor()));
                }
            }
            Update::Event(event) if records_seen => {
                let epoch = self.epochs.get(&event.room).copied().unwrap_or_default();
                self.delivered = Some((event.room.clone(), event.cursor(epoch)));
            }
            _ => {}
        }
        Some(update)
    }
}

impl Events {
    /// Waits for the next update. Returns `None` when the client has ended.
    pub async fn next(&mut self) -> Option<Update> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Returns the next update, if there is one already.
    ///
    /// ```no_run
    /// # fn example(mut events: grpc_chat_client::Events) {
    /// while let Some(update) = events.try_next() {
    ///     println!("{update:?}");
    /// }
    /// # }
    /// ```
    pub fn try_next(&mut self) -> Option<Update> {
        match self.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(update) => update,
            Poll::Pending => None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Update>> {
        let Mailbox { room, limits, records_seen, .. } = &*self.mailbox;
        let mut inner = self.mailbox.lock();
        if let Some((room, cursor)) = inner.delivered.take() {
            inner.seen.insert(room, cursor);
        }
        let latest_is_due = inner.queue.is_empty() || inner.since_latest >= IN_BETWEEN;
        if latest_is_due && let Some(update) = inner.take_latest() {
            inner.since_latest = 0;
            return Poll::Ready(Some(update));
        }
        let Some(update) = inner.take_queued(*records_seen) else {
            if inner.closed {
                return Poll::Ready(None);
            }
            inner.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        inner.since_latest += 1;
        if inner.overfull && inner.queue.len() <= limits.updates / 2 && inner.bytes <= limits.bytes / 2 {
            inner.overfull = false;
            room.notify_one();
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
        inner.abandoned = true;
        inner.queue.clear();
        inner.latest.clear();
        inner.joining.clear();
        (inner.bytes, inner.overfull) = (0, false);
        drop(inner);
        // The client may go on: nobody is slow any more.
        self.mailbox.room.notify_one();
    }
}

/// Wakes whoever waits for an update, after the lock is released.
fn wake(mut inner: MutexGuard<'_, Inner>) {
    let waker = inner.waker.take();
    drop(inner);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Returns what an update replaces; `None` if it replaces nothing.
fn key(update: &Update) -> Option<Key> {
    match update {
        Update::Unsent(_) => Some((Kind::Unsent, None)),
        Update::Present { room, .. } => Some((Kind::Present, Some(room.clone()))),
        Update::Typing { room, .. } => Some((Kind::Typing, Some(room.clone()))),
        Update::Read { room, .. } => Some((Kind::Read, Some(room.clone()))),
        _ => None,
    }
}

/// Returns the bytes of text in an update. Updates that are replaced by the next of their kind are not counted.
fn cost(update: &Update) -> usize {
    match update {
        Update::Refused { draft, .. } | Update::Restored(draft) => {
            let text = match &draft.change {
                Change::Post { text, .. } | Change::Edit { text, .. } => text.len(),
                Change::React { reaction, .. } => reaction.len(),
                Change::Delete { .. } => 0,
            };
            draft.room.len() + text
        }
        Update::Event(event) => {
            let text = match &event.body {
                Body::Posted { text, .. } | Body::Edited { text, .. } => text.len(),
                Body::Reacted { reaction, .. } => reaction.len(),
                Body::Deleted { .. } | Body::Unknown => 0,
            };
            event.room.len() + event.sender.len() + event.device.len() + text
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
