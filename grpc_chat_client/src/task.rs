//! The one task that owns the stream: it carries out what the engine decides, and tells it what comes of it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use stubs::chat::v1 as pb;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tonic::{Code, Status, Streaming};

use crate::diagnosis::with_reason;
use crate::engine::{Action, Command, Engine};
use crate::error::{Refused, SaveError};
use crate::mailbox::Mailbox;
use crate::model::{ConnectionState, Update};
use crate::state::State;
use crate::wire::{Access, Connector, Link, SessionStream};

/// Frames taken in one turn, so that the application's commands get theirs.
const TURN: usize = 128;

/// How long what was asked is waited for when the application has dropped the client without closing it.
const GRACE: Duration = Duration::from_secs(5);

/// How often it is kept how far the application has come.
const KEEP: Duration = Duration::from_secs(1);

type Opened = Result<(SessionStream, pb::Welcome), Status>;
type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(crate) struct Task {
    engine: Engine,
    connector: Arc<Connector>,
    commands: mpsc::Receiver<Command>,
    mailbox: Arc<Mailbox>,
    state: Option<State>,
    link: watch::Sender<Link>,
    opening: Option<Answer<Opened>>,
    token: Option<Answer<Result<Option<String>, String>>>,
    /// A token that came while a session was being opened.
    renewed: Option<String>,
    /// The session's stream, in both directions, and other calls' way to the service.
    heard: Option<Streaming<pb::ServerFrame>>,
    frames: Option<mpsc::Sender<pb::ClientFrame>>,
    access: Option<Access>,
    /// The stream takes nothing more; how it ended is still to be heard.
    deaf: bool,
    over: bool,
    /// Being carried out.
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
            connector: Arc::new(connector),
            commands,
            mailbox,
            state,
            link,
            opening: None,
            token: None,
            renewed: None,
            heard: None,
            frames: None,
            access: None,
            deaf: false,
            over: false,
            actions: Vec::new(),
        }
    }

    /// Runs until the client is over.
    pub(crate) async fn run(mut self) {
        let mut keep_at = Instant::now() + KEEP;
        // Handles that could give commands.
        let mut commanded = true;
        let mut abandoned = false;
        loop {
            self.engine.settle(Instant::now());
            self.act();
            if self.over {
                break;
            }
            let deadline = self.engine.deadline();
            let may_say = !self.deaf && self.engine.has_frame();
            // Whichever is there, by chance: neither a busy room nor a busy application keeps the other out.
            tokio::select! {
                frame = heard(self.heard.as_mut()) => self.heard(frame),
                takes = takes(self.frames.as_ref()), if may_say => {
                    self.deaf = !takes;
                    self.say();
                }
                command = self.commands.recv(), if commanded => match command {
                    Some(command) => self.commanded(command),
                    None => commanded = false,
                },
                opened = answer(&mut self.opening) => self.opened(opened),
                token = answer(&mut self.token) => match token {
                    Ok(Some(token)) => self.refreshed(token),
                    Ok(None) => {
                        let why = Refused::new(Code::FailedPrecondition, "this client has no token");
                        self.engine.no_token(&why);
                    }
                    Err(why) => {
                        tracing::warn!(why, "there is no new token");
                        self.engine.no_token(&Refused::new(Code::Unavailable, why));
                    }
                },
                problem = problem(self.state.as_mut()) => self.tell(Update::SaveFailed(problem)),
                () = self.mailbox.room() => if !self.mailbox.is_overfull() {
                    self.engine.resume();
                },
                () = at(deadline) => self.engine.tick(Instant::now()),
                () = tokio::time::sleep_until(keep_at), if self.state.is_some() => {
                    self.keep();
                    keep_at = Instant::now() + KEEP;
                }
            }
            if !commanded && !abandoned && self.mailbox.is_gone() {
                // Nobody is left who could ask or hear.
                abandoned = true;
                self.engine.command(Command::Close { until: Instant::now() + GRACE });
            }
        }
        self.end().await;
    }

    /// Everything that the engine has decided, and what that makes it decide.
    fn act(&mut self) {
        while !self.engine.actions.is_empty() {
            let mut actions = std::mem::replace(&mut self.engine.actions, std::mem::take(&mut self.actions));
            for action in actions.drain(..) {
                self.carry_out(action);
            }
            // The room in it is used again: this is done for every frame.
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
                self.hang_up();
            }
            Action::GetToken => {
                let connector = Arc::clone(&self.connector);
                self.token = Some(Box::pin(async move { connector.token().await }));
            }
            Action::Tell(update) => self.tell(update),
            Action::Save(draft) => self.with_state(|state| state.save(draft)),
            Action::Forget(id) => self.with_state(|state| state.forget(id)),
            Action::Own(user) => self.with_state(|state| state.set_owner(user)),
            Action::Over => self.over = true,
        }
    }

    fn with_state(&self, change: impl FnOnce(&State)) {
        if let Some(state) = &self.state {
            change(state);
        }
    }

    fn tell(&mut self, update: Update) {
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

    fn commanded(&mut self, command: Command) {
        self.engine.command(command);
        // Others that wait, so that they go out together.
        for _ in 0..TURN {
            let Ok(command) = self.commands.try_recv() else { break };
            self.engine.command(command);
        }
    }

    /// Other calls take the new token from here on, too.
    fn refreshed(&mut self, token: String) {
        match &mut self.access {
            Some(access) => {
                if let Err(status) = access.renew(&token) {
                    return self.engine.no_token(&Refused::from(&status));
                }
                let renewed = access.clone();
                self.link.send_modify(|link| link.access = link.access.as_ref().map(|_| renewed));
            }
            // The session that is being opened may have been given an older one.
            None => self.renewed = Some(token.clone()),
        }
        self.engine.token(token);
    }

    fn opened(&mut self, opened: Opened) {
        let now = Instant::now();
        match opened {
            Ok((SessionStream { outgoing: frames, incoming: heard, mut access }, welcome)) => {
                if let Some(token) = self.renewed.take()
                    && let Err(status) = access.renew(&token)
                {
                    tracing::warn!(why = status.message(), "the new token cannot be used");
                }
                (self.frames, self.heard, self.access) = (Some(frames), Some(heard), Some(access));
                self.deaf = false;
                self.engine.opened(&welcome, now);
            }
            Err(status) => {
                tracing::info!(code = ?status.code(), why = status.message(), "not connected");
                self.engine.ended(&status, now);
            }
        }
    }

    /// One frame, and others that are there already.
    fn heard(&mut self, frame: Result<Option<pb::ServerFrame>, Status>) {
        let now = Instant::now();
        let mut next = Some(frame);
        for turn in 1..=TURN {
            let status = match next.take() {
                Some(Ok(Some(frame))) => {
                    self.engine.heard(frame, now);
                    self.act();
                    if turn < TURN {
                        next = self.heard.as_mut().and_then(|heard| heard.message().now_or_never());
                    }
                    continue;
                }
                Some(Ok(None)) => Status::ok(""),
                Some(Err(status)) => with_reason(&status),
                None => return,
            };
            tracing::info!(code = ?status.code(), why = status.message(), "the session has ended");
            self.hang_up();
            return self.engine.ended(&status, now);
        }
    }

    fn hang_up(&mut self) {
        (self.frames, self.heard, self.access) = (None, None, None);
        self.link.send_modify(|link| link.access = None);
    }

    /// As much as the stream takes now.
    fn say(&mut self) {
        while let Some(frames) = &self.frames
            && let Ok(permit) = frames.try_reserve()
            && let Some(frame) = self.engine.next_frame()
        {
            permit.send(frame);
        }
    }

    /// How far the application has come is for the next run to know.
    fn keep(&self) {
        if let Some(state) = &self.state {
            state.seen(self.mailbox.take_seen());
        }
    }

    async fn end(mut self) {
        // What was asked for until now is kept for the next run; from now on nothing is taken.
        self.commands.close();
        while let Some(command) = self.commands.recv().await {
            self.engine.command(command);
        }
        self.act();
        if let Some(state) = self.state.take() {
            state.seen(self.mailbox.leave_to_next_run());
            if let Err(SaveError(why)) = state.close().await {
                self.mailbox.put(Update::SaveFailed(why.clone()));
                self.link.send_modify(|link| link.save_error = Some(SaveError(why)));
            }
        }
        self.mailbox.close();
        // With it the link goes: whoever waits for the end may go on.
    }
}

