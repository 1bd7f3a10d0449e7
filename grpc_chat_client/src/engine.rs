//! What the client does about what it hears and is asked: a pure state machine over all its connections. It is told, and
//! returns actions; it does no I/O, and the time is given to it.

mod outbox;
mod rooms;
mod session;
mod tokens;

use std::time::Duration;

use stubs::chat::v1::{self as pb, server_frame};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::backoff::Backoff;
use crate::error::{JoinError, Refused, SendError};
use crate::model::{ConnectionState, Draft, Joined, MsgId, RoomId, SavedState, Start, Update};
use crate::wire::convert::{self, is_transient};

pub(crate) use outbox::Posted;

use outbox::Outbox;
use rooms::Rooms;
use session::{Asked, Deaf, Session, TooLong};
use tokens::Tokens;

/// What an application asks for.
#[derive(Debug)]
pub(crate) enum Command {
    /// Get a draft stored.
    Post(Posted),
    /// Receive a room.
    Join { room: RoomId, start: Start, reply: oneshot::Sender<Result<Joined, JoinError>> },
    /// Stop receiving it.
    Leave { room: RoomId },
    /// Note how far the user has read.
    MarkRead { room: RoomId, seq: u64 },
    /// The user is typing.
    Typing { room: RoomId },
    /// Get another token and tell it.
    RefreshToken { reply: oneshot::Sender<Result<(), Refused>> },
    /// Answer when nothing is unsent.
    Flush { reply: oneshot::Sender<()> },
    /// There is nothing more to ask for. What is unsent, and what a session has not answered, is waited for up to this time.
    Close { until: Instant },
}

/// What is to be done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Open a session, then tell [`Engine::opened`] or [`Engine::ended`].
    Connect,
    /// Leave the session, or the attempt to open one.
    Disconnect,
    /// Get another token, then tell [`Engine::token`] or [`Engine::no_token`].
    GetToken,
    /// Tell the application, and [`Engine::pause`] if it is too slow.
    Tell(Update),
    /// Keep the draft for another run of the program.
    Save(Draft),
    /// It needs not be kept any more.
    Forget(MsgId),
    /// What is kept belongs to this user.
    Own(String),
    /// Nothing more will happen.
    Over,
}

/// What does not change.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) backoff: Backoff,
    /// Another token can be had.
    pub(crate) can_refresh: bool,
    /// Cursors and drafts are kept for another run of the program.
    pub(crate) keeps: bool,
}

/// One client, from its first connection to its end.
#[derive(Debug)]
pub(crate) struct Engine {
    settings: Settings,
    phase: Phase,
    rooms: Rooms,
    outbox: Outbox,
    /// Whom what is kept belongs to, once that is known.
    owner: Option<String>,
    /// It is known that this user is that.
    confirmed: bool,
    /// Attempts to connect since a session last went well.
    attempts: u32,
    /// Attempts to send since a draft was last acked, and the earliest time of the next one.
    refusals: u32,
    hold_until: Option<Instant>,
    /// A token was refused, and another one asked for, since a session last lasted.
    refreshed: bool,
    tokens: Tokens,
    /// The application is too slow: it is told of no more events until it has caught up.
    paused: bool,
    /// Whoever waits until nothing is unsent.
    flushes: Vec<oneshot::Sender<()>>,
    /// The application is done; see [`Engine::settle`].
    close_at: Option<Instant>,
    random: fastrand::Rng,
    pub(crate) actions: Vec<Action>,
}

#[derive(Debug)]
enum Phase {
    /// Until the next attempt.
    Waiting {
        until: Instant,
    },
    /// Asked to connect, and not answered yet.
    Connecting,
    Online(Box<Session>),
    /// Nothing more happens.
    Over {
        /// What comes of drafts.
        why: SendError,
        /// They are kept for the next run all the same.
        keeps: bool,
    },
}

