//! The sending side of a session's stream: takes from the outbox what is ready.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;

use super::outbox::{Outbox, State};
use crate::access::{PermittedHistory, ReadPermit};
use crate::budgets::Lease;
use crate::history::{Page, ReadError};
use crate::metrics::{Metrics, SessionMetrics};
use crate::model::{Event, Seq};
use crate::refusal::Refusal;
use crate::rooms::Taken;
use crate::session::frame::{Encode, End};

/// How much one room puts on the stream before it is the next one's turn. Also the approximate size of one write.
const TURN_BYTES: usize = 32 * 1024;

/// How much is read from the history at once, for a reader that is behind.
const PAGE: Page = Page { events: 256, bytes: TURN_BYTES };

/// Below this size a copy is cheaper than an HTTP/2 frame.
const LARGE_PART: usize = 4 * 1024;

/// The sending side of a session's stream. It is polled when the client has room for more, so a client that does not read
/// costs what is in the outbox and no more.
pub(crate) struct Outbound {
    outbox: Arc<Outbox>,
    history: PermittedHistory,
    metrics: Arc<Metrics>,
    /// At most one page is read for a session at a time, however many of its rooms are behind.
    page: Option<Paging>,
    /// Collected, and not yet taken.
    ready: VecDeque<Bytes>,
    /// Being collected. Empty between polls; kept for its allocation.
    parts: Vec<Bytes>,
    /// What the replies that were taken last take of the budget of all sessions.
    sending: Option<Lease>,
    ended: bool,
}

/// A page of the history that is being read.
struct Paging {
    reader: u64,
    events: BoxFuture<'static, Result<Vec<Event>, ReadError>>,
}

/// The next item of a session's stream.
#[derive(Debug)]
pub(crate) enum Sent {
    /// Whole frames.
    Frames {
        bytes: Bytes,
        /// There is nothing after this at present, and the task will be woken when there is.
        is_all: bool,
    },
    /// The end of the stream.
    End(End),
}

impl Outbound {
    pub(super) fn new(outbox: Arc<Outbox>, history: PermittedHistory, metrics: Arc<Metrics>) -> Self {
        let (ready, parts) = (VecDeque::new(), Vec::new());
        Self { outbox, history, metrics, page: None, ready, parts, sending: None, ended: false }
    }

    /// Notes that the client does not read what was taken last, or that it has.
    pub(crate) fn set_blocked(&self, blocked: bool) {
        self.outbox.lock().blocked = blocked;
    }

    /// Returns the next frames, up to about one write's worth of what is ready; `None` after the end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Sent>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Sent::Frames { bytes, is_all: false }));
            }
            // What was taken last has been handed over.
            self.sending = None;
            if self.ended {
                return Poll::Ready(None);
            }
            let page = self.page.as_mut().and_then(|paging| match paging.events.as_mut().poll(cx) {
                Poll::Ready(events) => Some((paging.reader, events)),
                Poll::Pending => None,
            });
            let mut state = self.outbox.lock();
            state.is_asleep = false;
            let mut delivered = 0;
            let was_backlogged = self.outbox.is_backlogged(&state);
            if let Some((reader, events)) = page {
                self.page = None;
                delivered += state.apply_page(reader, events, &self.outbox.encode, &mut self.parts);
            }
            delivered += state.collect(&self.outbox.encode, &self.metrics.sessions, &mut self.sending, &mut self.parts);
            let next = if self.page.is_none() { state.next_page() } else { None };
            let is_idle = self.parts.is_empty() && next.is_none();
            if is_idle && let Some(end) = state.ended() {
                drop(state);
                self.ended = true;
                self.outbox.close();
                return Poll::Ready(Some(Sent::End(end)));
            }
            // The usual case, for which the stream need not be polled twice.
            let is_all = self.parts.len() == 1 && next.is_none() && !state.has_more();
            if is_idle || is_all {
                state.sleep(cx);
            }
            if was_backlogged {
                state.wake_session();
            }
            drop(state);
            if delivered > 0 {
                self.metrics.sessions.delivered(delivered);
            }
            if let Some((reader, permit, after)) = next {
                self.page = Some(Paging { reader, events: self.history.read_after(&permit, after, PAGE) });
            }
            match self.parts.pop() {
                Some(bytes) if self.parts.is_empty() => return Poll::Ready(Some(Sent::Frames { bytes, is_all })),
                Some(bytes) => {
                    self.parts.push(bytes);
                    merge_small(&mut self.parts, &mut self.ready);
                }
                None if is_idle => return Poll::Pending,
                None => {}
            }
        }
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.outbox.close();
    }
}

