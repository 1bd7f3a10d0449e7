//! One session, from Hello to its end: the task that feeds the protocol and carries out its actions.

pub(crate) mod frame;
mod outbound;
mod outbox;
mod pending;
mod places;
mod protocol;
mod reader;

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_stream::Stream;

use crate::access::{Caller, PermittedHistory, Policy, ReadPermit};
use crate::budgets::Budgets;
use crate::connection::Incoming;
use crate::drain::Drain;
use crate::history::now;
use crate::limits::Limits;
use crate::metrics::{Counted, Metrics};
use crate::model::{Account, Epoch, UserId, new_uuid};
use crate::pace::Pace;
use crate::rates::{Kind, Limited, Rates};
use crate::refusal::Refusal;
use crate::rooms::Rooms;
use frame::{Body, DrainReason, Encode, End, Inbound, Start, Welcome};
pub(crate) use outbound::{Outbound, Sent};
use outbox::{Load, Outbox};
use pending::{Append, Completion, Lookup, next_append};
use places::Place;
pub(crate) use places::Sessions;
use protocol::{Action, Protocol, Settings};
use reader::ReaderStart;

/// The longest time that a client is asked to wait before it reconnects.
const RECONNECT_SPREAD: Duration = Duration::from_secs(5);

/// What a Join costs, compared with a message that is passed on.
const WORK_OF_A_JOIN: u32 = 16;

/// With so many lookups of a session under way, further joins wait.
const MAX_LOOKUPS: usize = 8;

/// What every session works with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) history: PermittedHistory,
    pub(crate) rates: Arc<Rates>,
    pub(crate) sessions: Sessions,
    pub(crate) budgets: Budgets,
    pub(crate) policy: Policy,
    pub(crate) limits: Limits,
    pub(crate) encode: Encode,
    pub(crate) drain: Drain,
    /// How long the server waits for sessions when it shuts down.
    pub(crate) grace: Duration,
    pub(crate) metrics: Arc<Metrics>,
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
    caller: Caller,
    welcomed: Option<Welcomed>,
    /// Until when no change is accepted, because there were too many, and of what.
    limited: Option<(Instant, Kind)>,
    /// What an [`ClientKind::Example`] waits with until then. Nothing overtakes it.
    held: Option<Action>,
    pace: Pace,
    /// How the session ends, for the log.
    end: &'static str,
    /// Completed in the order in which they were requested, or held back until they are: one wake and one look for a whole
    /// batch.
    appends: VecDeque<Append>,
    lookups: FuturesUnordered<Lookup>,
    /// States of rooms that are read when others have been: only a few at a time, however many rooms are joined at once.
    waiting: VecDeque<WaitingJoin>,
    /// One future for what happens rarely. In a set, so that it is polled when it has been woken, and not for every frame.
    rare: FuturesUnordered<BoxFuture<'static, Rare>>,
    /// When [`Rare::Deadline`] will happen at the latest.
    next_tick: Option<Instant>,
    half_closed: bool,
    draining: bool,
    /// The epoch of the history; the session ends when it changes.
    epoch: watch::Receiver<Epoch>,
}

/// What a session has once it is open.
#[derive(Debug)]
struct Welcomed {
    user: UserId,
    _counted: Counted,
    _place: Place,
}

/// See [`Action::ReadState`].
#[derive(Debug)]
struct WaitingJoin {
    id: u64,
    permit: ReadPermit,
    user: UserId,
    start: Start,
}

/// What happens to a session rarely.
enum Rare {
    /// The server is shutting down.
    Drained,
    /// The history has started a new epoch.
    EpochEnded,
    /// The protocol's deadline may have come.
    Deadline,
}

/// An item of a caller's stream: a frame, or why there will be no more.
pub(crate) type Received = Result<Inbound, End>;

/// Creates a session for `caller`, and the stream of what it sends.
pub(crate) fn open(context: &Arc<Context>, caller: Caller, kind: ClientKind) -> (Session, Outbound) {
    let mut epoch = context.history.epoch();
    let outbox = Outbox::new(context.encode, context.limits.session.unread_reply_bytes, &context.budgets.replies);
    let outbound = Outbound::new(Arc::clone(&outbox), context.history.clone(), Arc::clone(&context.metrics));
    let settings = Settings {
        caller: caller.clone(),
        named: kind == ClientKind::Chat,
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
        caller,
        welcomed: None,
        limited: None,
        held: None,
        pace: Pace::default(),
        end: "disconnected",
        appends: VecDeque::new(),
        lookups: FuturesUnordered::new(),
        waiting: VecDeque::new(),
        rare: FuturesUnordered::new(),
        next_tick: None,
        half_closed: false,
        draining: false,
        epoch,
    };
    (session, outbound)
}