impl Engine {
    /// Asks to connect at once.
    pub(crate) fn new(settings: Settings, saved: SavedState, seed: u64) -> Self {
        let SavedState { owner, confirmed, drafts, cursors } = saved;
        let mut engine = Self {
            settings,
            phase: Phase::Connecting,
            rooms: Rooms::new(cursors),
            outbox: Outbox::default(),
            owner,
            confirmed,
            attempts: 0,
            refusals: 0,
            hold_until: None,
            refreshed: false,
            tokens: Tokens::default(),
            paused: false,
            flushes: Vec::new(),
            close_at: None,
            random: fastrand::Rng::with_seed(seed),
            actions: Vec::new(),
        };
        engine.tell(Update::Connection(ConnectionState::Connecting));
        for draft in drafts {
            engine.outbox.put(Posted { draft, reply: None, _place: None });
        }
        if confirmed {
            engine.tell_kept();
        }
        if !engine.outbox.is_empty() {
            engine.tell(Update::Unsent(engine.outbox.len()));
        }
        engine.actions.push(Action::Connect);
        engine
    }

    pub(crate) fn command(&mut self, command: Command) {
        match command {
            Command::Post(posted) => {
                let keeps = self.settings.keeps && !matches!(self.phase, Phase::Over { keeps: false, .. });
                if keeps {
                    self.actions.push(Action::Save(posted.draft.clone()));
                }
                if let Phase::Over { why, .. } = &self.phase {
                    posted.settle(Err(why.clone()));
                    return;
                }
                self.outbox.put(posted);
                self.tell(Update::Unsent(self.outbox.len()));
            }
            Command::Join { room, start, reply } => {
                self.rooms.join(room, start, reply);
                self.ask_for_rooms();
            }
            Command::Leave { room } => {
                let seated = self.rooms.leave(&room);
                if let (Some(session), true) = (self.online(), seated) {
                    session.leave(&room);
                }
                self.ask_for_rooms();
            }
            Command::MarkRead { room, seq } => {
                self.rooms.want_mark(&room, seq);
                self.ask_to_mark(&room);
            }
            Command::Typing { room } => {
                let here = self.rooms.is_here(room.as_str());
                if let (Some(session), true) = (self.online(), here) {
                    session.typing(&room);
                }
            }
            Command::RefreshToken { reply } => {
                if self.tokens.wanted(reply) {
                    self.actions.push(Action::GetToken);
                }
            }
            Command::Flush { reply } => self.flushes.push(reply),
            Command::Close { until } => self.close_at = Some(until),
        }
    }

    /// To be called when everything that is known has been told: answers who waits for all to be sent, and ends a client
    /// that is to be closed.
    pub(crate) fn settle(&mut self, now: Instant) {
        if self.outbox.is_empty() {
            for reply in self.flushes.drain(..) {
                let _ = reply.send(());
            }
        }
        let Some(until) = self.close_at else { return };
        let busy = match &self.phase {
            Phase::Online(session) => !session.is_idle() || !self.outbox.is_empty(),
            Phase::Connecting | Phase::Waiting { .. } => !self.outbox.is_empty(),
            Phase::Over { .. } => false,
        };
        if !busy || now >= until {
            self.over(ConnectionState::Closed, SendError::Closed, true);
        }
    }

    /// The session is open.
    pub(crate) fn opened(&mut self, welcome: &pb::Welcome, now: Instant) {
        let user = &welcome.user;
        if self.owner.as_ref().is_some_and(|owner| owner != user) {
            let owner = self.owner.take().unwrap_or_default();
            let message = format!("what is kept here belongs to {owner}, and the service takes this user for {user}");
            let why = Refused::new(Code::FailedPrecondition, message);
            // What this user has said is not to be said by the other one, when that one comes back.
            for id in self.outbox.of_this_run() {
                self.forget(id);
            }
            return self.over(ConnectionState::Failed(why.clone()), SendError::Failed(why), false);
        }
        if self.settings.keeps && self.owner.is_none() {
            self.owner = Some(user.clone());
            self.actions.push(Action::Own(user.clone()));
        }
        if !std::mem::replace(&mut self.confirmed, true) {
            self.tell_kept();
        }
        self.hold_until = None;
        let mut session = Session::new(welcome, self.settings.backoff.ceiling(self.attempts), now);
        if let Some(token) = self.tokens.opened() {
            session.token(token);
        }
        let max_text_bytes = session.max_text_bytes();
        self.phase = Phase::Online(Box::new(session));
        self.tell(Update::Connection(ConnectionState::Online { user: user.clone(), max_text_bytes }));
        self.ask_for_rooms();
        for room in self.rooms.marks_wanted() {
            self.ask_to_mark(&room);
        }
    }

