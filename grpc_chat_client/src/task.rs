//! The one task that owns the stream: it carries out what the engine decides, and passes in what comes of it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use stubs::chat::v1 as pb;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tonic::{Code, Status, Streaming};

use crate::diagnosis::call_ended;
use crate::engine::{Action, Command, Engine, Time};
use crate::error::Refused;
use crate::mailbox::Mailbox;
use crate::model::{ConnectionState, Update};
use crate::state::State;
use crate::wire::{Access, Connector, Link, SessionStream};

/// Frames or commands taken in one turn, so that neither keeps the other waiting for long.
const TURN: usize = 128;

/// How long drafts are still sent after the application has dropped the client without closing it.
const GRACE: Duration = Duration::from_secs(5);

/// How often the cursors of what the application has seen are saved.
const SAVE: Duration = Duration::from_secs(1);

type Opened = Result<(SessionStream, pb::Welcome), Status>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(crate) struct Task {
    engine: Engine,
    /// The start of the engine's time.
    started: Instant,
    connector: Arc<Connector>,
    commands: mpsc::Receiver<Command>,
    mailbox: Arc<Mailbox>,
    state: Option<State>,
    link: watch::Sender<Link>,
    /// The session that is being opened.
    opening: Option<BoxFuture<Opened>>,
    /// The token that is being fetched.
    token: Option<BoxFuture<Result<Option<String>, String>>>,
    /// A token that came while a session was being opened.
    renewed: Option<String>,
    /// The open session's stream, in both directions, and what other calls on its connection need.
    incoming: Option<Streaming<pb::ServerFrame>>,
    outgoing: Option<mpsc::Sender<pb::ClientFrame>>,
    access: Option<Access>,
    /// Whether the stream takes no more frames. Why it has ended comes through `incoming`.
    send_closed: bool,
    /// Whether the engine has ended.
    finished: bool,
    /// The buffer of the actions that are being carried out.
    actions: Vec<Action>,
}

impl Task {
    pub(crate) fn new(
        engine: Engine,
        connector: Connector,
        commands: mpsc::Receiver<Command>,
        mailbox: Arc<Mailbox>,
        state: Option<State>,
        link: watch::Sender<Link>,
    ) -> Self {
        Self {
            engine,
            started: Instant::now(),
            connector: Arc::new(connector),
            commands,
            mailbox,
            state,
            link,
            opening: None,
            token: None,
            renewed: None,
            incoming: None,
            outgoing: None,
            access: None,
            send_closed: false,
            finished: false,
            actions: Vec::new(),
        }
    }

    /// Runs until the client has ended.
    pub(crate) async fn run(mut self) {
        let mut save_at = Instant::now() + SAVE;
        let mut handles_alive = true;
        let mut abandoned = false;
        loop {
            self.engine.finish_turn(self.now());
            self.carry_out_all();
            if self.finished {
                break;
            }
            let deadline = self.instant(self.engine.deadline());
            let may_send = !self.send_closed && self.engine.has_frame();
            // In random order: neither a busy room nor a busy application keeps the other out.
            tokio::select! {
                frame = next_frame(self.incoming.as_mut()) => self.frames_received(frame),
                open = has_room(self.outgoing.as_ref()), if may_send => {
                    self.send_closed = !open;
                    self.send_frames();
                }
                command = self.commands.recv(), if handles_alive => match command {
                    Some(command) => self.command(command),
                    None => handles_alive = false,
                },
                opened = resolved(&mut self.opening) => self.opened(opened),
                token = resolved(&mut self.token) => self.token_fetched(token),
                problem = problem(self.state.as_mut()) => self.deliver(Update::SaveFailed(problem)),
                () = self.mailbox.room() => if !self.mailbox.is_overfull() {
                    self.engine.resume();
                },
                () = sleep_until(deadline) => self.engine.tick(self.now()),
                () = tokio::time::sleep_until(save_at), if self.state.is_some() => {
                    self.save_cursors();
                    save_at = Instant::now() + SAVE;
                }
            }
            if !handles_alive && !abandoned && self.mailbox.is_abandoned() {
                // No application is left to command the client or to take its updates.
                abandoned = true;
                self.engine.command(Command::Close { grace: GRACE }, self.now());
            }
        }
        self.end().await;
    }