impl Session {
    /// Runs until the stream of what it sends has ended or been dropped. `frames` is read as fast as it comes, whether or
    /// not the client reads what it is sent: an unread stream would block its whole connection. `incoming` is the request that
    /// they come from.
    pub(crate) fn run(
        mut self,
        mut frames: impl Stream<Item = Received> + Unpin,
        incoming: Arc<Incoming>,
    ) -> impl Future<Output = ()> {
        // Not an async function, which would keep room for its arguments twice.
        poll_fn(move |cx| self.poll(&mut frames, &incoming, cx))
    }

    fn poll(
        &mut self,
        frames: &mut (impl Stream<Item = Received> + Unpin),
        incoming: &Incoming,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        // One look at the clock for everything that has arrived.
        let now = Instant::now();
        loop {
            if self.held.is_some() && self.limited.is_none_or(|(until, _)| now >= until) {
                self.act();
            }
            self.set_tick();
            let Load { backlogged, blocked, closed } = self.outbox.load(cx);
            if closed {
                return Poll::Ready(());
            }
            // The most frequent input comes first, so that a frame does not cost a look at all the others. Frames cannot
            // starve them: a stream's window and the requests in flight are both bounded.
            if !self.half_closed
                && self.reads_frames(backlogged, blocked)
                && !self.pace.is_over(cx)
                && let Poll::Ready(frame) = Pin::new(&mut *frames).poll_next(cx)
            {
                self.half_closed = !matches!(frame, Some(Ok(_)));
                self.pace.add(1);
                match frame {
                    Some(Ok(frame)) => self.protocol.frame(frame, now),
                    Some(Err(end)) => self.protocol.end(end),
                    None => self.protocol.half_close(),
                }
            // Requests in flight can wait for their replies, and are bounded. A client that joins a hundred rooms at once is
            // sent more replies than it may leave unread.
            } else if !backlogged && let Poll::Ready(done) = next_append(&mut self.appends, cx) {
                self.complete(done);
            } else if !backlogged && let Poll::Ready(Some(done)) = self.lookups.poll_next_unpin(cx) {
                self.complete(done);
                self.start_joins();
            } else if let Poll::Ready(Some(rare)) = self.rare.poll_next_unpin(cx) {
                match rare {
                    Rare::Drained => {
                        self.draining = true;
                        self.protocol.drain();
                    }
                    Rare::EpochEnded => {
                        self.epoch.mark_unchanged();
                        self.protocol.epoch_ended();
                    }
                    Rare::Deadline => self.protocol.tick(Instant::now(), blocked),
                }
            } else if !self.half_closed && !self.reads_frames(backlogged, blocked) && !incoming.gather(0, cx) {
                self.half_closed = true;
                self.protocol.end(End::Refused(Refusal::Overloaded));
            } else {
                return Poll::Pending;
            }
            self.act();
        }
    }

    /// Has [`Rare::Deadline`] happen when the protocol is due. Every frame moves its deadline back; a tick that comes early
    /// finds nothing to do, and the next one is set then.
    fn set_tick(&mut self) {
        let held = self.held.as_ref().and(self.limited).map(|(until, _)| until);
        let deadline = [self.protocol.deadline(), held].into_iter().flatten().min();
        let is_earlier = deadline.is_some_and(|deadline| self.next_tick.is_none_or(|next| deadline < next));
        if !self.rare.is_empty() && !is_earlier {
            return;
        }
        self.next_tick = deadline;
        let drained = (!self.draining).then(|| self.context.drain.begun());
        let mut epoch = self.epoch.clone();
        self.rare.clear();
        self.rare.push(Box::pin(async move {
            tokio::select! {
                () = optional(drained) => Rare::Drained,
                Ok(()) = epoch.changed() => Rare::EpochEnded,
                () = optional(deadline.map(tokio::time::sleep_until)) => Rare::Deadline,
            }
        }));
    }