    /// The service has said something.
    pub(crate) fn heard(&mut self, frame: pb::ServerFrame, now: Instant) {
        let Phase::Online(session) = &mut self.phase else { return };
        session.heard(now);
        let pb::ServerFrame { reply_to, body } = frame;
        match (session.answered(reply_to), body) {
            (None, Some(body)) => self.told(body, now),
            // What this client does not know is skipped.
            (None, None) => {}
            (Some(Asked::Draft(number)), Some(server_frame::Body::Ack(ack))) => self.acked(number, &ack, now),
            (Some(Asked::Join { room, ticket }), Some(server_frame::Body::Joined(joined)))
                if room == joined.room.as_str() =>
            {
                self.joined(&room, ticket, &joined);
            }
            (Some(Asked::Mark { room, seq }), Some(server_frame::Body::Done(_))) => {
                self.rooms.not_marking(&room);
                self.marked(&room, seq);
                self.ask_to_mark(&room);
            }
            (Some(Asked::Token), Some(server_frame::Body::Done(_))) => {
                self.tokens.answered(&Ok(()));
            }
            (Some(Asked::Leave), Some(server_frame::Body::Done(_))) => {}
            (Some(asked), Some(server_frame::Body::Error(error))) => {
                self.refused(asked, &convert::status_from_wire(error), now);
            }
            // Nobody knows what has become of it; another session is asked again.
            (Some(asked), _) => {
                tracing::warn!(?asked, "the answer is none to what was asked");
                self.hang_up(&Status::internal("the service gave an answer that this client does not know"), now);
            }
        }
    }

    /// The service has said something that answers nothing.
    fn told(&mut self, body: server_frame::Body, now: Instant) {
        match body {
            server_frame::Body::Event(event) => self.event(event, now),
            server_frame::Body::CaughtUp(pb::CaughtUp { room, seq }) => {
                if let Some(room) = self.rooms.caught_up(&room) {
                    self.tell(Update::CaughtUp { room, seq });
                    self.ask_for_rooms();
                }
            }
            server_frame::Body::PresenceChanged(changed) => {
                if let Some(update) = self.rooms.presence(changed) {
                    self.tell(update);
                }
            }
            server_frame::Body::TypingChanged(pb::TypingChanged { room, users }) => {
                if let Some(room) = self.rooms.here(&room) {
                    self.tell(Update::Typing { room, users });
                }
            }
            server_frame::Body::ReadChanged(pb::ReadChanged { room, seq }) => {
                if let Some(room) = self.rooms.here(&room) {
                    self.marked(&room, seq);
                }
            }
            server_frame::Body::Draining(draining) => {
                if let Some(session) = self.online() {
                    session.drain(&draining, now);
                }
                self.tell(Update::Connection(ConnectionState::Draining));
            }
            server_frame::Body::Ping(pb::Ping {}) => {
                if let Some(session) = self.online() {
                    session.pong();
                }
            }
            server_frame::Body::Error(error) => {
                let status = convert::status_from_wire(error);
                tracing::warn!(code = ?status.code(), why = status.message(), "the service refused a frame");
            }
            // Answers to what nobody waits for any more.
            server_frame::Body::Ack(_)
            | server_frame::Body::Joined(_)
            | server_frame::Body::Done(_)
            | server_frame::Body::Welcome(_)
            | server_frame::Body::Pong(_) => {}
        }
    }

