//! The application's handle to a client.

mod drafts;
mod pages;
mod sending;

#[cfg(not(feature = "state"))]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tonic::Code;

use crate::backoff::Backoff;
use crate::config::{Config, Token};
use crate::engine::{Command, Engine, Settings};
use crate::error::{JoinError, OpenError, Refused, SaveError, SendError, StateError};
use crate::mailbox::{self, Events, Mailbox};
use crate::model::{ConnectionState, IntoRoomId, Joined, SavedState, Seq, Start};
use crate::reply;
use crate::state::State;
use crate::task::Task;
use crate::wire::{Connector, Link};

pub use sending::Sending;

/// The commands, beside drafts, that may wait for the task.
const COMMANDS: usize = 256;

/// The most drafts that may be unsent, whatever is configured.
const MAX_UNSENT: usize = 1_000_000;

/// A handle to a client. Clones are handles to the same client.
///
/// The client keeps a session with the service: it reconnects when the session is lost, joins every room again after the last
/// event it received, and sends again what was not acked. It ends with [`Client::close`], when all handles and its [`Events`]
/// are dropped, or at a permanent error, such as a token that is refused.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    permits: Arc<Semaphore>,
    link: watch::Receiver<Link>,
    mailbox: Arc<Mailbox>,
    backoff: Backoff,
    can_refresh: bool,
}

/// Starts a client on the current tokio runtime, which needs I/O and time enabled. Returns the handle to the client, and what
/// the client reports.
///
/// It returns before there is a connection: whether there is one is reported through [`Events`], and
/// [`Client::first_attempt`] waits for it.
///
/// # Errors
///
/// [`OpenError`] if the certificates or the state file of the configuration cannot be used.
///
/// # Example
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use grpc_chat_client::{Config, Start, connect};
///
/// let config = Config::new("http://127.0.0.1:9090".parse()?, "sam".parse()?);
/// let (client, mut events) = connect(config).await?;
/// client.join("general", Start::Live).await?;
/// while let Some(update) = events.next().await {
///     println!("{update:?}");
/// }
/// # Ok(())
/// # }
/// ```
pub async fn connect(config: Config) -> Result<(Client, Events), OpenError> {
    let connector = Connector::new(&config).map_err(OpenError::Tls)?;
    let (state, saved) = open_state(&config).await.map_err(OpenError::State)?;
    let (backoff, can_refresh) = (config.backoff.clamped(), config.token.can_change());
    let settings = Settings { backoff, can_refresh, saves: state.is_some() };
    let max_unsent = config.max_unsent.clamp(1, MAX_UNSENT);
    let (commands, receiver) = mpsc::channel(max_unsent + COMMANDS);
    let (mailbox, events) = mailbox::open(config.mailbox_limits.clamped(), state.is_some());
    let (publisher, link) = watch::channel(Link::default());
    let engine = Engine::new(settings, saved, fastrand::u64(..));
    tokio::spawn(Task::new(engine, connector, receiver, Arc::clone(&mailbox), state, publisher).run());
    let permits = Arc::new(Semaphore::new(max_unsent));
    Ok((Client { commands, permits, link, mailbox, backoff, can_refresh }, events))
}

/// Opens the state file, if there is to be one, and checks whose it is.
async fn open_state(config: &Config) -> Result<(Option<State>, SavedState), StateError> {
    #[cfg(feature = "state")]
    let path = config.state_file.clone();
    #[cfg(not(feature = "state"))]
    let path: Option<PathBuf> = None;
    let Some(path) = path else { return Ok((None, SavedState::default())) };
    let (state, mut saved) = State::open(path.clone()).await?;
    // With a token it is the service that says who the user is.
    if matches!(config.token, Token::None) {
        match saved.owner.take() {
            Some(owner) if config.user != owner.as_str() => {
                // Nothing was written. When this has returned, the owner can open the file.
                let _ = state.close().await;
                return Err(StateError::OtherUser { path, owner });
            }
            _ => state.set_owner(config.user.to_string()),
        }
        (saved.owner, saved.confirmed) = (Some(config.user.to_string()), true);
    }
    Ok((Some(state), saved))
}