    /// Whether the next frame is read now.
    fn reads_frames(&self, backlogged: bool, blocked: bool) -> bool {
        match self.kind {
            // With replies queued and the stream not blocked, the stream is about to take them, on this very task.
            ClientKind::Chat => !backlogged || blocked,
            ClientKind::Example => !backlogged && !self.protocol.is_full() && self.held.is_none(),
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.held.take().or_else(|| self.protocol.next()) {
            self.carry_out(action);
            if self.held.is_some() {
                return;
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Welcome { reply_to, user, client } => {
                let place = match self.admit(&user) {
                    Ok(place) => place,
                    Err(limited) => return self.protocol.end(End::Refused(limited.into())),
                };
                tracing::debug!(peer = %self.caller.peer, session = self.id, %user, client, "session opened");
                let counted = self.context.metrics.sessions.open();
                self.welcomed = Some(Welcomed { user: user.clone(), _counted: counted, _place: place });
                let welcome = Welcome {
                    session_id: self.id.clone(),
                    user,
                    limits: self.context.limits.session,
                    rates: self.context.limits.rates,
                    max_frame_bytes: self.context.limits.connection.message_bytes,
                    durability: self.context.history.durability(),
                    now: now(),
                };
                self.send(reply_to, &Body::Welcome(welcome));
            }
            Action::Send { reply_to, body } => self.send(reply_to, &body),
            Action::Append { id, permit, draft, expected } => {
                if let Err(limited) = self.admit_change(permit.account(), draft.change.text_bytes()) {
                    match self.kind {
                        ClientKind::Chat => self.protocol.refused(id, limited.into()),
                        ClientKind::Example => self.held = Some(Action::Append { id, permit, draft, expected }),
                    }
                    return;
                }
                let (room, client_msg_id) = (draft.room.clone(), draft.client_msg_id);
                let result = self.context.history.append(&permit, draft, expected);
                self.appends.push_back(Append { id, room, client_msg_id, result });
            }
            Action::ReadState { id, permit, user, start } => {
                if let Err(limited) = self.context.rates.check(Kind::Joins, permit.account()) {
                    return self.protocol.join_refused(id, permit.room(), limited.into());
                }
                self.pace.add(WORK_OF_A_JOIN);
                self.waiting.push_back(WaitingJoin { id, permit, user, start });
                self.start_joins();
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
                if let Err(limited) = self.admit_change(permit.account(), 0) {
                    return self.protocol.refused(id, limited.into());
                }
                self.outbox.marked(permit.room(), seq);
                let result = self.context.history.mark_read(&permit, user, seq);
                self.lookups.push(Lookup::Mark { id, room: permit.room().clone(), result });
            }
            Action::Typing { permit, user } => {
                // More than that says nothing new.
                if self.context.rates.check(Kind::Typing, permit.account()).is_ok()
                    && let Some(room) = self.context.rooms.get(&permit)
                {
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

    /// Reads the states of rooms that are to be joined, as many as may be at a time.
    fn start_joins(&mut self) {
        while self.lookups.len() < MAX_LOOKUPS
            && let Some(WaitingJoin { id, permit, user, start }) = self.waiting.pop_front()
        {
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
    }

    /// Admits the session of a user.
    fn admit(&self, user: &UserId) -> Result<Place, Limited> {
        let caller = match self.kind {
            ClientKind::Chat => self.caller.named(user.clone()),
            ClientKind::Example => self.caller.clone(),
        };
        let account = caller.account();
        self.context.rates.check(Kind::Hellos, account)?;
        self.context.sessions.take(account, &self.context.limits.rates)
    }

    /// Admits a change. After one that is refused, all are, until the time at which it may be sent again: otherwise a later
    /// one could overtake it.
    fn admit_change(&mut self, account: &Account, text_bytes: usize) -> Result<(), Limited> {
        if let Some((until, kind)) = self.limited {
            let retry_after = until.saturating_duration_since(Instant::now());
            if !retry_after.is_zero() {
                return Err(Limited { kind, retry_after });
            }
            self.limited = None;
        }
        let admitted = self.context.rates.change(account, text_bytes);
        if let Err(Limited { kind, retry_after }) = admitted {
            self.limited = Some((Instant::now() + retry_after, kind));
        }
        admitted
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
        // For a caller of the example a refusal is the end of the call, and counted as such.
        if let Body::Error(refusal) = body
            && self.kind == ClientKind::Chat
        {
            self.context.metrics.refused((self.context.encode.reason)(refusal));
        }
        if !self.outbox.send(reply_to, body) {
            self.protocol.end(End::RepliesUnread);
        }
    }
}

/// Waits for a future, or for ever if there is none.
async fn optional<T>(future: Option<impl Future<Output = T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

impl Drop for Session {
    /// Logged here, so that the end of a session is also logged when its connection is lost.
    fn drop(&mut self) {
        if let Some(Welcomed { user, .. }) = &self.welcomed {
            tracing::info!(peer = %self.caller.peer, session = self.id, %user, reason = self.end, "session ended");
        }
    }
}
