//! Decides everything that a client does, over all its connections: a pure state machine. It is given what the application
//! asks, what the service sends, and the time; it returns actions. It does no I/O and reads no clock.

mod command;
mod hold;
mod incoming;
mod outbox;
mod read_marks;
mod reconnect;
mod rooms;
mod session;
mod time;
mod tokens;

use std::time::Duration;

use stubs::chat::v1 as pb;
use tonic::{Code, Status};

use crate::backoff::Backoff;
use crate::error::{JoinError, Refused, SendError};
use crate::model::{ConnectionState, MsgId, RoomId, SavedState, Update};
use crate::reply::Reply;
use crate::wire::convert;

pub(crate) use command::{Action, Command};
use hold::Hold;
use outbox::Outbox;
pub(crate) use outbox::Queued;
use read_marks::ReadMarks;
use reconnect::{After, Attempts};
use rooms::Rooms;
use session::{Request, Session, TooLong, Unresponsive};
pub(crate) use time::Time;
use tokens::Tokens;

/// A request that has to wait for so long is reported.
pub(crate) const REPORTED: Duration = Duration::from_secs(1);

/// What does not change while a client runs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) backoff: Backoff,
    /// Whether another token can be had.
    pub(crate) can_refresh: bool,
    /// Whether cursors and drafts are saved for another run of the program.
    pub(crate) saves: bool,
}

/// One client, from its first connection to its end.
#[derive(Debug)]
pub(crate) struct Engine {
    settings: Settings,
    phase: Phase,
    attempts: Attempts,
    rooms: Rooms,
    read_marks: ReadMarks,
    outbox: Outbox,
    tokens: Tokens,
    /// The user the saved state belongs to, once that is known.
    owner: Option<String>,
    /// Whether this client's user is known to be the owner.
    confirmed: bool,
    /// Until when the service takes no changes: drafts and read marks.
    changes: Hold,
    /// Until when it takes no Joins.
    joins: Hold,
    /// What the application knows of why drafts are not stored.
    delay: Option<Delay>,
    /// Whether the application is too slow: nothing is received until it has caught up.
    paused: bool,
    /// Replies to callers that wait until nothing is unsent.
    flushes: Vec<Reply<()>>,
    /// When to end the client, at the latest, once the application has closed it.
    close_at: Option<Time>,
    random: fastrand::Rng,
    /// What the task has to do.
    pub(crate) actions: Vec<Action>,
}

/// Why drafts are not stored, and how long the application need not be told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delay {
    /// The service cannot store them: until it has stored one.
    Unavailable,
    /// The client is over a rate, which means again and again: until nothing is unsent.
    OverRate,
}

#[derive(Debug)]
enum Phase {
    /// Until the next attempt.
    Waiting {
        until: Time,
    },
    /// An attempt is under way.
    Connecting,
    Online(Box<Session>),
    Ended {
        /// The outcome of drafts.
        why: SendError,
        /// Whether drafts are saved all the same, for the next run.
        saves: bool,
    },
}

impl Engine {
    /// Returns an engine that asks to connect at once.
    pub(crate) fn new(settings: Settings, saved: SavedState, seed: u64) -> Self {
        let SavedState { owner, confirmed, drafts, cursors } = saved;
        let mut engine = Self {
            attempts: Attempts::new(settings.backoff, settings.can_refresh),
            settings,
            phase: Phase::Connecting,
            rooms: Rooms::new(cursors),
            read_marks: ReadMarks::default(),
            outbox: Outbox::default(),
            tokens: Tokens::default(),
            owner,
            confirmed,
            changes: Hold::default(),
            joins: Hold::default(),
            delay: None,
            paused: false,
            flushes: Vec::new(),
            close_at: None,
            random: fastrand::Rng::with_seed(seed),
            actions: Vec::new(),
        };
        engine.deliver(Update::Connection(ConnectionState::Connecting));
        for draft in drafts {
            engine.outbox.push(Queued { draft, reply: None });
        }
        if confirmed {
            engine.deliver_restored();
        }
        if !engine.outbox.is_empty() {
            engine.deliver(Update::Unsent(engine.outbox.len()));
        }
        engine.actions.push(Action::Connect);
        engine
    }

