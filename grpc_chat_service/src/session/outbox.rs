//! What a session has to say, until its stream has room for it: replies, and the rooms it reads by cursor.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::history::{Answer, History, Page, ReadError};
use crate::model::{Event, RoomId, Seq, UserId};
use crate::room::live::News;
use crate::room::tail::Taken;
use crate::room::{Room, Seat};
use crate::session::frame::{Body, Encode, End, Refusal};

/// How much one room puts on the stream before the next one has its turn. Also what one write carries about.
const TURN_BYTES: usize = 32 * 1024;

/// How much is read from the history at once, for a reader that is behind.
const PAGE: Page = Page { events: 256, bytes: TURN_BYTES };

/// Shared by the session, which fills it, the rooms, which say what is due, and the stream, which empties it.
///
/// Nothing is queued for a reader: a room is a cursor. Replies are queued, up to a bound. Short lock, no await under
/// it. A room holds its seats while it takes this lock, and this lock is held while a room's tail or live state is
/// looked at: seats, outbox, tail or live, always in this order.
#[derive(Debug)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    encode: Encode,
    max_replies: usize,
    /// Told when the stream has taken replies of which there were many.
    relieved: Notify,
    /// The stream has ended or is gone; nothing will be taken any more.
    gone: CancellationToken,
}

/// How an outbox stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// More than half of the replies that a client may leave unread are there.
    pub(crate) heavy: bool,
    /// The client leaves unread what the stream took last. Known on the stream's own task only, where what has been
    /// woken has also been polled.
    pub(crate) blocked: bool,
}

#[derive(Debug, Default)]
struct Inner {
    /// Encoded replies.
    replies: BytesMut,
    readers: HashMap<u64, Reader>,
    by_room: HashMap<RoomId, u64>,
    /// Readers that have something to say, perhaps; in turn.
    due: VecDeque<u64>,
    /// Readers that go on from the history; in turn.
    behind: VecDeque<u64>,
    last_reader: u64,
    /// No more replies will come: deliver what the rooms hold, then end.
    finishing: bool,
    /// Send the replies, then end.
    end: Option<End>,
    /// The stream has room, and has been told that there is nothing. Not so, the client does not read: what the
    /// stream took last still waits for room.
    asking: bool,
    /// Wakes the stream, if it has not been woken already.
    waiting: Option<Waker>,
}

/// One room, read by one session: a place in the room's history.
#[derive(Debug)]
struct Reader {
    room: Arc<Room>,
    seat: Arc<Seat>,
    user: UserId,
    /// The last event put on the stream.
    cursor: Seq,
    /// Known to be in the history, perhaps not in the tail.
    known: Seq,
    /// CaughtUp is still to be said, once level with `known`.
    catching_up: bool,
    /// The live state it has been told.
    seen: u64,
    /// How far the user is known, in this session, to have read.
    read: Seq,
    /// To be read from the history, or being read: not to be asked for again.
    behind: bool,
}

/// Where a new reader starts.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) user: UserId,
    pub(crate) cursor: Seq,
    pub(crate) known: Seq,
    /// The live state told in Joined.
    pub(crate) seen: u64,
    /// The read mark told in Joined.
    pub(crate) read: Seq,
}

