//! One session, from Hello to its end: the task that feeds the protocol and carries out what it decides.

pub(crate) mod frame;
pub(crate) mod outbox;
mod protocol;

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use tokio_stream::{Stream, StreamExt};

use crate::drain::Drain;
use crate::history::{Answer, AppendError, Appended, Appending, History, Look, Marking, ReadError, now};
use crate::limits::Limits;
use crate::model::{ClientMsgId, RoomId, Seq, UserId};
use crate::room::Room;
use crate::rooms::Rooms;
use crate::session::frame::{Body, Encode, End, Inbound, Leaving, Refusal};
use crate::session::outbox::{Load, Outbound, Outbox, Start};
use crate::session::protocol::{Action, Protocol};

/// The longest time that a client is asked to wait before it connects again.
const RECONNECT_SPREAD: Duration = Duration::from_secs(5);

/// What every session works with.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) history: Arc<dyn History>,
    pub(crate) limits: Limits,
    pub(crate) encode: Encode,
    pub(crate) drain: Drain,
    /// How long the server waits for sessions when it leaves.
    pub(crate) grace: Duration,
}

/// One session's receiving side.
#[derive(Debug)]
pub(crate) struct Session {
    shared: Shared,
    outbox: Arc<Outbox>,
    protocol: Protocol,
    id: String,
    user: Option<UserId>,
    /// Answered in the order in which they were asked, or held back until they are: one wake and one look for a whole
    /// batch.
    appends: VecDeque<Append>,
    working: FuturesUnordered<Work>,
    actions: Vec<Action>,
    /// See [`Session::held_back`].
    held_back: bool,
}

/// What a caller's stream yields: a frame, or why there will be none any more.
pub(crate) type Heard = Result<Inbound, End>;

/// A session, and the stream of what it says.
pub(crate) fn open(shared: Shared) -> (Session, Outbound) {
    let outbox = Outbox::new(shared.encode, shared.limits.unread_reply_bytes);
    let outbound = Outbound::new(Arc::clone(&outbox), Arc::clone(&shared.history));
    let protocol = Protocol::new(shared.limits, shared.history.epoch(), shared.history.durability(), Instant::now());
    let session = Session {
        shared,
        outbox,
        protocol,
        id: uuid::Uuid::now_v7().to_string(),
        user: None,
        appends: VecDeque::new(),
        working: FuturesUnordered::new(),
        actions: Vec::new(),
        held_back: false,
    };
    (session, outbound)
}

impl Session {
    /// A session whose caller does not know of limits: with too much in flight it is not refused, but not read until
    /// there is room. HTTP/2 holds it back then, within its own window.
    pub(crate) fn held_back(self) -> Self {
        Self { held_back: true, ..self }
    }

    /// Runs until the stream of what it says has ended or is gone. `heard` is read as fast as it comes, whatever the
    /// client does about what is said to it: an unread stream would hold up its whole connection.
    pub(crate) async fn run(mut self, heard: impl Stream<Item = Heard>) {
        let mut heard = pin!(heard);
        let mut closed = false;
        let mut gone = pin!(self.outbox.gone());
        let mut drained = pin!(self.shared.drain.begun());
        let mut draining = false;
        let mut timer = pin!(tokio::time::sleep_until(Instant::now()));
        loop {
            let deadline = self.protocol.deadline();
            // Every frame moves the deadline on; a timer that is early finds nothing to do and is set again.
            if let Some(deadline) = deadline
                && (timer.is_elapsed() || deadline < timer.deadline())
            {
                timer.as_mut().reset(deadline);
            }
            let Load { heavy, blocked } = self.outbox.load();
            // Replies are unread only if the stream could not take them: it is about to, on this very task.
            let holding = heavy && !blocked || self.held_back && (heavy || self.protocol.full());
            tokio::select! {
                // What there is most of comes first, so that a frame costs no look at all the rest. There is an end to
                // it: a stream's window of frames, and what one session may have in flight.
                biased;
                frame = heard.next(), if !closed && !holding => match frame {
                    Some(Ok(frame)) => self.protocol.frame(frame, Instant::now(), &mut self.actions),
                    Some(Err(end)) => {
                        closed = true;
                        self.protocol.end(end, &mut self.actions);
                    }
                    None => {
                        closed = true;
                        self.protocol.half_closed(&mut self.actions);
                    }
                },
                // What is in flight can wait for its answer, and is bounded. A client that joins a hundred rooms at
                // once gets more to read than it may leave unread.
                done = poll_fn(|cx| next_append(&mut self.appends, cx)), if !heavy => self.done(done),
                Some(done) = self.working.next(), if !heavy => self.done(done),
                () = &mut gone => break,
                () = self.outbox.relieved(), if heavy => {}
                () = &mut drained, if !draining => {
                    draining = true;
                    self.protocol.drain(&mut self.actions);
                }
                () = &mut timer, if deadline.is_some() => {
                    self.protocol.tick(Instant::now(), blocked, &mut self.actions);
                }
            }
            self.act();
        }
        if let Some(user) = &self.user {
            tracing::info!(session = self.id, %user, "session ended");
        }
    }

