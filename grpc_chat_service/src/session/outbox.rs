//! What a session has to send until its stream takes it: replies, and the rooms that it reads by cursor.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};

use bytes::BytesMut;

use super::reader::{Reader, ReaderStart};
use crate::model::{RoomId, Seq};
use crate::rooms::{Room, Subscriber};
use crate::session::frame::{Body, Encode, End};

/// Shared by the session, which fills it, the rooms, which mark readers as due, and the stream, which empties it.
///
/// Nothing is queued for a reader: a room is a cursor. Replies are queued, up to a limit. Short lock, never held across an
/// await. A room holds its seats while it takes this lock, and this lock is held while a room's tail or ephemeral state is
/// read, so locks nest in this order: seats, outbox, tail or ephemeral state.
#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    pub(super) encode: Encode,
    max_reply_bytes: usize,
}

/// The load of an outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// The queued replies exceed half of what a client may leave unread.
    pub(super) backlogged: bool,
    /// The stream is blocked by flow control: the client has not read what the stream took last. Exact only on the
    /// stream's own task, where whatever has been woken has also been polled.
    pub(super) blocked: bool,
    /// The stream has ended or been dropped; nothing will be taken any more.
    pub(super) closed: bool,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Encoded replies.
    pub(super) replies: BytesMut,
    pub(super) readers: HashMap<u64, Reader>,
    by_room: HashMap<RoomId, u64>,
    /// Readers whose room may have something new, in turn.
    pub(super) due: VecDeque<u64>,
    /// Readers that need a page of the history, in turn.
    pub(super) behind: VecDeque<u64>,
    last_reader: u64,
    /// No more replies will come: deliver what the rooms hold, then end.
    pub(super) finishing: bool,
    /// Send the replies, then end.
    pub(super) end: Option<End>,
    /// The stream has been polled and was told that there is nothing. If false, the last chunk it took still waits for the
    /// client's flow-control window.
    pub(super) polled_empty: bool,
    /// Wakes the stream, if it has not been woken already.
    pub(super) waker: Option<Waker>,
    /// See [`Load::closed`].
    closed: bool,
    /// Wakes the session when the stream is closed, and when it has taken replies from a backlogged outbox.
    session: Option<Waker>,
}

impl Outbox {
    pub(super) fn new(encode: Encode, max_reply_bytes: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), encode, max_reply_bytes })
    }

    /// Queues a frame. Returns `false` if the client has left too many replies unread.
    pub(super) fn send(&self, reply_to: u64, body: &Body) -> bool {
        let mut state = self.lock();
        (self.encode.frame)(reply_to, body, &mut state.replies);
        state.wake();
        state.replies.len() <= self.max_reply_bytes
    }

    /// Queues `joined` and delivers the room after it from `start`, replacing an earlier reader of the room. Returns
    /// `false` as [`Outbox::send`] does.
    pub(super) fn join(self: &Arc<Self>, reply_to: u64, joined: &Body, room: &Arc<Room>, start: ReaderStart) -> bool {
        let id = {
            let mut state = self.lock();
            state.last_reader += 1;
            state.last_reader
        };
        // Taken before the reader looks, so that it misses nothing in between.
        let weak: Weak<Self> = Arc::downgrade(self);
        let seat = room.seat(id, weak);
        let reader = Reader::new(Arc::clone(room), seat, start);
        let mut state = self.lock();
        (self.encode.frame)(reply_to, joined, &mut state.replies);
        state.readers.insert(id, reader);
        state.due.push_back(id);
        let replaced = state.by_room.insert(room.id().clone(), id).and_then(|old| state.readers.remove(&old));
        state.wake();
        let within_limit = state.replies.len() <= self.max_reply_bytes;
        drop(state);
        // A reader leaves its room when dropped, which must happen outside of the lock.
        drop(replaced);
        within_limit
    }

    /// Notes that the client knows how far its user has read, because it has just said so itself.
    pub(super) fn marked(&self, room: &RoomId, seq: Seq) {
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(reader) = state.by_room.get(room).and_then(|id| state.readers.get_mut(id))
            && seq <= reader.cursor.max(reader.known)
        {
            reader.read = reader.read.max(seq);
        }
    }

    /// Stops delivering the room.
    pub(super) fn leave(&self, room: &RoomId) {
        let mut state = self.lock();
        let left = state.by_room.remove(room).and_then(|id| state.readers.remove(&id));
        drop(state);
        // A reader leaves its room when dropped, which must happen outside of the lock.
        drop(left);
    }

    /// Delivers each room up to its head, then ends with [`End::Completed`].
    pub(super) fn finish(&self, heads: &HashMap<RoomId, Seq>) {
        let mut state = self.lock();
        state.finishing = true;
        for reader in state.readers.values_mut() {
            let head = heads.get(reader.room.id()).copied().unwrap_or_default();
            reader.known = reader.known.max(head);
        }
        let all: Vec<u64> = state.readers.keys().copied().collect();
        state.due.extend(all);
        state.wake();
    }

    /// Sends the replies, then ends. Rooms are left at once: a client that does not read may keep the stream open for
    /// long, and is not present meanwhile.
    pub(super) fn end(&self, end: End) {
        let left = {
            let mut state = self.lock();
            state.end.get_or_insert(end);
            state.wake();
            state.take_readers()
        };
        drop(left);
    }

    /// Returns the load, and has the session's task woken when the outbox is no longer backlogged, or is closed.
    pub(super) fn load(&self, cx: &Context<'_>) -> Load {
        let mut state = self.lock();
        match &mut state.session {
            Some(session) => session.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Load { backlogged: self.is_backlogged(&state), blocked: !state.polled_empty, closed: state.closed }
    }

    pub(super) fn is_backlogged(&self, state: &State) -> bool {
        state.replies.len() > self.max_reply_bytes / 2
    }

    /// Releases the readers, since nothing will be sent any more.
    pub(super) fn close(&self) {
        let left = {
            let mut state = self.lock();
            state.closed = true;
            state.waker = None;
            state.wake_session();
            state.take_readers()
        };
        drop(left);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Outbox {
    fn due(&self, reader: u64) {
        let mut state = self.lock();
        state.due.push_back(reader);
        state.wake();
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Wakes the session to look at the load again.
    pub(super) fn wake_session(&mut self) {
        if let Some(session) = self.session.take() {
            session.wake();
        }
    }

    /// Removes all readers. They leave their rooms when dropped, which must happen outside of the lock.
    fn take_readers(&mut self) -> HashMap<u64, Reader> {
        self.by_room.clear();
        std::mem::take(&mut self.readers)
    }
}
