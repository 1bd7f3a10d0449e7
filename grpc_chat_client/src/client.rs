//! The application's handle.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use stubs::chat::v1 as pb;
use stubs::chat::v1::chat_service_client::ChatServiceClient;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use crate::backoff::Backoff;
use crate::config::{Config, Token};
use crate::connection::TlsError;
use crate::convert;
use crate::engine::{Command, Engine, Kept, Settings, may_pass};
use crate::line::{Access, Opener};
use crate::mailbox::{self, Events, Mailbox};
use crate::model::{Ack, Change, Connection, Draft, Joined, MsgId, Page, Place, Refused, Room, Start};
use crate::outbox::{Outcome, Posted};
use crate::state::{NotKept, State, StateError};
use crate::task::Task;

/// Commands that the task has not taken yet, beside drafts.
const COMMANDS: usize = 256;

/// The most drafts that may be unsent, whatever is configured.
const MAX_UNSENT: usize = 1_000_000;

/// The longest that anything is waited for.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How long one call for a page may take, and how long it is tried in all.
const CALL: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(30);

/// A handle to a client. Clones are handles to the same one.
///
/// The client keeps a session with the service: it connects, and connects again when that is lost, joins every room again
/// from where it was, and sends again what was not acked. It ends with [`Client::close`], or when all handles and its
/// [`Events`] are dropped, or when the service says a no that time does not change.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    places: Arc<Semaphore>,
    link: watch::Receiver<Link>,
    mailbox: Arc<Mailbox>,
    backoff: Backoff,
    can_refresh: bool,
}

/// How the client stands, for its handles.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) connection: Connection,
    /// There is a session; its connection takes other calls.
    pub(crate) access: Option<Access>,
    /// The client is over, and this could not be written.
    pub(crate) not_kept: Option<NotKept>,
}

/// A draft on its way. Resolves with its ack, however many connections that takes. Dropping it does not stop the draft.
#[derive(Debug)]
pub struct Sending {
    id: MsgId,
    outcome: oneshot::Receiver<Outcome>,
}

/// Why a draft has no ack.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The service does not take it. It was not stored.
    Refused(Refused),
    /// Too much is unsent already. It was not taken.
    Full,
    /// The client ended before the answer came. Whether it was stored is not known; with a state on disk, the next run
    /// sends it again, unless it ended because that state is another user's.
    Lost(Refused),
    /// The application closed the client before the answer came. As with [`SendError::Lost`].
    Closed,
}

/// Why a room is not joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// The service says no.
    Refused(Refused),
    /// It was left, or joined once more, before it was joined.
    Left,
    /// The client ended before the answer came.
    Lost(Refused),
    /// The application closed the client before the answer came.
    Closed,
}

/// Why there is no client.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// What TLS needs cannot be used.
    Tls(TlsError),
    /// What is kept on disk cannot be used.
    State(StateError),
}

/// Starts a client on the current tokio runtime, which has to be one with I/O and time. It connects by itself: whether it
/// succeeds is told by [`Events`].
///
/// # Errors
///
/// [`OpenError`] if the configuration names files that cannot be used.
pub async fn connect(config: Config) -> Result<(Client, Events), OpenError> {
    let opener = Opener::new(&config).map_err(OpenError::Tls)?;
    let (keeper, kept) = match config.state {
        None => (None, Kept::default()),
        Some(path) => {
            let (state, mut kept) = State::open(path.clone()).await.map_err(OpenError::State)?;
            // With a token it is the service that says who the user is.
            if matches!(config.token, Token::None) {
                match kept.owner.take() {
                    Some(owner) if owner != config.user => {
                        // Nothing has been asked of it; when this is answered its owner can open it.
                        let _ = state.close().await;
                        return Err(OpenError::State(StateError::NotYours { path, owner }));
                    }
                    _ => state.own(config.user.clone()),
                }
                (kept.owner, kept.confirmed) = (Some(config.user.clone()), true);
            }
            (Some(state), kept)
        }
    };
    let (backoff, can_refresh) = (config.backoff.within_reason(), config.token.can_change());
    let settings = Settings { backoff, can_refresh, keeps: keeper.is_some() };
    let max_unsent = config.max_unsent.clamp(1, MAX_UNSENT);
    let (commands, taken) = mpsc::channel(max_unsent + COMMANDS);
    let (mailbox, events) = mailbox::open(config.waiting.at_least(), keeper.is_some());
    let (linking, link) = watch::channel(Link { connection: Connection::Connecting, access: None, not_kept: None });
    let engine = Engine::new(settings, kept, fastrand::u64(..));
    tokio::spawn(Task::new(engine, opener, taken, Arc::clone(&mailbox), keeper, linking).run());
    let places = Arc::new(Semaphore::new(max_unsent));
    Ok((Client { commands, places, link, mailbox, backoff, can_refresh }, events))
}