    fn act(&mut self) {
        // Carrying one out may decide another.
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            self.carry_out(action);
        }
        let decided = std::mem::replace(&mut self.actions, actions);
        if !decided.is_empty() {
            self.actions.extend(decided);
            self.act();
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Welcome { reply_to, user, client } => {
                tracing::info!(session = self.id, %user, client, "session opened");
                self.user = Some(user.clone());
                let welcome = Body::Welcome {
                    session_id: self.id.clone(),
                    user,
                    limits: self.shared.limits,
                    durability: self.shared.history.durability(),
                    now: now(),
                };
                self.say(reply_to, &welcome);
            }
            Action::Say { reply_to, body } => self.say(reply_to, &body),
            Action::Append { id, draft } => {
                let (room, client_msg_id) = (draft.room.clone(), draft.client_msg_id);
                let answer = self.shared.history.append(draft);
                self.appends.push_back(Append { id, room, client_msg_id, answer });
            }
            Action::Look { id, room } => {
                let Some(user) = self.user.clone() else { return };
                // Held from before the history is looked at: what is stored from here on will be in its tail.
                let open = self.shared.rooms.open(&room);
                let history = Arc::clone(&self.shared.history);
                let answer = Box::pin(async move { history.look(&room, Some(&user)).await });
                self.working.push(Work::Look { id, room: open, answer });
            }
            Action::Seat { reply_to, mut joined } => {
                let Some(user) = self.user.clone() else { return };
                let room = self.shared.rooms.open(&joined.room);
                let seen = room.enter(&user);
                // One of the user's other sessions may have moved it since the history was looked at.
                joined.read = joined.read.max(room.read_mark(&user));
                (joined.present, joined.present_count) = room.present();
                // What follows a reset begins at the head; nothing before it is known to be missed.
                let start = Start { user, cursor: joined.start, known: joined.head, seen, read: joined.read };
                if !self.outbox.join(reply_to, &Body::Joined(joined), &room, start) {
                    self.protocol.end(End::RepliesUnread, &mut self.actions);
                }
            }
            Action::Leave { room } => self.outbox.leave(&room),
            Action::Mark { id, room, seq } => {
                let Some(user) = self.user.clone() else { return };
                let answer = self.shared.history.mark_read(room.clone(), user, seq);
                self.working.push(Work::Mark { id, room, answer });
            }
            Action::Typing { room } => {
                if let (Some(user), Some(room)) = (&self.user, self.shared.rooms.get(&room)) {
                    room.typing(user);
                }
            }
            Action::Farewell { reason } => {
                let spread = match reason {
                    Leaving::Shutdown => RECONNECT_SPREAD.mul_f64(fastrand::f64()),
                    // Sessions are not all of one age, and there is a server to connect to.
                    Leaving::Age => Duration::ZERO,
                };
                let grace = u64::try_from(self.shared.grace.as_millis()).unwrap_or(u64::MAX);
                let farewell =
                    Body::Draining { reason, reconnect_after: spread, acks_until: now().saturating_add(grace) };
                self.say(0, &farewell);
            }
            Action::Finish { rooms } => {
                // What a room's tail has been told is less: what was just acked, here or to others, is on its way.
                let history = Arc::clone(&self.shared.history);
                let answer = Box::pin(async move {
                    let mut heads = HashMap::with_capacity(rooms.len());
                    for room in rooms {
                        let look = history.look(&room, None).await.map_err(|error| Refusal::of_read(error, &room))?;
                        heads.insert(room, look.head);
                    }
                    Ok(heads)
                });
                self.working.push(Work::Heads { answer });
            }
            Action::End(end) => self.outbox.end(end),
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Append { id, room, client_msg_id, answer } => {
                self.protocol.appended(id, room, client_msg_id, answer, &mut self.actions);
            }
            Done::Look { id, room, answer } => {
                self.protocol.looked(id, room.id().clone(), answer, &mut self.actions);
                // Seated, if it is to be, before this holder of the room lets go.
                self.act();
                drop(room);
            }
            Done::Heads { answer: Ok(heads) } => self.outbox.finish(&heads),
            Done::Heads { answer: Err(refusal) } => self.outbox.end(End::Refused(refusal)),
            Done::Mark { id, room, answer } => {
                if let (Ok(seq), Some(user), Some(open)) = (answer, &self.user, self.shared.rooms.get(&room)) {
                    self.outbox.marked(&room, seq);
                    open.read(user, seq);
                }
                self.protocol.marked(id, &room, answer, &mut self.actions);
            }
        }
    }

    fn say(&mut self, reply_to: u64, body: &Body) {
        if !self.outbox.say(reply_to, body) {
            self.protocol.end(End::RepliesUnread, &mut self.actions);
        }
    }
}