impl State {
    /// Collects the replies, then what is new in every room that is due, each in turn, until there is a write's worth. Returns
    /// the number of events.
    fn collect(
        &mut self,
        encode: &Encode,
        metrics: &SessionMetrics,
        sending: &mut Option<Lease>,
        parts: &mut Vec<Bytes>,
    ) -> u64 {
        if !self.replies.is_empty() {
            let (replies, lease) = self.take_replies();
            parts.push(replies.freeze());
            *sending = lease;
        }
        if self.end.is_some() {
            return 0;
        }
        let (mut bytes, mut events) = (0, 0);
        while bytes < TURN_BYTES
            && let Some(id) = self.due.pop_front()
        {
            let Some(reader) = self.readers.get_mut(id) else {
                continue;
            };
            // Otherwise a busy room would keep the stream from ending.
            if self.finishing && reader.is_level() {
                continue;
            }
            // Before looking: what comes from here on makes the reader due again.
            reader.seat.looking();
            if reader.behind.is_some() {
                // A page from the cursor on is being read, and events put on the stream before it would be sent twice.
                // The page makes the reader due again.
                continue;
            }
            let before = parts.len();
            match reader.room.take(reader.cursor, TURN_BYTES, parts) {
                Taken::Upto(seq) => {
                    // The sequence numbers of a room have no gaps.
                    events += seq - reader.cursor;
                    reader.cursor = seq;
                    reader.push_caught_up(encode, parts);
                    if reader.seat.due_again() {
                        self.due.push_back(id);
                    }
                }
                Taken::Level if reader.cursor >= reader.known => {
                    reader.push_caught_up(encode, parts);
                    reader.push_delta(encode, parts);
                }
                Taken::Level | Taken::Behind => {
                    reader.behind = Some(metrics.behind());
                    self.behind.push_back(id);
                }
            }
            bytes += parts[before..].iter().map(Bytes::len).sum::<usize>();
        }
        events
    }

    /// Returns what to read from the history next: for which reader, with which permit, after which event.
    fn next_page(&mut self) -> Option<(u64, ReadPermit, Seq)> {
        if self.end.is_some() {
            return None;
        }
        while let Some(id) = self.behind.pop_front() {
            if let Some(reader) = self.readers.get_mut(id) {
                return Some((id, reader.permit.clone(), reader.cursor));
            }
        }
        None
    }

    /// Puts a page of the history on the stream. The reader is due afterwards: the tail may be able to continue from there.
    /// Returns the number of events.
    fn apply_page(
        &mut self,
        id: u64,
        events: Result<Vec<Event>, ReadError>,
        encode: &Encode,
        parts: &mut Vec<Bytes>,
    ) -> u64 {
        let Some(reader) = self.readers.get_mut(id) else {
            return 0;
        };
        let delivered = events.as_ref().map_or(0, Vec::len) as u64;
        reader.behind = None;
        match events {
            Ok(events) => {
                let mut frames = BytesMut::new();
                match events.last() {
                    Some(last) => reader.cursor = last.seq,
                    // Nothing follows the cursor after all.
                    None => reader.known = reader.cursor,
                }
                for event in &events {
                    (encode.event)(event, &mut frames);
                }
                if !frames.is_empty() {
                    parts.push(frames.freeze());
                }
                reader.push_caught_up(encode, parts);
                if reader.seat.due_again() {
                    self.due.push_back(id);
                }
            }
            Err(ReadError::Expired { .. }) => {
                // Joining again, the client is told that its cursor has expired.
                self.end.get_or_insert(End::Expired { room: reader.room.id().clone() });
            }
            Err(error) => {
                let refusal = Refusal::from_read(error, reader.room.id());
                self.end.get_or_insert(End::Refused(refusal));
            }
        }
        delivered
    }

    /// Whether there may be more at once, or the stream may end.
    fn has_more(&self) -> bool {
        !self.due.is_empty() || self.end.is_some() || self.finishing
    }