impl Client {
    /// Receives a room, from `start` on. Resolves when it is joined; what is received comes as updates. The client joins it
    /// again after every lost connection, until it is left. Dropped while it waits, the room is joined all the same.
    ///
    /// # Errors
    ///
    /// [`JoinError`].
    pub async fn join(&self, room: impl Into<String>, start: Start) -> Result<Joined, JoinError> {
        let (reply, joined) = oneshot::channel();
        let asked = self.commands.send(Command::Join { room: room.into(), start, reply }).await;
        let ended = || match self.connection() {
            Connection::Lost(why) => JoinError::Lost(why),
            _ => JoinError::Closed,
        };
        asked.map_err(|_| ended())?;
        joined.await.map_err(|_| ended())?
    }

    /// Stops receiving a room. What has been received already is still told.
    pub async fn leave(&self, room: impl Into<String>) {
        // A client that has ended receives nothing.
        let _ = self.commands.send(Command::Leave { room: room.into() }).await;
    }

    /// Says something. Resolves when it is stored, however many connections that takes. Waits first if too much is unsent.
    ///
    /// Dropped before it resolves, as by a timeout, it may be sent or not. To send it again and have it stored once, make
    /// a [`Draft`] and [`post`](Client::post) a clone of it each time: they have one id.
    ///
    /// # Errors
    ///
    /// [`SendError`], but not [`SendError::Full`].
    pub async fn send(&self, room: impl Into<String>, text: impl Into<String>) -> Result<Ack, SendError> {
        self.post(Draft::new(room, Change::post(text))).await?.await
    }

    /// Replaces the text of one's own message. Otherwise as [`Client::send`].
    ///
    /// # Errors
    ///
    /// As with [`Client::send`].
    pub async fn edit(&self, room: impl Into<String>, seq: u64, text: impl Into<String>) -> Result<Ack, SendError> {
        self.post(Draft::new(room, Change::Edit { seq, text: text.into() })).await?.await
    }

    /// Erases one's own message. Otherwise as [`Client::send`].
    ///
    /// # Errors
    ///
    /// As with [`Client::send`].
    pub async fn delete(&self, room: impl Into<String>, seq: u64) -> Result<Ack, SendError> {
        self.post(Draft::new(room, Change::Delete { seq })).await?.await
    }

    /// Reacts to a message, or takes a reaction back. Otherwise as [`Client::send`].
    ///
    /// # Errors
    ///
    /// As with [`Client::send`].
    pub async fn react(
        &self,
        room: impl Into<String>,
        seq: u64,
        reaction: impl Into<String>,
        remove: bool,
    ) -> Result<Ack, SendError> {
        self.post(Draft::new(room, Change::React { seq, reaction: reaction.into(), remove })).await?.await
    }