    /// The session has ended, or could not be opened.
    pub(crate) fn ended(&mut self, status: &Status, now: Instant) {
        let session = match std::mem::replace(&mut self.phase, Phase::Connecting) {
            over @ Phase::Over { .. } => {
                self.phase = over;
                return;
            }
            Phase::Online(session) => Some(session),
            Phase::Connecting | Phase::Waiting { .. } => None,
        };
        self.tokens.ended();
        self.rooms.cut();
        self.rooms.forget_asked();
        self.outbox.all_again();
        let well = session.as_ref().is_some_and(|session| session.went_well(now));
        if well {
            self.attempts = 0;
        }
        // A service that takes tokens and ends sessions at once, again and again, is not asked again at once each time.
        if session.as_ref().is_some_and(|session| session.age(now) >= self.settings.backoff.max) {
            self.refreshed = false;
        }
        // One room's history is damaged: that room is given up, and the others are gone on with.
        let damaged = convert::damaged_room(status);
        let one_room = damaged.is_some();
        // It may have been left meanwhile.
        if let Some(room) = damaged
            && let Some((room, reply)) = self.rooms.give_up(&room)
        {
            self.not_joined(room, reply, Refused::from(status));
        }
        let code = status.code();
        if code == Code::Unauthenticated && self.settings.can_refresh && !self.refreshed {
            self.refreshed = true;
            self.tell(Update::Connection(ConnectionState::Connecting));
            self.actions.push(Action::Connect);
            return;
        }
        // A token that was taken for a while: there may be another one later.
        let expired = code == Code::Unauthenticated && self.settings.can_refresh && session.is_some();
        if !is_transient(code) && !expired && !one_room {
            return self.lost(Refused::from(status));
        }
        let spread = self.settings.backoff.delay(self.attempts, &mut self.random);
        let delay = match session.as_ref().and_then(|session| session.reconnect_in(now)) {
            // Spread out already, over all who were told.
            Some(told) if well => told,
            // A service that says so to every session would have one at once, and the next.
            Some(told) => told.max(spread),
            None => convert::retry_hint(status).unwrap_or_default() + spread,
        };
        self.attempts = self.attempts.saturating_add(1);
        self.phase = Phase::Waiting { until: now + delay };
        self.tell(Update::Connection(ConnectionState::Reconnecting { why: sentence(status), retry_in: delay }));
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.hold_until.is_some_and(|until| now >= until) {
            self.hold_until = None;
            for room in self.rooms.marks_wanted() {
                self.ask_to_mark(&room);
            }
            self.ask_for_rooms();
        }
        let deaf = match &mut self.phase {
            Phase::Waiting { until } if now >= *until => {
                self.phase = Phase::Connecting;
                self.tell(Update::Connection(ConnectionState::Connecting));
                self.actions.push(Action::Connect);
                None
            }
            Phase::Online(session) => session.tick(now).err(),
            _ => None,
        };
        match deaf {
            Some(Deaf::Silent) => self.hang_up(&Status::deadline_exceeded("the service is silent"), now),
            Some(Deaf::Lingering) => {
                self.hang_up(&Status::deadline_exceeded("the service said that it leaves, and has not left"), now);
            }
            None => {}
        }
    }