    fn now(&self) -> Time {
        Time::since_start(self.started.elapsed())
    }

    /// Returns the clock's value at `time`; `None` also if the clock cannot count as far.
    fn instant(&self, time: Option<Time>) -> Option<Instant> {
        self.started.checked_add(time?.elapsed())
    }

    /// Carries out everything that the engine has decided, and what it decides because of that.
    fn carry_out_all(&mut self) {
        while !self.engine.actions.is_empty() {
            let mut actions = std::mem::replace(&mut self.engine.actions, std::mem::take(&mut self.actions));
            for action in actions.drain(..) {
                self.carry_out(action);
            }
            // This is done for every frame, so the buffer is used again.
            self.actions = actions;
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Connect => {
                let connector = Arc::clone(&self.connector);
                self.renewed = None;
                self.opening = Some(Box::pin(async move { connector.open().await }));
            }
            Action::Disconnect => {
                self.opening = None;
                self.disconnect();
            }
            Action::GetToken => {
                let connector = Arc::clone(&self.connector);
                self.token = Some(Box::pin(async move { connector.token().await }));
            }
            Action::Deliver(update) => self.deliver(update),
            Action::SaveDraft(draft) => self.with_state(|state| state.save(draft)),
            Action::RemoveDraft(id) => self.with_state(|state| state.remove(id)),
            Action::SetOwner(user) => self.with_state(|state| state.set_owner(user)),
            Action::Finish => self.finished = true,
        }
    }

    fn with_state(&self, change: impl FnOnce(&State)) {
        if let Some(state) = &self.state {
            change(state);
        }
    }

    fn deliver(&mut self, update: Update) {
        if let Update::Connection(connection) = &update {
            self.link.send_modify(|link| {
                link.connection = connection.clone();
                link.access = match connection {
                    ConnectionState::Online { .. } | ConnectionState::Draining => self.access.clone(),
                    _ => None,
                };
            });
        }
        if self.mailbox.put(update) {
            self.engine.pause();
        }
    }

    /// Takes a command, and others that wait already, so that they are sent together.
    fn command(&mut self, command: Command) {
        let now = self.now();
        self.engine.command(command, now);
        for _ in 0..TURN {
            let Ok(command) = self.commands.try_recv() else { break };
            self.engine.command(command, now);
        }
    }

    fn token_fetched(&mut self, token: Result<Option<String>, String>) {
        match token {
            Ok(Some(token)) => self.token_renewed(token),
            Ok(None) => {
                let why = Refused::new(Code::FailedPrecondition, "this client has no token");
                self.engine.token_failed(&why);
            }
            Err(why) => {
                tracing::warn!(why, "there is no new token");
                self.engine.token_failed(&Refused::new(Code::Unavailable, why));
            }
        }
    }

    /// Uses the new token for the session and for other calls.
    fn token_renewed(&mut self, token: String) {
        match &mut self.access {
            Some(access) => {
                if let Err(status) = access.renew(&token) {
                    return self.engine.token_failed(&Refused::from(&status));
                }
                let renewed = access.clone();
                self.link.send_modify(|link| link.access = link.access.as_ref().map(|_| renewed));
            }
            // The session that is being opened may have been given an older one.
            None => self.renewed = Some(token.clone()),
        }
        self.engine.token_received(token);
    }

    fn opened(&mut self, opened: Opened) {
        match opened {
            Ok((SessionStream { outgoing, incoming, mut access }, welcome)) => {
                if let Some(token) = self.renewed.take()
                    && let Err(status) = access.renew(&token)
                {
                    tracing::warn!(why = status.message(), "the new token cannot be used");
                }
                (self.outgoing, self.incoming, self.access) = (Some(outgoing), Some(incoming), Some(access));
                self.send_closed = false;
                self.engine.session_opened(&welcome, self.now());
            }
            Err(status) => {
                tracing::info!(code = ?status.code(), why = status.message(), "not connected");
                self.engine.session_ended(&status, self.now());
            }
        }
    }