    /// Takes any draft, waiting first if too much is unsent. Drafts that are taken one after the other are sent in that
    /// order; one that the service cannot take just now may be stored after later ones.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the client has ended.
    pub async fn post(&self, mut draft: Draft) -> Result<Sending, SendError> {
        self.place_in_time(&mut draft);
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| self.ended())?;
        let (reply, outcome) = oneshot::channel();
        let id = draft.id;
        let posted = Posted { draft, reply: Some(reply), _place: Some(place) };
        self.commands.send(Command::Post(posted)).await.map_err(|_| self.ended())?;
        Ok(Sending { id, outcome })
    }

    /// The same without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if too much is unsent, and others if the client has ended.
    pub fn try_post(&self, mut draft: Draft) -> Result<Sending, SendError> {
        self.place_in_time(&mut draft);
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| SendError::Full)?;
        let (reply, outcome) = oneshot::channel();
        let id = draft.id;
        let posted = Posted { draft, reply: Some(reply), _place: Some(place) };
        self.commands.try_send(Command::Post(posted)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => self.ended(),
        })?;
        Ok(Sending { id, outcome })
    }

    /// What an application says about a message, it says about the one that it was told of.
    fn place_in_time(&self, draft: &mut Draft) {
        if draft.epoch.is_none() && draft.change.is_about_a_place() {
            draft.epoch = self.mailbox.epoch(&draft.room);
        }
    }

    /// Notes that the user has read a room up to here, as soon as the service can be told. A lower mark changes nothing. Not
    /// kept on disk: what could not be told when the client ends is forgotten.
    pub async fn mark_read(&self, room: impl Into<String>, seq: u64) {
        let _ = self.commands.send(Command::MarkRead { room: room.into(), seq }).await;
    }

    /// The user is typing. To be called for each key, or at least every six seconds; lost without a session.
    pub async fn typing(&self, room: impl Into<String>) {
        let _ = self.commands.send(Command::Typing { room: room.into() }).await;
    }

    /// Gets a token from [`Token::Source`] now and tells it to the service, without reconnecting. Resolves when the service
    /// has taken it; without a session, when there is one to open the next session with.
    ///
    /// # Errors
    ///
    /// [`Refused`] if there is no token, the service does not take it, or the client has ended.
    pub async fn refresh_token(&self) -> Result<(), Refused> {
        let (reply, refreshed) = oneshot::channel();
        self.commands.send(Command::RefreshToken { reply }).await.map_err(|_| self.unreachable())?;
        refreshed.await.map_err(|_| self.unreachable())?
    }

    /// A page of a room's history. `length` is at most 1,000, and 0 means 100; a page may be shorter because it is large.
    ///
    /// # Errors
    ///
    /// [`Refused`] if the service says no, or could not be reached within 30 s.
    pub async fn history(&self, room: impl Into<String>, place: Place, length: u32) -> Result<Page, Refused> {
        let (after_seq, before_seq) = match place {
            Place::Newest => (None, None),
            Place::Before(seq) => (None, Some(seq)),
            Place::After(seq) => (Some(seq), None),
        };
        let request = pb::ListMessagesRequest { room: room.into(), after_seq, before_seq, page_size: length };
        let list = async |mut client: ChatServiceClient<Channel>, request| client.list_messages(request).await;
        self.call(request, list).await.map(convert::page_from_wire)
    }

    /// All rooms that have a history, by id.
    ///
    /// # Errors
    ///
    /// As with [`Client::history`].
    pub async fn rooms(&self) -> Result<Vec<Room>, Refused> {
        let mut rooms = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListRoomsRequest { page_size: 1000, page_token };
            let list = async |mut client: ChatServiceClient<Channel>, request| client.list_rooms(request).await;
            let page = self.call(request, list).await?;
            rooms.extend(page.rooms.into_iter().map(convert::room_from_wire));
            if page.next_page_token.is_empty() {
                return Ok(rooms);
            }
            page_token = page.next_page_token;
        }
    }

    /// How the client stands with the service now.
    #[must_use]
    pub fn connection(&self) -> Connection {
        self.link.borrow().connection.clone()
    }

    /// Waits while the client is connecting, and answers what came of it.
    pub async fn attempted(&self) -> Connection {
        let mut link = self.link.clone();
        match link.wait_for(|link| link.connection != Connection::Connecting).await {
            Ok(link) => link.connection.clone(),
            // The task has ended, and what it said last holds.
            Err(_) => self.connection(),
        }
    }

    /// Waits until nothing is unsent.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the client ends before.
    pub async fn flush(&self) -> Result<(), SendError> {
        let (reply, done) = oneshot::channel();
        self.commands.send(Command::Flush { reply }).await.map_err(|_| self.ended())?;
        done.await.map_err(|_| self.ended())
    }

    /// Ends the client. What is unsent is waited for, with or without a session, but not longer than `grace`. Resolves when
    /// everything is over and what is kept is on disk.
    ///
    /// # Errors
    ///
    /// [`NotKept`] if something is to be kept for the next run, and could not be.
    pub async fn close(self, grace: Duration) -> Result<(), NotKept> {
        let until = Instant::now() + grace.min(LONGEST);
        let _ = self.commands.send(Command::Close { until }).await;
        self.commands.closed().await;
        // The task lets go of the link last.
        let mut link = self.link;
        while link.changed().await.is_ok() {}
        let not_kept = link.borrow().not_kept.clone();
        not_kept.map_or(Ok(()), Err)
    }

    /// Calls on the connection of the session, and tries again while it may help.
    async fn call<M: Clone, T>(
        &self,
        message: M,
        call: impl AsyncFn(ChatServiceClient<Channel>, tonic::Request<M>) -> Result<Response<T>, Status>,
    ) -> Result<T, Refused> {
        let deadline = Instant::now() + PATIENCE;
        let (mut attempt, mut refreshed) = (0, false);
        loop {
            let access = tokio::time::timeout_at(deadline, self.access()).await;
            let access = access.map_err(|_| self.unreachable())??;
            let request = access.request(message.clone());
            let called =
                tokio::time::timeout(CALL.min(deadline - Instant::now()), call(access.client(), request)).await;
            let status = match called {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("the service did not answer in time"),
            };
            // A session lives on when its token has ended; a call of its own does not.
            if status.code() == Code::Unauthenticated && self.can_refresh && !refreshed {
                refreshed = true;
                tokio::time::timeout_at(deadline, self.refresh_token()).await.map_err(|_| self.unreachable())??;
                continue;
            }
            let spread = self.backoff.delay(attempt, &mut fastrand::Rng::new());
            let delay = convert::retry_hint(&status).unwrap_or_default() + spread;
            if !may_pass(status.code()) || Instant::now() + delay > deadline {
                return Err(Refused::from(&status));
            }
            tokio::time::sleep(delay).await;
            attempt += 1;
        }
    }

    async fn access(&self) -> Result<Access, Refused> {
        let mut link = self.link.clone();
        let there = link.wait_for(|link| link.access.is_some()).await;
        match there.ok().and_then(|link| link.access.clone()) {
            Some(access) => Ok(access),
            None => Err(self.unreachable()),
        }
    }

    fn unreachable(&self) -> Refused {
        let unavailable = |message: String| Refused::new(Code::Unavailable, message);
        match self.connection() {
            Connection::Lost(why) => why,
            Connection::Waiting { why, .. } => unavailable(why),
            Connection::Closed => unavailable("the client is closed".to_owned()),
            _ => unavailable("the service did not answer in time".to_owned()),
        }
    }

    fn ended(&self) -> SendError {
        match self.connection() {
            Connection::Lost(why) => SendError::Lost(why),
            _ => SendError::Closed,
        }
    }
}

impl Sending {
    /// The draft's id: its event has the same.
    #[must_use]
    pub fn id(&self) -> MsgId {
        self.id
    }
}

impl Future for Sending {
    type Output = Result<Ack, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The task answers every draft that it took before it ends.
        Pin::new(&mut self.outcome).poll(cx).map(|outcome| outcome.unwrap_or(Err(SendError::Closed)))
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "{why}"),
            Self::Full => f.write_str("too much is unsent already; wait until some of it is sent"),
            Self::Lost(why) => write!(f, "the connection was lost before the answer came: {why}"),
            Self::Closed => f.write_str("the client was closed before the answer came"),
        }
    }
}

impl std::error::Error for SendError {}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "{why}"),
            Self::Left => f.write_str("the room was left before it was joined"),
            Self::Lost(why) => write!(f, "the connection was lost before the answer came: {why}"),
            Self::Closed => f.write_str("the client was closed before the answer came"),
        }
    }
}

impl std::error::Error for JoinError {}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Tls(error) => Some(error),
            Self::State(error) => Some(error),
        }
    }
}