impl Client {
    /// Joins a room and receives its events from `start` on. Returns when the room is joined; what is received comes through
    /// [`Events`].
    ///
    /// The client joins the room again after every lost connection, until it is left. If the returned future is dropped, the
    /// room is joined all the same.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if the service refuses, the room is left meanwhile, or the client ends.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # async fn example(client: grpc_chat_client::Client) -> Result<(), grpc_chat_client::JoinError> {
    /// use grpc_chat_client::Start;
    ///
    /// let joined = client.join("general", Start::Last(20)).await?;
    /// println!("the newest message is {}, and {} was read last", joined.head, joined.read);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn join(&self, room: impl IntoRoomId, start: Start) -> Result<Joined, JoinError> {
        let room = room.into_room_id()?;
        let (reply, joined) = reply::channel();
        self.commands.send(Command::Join { room, start, reply }).await.map_err(|_| self.join_error())?;
        joined.await.map_err(|_| self.join_error())?
    }

    /// Leaves a room. What was received before is still delivered. A room that is not joined is left as it is.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # async fn example(client: grpc_chat_client::Client) {
    /// client.leave("general").await;
    /// # }
    /// ```
    pub async fn leave(&self, room: impl IntoRoomId) {
        if let Ok(room) = room.into_room_id() {
            // A client that has ended receives nothing.
            let _ = self.commands.send(Command::Leave { room }).await;
        }
    }

    /// Notes that the user has read a room up to `seq`, as soon as there is a session. A lower seq than before changes
    /// nothing. It is not written to the state file: what was not sent when the client ends is lost.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # async fn example(client: grpc_chat_client::Client, event: grpc_chat_client::Event) {
    /// client.mark_read(&event.room, event.seq).await;
    /// # }
    /// ```
    pub async fn mark_read(&self, room: impl IntoRoomId, seq: Seq) {
        if let Ok(room) = room.into_room_id() {
            // A client that has ended can send nothing.
            let _ = self.commands.send(Command::MarkRead { room, seq }).await;
        }
    }

    /// Notes that the user is typing in a room. It is forgotten after six seconds, so call it for each key, or as often as
    /// that; without a session it has no effect.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # async fn example(client: grpc_chat_client::Client) {
    /// client.typing("general").await;
    /// # }
    /// ```
    pub async fn typing(&self, room: impl IntoRoomId) {
        if let Ok(room) = room.into_room_id() {
            // A client that has ended can send nothing.
            let _ = self.commands.send(Command::Typing { room }).await;
        }
    }

    /// Gets a token from [`Token::Source`] now and sends it to the service, without reconnecting. Returns when the service
    /// has accepted it or, without a session, when there is a token to open the next one with.
    ///
    /// # Errors
    ///
    /// [`Refused`] if there is no token, the service refuses it, or the client has ended.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # async fn example(client: grpc_chat_client::Client) {
    /// if let Err(why) = client.refresh_token().await {
    ///     eprintln!("the old token is still used: {why}");
    /// }
    /// # }
    /// ```
    pub async fn refresh_token(&self) -> Result<(), Refused> {
        let (reply, refreshed) = reply::channel();
        self.commands.send(Command::RefreshToken { reply }).await.map_err(|_| self.unreachable())?;
        refreshed.await.map_err(|_| self.unreachable())?
    }

    /// Returns the state of the connection.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # fn example(client: grpc_chat_client::Client) {
    /// use grpc_chat_client::ConnectionState;
    ///
    /// if let ConnectionState::Online { user, .. } = client.connection_state() {
    ///     println!("connected as {user}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn connection_state(&self) -> ConnectionState {
        self.link.borrow().connection.clone()
    }

    /// Waits while the client is connecting, and returns the state after that.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # async fn example(client: grpc_chat_client::Client) -> Result<(), String> {
    /// use grpc_chat_client::ConnectionState;
    ///
    /// match client.first_attempt().await {
    ///     ConnectionState::Reconnecting { why, .. } => Err(why),
    ///     ConnectionState::Failed(why) => Err(why.to_string()),
    ///     _ => Ok(()),
    /// }
    /// # }
    /// ```
    pub async fn first_attempt(&self) -> ConnectionState {
        let mut link = self.link.clone();
        match link.wait_for(|link| link.connection != ConnectionState::Connecting).await {
            Ok(link) => link.connection.clone(),
            // The task has ended, and its last state holds.
            Err(_) => self.connection_state(),
        }
    }

    /// Ends the client. Drafts are sent until all are acked, with or without a session at present, but for no longer than
    /// `grace`. Returns when the client has ended and the state file is written and closed.
    ///
    /// # Errors
    ///
    /// [`SaveError`] if there is a state file and it could not be written.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # async fn example(client: grpc_chat_client::Client) -> Result<(), grpc_chat_client::SaveError> {
    /// use std::time::Duration;
    ///
    /// client.close(Duration::from_secs(5)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(self, grace: Duration) -> Result<(), SaveError> {
        let _ = self.commands.send(Command::Close { grace }).await;
        self.commands.closed().await;
        // The task drops the link last.
        let mut link = self.link;
        while link.changed().await.is_ok() {}
        let failed = link.borrow().save_error.clone();
        failed.map_or(Ok(()), Err)
    }

    fn unreachable(&self) -> Refused {
        let unavailable = |message: String| Refused::new(Code::Unavailable, message);
        match self.connection_state() {
            ConnectionState::Failed(why) => why,
            ConnectionState::Reconnecting { why, .. } => unavailable(why),
            ConnectionState::Closed => unavailable("the client is closed".to_owned()),
            _ => unavailable("the service did not answer in time".to_owned()),
        }
    }

    fn send_error(&self) -> SendError {
        match self.connection_state() {
            ConnectionState::Failed(why) => SendError::Failed(why),
            _ => SendError::Closed,
        }
    }

    fn join_error(&self) -> JoinError {
        match self.connection_state() {
            ConnectionState::Failed(why) => JoinError::Failed(why),
            _ => JoinError::Closed,
        }
    }
}