impl Outbox {
    pub(crate) fn new(encode: Encode, max_replies: usize) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
            encode,
            max_replies,
            relieved: Notify::new(),
            gone: CancellationToken::new(),
        })
    }

    /// Puts a reply on the stream. `false` if the client has left too many unread.
    pub(crate) fn say(&self, reply_to: u64, body: &Body) -> bool {
        let mut inner = self.lock();
        (self.encode.frame)(reply_to, body, &mut inner.replies);
        inner.wake();
        inner.replies.len() <= self.max_replies
    }

    /// Says `joined`, and after it delivers the room from `start`, instead of from where it did. `false` as for
    /// [`Outbox::say`].
    pub(crate) fn join(self: &Arc<Self>, reply_to: u64, joined: &Body, room: &Arc<Room>, start: Start) -> bool {
        let id = {
            let mut inner = self.lock();
            inner.last_reader += 1;
            inner.last_reader
        };
        // Taken before the reader looks, so that nothing is missed between the two.
        let seat = room.seat(id, self);
        let Start { user, cursor, known, seen, read } = start;
        let room_id = room.id().clone();
        let room = Arc::clone(room);
        let reader = Reader { room, seat, user, cursor, known, catching_up: true, seen, read, behind: false };
        let mut inner = self.lock();
        // A stream that is over has given its readers up, and would never give this one up: it, its seat and this
        // outbox would hold each other, and the user would stay present, for ever.
        if self.gone.is_cancelled() {
            drop(inner);
            drop(reader);
            return true;
        }
        (self.encode.frame)(reply_to, joined, &mut inner.replies);
        inner.readers.insert(id, reader);
        inner.due.push_back(id);
        let replaced = inner.by_room.insert(room_id, id).and_then(|old| inner.readers.remove(&old));
        inner.wake();
        let bounded = inner.replies.len() <= self.max_replies;
        drop(inner);
        // Its seat is given up outside the lock.
        drop(replaced);
        bounded
    }

    /// The client knows how far its user has read: it has just said so itself.
    pub(crate) fn marked(&self, room: &RoomId, seq: Seq) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        if let Some(reader) = inner.by_room.get(room).and_then(|id| inner.readers.get_mut(id)) {
            reader.read = reader.read.max(seq);
        }
    }

    /// Stops delivering the room.
    pub(crate) fn leave(&self, room: &RoomId) {
        let mut inner = self.lock();
        let left = inner.by_room.remove(room).and_then(|id| inner.readers.remove(&id));
        drop(inner);
        // Its seat is given up outside the lock.
        drop(left);
    }

    /// Delivers each room up to its head, then ends with [`End::Completed`].
    pub(crate) fn finish(&self, heads: &HashMap<RoomId, Seq>) {
        let mut inner = self.lock();
        inner.finishing = true;
        for reader in inner.readers.values_mut() {
            let head = heads.get(reader.room.id()).copied().unwrap_or_default();
            reader.known = reader.known.max(head);
        }
        let all: Vec<u64> = inner.readers.keys().copied().collect();
        inner.due.extend(all);
        inner.wake();
    }

    /// Sends the replies, then ends. Rooms are left at once: a client that does not read may keep the stream open for
    /// long, and is not present meanwhile.
    pub(crate) fn end(&self, end: End) {
        let left = {
            let mut inner = self.lock();
            inner.end.get_or_insert(end);
            inner.wake();
            inner.by_room.clear();
            std::mem::take(&mut inner.readers)
        };
        // Their seats are given up outside the lock.
        drop(left);
    }

    pub(crate) fn load(&self) -> Load {
        let inner = self.lock();
        Load { heavy: self.heavy(&inner), blocked: !inner.asking }
    }

    fn heavy(&self, inner: &Inner) -> bool {
        inner.replies.len() > self.max_replies / 2
    }

    /// Resolves when an outbox that was heavy is so no longer.
    pub(crate) async fn relieved(&self) {
        self.relieved.notified().await;
    }

    /// Resolves when the stream has ended or is gone.
    pub(crate) fn gone(&self) -> WaitForCancellationFutureOwned {
        self.gone.clone().cancelled_owned()
    }

    /// The reader's room has something. Called by the room, at most once until the reader has looked.
    pub(crate) fn due(&self, reader: u64) {
        let mut inner = self.lock();
        inner.due.push_back(reader);
        inner.wake();
    }

    /// The stream is over: no reader is needed any more.
    fn close(&self) {
        self.gone.cancel();
        let readers = {
            let mut inner = self.lock();
            inner.waiting = None;
            inner.by_room.clear();
            std::mem::take(&mut inner.readers)
        };
        drop(readers);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.room.unseat(&self.seat);
        self.room.exit(&self.user);
    }
}

/// The sending side of a session's stream. Polled when the client has room for more, so a client that does not read
/// costs what is in the outbox and no more.
pub(crate) struct Outbound {
    outbox: Arc<Outbox>,
    history: Arc<dyn History>,
    /// At most one page is being read for a session, whatever the number of rooms that are behind.
    page: Option<Paging>,
    /// Gathered, and not yet taken.
    ready: VecDeque<Bytes>,
    ended: bool,
}

struct Paging {
    reader: u64,
    events: Answer<'static, Result<Vec<Event>, ReadError>>,
}

/// What goes on the stream next.
#[derive(Debug)]
pub(crate) enum Sent {
    /// Whole frames.
    Frames(Bytes),
    /// Nothing more.
    End(End),
}

impl Outbound {
    pub(crate) fn new(outbox: Arc<Outbox>, history: Arc<dyn History>) -> Self {
        Self { outbox, history, page: None, ready: VecDeque::new(), ended: false }
    }