    pub(crate) fn command(&mut self, command: Command, now: Time) {
        match command {
            Command::Post(queued) => {
                if self.settings.saves && !matches!(self.phase, Phase::Ended { saves: false, .. }) {
                    self.actions.push(Action::SaveDraft(queued.draft.clone()));
                }
                if let Phase::Ended { why, .. } = &self.phase {
                    queued.resolve(Err(why.clone()));
                    return;
                }
                self.outbox.push(queued);
                self.deliver(Update::Unsent(self.outbox.len()));
            }
            Command::Join { room, start, reply } => {
                self.rooms.join(room, start, reply);
                self.send_joins();
            }
            Command::Leave { room } => {
                let subscribed = self.rooms.leave(&room);
                if let (Some(session), true) = (self.session(), subscribed) {
                    session.leave(&room);
                }
                self.send_joins();
            }
            Command::MarkRead { room, seq } => {
                self.read_marks.want(&room, seq);
                self.send_read_mark(&room);
            }
            Command::Typing { room } => {
                let received = self.rooms.received(&room).is_some();
                if let (Some(session), true) = (self.session(), received) {
                    session.typing(&room);
                }
            }
            Command::RefreshToken { reply } => {
                if self.tokens.request(reply) {
                    self.actions.push(Action::GetToken);
                }
            }
            Command::ReportDelay { why } => self.deliver(Update::RequestDelayed(why)),
            Command::Flush { reply } => self.flushes.push(reply),
            Command::Close { grace } => self.close_at = Some(now + grace),
        }
    }

    /// Replies to flushes, and ends a client that is to be closed. To be called when all that has happened was passed in.
    pub(crate) fn finish_turn(&mut self, now: Time) {
        if self.outbox.is_empty() {
            for reply in self.flushes.drain(..) {
                let _ = reply.send(());
            }
        }
        let Some(close_at) = self.close_at else { return };
        let busy = match &self.phase {
            Phase::Online(session) => !session.is_idle() || !self.outbox.is_empty(),
            Phase::Connecting | Phase::Waiting { .. } => !self.outbox.is_empty(),
            Phase::Ended { .. } => false,
        };
        if !busy || now >= close_at {
            self.end(ConnectionState::Closed, SendError::Closed, true);
        }
    }

    /// A session is open.
    pub(crate) fn session_opened(&mut self, welcome: &pb::Welcome, now: Time) {
        let user = &welcome.user;
        if self.owner.as_ref().is_some_and(|owner| owner != user) {
            return self.end_for_other_user(user);
        }
        if self.settings.saves && self.owner.is_none() {
            self.owner = Some(user.clone());
            self.actions.push(Action::SetOwner(user.clone()));
        }
        if !std::mem::replace(&mut self.confirmed, true) {
            self.deliver_restored();
        }
        self.changes.session_opened();
        self.joins.session_opened();
        self.delay = None;
        let mut session = Session::new(welcome, self.attempts.well_after(), now);
        if let Some(token) = self.tokens.session_opened() {
            session.refresh_token(token);
        }
        let max_text_bytes = session.max_text_bytes();
        self.phase = Phase::Online(Box::new(session));
        self.deliver(Update::Connection(ConnectionState::Online { user: user.clone(), max_text_bytes }));
        self.send_joins();
        self.send_read_marks();
    }

