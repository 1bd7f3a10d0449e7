//! What a client needs to know.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use crate::backoff::Backoff;
use crate::connection::{ServerUrl, Tls};
use crate::mailbox::Waiting;

/// What a client needs to know. Make one with [`Config::new`] and change what should differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where the service is.
    pub server: ServerUrl,
    /// Whom to trust, where it is reached by TLS.
    pub tls: Tls,
    /// The user's id, where the service does not authenticate; see [`check_user`](crate::check_user).
    pub user: String,
    /// What tells this user's devices apart, if anything; an id like a user's.
    pub device: Option<String>,
    /// Who the user is, where the service does authenticate.
    pub token: Token,
    /// The program's name and version, for the service's log. Each at most 64 bytes.
    pub program: (String, String),
    /// A file that keeps, for the next run of the program, drafts that are not acked and how far the application has come
    /// in each room. It is made if it does not exist, belongs to one user of one service, and is used by one client at a
    /// time. Give each user a file: with a token it is only known once there is a session whose it is, and what was said
    /// before in a run that never had one goes to whoever the file belongs to. `None`: nothing is kept.
    pub state: Option<PathBuf>,
    /// Drafts that may be unsent at once, 1 to 1,000,000; other values count as the nearest. For one more the application
    /// waits, or is told [`SendError::Full`].
    ///
    /// [`SendError::Full`]: crate::SendError::Full
    pub max_unsent: usize,
    /// How much may wait for an application that is slow.
    pub waiting: Waiting,
    /// How long to wait before connecting again.
    pub backoff: Backoff,
}

impl Config {
    /// A client of this service, for this user.
    #[must_use]
    pub fn new(server: ServerUrl, user: impl Into<String>) -> Self {
        Self {
            server,
            tls: Tls::default(),
            user: user.into(),
            device: None,
            token: Token::None,
            program: (env!("CARGO_PKG_NAME").to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            state: None,
            max_unsent: 1_000,
            waiting: Waiting::default(),
            backoff: Backoff::default(),
        }
    }
}

/// Says who the user is.
#[derive(Clone, Default)]
pub enum Token {
    /// Nothing does.
    #[default]
    None,
    /// Always the same.
    Fixed(String),
    /// Asked for before each connection, and once more when the service refuses what it gave. Not to be answered from
    /// memory then: what was refused is refused again. An answer that takes longer than 30 s is none.
    Source(TokenSource),
}

/// Gets a token, or says in a sentence why there is none.
pub type TokenSource = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, String>> + Send>> + Send + Sync>;

impl Token {
    /// Asks `source` for it.
    pub fn source<F>(source: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, String>> + Send + 'static,
    {
        Self::Source(Arc::new(move || Box::pin(source())))
    }

    /// What it is now.
    pub(crate) async fn get(&self) -> Result<Option<String>, String> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(token) => Ok(Some(token.clone())),
            Self::Source(source) => source().await.map(Some),
        }
    }

    pub(crate) fn can_change(&self) -> bool {
        matches!(self, Self::Source(_))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Fixed(_) => "Fixed(..)",
            Self::Source(_) => "Source(..)",
        })
    }
}