    /// Returns how the stream ends, if it does now that everything queued has been taken.
    fn ended(&mut self) -> Option<End> {
        if self.end.is_none() && self.finishing && self.readers.iter_mut().all(|reader| reader.is_level()) {
            self.end = Some(End::Completed);
        }
        self.end.clone()
    }
}

/// Merges small parts, so that they are sent as one, and leaves large ones as they are, shared with all readers.
fn merge_small(parts: &mut Vec<Bytes>, ready: &mut VecDeque<Bytes>) {
    let mut small = BytesMut::new();
    let mut parts = parts.drain(..).peekable();
    while let Some(part) = parts.next() {
        if small.is_empty() && (part.len() >= LARGE_PART || parts.peek().is_none()) {
            ready.push_back(part);
        } else if part.len() >= LARGE_PART {
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
    use tokio::sync::mpsc;

    use super::*;
    use crate::access::{Caller, Policy};
    use crate::address::{LogAddresses, Peer};
    use crate::budgets::Budget;
    use crate::history::Admission;
    use crate::history::memory::MemoryStore;
    use crate::limits::RoomLimits;
    use crate::model::{Change, ClientMsgId, Draft, RoomId, UserId};
    use crate::peers::local::LocalNetwork;
    use crate::rooms::Rooms;
    use crate::session::frame::Body;
    use crate::session::reader::ReaderStart;

    /// An event is its sequence number in one byte, CaughtUp the sequence number and a mark; nothing else is encoded.
    const ENCODE: Encode = Encode {
        event: |event, out| out.extend_from_slice(&[event.seq as u8]),
        frame: |_, body, out| {
            if let Body::CaughtUp { seq, .. } = body {
                out.extend_from_slice(&[*seq as u8, b'!']);
            }
        },
        reason: |_| "",
    };

    fn event(seq: Seq) -> Event {
        let draft = Draft {
            room: RoomId::new("r").unwrap(),
            sender: UserId::new("u").unwrap(),
            device: None,
            client_msg_id: ClientMsgId([0; 16]),
            change: Change::Post { text: "x".into(), reply_to: None },
        };
        Event { seq, prev_seq: seq - 1, time: 0, draft, erased: false }
    }

    #[tokio::test]
    async fn events_published_while_a_page_with_them_is_read_are_delivered_once() {
        let history = MemoryStore::new().open(Admission::default(), mpsc::channel(1).0);
        let peers = Arc::new(LocalNetwork::default().join());
        let history = PermittedHistory::new(Arc::new(history));
        let metrics = Arc::<Metrics>::default();
        let (limits, budget) = (RoomLimits { tail_bytes: 1024, ..RoomLimits::default() }, Budget::new(1024 * 1024));
        let rooms = Rooms::new(history, peers, ENCODE.event, limits, budget.clone(), Arc::clone(&metrics));
        let caller = Caller::at(Peer::new(([127, 0, 0, 1], 1).into(), LogAddresses::Full));
        let permit = Policy.read(&caller, RoomId::new("r").unwrap()).unwrap();
        let room = rooms.open(&permit);
        let outbox = Outbox::new(ENCODE, 1024, &budget);
        let start =
            ReaderStart { permit, user: UserId::new("u").unwrap(), cursor: 0, known: 2, seen: u64::MAX, read: 0 };
        // Two events are stored, and have not been published yet.
        assert!(outbox.join(1, &Body::Done, &room, start));
        let mut parts = Vec::new();
        outbox.lock().collect(&ENCODE, &metrics.sessions, &mut None, &mut parts);
        let (reader, _, after) = outbox.lock().next_page().unwrap();
        assert_eq!(after, 0);

        // They are published before the page arrives.
        room.publish(vec![event(1), event(2)], ENCODE.event, 1);
        outbox.lock().collect(&ENCODE, &metrics.sessions, &mut None, &mut parts);
        outbox.lock().apply_page(reader, Ok(vec![event(1), event(2)]), &ENCODE, &mut parts);
        room.publish(vec![event(3)], ENCODE.event, 1);
        outbox.lock().collect(&ENCODE, &metrics.sessions, &mut None, &mut parts);
        assert_eq!(parts.concat(), [1, 2, 2, b'!', 3]);
    }
}
