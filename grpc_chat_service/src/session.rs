//! One session, from Hello to its end: the task that feeds the protocol and carries out its actions.

pub(crate) mod frame;
mod outbound;
mod outbox;
mod pending;
mod protocol;
mod reader;

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_stream::{Stream, StreamExt};

use crate::access::{Caller, PermittedHistory, Policy};
use crate::drain::Drain;
use crate::history::now;
use crate::limits::Limits;
use crate::model::{Epoch, UserId, new_uuid};
use crate::refusal::Refusal;
use crate::rooms::Rooms;
use frame::{Body, DrainReason, Encode, End, Inbound, Start, Welcome};
pub(crate) use outbound::{Outbound, Sent};
use outbox::{Load, Outbox};
use pending::{Append, Completion, Lookup, next_append};
use protocol::{Action, Protocol, Settings};
use reader::ReaderStart;

/// The longest time that a client is asked to wait before it reconnects.
const RECONNECT_SPREAD: Duration = Duration::from_secs(5);

/// What every session works with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) history: PermittedHistory,
    pub(crate) policy: Policy,
    pub(crate) limits: Limits,
    pub(crate) encode: Encode,
    pub(crate) drain: Drain,
    /// How long the server waits for sessions when it shuts down.
    pub(crate) grace: Duration,
}

/// What a session can expect of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientKind {
    /// It knows the chat: it answers pings, and is refused what exceeds its limits.
    Chat,
    /// It only knows the example: HTTP/2's own PINGs check whether it is reachable, and at its limits it is not refused but
    /// not read until there is room. HTTP/2 flow control holds it back then, within its own window.
    Example,
}

/// The receiving side of a session.
#[derive(Debug)]
pub(crate) struct Session {
    context: Arc<Context>,
    kind: ClientKind,
    outbox: Arc<Outbox>,
    protocol: Protocol,
    id: String,
    peer: SocketAddr,
    /// The user who was welcomed.
    user: Option<UserId>,
    /// How the session ends, for the log.
    end: &'static str,
    /// Completed in the order in which they were requested, or held back until they are: one wake and one look for a whole
    /// batch.
    appends: VecDeque<Append>,
    lookups: FuturesUnordered<Lookup>,
    /// The epoch of the history; the session ends when it changes.
    epoch: watch::Receiver<Epoch>,
}

/// An item of a caller's stream: a frame, or why there will be no more.
pub(crate) type Received = Result<Inbound, End>;

/// Creates a session for `caller`, and the stream of what it sends.
pub(crate) fn open(context: &Arc<Context>, caller: Caller, kind: ClientKind) -> (Session, Outbound) {
    let mut epoch = context.history.epoch();
    let outbox = Outbox::new(context.encode, context.limits.session.unread_reply_bytes);
    let outbound = Outbound::new(Arc::clone(&outbox), context.history.clone());
    let settings = Settings {
        caller,
        policy: context.policy,
        limits: context.limits.session,
        epoch: *epoch.borrow_and_update(),
        durability: context.history.durability(),
    };
    let session = Session {
        context: Arc::clone(context),
        kind,
        outbox,
        protocol: Protocol::new(settings, Instant::now()),
        id: new_uuid().to_string(),
        peer: caller.peer,
        user: None,
        end: "disconnected",
        appends: VecDeque::new(),
        lookups: FuturesUnordered::new(),
        epoch,
    };
    (session, outbound)
}

impl Session {
    /// Runs until the stream of what it sends has ended or been dropped. `frames` is read as fast as it comes, whether or
    /// not the client reads what it is sent: an unread stream would block its whole connection.
    pub(crate) async fn run(mut self, frames: impl Stream<Item = Received>) {
        let mut frames = pin!(frames);
        let mut half_closed = false;
        let mut closed = pin!(self.outbox.closed());
        let mut drained = pin!(self.context.drain.begun());
        let mut draining = false;
        let mut timer = pin!(tokio::time::sleep_until(Instant::now()));
        loop {
            let deadline = self.protocol.deadline();
            // Every frame moves the deadline back; a timer that fires early finds nothing to do and is set again.
            if let Some(deadline) = deadline
                && (timer.is_elapsed() || deadline < timer.deadline())
            {
                timer.as_mut().reset(deadline);
            }
            let Load { backlogged, blocked } = self.outbox.load();
            let reads = self.reads_frames(backlogged, blocked);
            tokio::select! {
                // The most frequent input comes first, so that a frame does not cost a look at all the others. Frames
                // cannot starve them: a stream's window and the requests in flight are both bounded.
                biased;
                frame = frames.next(), if !half_closed && reads => match frame {
                    Some(Ok(frame)) => self.protocol.frame(frame, Instant::now()),
                    Some(Err(end)) => {
                        half_closed = true;
                        self.protocol.end(end);
                    }
                    None => {
                        half_closed = true;
                        self.protocol.half_close();
                    }
                },
                // Requests in flight can wait for their replies, and are bounded. A client that joins a hundred rooms at
                // once is sent more replies than it may leave unread.
                done = poll_fn(|cx| next_append(&mut self.appends, cx)), if !backlogged => self.complete(done),
                Some(done) = self.lookups.next(), if !backlogged => self.complete(done),
                () = &mut closed => break,
                () = self.outbox.relieved(), if backlogged => {}
                () = &mut drained, if !draining => {
                    draining = true;
                    self.protocol.drain();
                }
                Ok(()) = self.epoch.changed() => self.protocol.epoch_ended(),
                () = &mut timer, if deadline.is_some() => self.protocol.tick(Instant::now(), blocked),
            }
            self.act();
        }
    }