/// A draft that the history has and has not answered.
#[derive(Debug)]
struct Append {
    id: u64,
    room: RoomId,
    client_msg_id: ClientMsgId,
    answer: Appending,
}

/// The oldest append, once it is answered.
fn next_append(appends: &mut VecDeque<Append>, cx: &mut Context<'_>) -> Poll<Done> {
    let Some(oldest) = appends.front_mut() else { return Poll::Pending };
    let answer = ready!(Pin::new(&mut oldest.answer).poll(cx));
    match appends.pop_front() {
        Some(Append { id, room, client_msg_id, .. }) => Poll::Ready(Done::Append { id, room, client_msg_id, answer }),
        None => Poll::Pending,
    }
}

/// What else a session waits for, apart from its client.
enum Work {
    Look { id: u64, room: Arc<Room>, answer: Answer<'static, Result<Look, ReadError>> },
    Mark { id: u64, room: RoomId, answer: Marking },
    Heads { answer: Answer<'static, Result<HashMap<RoomId, Seq>, Refusal>> },
}

/// What came of it.
enum Done {
    Append { id: u64, room: RoomId, client_msg_id: ClientMsgId, answer: Result<Appended, AppendError> },
    Look { id: u64, room: Arc<Room>, answer: Result<Look, ReadError> },
    Mark { id: u64, room: RoomId, answer: Result<Seq, AppendError> },
    Heads { answer: Result<HashMap<RoomId, Seq>, Refusal> },
}

impl Future for Work {
    type Output = Done;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done> {
        match &mut *self {
            Self::Look { id, room, answer } => {
                answer.as_mut().poll(cx).map(|answer| Done::Look { id: *id, room: Arc::clone(room), answer })
            }
            Self::Heads { answer } => answer.as_mut().poll(cx).map(|answer| Done::Heads { answer }),
            Self::Mark { id, room, answer } => {
                Pin::new(answer).poll(cx).map(|answer| Done::Mark { id: *id, room: room.clone(), answer })
            }
        }
    }
}
