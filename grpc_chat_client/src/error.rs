//! What can go wrong, for an application. Each error's text is one sentence that can be shown to a person.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use tonic::Code;

/// An error that the service returned, or the status with which it ended a session.
///
/// ```
/// use grpc_chat_client::{Code, Refused};
///
/// fn is_edited_by_somebody_else(why: &Refused) -> bool {
///     why.code == Code::PermissionDenied && why.reason == "NOT_THE_AUTHOR"
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The gRPC status code.
    pub code: Code,
    /// The machine-readable reason, where the service gave one, such as `NOT_THE_AUTHOR` or `FORKED`: the name of a value of
    /// `chat.v1.Reason`. Empty otherwise.
    pub reason: String,
    /// A sentence in the service's own words, which may change. Pass it through [`sanitize`](crate::sanitize()) before
    /// showing it.
    pub message: String,
}

impl Refused {
    /// Returns one without a machine-readable reason.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, reason: String::new(), message: message.into() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() { f.write_str(self.code.description()) } else { f.write_str(&self.message) }
    }
}

impl Error for Refused {}

impl From<ParseError> for Refused {
    fn from(error: ParseError) -> Self {
        Self::new(Code::InvalidArgument, error.0)
    }
}

/// Why a draft has no ack.
///
/// ```no_run
/// # async fn example(client: grpc_chat_client::Client) {
/// use grpc_chat_client::SendError;
///
/// match client.send("general", "Hi").await {
///     Ok(ack) => println!("stored as {}", ack.seq),
///     Err(SendError::Refused(why)) => println!("not stored: {why}"),
///     Err(error) => println!("stored or not: {error}"),
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The service refuses the draft, or the room's id is none. It was not stored.
    Refused(Refused),
    /// The outbox is full. The draft was not taken. Only [`Client::try_enqueue`](crate::Client::try_enqueue) returns this.
    Full,
    /// The client failed before the reply came. Whether the draft was stored is not known; with a state file, the next run
    /// sends it again, unless the client failed because the file belongs to another user.
    Failed(Refused),
    /// The application closed the client before the reply came. What holds for [`SendError::Failed`] holds here.
    Closed,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => why.fmt(f),
            Self::Full => f.write_str("too many messages are unsent already; wait until some of them are sent"),
            Self::Failed(why) => write!(f, "the client failed before the service replied: {why}"),
            Self::Closed => f.write_str("the client was closed before the service replied"),
        }
    }
}

impl Error for SendError {}

impl From<ParseError> for SendError {
    fn from(error: ParseError) -> Self {
        Self::Refused(error.into())
    }
}

/// Why a room is not joined.
///
/// ```no_run
/// # async fn example(client: grpc_chat_client::Client) {
/// use grpc_chat_client::{JoinError, Start};
///
/// match client.join("general", Start::Live).await {
///     Ok(joined) => println!("the newest message is {}", joined.head),
///     Err(JoinError::Refused(why)) => println!("not allowed: {why}"),
///     Err(error) => println!("not joined: {error}"),
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// The service refuses it, or the room's id is none.
    Refused(Refused),
    /// It was left, or joined once more, before the reply came.
    Left,
    /// The client failed before the reply came.
    Failed(Refused),
    /// The application closed the client before the reply came.
    Closed,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => why.fmt(f),
            Self::Left => f.write_str("the room was left before the service replied"),
            Self::Failed(why) => write!(f, "the client failed before the service replied: {why}"),
            Self::Closed => f.write_str("the client was closed before the service replied"),
        }
    }
}

impl Error for JoinError {}

impl From<ParseError> for JoinError {
    fn from(error: ParseError) -> Self {
        Self::Refused(error.into())
    }
}

/// Why [`connect`](crate::connect) could not start a client.
///
/// ```no_run
/// # async fn example(config: grpc_chat_client::Config) {
/// use grpc_chat_client::{OpenError, StateError, connect};
///
/// match connect(config).await {
///     Ok((client, events)) => {}
///     Err(OpenError::State(StateError::InUse(path))) => println!("{} is in use", path.display()),
///     Err(error) => println!("{error}"),
/// }
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The certificates or the key cannot be used.
    Tls(TlsError),
    /// The state file cannot be used.
    State(StateError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Tls(error) => Some(error),
            Self::State(error) => Some(error),
        }
    }
}

/// Text that is no id, or no URL of a service.
///
/// ```
/// use grpc_chat_client::{ParseError, RoomId};
///
/// let error: ParseError = "no spaces".parse::<RoomId>().unwrap_err();
/// assert!(error.to_string().starts_with("a room's id may contain only"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError(pub(crate) &'static str);

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for ParseError {}

/// A certificate or a key that cannot be used. The text says which one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError(pub(crate) String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for TlsError {}

/// Why a state file cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum StateError {
    /// Another client uses it.
    InUse(PathBuf),
    /// It is another program's file, or was written by another version of this library.
    WrongFormat(PathBuf),
    /// It belongs to another user.
    OtherUser {
        /// The file.
        path: PathBuf,
        /// The user it belongs to.
        owner: String,
    },
    /// It cannot be read or written.
    Io(PathBuf, String),
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => write!(f, "{} is used by another client; close that one first", path.display()),
            Self::WrongFormat(path) => write!(
                f,
                "{} is not a state file of this version of the client; move it away, or name another",
                path.display()
            ),
            Self::OtherUser { path, owner } => {
                write!(f, "{} belongs to the user {owner}; name another file", path.display())
            }
            Self::Io(path, why) => write!(
                f,
                "{} cannot be used: {why}; check that it can be written, or name another file",
                path.display()
            ),
        }
    }
}

impl Error for StateError {}

/// Unsent drafts or cursors could not be written to the state file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaveError(pub(crate) String);

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the state file could not be written, and what is unsent or seen is not saved: {}", self.0)
    }
}

impl Error for SaveError {}