    /// The session has ended, or could not be opened.
    pub(crate) fn session_ended(&mut self, status: &Status, now: Time) {
        let session = match std::mem::replace(&mut self.phase, Phase::Connecting) {
            ended @ Phase::Ended { .. } => {
                self.phase = ended;
                return;
            }
            Phase::Online(session) => Some(session),
            Phase::Connecting | Phase::Waiting { .. } => None,
        };
        self.tokens.session_ended();
        self.rooms.session_ended();
        self.read_marks.session_ended();
        self.outbox.retry_all();
        // The service cannot read one room's history: the next session leaves that room out.
        let damaged = convert::damaged_room(status);
        if let Some(room) = &damaged
            // It may have been left meanwhile.
            && let Some((room, reply)) = self.rooms.give_up(room)
        {
            self.room_refused(room, reply, Refused::from(status));
        }
        match self.attempts.after(status, session.as_deref(), damaged.is_some(), now, &mut self.random) {
            After::GiveUp => self.fail(Refused::from(status)),
            After::RefreshNow => self.connect(),
            After::Retry(delay) => {
                self.phase = Phase::Waiting { until: now + delay };
                let (why, reason) = (sentence(status, session.as_deref()), Refused::from(status).reason);
                self.deliver(Update::Connection(ConnectionState::Reconnecting { why, reason, retry_in: delay }));
            }
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Time) {
        if self.changes.tick(now) {
            self.send_read_marks();
        }
        if self.joins.tick(now) {
            self.send_joins();
        }
        self.outbox.tick(now);
        let unresponsive = match &mut self.phase {
            Phase::Waiting { until } if now >= *until => return self.connect(),
            Phase::Online(session) => session.tick(now).err(),
            _ => None,
        };
        let why = match unresponsive {
            Some(Unresponsive::Silent) => "the service does not respond",
            Some(Unresponsive::Lingering) => "the service said that it would end the session, and has not",
            None => return,
        };
        self.drop_session(&Status::deadline_exceeded(why), now);
    }

    /// Returns when [`Engine::tick`] is due next.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let phase = match &self.phase {
            Phase::Waiting { until } => Some(*until),
            Phase::Online(session) => Some(session.deadline()),
            Phase::Connecting | Phase::Ended { .. } => None,
        };
        let holds = [self.changes.until(), self.joins.until(), self.outbox.deadline()];
        [phase, self.close_at].into_iter().chain(holds).flatten().min()
    }

    /// Whether [`Engine::next_frame`] has one.
    pub(crate) fn has_frame(&self) -> bool {
        match &self.phase {
            Phase::Online(session) => session.has_frame() || session.accepts_drafts() && self.may_send_drafts(),
            _ => false,
        }
    }

    /// Returns the next frame to send, now that there is room for it.
    pub(crate) fn next_frame(&mut self) -> Option<pb::ClientFrame> {
        loop {
            let may_send_drafts = self.may_send_drafts();
            let Phase::Online(session) = &mut self.phase else { return None };
            match session.next_frame() {
                Some(Ok(frame)) => return Some(frame),
                Some(Err(TooLong)) => {
                    let why = Refused::new(Code::InvalidArgument, "the token is longer than the service accepts");
                    self.tokens.replied(&Err(why));
                    continue;
                }
                None => {}
            }
            if !may_send_drafts || !session.accepts_drafts() {
                return None;
            }
            let (number, draft) = self.outbox.next()?;
            if let Some(frame) = session.request(Request::Draft(number), convert::change_to_wire(draft)) {
                return Some(frame);
            }
            let why = Refused::new(Code::InvalidArgument, "the message is longer than the service accepts");
            self.draft_refused(number, why);
        }
    }

    /// The application is too slow: stops receiving rooms until it has caught up. A room whose Join it waits for is joined
    /// nevertheless and then left, since the application might take no updates before that.
    pub(crate) fn pause(&mut self) {
        if std::mem::replace(&mut self.paused, true) {
            return;
        }
        let subscribed = self.rooms.suspend_all_but_pending_joins();
        if let Some(session) = self.session() {
            for room in &subscribed {
                session.leave(room);
            }
        }
    }

    /// The application has caught up.
    pub(crate) fn resume(&mut self) {
        if std::mem::replace(&mut self.paused, false) {
            self.send_joins();
        }
    }

    /// There is a new token: sends it if there is a session that was opened with an older one.
    pub(crate) fn token_received(&mut self, token: String) {
        match &mut self.phase {
            Phase::Online(session) => {
                session.refresh_token(token);
                self.tokens.fetched_online();
            }
            Phase::Connecting => self.tokens.fetched_connecting(token),
            Phase::Waiting { .. } => self.tokens.fetched_offline(),
            Phase::Ended { .. } => {}
        }
    }

    /// There is no new token.
    pub(crate) fn token_failed(&mut self, why: &Refused) {
        self.tokens.failed(why);
    }

    /// Ends the client because of a permanent error.
    pub(crate) fn fail(&mut self, why: Refused) {
        self.end(ConnectionState::Failed(why.clone()), SendError::Failed(why), true);
    }

    /// Ends the client because the saved state belongs to another user than the one that the service takes it for.
    fn end_for_other_user(&mut self, user: &str) {
        let owner = self.owner.take().unwrap_or_default();
        let message = format!(
            "the state file belongs to the user {owner}, and the service takes this client for {user}; name another file"
        );
        let why = Refused::new(Code::FailedPrecondition, message);
        // The owner must not send, in a later run, what this user wrote.
        for id in self.outbox.of_this_run() {
            self.remove_saved(id);
        }
        self.end(ConnectionState::Failed(why.clone()), SendError::Failed(why), false);
    }

    fn end(&mut self, connection: ConnectionState, why: SendError, saves: bool) {
        if matches!(self.phase, Phase::Ended { .. }) {
            return;
        }
        self.actions.push(Action::Disconnect);
        // Dropping the replies ends the callers' waits.
        self.flushes.clear();
        self.tokens = Tokens::default();
        // Saved drafts stay saved, for the next run.
        for queued in self.outbox.drain() {
            queued.resolve(Err(why.clone()));
        }
        for reply in self.rooms.drain() {
            let _ = reply.send(Err(match &why {
                SendError::Failed(why) => JoinError::Failed(why.clone()),
                _ => JoinError::Closed,
            }));
        }
        self.phase = Phase::Ended { why, saves };
        self.deliver(Update::Connection(connection));
        self.actions.push(Action::Finish);
    }

    fn connect(&mut self) {
        self.phase = Phase::Connecting;
        self.deliver(Update::Connection(ConnectionState::Connecting));
        self.actions.push(Action::Connect);
    }

    fn drop_session(&mut self, status: &Status, now: Time) {
        self.actions.push(Action::Disconnect);
        self.session_ended(status, now);
    }

    /// Sends a Join for each room that is not received and may be now.
    fn send_joins(&mut self) {
        if self.joins.is_active() {
            return;
        }
        let Phase::Online(session) = &mut self.phase else { return };
        while let Some(room) = if self.paused { self.rooms.next_awaited() } else { self.rooms.next_to_join() } {
            let Some((join, start)) = self.rooms.begin_join(&room) else { return };
            session.join(&room, join, start);
        }
    }

    fn send_read_marks(&mut self) {
        for room in self.read_marks.due() {
            self.send_read_mark(&room);
        }
    }

    fn send_read_mark(&mut self, room: &RoomId) {
        if self.changes.is_active() {
            return;
        }
        let Phase::Online(session) = &mut self.phase else { return };
        if let Some(seq) = self.read_marks.take_due(room) {
            session.mark_read(room, seq);
        }
    }

    fn session(&mut self) -> Option<&mut Session> {
        match &mut self.phase {
            Phase::Online(session) => Some(session),
            _ => None,
        }
    }

    fn may_send_drafts(&self) -> bool {
        !self.changes.is_active() && self.outbox.may_send()
    }

    /// Delivers the drafts of earlier runs, which only their author may see.
    fn deliver_restored(&mut self) {
        for draft in self.outbox.of_earlier_runs() {
            self.deliver(Update::Restored(draft));
        }
    }

    fn remove_saved(&mut self, id: MsgId) {
        if self.settings.saves {
            self.actions.push(Action::RemoveDraft(id));
        }
    }

    fn deliver(&mut self, update: Update) {
        self.actions.push(Action::Deliver(update));
    }
}

/// Returns why there is no session, for a person.
fn sentence(status: &Status, session: Option<&Session>) -> String {
    if let (Code::Ok | Code::Unavailable, Some(reason)) = (status.code(), session.and_then(Session::drain_reason)) {
        return match reason {
            pb::DrainReason::Shutdown => "the service is stopping",
            pb::DrainReason::Age => "the session was open for as long as the service allows",
            pb::DrainReason::Epoch => "the history has started a new epoch",
            pb::DrainReason::Unspecified => "the service ended the session",
        }
        .to_owned();
    }
    match status.code() {
        Code::Ok => "the service ended the session".to_owned(),
        _ if status.message().is_empty() => status.code().description().to_owned(),
        _ => status.message().to_owned(),
    }
}

#[cfg(test)]
mod tests;
