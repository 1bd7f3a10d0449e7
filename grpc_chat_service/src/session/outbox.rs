//! What a session has to send until its stream takes it: replies, and the rooms that it reads by cursor.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};

use bytes::BytesMut;

use super::reader::{Reader, ReaderStart};
use crate::budgets::{Budget, Lease};
use crate::model::{RoomId, Seq};
use crate::rooms::{Room, Subscriber};
use crate::session::frame::{Body, Encode, End};

/// The replies that a session may leave unread before they count towards the budget of all sessions, in bytes.
const FREE_BYTES: usize = 16 * 1024;

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
    /// The stream is blocked by flow control: the client has not read what the stream took last.
    pub(super) blocked: bool,
    /// The stream has ended or been dropped; nothing will be taken any more.
    pub(super) closed: bool,
}

#[derive(Debug)]
pub(super) struct State {
    /// Encoded replies.
    pub(super) replies: BytesMut,
    /// What they take of the budget of all sessions, if they are many.
    lease: Lease,
    /// The size of the replies that were taken last, which the next ones will resemble.
    last_replies_bytes: usize,
    pub(super) readers: Readers,
    /// Readers whose room may have something new, in turn.
    pub(super) due: VecDeque<u64>,
    /// Readers that need a page of the history, in turn.
    pub(super) behind: VecDeque<u64>,
    last_reader: u64,
    /// No more replies will come: deliver what the rooms hold, then end.
    pub(super) finishing: bool,
    /// Send the replies, then end.
    pub(super) end: Option<End>,
    /// See [`Load::blocked`].
    pub(super) blocked: bool,
    /// Wakes the stream.
    waker: Option<Waker>,
    /// The stream has taken everything, and has not been woken since.
    pub(super) is_asleep: bool,
    /// See [`Load::closed`].
    closed: bool,
    /// Wakes the session when the stream is closed, and when it has taken replies from a backlogged outbox.
    session: Option<Waker>,
}

impl Outbox {
    /// Creates an empty outbox. Beyond `max_reply_bytes` of replies the client does not read, and neither does it if there are
    /// many and all sessions together have exhausted `budget`.
    pub(super) fn new(encode: Encode, max_reply_bytes: usize, budget: &Budget) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State::new(budget.lease())), encode, max_reply_bytes })
    }

    /// Queues a frame. Returns `false` if the client has left too many replies unread.
    pub(super) fn send(&self, reply_to: u64, body: &Body) -> bool {
        let mut state = self.lock();
        state.reserve();
        (self.encode.frame)(reply_to, body, &mut state.replies);
        state.wake();
        state.replies.len() <= self.max_reply_bytes && state.lease_replies()
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
        let reader = Reader::new(id, Arc::clone(room), seat, start);
        let mut state = self.lock();
        (self.encode.frame)(reply_to, joined, &mut state.replies);
        let replaced = state.readers.remove(room.id());
        state.readers.push(reader);
        state.due.push_back(id);
        state.wake();
        let within_limit = state.replies.len() <= self.max_reply_bytes && state.lease_replies();
        drop(state);
        // A reader leaves its room when dropped, which must happen outside of the lock.
        drop(replaced);
        within_limit
    }

    /// Notes that the client knows how far its user has read, because it has just said so itself.
    pub(super) fn marked(&self, room: &RoomId, seq: Seq) {
        let mut state = self.lock();
        if let Some(reader) = state.readers.of_room(room)
            && seq <= reader.cursor.max(reader.known)
        {
            reader.read = reader.read.max(seq);
        }
    }

    /// Stops delivering the room.
    pub(super) fn leave(&self, room: &RoomId) {
        let mut state = self.lock();
        let left = state.readers.remove(room);
        drop(state);
        // A reader leaves its room when dropped, which must happen outside of the lock.
        drop(left);
    }

    /// Delivers each room up to its head, then ends with [`End::Completed`].
    pub(super) fn finish(&self, heads: &HashMap<RoomId, Seq>) {
        let mut state = self.lock();
        state.finishing = true;
        let state = &mut *state;
        for reader in state.readers.iter_mut() {
            let head = heads.get(reader.room.id()).copied().unwrap_or_default();
            reader.known = reader.known.max(head);
            state.due.push_back(reader.id);
        }
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
        Load { backlogged: self.is_backlogged(&state), blocked: state.blocked, closed: state.closed }
    }

    pub(super) fn is_backlogged(&self, state: &State) -> bool {
        state.replies.len() > self.max_reply_bytes / 2
    }

    /// Releases the readers, since nothing will be sent any more.
    pub(super) fn close(&self) {
        let left = {
            let mut state = self.lock();
            state.closed = true;
            state.is_asleep = false;
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
    fn new(lease: Lease) -> Self {
        Self {
            replies: BytesMut::new(),
            lease,
            last_replies_bytes: 0,
            readers: Readers::default(),
            due: VecDeque::new(),
            behind: VecDeque::new(),
            last_reader: 0,
            finishing: false,
            end: None,
            blocked: false,
            waker: None,
            is_asleep: false,
            closed: false,
            session: None,
        }
    }

    /// Takes from the budget as much as the replies are, in steps, if they are many. Returns whether there was as much.
    fn lease_replies(&mut self) -> bool {
        let bytes = self.replies.len();
        bytes <= FREE_BYTES.max(self.lease.bytes()) || self.lease.resize(bytes.next_multiple_of(FREE_BYTES))
    }

    /// Takes the replies, all of the buffer, since an idle session keeps none; and what they take of the budget, if anything.
    pub(super) fn take_replies(&mut self) -> (BytesMut, Option<Lease>) {
        self.last_replies_bytes = self.replies.len();
        (mem::take(&mut self.replies), (self.lease.bytes() > 0).then(|| self.lease.take()))
    }

    /// Makes room for replies at once, and not bit by bit.
    fn reserve(&mut self) {
        if self.replies.capacity() == 0 {
            self.replies.reserve(self.last_replies_bytes);
        }
    }

    /// Has the stream woken by what comes next.
    pub(super) fn sleep(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        self.is_asleep = true;
    }

    fn wake(&mut self) {
        if mem::take(&mut self.is_asleep)
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }

    /// Wakes the session to look at the load again.
    pub(super) fn wake_session(&mut self) {
        if let Some(session) = self.session.take() {
            session.wake();
        }
    }

    /// Removes all readers. They leave their rooms when dropped, which must happen outside of the lock.
    fn take_readers(&mut self) -> Readers {
        mem::take(&mut self.readers)
    }
}

/// The readers of a session, in the order of their ids. There are few, and most often one.
#[derive(Debug, Default)]
pub(super) struct Readers(Vec<Reader>);

impl Readers {
    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Reader> {
        let index = self.0.binary_search_by_key(&id, |reader| reader.id).ok()?;
        self.0.get_mut(index)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Reader> {
        self.0.iter_mut()
    }

    fn of_room(&mut self, room: &RoomId) -> Option<&mut Reader> {
        self.0.iter_mut().find(|reader| reader.room.id() == room)
    }

    /// Adds a reader, whose id is higher than all others.
    fn push(&mut self, reader: Reader) {
        // Most sessions have one.
        self.0.reserve_exact(usize::from(self.0.is_empty()));
        self.0.push(reader);
    }

    fn remove(&mut self, room: &RoomId) -> Option<Reader> {
        let index = self.0.iter().position(|reader| reader.room.id() == room)?;
        Some(self.0.remove(index))
    }
}