    /// When [`Engine::tick`] is due next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Waiting { until } => Some(*until),
            Phase::Online(session) => Some(session.deadline()),
            Phase::Connecting | Phase::Over { .. } => None,
        };
        [phase, self.hold_until, self.close_at].into_iter().flatten().min()
    }

    /// Whether [`Engine::next_frame`] has one.
    pub(crate) fn has_frame(&self) -> bool {
        match &self.phase {
            Phase::Online(session) => session.has_frame() || session.takes_drafts() && self.may_send(),
            _ => false,
        }
    }

    /// What is to be said next, now that there is room for it.
    pub(crate) fn next_frame(&mut self) -> Option<pb::ClientFrame> {
        loop {
            let may_send = self.may_send();
            let Phase::Online(session) = &mut self.phase else { return None };
            match session.next_frame() {
                Some(Ok(frame)) => return Some(frame),
                Some(Err(TooLong)) => {
                    self.tokens.answered(&Err(Refused::new(
                        Code::InvalidArgument,
                        "the token is longer than the service takes".to_owned(),
                    )));
                    continue;
                }
                None => {}
            }
            if !may_send || !session.takes_drafts() {
                return None;
            }
            let (number, draft) = self.outbox.next()?;
            if let Some(frame) = session.ask(Asked::Draft(number), convert::change_to_wire(draft)) {
                return Some(frame);
            }
            let message = "the message is longer than the service takes".to_owned();
            self.refuse(number, Refused::new(Code::InvalidArgument, message));
        }
    }

    /// The application is too slow: rooms are left until it has caught up. A room that it waits for is joined nevertheless,
    /// and then left: it might not take updates before it has its answer.
    pub(crate) fn pause(&mut self) {
        if std::mem::replace(&mut self.paused, true) {
            return;
        }
        let seated = self.rooms.suspend_all_but_pending_joins();
        if let Some(session) = self.online() {
            for room in seated {
                session.leave(&room);
            }
        }
    }

    /// It has caught up.
    pub(crate) fn resume(&mut self) {
        if std::mem::replace(&mut self.paused, false) {
            self.ask_for_rooms();
        }
    }

    /// There is a new token: tell it, if there is a session that goes on with it.
    pub(crate) fn token(&mut self, token: String) {
        match &mut self.phase {
            Phase::Online(session) => {
                session.token(token);
                self.tokens.is_told();
            }
            Phase::Connecting => self.tokens.is_untold(token),
            Phase::Waiting { .. } => self.tokens.is_not_needed(),
            Phase::Over { .. } => {}
        }
    }

    /// There is no new token.
    pub(crate) fn no_token(&mut self, why: &Refused) {
        self.tokens.is_none(why);
    }

    /// There will be no other session.
    pub(crate) fn lost(&mut self, why: Refused) {
        self.over(ConnectionState::Failed(why.clone()), SendError::Failed(why), true);
    }

    /// Drafts of an earlier run are shown to nobody but their author.
    fn tell_kept(&mut self) {
        for draft in self.outbox.of_earlier_runs() {
            self.tell(Update::Restored(draft));
        }
    }

    fn marked(&mut self, room: &RoomId, seq: u64) {
        if self.rooms.marked(room, seq) {
            self.tell(Update::Read { room: room.clone(), seq });
        }
    }

    fn event(&mut self, event: pb::Event, now: Instant) {
        match self.rooms.event(&event.room, event.seq, event.prev_seq) {
            rooms::Fits::Next(room) => self.tell(Update::Event(convert::event_from_wire(&room, event))),
            // Still on its way when the room was left.
            rooms::Fits::Unwanted => {}
            rooms::Fits::Seen => {
                tracing::warn!(room = event.room, seq = event.seq, "an event came again");
            }
            rooms::Fits::Gap { last } => {
                tracing::warn!(room = event.room, seq = event.seq, prev = event.prev_seq, last, "events are missing");
                self.hang_up(&Status::internal("the service left out events"), now);
            }
        }
    }

    fn acked(&mut self, number: u64, ack: &pb::Ack, now: Instant) {
        let id = self.outbox.id(number);
        let Some(ack) = convert::ack_from_wire(ack).filter(|ack| id.is_none_or(|id| id == ack.id)) else {
            return self.hang_up(&Status::internal("the service acked another message than it was sent"), now);
        };
        self.refusals = 0;
        if let Some(posted) = self.outbox.remove(number) {
            self.forget(posted.draft.id);
            posted.settle(Ok(ack));
            self.tell(Update::Unsent(self.outbox.len()));
        }
    }

    fn joined(&mut self, room: &RoomId, ticket: rooms::Ticket, joined: &pb::Joined) {
        let told = convert::joined_from_wire(room, joined);
        // Left or joined again meanwhile: that is on its way.
        let seated = self.rooms.joined(ticket, &told, joined.present.clone(), joined.present_count);
        let Some((reply, present)) = seated else { return };
        if self.paused
            && self.rooms.cut_one(room)
            && let Some(session) = self.online()
        {
            session.leave(room);
        }
        self.tell(Update::Joined(told.clone()));
        self.tell(present);
        if let Some(reply) = reply {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(Ok(told));
        }
    }

    /// One frame could not be carried out.
    fn refused(&mut self, asked: Asked, status: &Status, now: Instant) {
        let passes = is_transient(status.code());
        match asked {
            Asked::Draft(number) if passes => {
                self.outbox.again(number);
                self.hold(status, now);
            }
            Asked::Draft(number) => self.refuse(number, Refused::from(status)),
            // More rooms than a session may have: waiting does not help.
            Asked::Join { room, ticket } if passes && convert::retry_hint(status).is_some() => {
                self.rooms.not_joined(&room, ticket);
                self.hold(status, now);
            }
            Asked::Join { room, ticket } => {
                let Some(reply) = self.rooms.refused(&room, ticket) else { return };
                // An earlier Join of the room may still hold; where there is none, this is refused and that is all.
                if let Some(session) = self.online() {
                    session.leave(&room);
                }
                self.not_joined(room, reply, Refused::from(status));
                self.ask_for_rooms();
            }
            Asked::Mark { room, .. } if passes => {
                self.rooms.not_marking(&room);
                self.hold(status, now);
            }
            Asked::Mark { room, seq } => {
                tracing::warn!(%room, seq, code = ?status.code(), "the read mark was refused");
                self.rooms.mark_refused(&room, seq);
                self.ask_to_mark(&room);
            }
            // A room that was left before it was joined.
            Asked::Leave => {}
            Asked::Token => {
                tracing::warn!(code = ?status.code(), why = status.message(), "the service does not take the new token");
                self.tokens.answered(&Err(Refused::from(status)));
            }
        }
    }

    /// The room will not be received.
    fn not_joined(&mut self, room: RoomId, reply: Option<rooms::Reply>, why: Refused) {
        if let Some(reply) = reply {
            let _ = reply.send(Err(JoinError::Refused(why.clone())));
        }
        self.tell(Update::JoinRefused { room, why });
    }

    /// The draft will not be stored.
    fn refuse(&mut self, number: u64, why: Refused) {
        let Some(posted) = self.outbox.remove(number) else { return };
        self.forget(posted.draft.id);
        if let Some((draft, _)) = posted.settle(Err(SendError::Refused(why.clone()))) {
            self.tell(Update::Refused { draft, why });
        }
        self.tell(Update::Unsent(self.outbox.len()));
    }

    /// The service cannot take more just now.
    fn hold(&mut self, status: &Status, now: Instant) {
        let spread = self.settings.backoff.delay(self.refusals, &mut self.random);
        let until = now + convert::retry_hint(status).unwrap_or_default() + spread;
        // All that was on its way is refused at once; that is one refusal.
        if self.hold_until.is_none() {
            self.refusals = self.refusals.saturating_add(1);
        }
        self.hold_until = Some(self.hold_until.map_or(until, |held| held.max(until)));
    }

    fn hang_up(&mut self, status: &Status, now: Instant) {
        self.actions.push(Action::Disconnect);
        self.ended(status, now);
    }

    fn over(&mut self, connection: ConnectionState, why: SendError, keeps: bool) {
        if matches!(self.phase, Phase::Over { .. }) {
            return;
        }
        self.actions.push(Action::Disconnect);
        // They learn that nobody will answer.
        self.flushes.clear();
        self.tokens = Tokens::default();
        // What is kept stays kept, for the next run.
        for posted in self.outbox.drain() {
            posted.settle(Err(why.clone()));
        }
        for reply in self.rooms.drain() {
            let _ = reply.send(Err(match &why {
                SendError::Failed(why) => JoinError::Failed(why.clone()),
                _ => JoinError::Closed,
            }));
        }
        self.phase = Phase::Over { why, keeps };
        self.tell(Update::Connection(connection));
        self.actions.push(Action::Over);
    }

    /// Asks for the rooms that are not received and may be now.
    fn ask_for_rooms(&mut self) {
        if self.hold_until.is_some() {
            return;
        }
        let Phase::Online(session) = &mut self.phase else { return };
        while let Some(room) = if self.paused { self.rooms.next_waited_for() } else { self.rooms.next() } {
            let Some((ticket, start)) = self.rooms.asking(&room) else { return };
            session.join(&room, ticket, start);
        }
    }

    fn ask_to_mark(&mut self, room: &RoomId) {
        if self.hold_until.is_some() {
            return;
        }
        let Phase::Online(session) = &mut self.phase else { return };
        if let Some(seq) = self.rooms.marking(room) {
            session.mark(room, seq);
        }
    }

    fn online(&mut self) -> Option<&mut Session> {
        match &mut self.phase {
            Phase::Online(session) => Some(session),
            _ => None,
        }
    }

    fn may_send(&self) -> bool {
        self.hold_until.is_none() && self.outbox.has_due()
    }

    fn forget(&mut self, id: MsgId) {
        if self.settings.keeps {
            self.actions.push(Action::Forget(id));
        }
    }

    fn tell(&mut self, update: Update) {
        self.actions.push(Action::Tell(update));
    }
}

/// What to tell a person who asks why there is no connection.
fn sentence(status: &Status) -> String {
    match status.code() {
        Code::Ok => "the service ended the session".to_owned(),
        _ if status.message().is_empty() => status.code().description().to_owned(),
        _ => status.message().to_owned(),
    }
}

/// How long a service that is asked something may take, as a share of its heartbeat.
pub(crate) const ANSWER: f64 = 0.5;

/// The heartbeat of a service that does not tell.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