impl Drop for Task {
    /// Also when something panics, or the runtime ends: nobody waits for a client that is not there any more.
    fn drop(&mut self) {
        if !self.over {
            let why = Refused::new(Code::Internal, "the client was ended in the middle of its work");
            self.engine.lost(why.clone());
            let lost = ConnectionState::Failed(why);
            self.link.send_modify(|link| *link = Link { connection: lost.clone(), access: None, save_error: None });
            if self.state.is_some() {
                self.mailbox.leave_to_next_run();
            }
            self.mailbox.put(Update::Connection(lost));
            self.mailbox.close();
        }
    }
}

/// What the service says next, if there is a session.
async fn heard(stream: Option<&mut Streaming<pb::ServerFrame>>) -> Result<Option<pb::ServerFrame>, Status> {
    match stream {
        Some(stream) => stream.message().await,
        None => std::future::pending().await,
    }
}

/// Waits until the stream takes a frame; answers whether it ever will again.
async fn takes(frames: Option<&mpsc::Sender<pb::ClientFrame>>) -> bool {
    match frames {
        Some(frames) => frames.reserve().await.is_ok(),
        None => std::future::pending().await,
    }
}

/// What comes of what is awaited, if anything is.
async fn answer<T>(awaited: &mut Option<Answer<T>>) -> T {
    let Some(answer) = awaited else { return std::future::pending().await };
    let answer = answer.as_mut().await;
    *awaited = None;
    answer
}

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

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