    /// Takes a frame, and others that have come already.
    fn frames_received(&mut self, frame: Result<Option<pb::ServerFrame>, Status>) {
        let now = self.now();
        let mut next = Some(frame);
        for turn in 1..=TURN {
            let status = match next.take() {
                Some(Ok(Some(frame))) => {
                    self.engine.frame_received(frame, now);
                    self.carry_out_all();
                    if turn < TURN {
                        next = self.incoming.as_mut().and_then(|incoming| incoming.message().now_or_never());
                    }
                    continue;
                }
                Some(Ok(None)) => Status::ok(""),
                Some(Err(status)) => call_ended(&status),
                None => return,
            };
            tracing::info!(code = ?status.code(), why = status.message(), "the session has ended");
            self.disconnect();
            return self.engine.session_ended(&status, now);
        }
    }

    fn disconnect(&mut self) {
        (self.outgoing, self.incoming, self.access) = (None, None, None);
        self.link.send_modify(|link| link.access = None);
    }

    /// Sends as many frames as the stream takes now.
    fn send_frames(&mut self) {
        while let Some(outgoing) = &self.outgoing
            && let Ok(permit) = outgoing.try_reserve()
            && let Some(frame) = self.engine.next_frame()
        {
            permit.send(frame);
        }
    }

    fn save_cursors(&self) {
        if let Some(state) = &self.state {
            state.seen(self.mailbox.take_seen());
        }
    }

    async fn end(mut self) {
        // Drafts that were enqueued until now are saved for the next run. No others are taken.
        self.commands.close();
        while let Some(command) = self.commands.recv().await {
            let now = self.now();
            self.engine.command(command, now);
        }
        self.carry_out_all();
        if let Some(state) = self.state.take() {
            state.seen(self.mailbox.leave_to_next_run());
            if let Err(error) = state.close().await {
                self.mailbox.put(Update::SaveFailed(error.0.clone()));
                self.link.send_modify(|link| link.save_error = Some(error));
            }
        }
        self.mailbox.close();
        // Dropping the link ends the wait in `Client::close`.
    }
}

impl Drop for Task {
    /// Runs also if something panics or the runtime ends: no caller must wait for a client that is no longer there.
    fn drop(&mut self) {
        if !self.finished {
            let why = Refused::new(Code::Internal, "the client was stopped while it was running");
            self.engine.fail(why.clone());
            let failed = ConnectionState::Failed(why);
            self.link.send_modify(|link| *link = Link { connection: failed.clone(), access: None, save_error: None });
            if self.state.is_some() {
                self.mailbox.leave_to_next_run();
            }
            self.mailbox.put(Update::Connection(failed));
            self.mailbox.close();
        }
    }
}

/// Waits for the service's next frame, if there is a session.
async fn next_frame(incoming: Option<&mut Streaming<pb::ServerFrame>>) -> Result<Option<pb::ServerFrame>, Status> {
    match incoming {
        Some(incoming) => incoming.message().await,
        None => std::future::pending().await,
    }
}

/// Waits until the stream has room for a frame. Returns whether it ever will again.
async fn has_room(outgoing: Option<&mpsc::Sender<pb::ClientFrame>>) -> bool {
    match outgoing {
        Some(outgoing) => outgoing.reserve().await.is_ok(),
        None => std::future::pending().await,
    }
}

/// Waits for a future, if there is one, and removes it.
async fn resolved<T>(future: &mut Option<BoxFuture<T>>) -> T {
    let Some(running) = future else { return std::future::pending().await };
    let output = running.as_mut().await;
    *future = None;
    output
}

/// Waits until the state file cannot be written, if there is one. Returns why, in a sentence.
async fn problem(state: Option<&mut State>) -> String {
    match state {
        // The writer ends after the task.
        Some(state) => match state.problem().await {
            Some(problem) => problem,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