    /// Whether the next frame is read now.
    fn reads_frames(&self, backlogged: bool, blocked: bool) -> bool {
        match self.kind {
            // With replies queued and the stream not blocked, the stream is about to take them, on this very task.
            ClientKind::Chat => !backlogged || blocked,
            ClientKind::Example => !backlogged && !self.protocol.is_full(),
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.protocol.next() {
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Welcome { reply_to, user, client } => {
                tracing::info!(peer = %self.peer, session = self.id, %user, client, "session opened");
                self.user = Some(user.clone());
                let welcome = Welcome {
                    session_id: self.id.clone(),
                    user,
                    limits: self.context.limits.session,
                    max_frame_bytes: self.context.limits.connection.message_bytes,
                    durability: self.context.history.durability(),
                    now: now(),
                };
                self.send(reply_to, &Body::Welcome(welcome));
            }
            Action::Send { reply_to, body } => self.send(reply_to, &body),
            Action::Append { id, permit, draft, expected } => {
                let (room, client_msg_id) = (draft.room.clone(), draft.client_msg_id);
                let result = self.context.history.append(&permit, draft, expected);
                self.appends.push_back(Append { id, room, client_msg_id, result });
            }
            Action::ReadState { id, permit, user, start } => {
                // Opened before the state is read: events committed from here on will be in its tail.
                let room = self.context.rooms.open(&permit);
                let (last, at) = match start {
                    Start::Last(last) => (last, 0),
                    Start::Beginning => (0, 0),
                    Start::After { seq, .. } => (0, seq),
                };
                let result = self.context.history.room_state(&permit, Some(user), last, at);
                self.lookups.push(Lookup::State { id, room, result });
            }
            Action::Seat { reply_to, permit, user, mut joined } => {
                let room = self.context.rooms.open(&permit);
                let seen = room.enter(&user);
                // Another session of the user may have moved the mark since the state was read.
                joined.read = joined.read.max(room.read_mark(&user));
                (joined.present, joined.present_count) = room.present();
                let start =
                    ReaderStart { permit, user, cursor: joined.start, known: joined.head, seen, read: joined.read };
                if !self.outbox.join(reply_to, &Body::Joined(joined), &room, start) {
                    self.protocol.end(End::RepliesUnread);
                }
            }
            Action::Leave { room } => self.outbox.leave(&room),
            Action::MarkRead { id, permit, user, seq } => {
                self.outbox.marked(permit.room(), seq);
                let result = self.context.history.mark_read(&permit, user, seq);
                self.lookups.push(Lookup::Mark { id, room: permit.room().clone(), result });
            }
            Action::Typing { permit, user } => {
                if let Some(room) = self.context.rooms.get(&permit) {
                    room.typing(&user);
                }
            }
            Action::SendDraining { reason } => {
                let reconnect_after = match reason {
                    DrainReason::Shutdown | DrainReason::Epoch => RECONNECT_SPREAD.mul_f64(fastrand::f64()),
                    // Sessions reach their age at different times, and the server stays up.
                    DrainReason::Age => Duration::ZERO,
                };
                let grace = u64::try_from(self.context.grace.as_millis()).unwrap_or(u64::MAX);
                let acks_until = now().saturating_add(grace);
                self.send(0, &Body::Draining { reason, reconnect_after, acks_until });
            }
            Action::Finish { rooms } => {
                self.end = End::Completed.name();
                // The tails may not have everything yet: events acked just now, here or elsewhere, are on their way.
                let history = self.context.history.clone();
                let result = Box::pin(async move {
                    let mut heads = HashMap::with_capacity(rooms.len());
                    for permit in rooms {
                        let head = history.head(&permit).await;
                        let head = head.map_err(|error| Refusal::from_read(error, permit.room()))?;
                        heads.insert(permit.room().clone(), head);
                    }
                    Ok(heads)
                });
                self.lookups.push(Lookup::Heads { result });
            }
            Action::End(end) => {
                self.end = end.name();
                self.outbox.end(end);
            }
        }
    }

    fn complete(&mut self, done: Completion) {
        match done {
            Completion::Append { id, room, client_msg_id, result } => {
                self.protocol.appended(id, room, client_msg_id, result);
            }
            Completion::State { id, room, result } => {
                self.protocol.state_read(id, room.id(), result);
                // The reader is seated, if it is to be, before this reference keeps the room open no longer.
                self.act();
                drop(room);
            }
            Completion::Heads { result: Ok(heads) } => self.outbox.finish(&heads),
            Completion::Heads { result: Err(refusal) } => self.outbox.end(End::Refused(refusal)),
            Completion::Mark { id, room, result } => self.protocol.marked(id, &room, result),
        }
    }

    fn send(&mut self, reply_to: u64, body: &Body) {
        if !self.outbox.send(reply_to, body) {
            self.protocol.end(End::RepliesUnread);
        }
    }
}

impl Drop for Session {
    /// Logged here, so that the end of a session is also logged when its connection is lost.
    fn drop(&mut self) {
        if let Some(user) = &self.user {
            tracing::info!(peer = %self.peer, session = self.id, %user, reason = self.end, "session ended");
        }
    }
}