    /// The next frames, everything that is ready up to about a write's worth; `None` after the end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Sent>> {
        loop {
            if let Some(frames) = self.ready.pop_front() {
                return Poll::Ready(Some(Sent::Frames(frames)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let page = self.page.as_mut().and_then(|paging| match paging.events.as_mut().poll(cx) {
                Poll::Ready(events) => Some((paging.reader, events)),
                Poll::Pending => None,
            });
            let mut parts = Vec::new();
            let mut inner = self.outbox.lock();
            inner.waiting = None;
            inner.asking = false;
            let relieved = self.outbox.heavy(&inner);
            if let Some((reader, events)) = page {
                self.page = None;
                inner.turn_page(reader, events, &self.outbox.encode, &mut parts);
            }
            inner.collect(&self.outbox.encode, &mut parts);
            let next = if self.page.is_none() { inner.next_page() } else { None };
            if parts.is_empty() && next.is_none() {
                if let Some(end) = inner.over() {
                    drop(inner);
                    self.ended = true;
                    self.outbox.close();
                    return Poll::Ready(Some(Sent::End(end)));
                }
                inner.waiting = Some(cx.waker().clone());
                inner.asking = true;
                return Poll::Pending;
            }
            drop(inner);
            if let Some((reader, room, after)) = next {
                let history = Arc::clone(&self.history);
                let events = Box::pin(async move { history.read_after(&room, after, PAGE).await });
                self.page = Some(Paging { reader, events });
            }
            if relieved {
                self.outbox.relieved.notify_one();
            }
            gather(parts, &mut self.ready);
        }
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.outbox.close();
    }
}

impl Inner {
    /// Replies, then every room that is due, each with its turn, until there is a write's worth.
    fn collect(&mut self, encode: &Encode, parts: &mut Vec<Bytes>) {
        if !self.replies.is_empty() {
            parts.push(self.replies.split().freeze());
        }
        if self.end.is_some() {
            return;
        }
        let mut bytes = 0;
        while bytes < TURN_BYTES
            && let Some(id) = self.due.pop_front()
        {
            let Some(reader) = self.readers.get_mut(&id) else {
                continue;
            };
            // A busy room would keep the stream from its end.
            if self.finishing && reader.level() {
                continue;
            }
            // Before looking: what comes while we look makes it due again.
            reader.seat.looking();
            if reader.behind {
                // A page from the cursor on is being read. What is put on the stream before it would come twice; it
                // makes the reader due again.
                continue;
            }
            let before = parts.len();
            match reader.room.take(reader.cursor, TURN_BYTES, parts) {
                Taken::Upto(seq) => {
                    reader.cursor = seq;
                    reader.say_caught_up(encode, parts);
                    if reader.seat.due_again() {
                        self.due.push_back(id);
                    }
                }
                Taken::Level if reader.cursor >= reader.known => {
                    reader.say_caught_up(encode, parts);
                    reader.say_news(encode, parts);
                }
                Taken::Level | Taken::Behind => {
                    reader.behind = true;
                    self.behind.push_back(id);
                }
            }
            bytes += parts[before..].iter().map(Bytes::len).sum::<usize>();
        }
    }

    /// What is to be read from the history next: for which reader, in which room, after which event.
    fn next_page(&mut self) -> Option<(u64, RoomId, Seq)> {
        if self.end.is_some() {
            return None;
        }
        while let Some(id) = self.behind.pop_front() {
            if let Some(reader) = self.readers.get(&id) {
                return Some((id, reader.room.id().clone(), reader.cursor));
            }
        }
        None
    }

    /// Puts what the history answered on the stream. The reader is due then: perhaps the tail can go on from there.
    fn turn_page(&mut self, id: u64, events: Result<Vec<Event>, ReadError>, encode: &Encode, parts: &mut Vec<Bytes>) {
        let Some(reader) = self.readers.get_mut(&id) else {
            return;
        };
        reader.behind = false;
        match events {
            Ok(events) => {
                let mut frames = BytesMut::new();
                match events.last() {
                    Some(last) => reader.cursor = last.seq,
                    // Nothing is after it, whatever was thought.
                    None => reader.known = reader.cursor,
                }
                for event in &events {
                    (encode.event)(event, &mut frames);
                }
                if !frames.is_empty() {
                    parts.push(frames.freeze());
                }
                reader.say_caught_up(encode, parts);
                if reader.seat.due_again() {
                    self.due.push_back(id);
                }
            }
            Err(error) => {
                let refusal = Refusal::of_read(error, reader.room.id());
                self.end.get_or_insert(End::Refused(refusal));
            }
        }
    }

    /// How the stream ends, if it does now that everything said has been taken.
    fn over(&mut self) -> Option<End> {
        if self.end.is_none() && self.finishing && self.readers.values().all(Reader::level) {
            self.end = Some(End::Completed);
        }
        self.end.clone()
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

impl Reader {
    /// All that has to be delivered has been, and said.
    fn level(&self) -> bool {
        self.cursor >= self.known && !self.catching_up
    }

    fn say_caught_up(&mut self, encode: &Encode, parts: &mut Vec<Bytes>) {
        if self.catching_up && self.cursor >= self.known {
            self.catching_up = false;
            let room = self.room.id().clone();
            say(&[Body::CaughtUp { room, seq: self.cursor }], encode, parts);
        }
    }

    fn say_news(&mut self, encode: &Encode, parts: &mut Vec<Bytes>) {
        let Some((news, seen)) = self.room.news(self.seen, &self.user) else {
            return;
        };
        self.seen = seen;
        let room = || self.room.id().clone();
        let News { came, left, snapshot, count, typing, read } = news;
        let mut bodies = Vec::new();
        if snapshot || !came.is_empty() || !left.is_empty() {
            bodies.push(Body::Presence { room: room(), came, left, snapshot, count });
        }
        bodies.extend(typing.map(|users| Body::Typing { room: room(), users }));
        bodies.extend(read.filter(|seq| *seq > self.read).map(|seq| Body::Read { room: room(), seq }));
        self.read = self.read.max(read.unwrap_or_default());
        say(&bodies, encode, parts);
    }
}

fn say(bodies: &[Body], encode: &Encode, parts: &mut Vec<Bytes>) {
    let mut frames = BytesMut::new();
    for body in bodies {
        (encode.frame)(0, body, &mut frames);
    }
    if !frames.is_empty() {
        parts.push(frames.freeze());
    }
}

/// Puts small parts together, so that they go out as one, and leaves large ones as they are, shared with all readers.
fn gather(parts: Vec<Bytes>, ready: &mut VecDeque<Bytes>) {
    /// Below this a copy is cheaper than a frame of HTTP/2.
    const LARGE: usize = 4 * 1024;
    let mut small = BytesMut::new();
    let mut parts = parts.into_iter().peekable();
    while let Some(part) = parts.next() {
        if small.is_empty() && (part.len() >= LARGE || parts.peek().is_none()) {
            ready.push_back(part);
        } else if part.len() >= LARGE {
            ready.push_back(small.split().freeze());
            ready.push_back(part);
        } else {
            small.extend_from_slice(&part);
        }
    }
    if !small.is_empty() {
        ready.push_back(small.freeze());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Change, ClientMsgId, Draft};
    use crate::rooms::Rooms;

    /// An event is its seq in one byte, CaughtUp the seq and a mark; nothing else is looked at.
    const ENCODE: Encode = Encode {
        event: |event, out| out.extend_from_slice(&[event.seq as u8]),
        frame: |_, body, out| {
            if let Body::CaughtUp { seq, .. } = body {
                out.extend_from_slice(&[*seq as u8, b'!']);
            }
        },
    };

    fn event(seq: Seq) -> Event {
        let draft = Draft {
            room: RoomId::new("r").unwrap(),
            sender: UserId::new("u").unwrap(),
            device: None,
            client_msg_id: ClientMsgId([0; 16]),
            change: Change::Post { text: "x".to_owned(), reply_to: None },
            epoch: 0,
        };
        Event { seq, prev_seq: seq - 1, time: 0, draft, erased: false }
    }

    #[test]
    fn what_is_published_while_a_page_with_it_is_read_is_delivered_once() {
        let rooms = Rooms::new(ENCODE.event, 1024);
        let room = rooms.open(&RoomId::new("r").unwrap());
        let outbox = Outbox::new(ENCODE, 1024);
        let start = Start { user: UserId::new("u").unwrap(), cursor: 0, known: 2, seen: u64::MAX, read: 0 };
        // Two events are in the history, and the rooms have not been told of them yet.
        assert!(outbox.join(1, &Body::Done, &room, start));
        let mut parts = Vec::new();
        outbox.lock().collect(&ENCODE, &mut parts);
        let (reader, _, after) = outbox.lock().next_page().unwrap();
        assert_eq!(after, 0);

        // Now they are, before the page has come.
        room.publish(vec![event(1), event(2)], ENCODE.event);
        outbox.lock().collect(&ENCODE, &mut parts);
        outbox.lock().turn_page(reader, Ok(vec![event(1), event(2)]), &ENCODE, &mut parts);
        room.publish(vec![event(3)], ENCODE.event);
        outbox.lock().collect(&ENCODE, &mut parts);
        assert_eq!(parts.concat(), [1, 2, 2, b'!', 3]);
    }
}
