//! The configuration of a client.

use std::fmt;
use std::future::Future;
#[cfg(feature = "state")]
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use crate::backoff::Backoff;
use crate::mailbox::MailboxLimits;
use crate::model::{DeviceId, UserId};
use crate::server::{ServerUrl, Tls};

/// The configuration of a client.
///
/// [`Config::new`] has defaults for everything but the service and the user; each setter changes one of them:
///
/// ```
/// use grpc_chat_client::{Config, Token};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config::new("https://chat.example".parse()?, "sam".parse()?)
///     .token(Token::Fixed("secret".to_owned()))
///     .device("laptop".parse()?)
///     .max_unsent(100);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The service.
    pub server: ServerUrl,
    /// The user's id, for a service that does not authenticate its callers.
    pub user: UserId,
    /// How to connect by TLS.
    pub tls: Tls,
    /// The id of the user's device, if it has one.
    pub device: Option<DeviceId>,
    /// The token for a service that authenticates its callers.
    pub token: Token,
    /// The program, for the service's log.
    pub program: Program,
    /// The state file, if there is one; see [`Config::state_file`](Config::state_file()).
    #[cfg(feature = "state")]
    pub state_file: Option<PathBuf>,
    /// The number of drafts that may be unsent at once; see [`Config::max_unsent`](Config::max_unsent()).
    pub max_unsent: usize,
    /// How much may wait for a slow application.
    pub mailbox_limits: MailboxLimits,
    /// How long to wait between attempts to connect.
    pub backoff: Backoff,
}

/// The name and the version of a program, each at most 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The name.
    pub name: String,
    /// The version.
    pub version: String,
}

impl Config {
    /// Returns a configuration for this service and user, with defaults for the rest.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = grpc_chat_client::Config::new("http://127.0.0.1:9090".parse()?, "sam".parse()?);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn new(server: ServerUrl, user: UserId) -> Self {
        Self {
            server,
            user,
            tls: Tls::default(),
            device: None,
            token: Token::None,
            program: Program { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
            #[cfg(feature = "state")]
            state_file: None,
            max_unsent: 1_000,
            mailbox_limits: MailboxLimits::default(),
            backoff: Backoff::default(),
        }
    }

    /// Sets whom to trust, and the client's own certificate, where the service is reached by TLS. The default trusts the
    /// certificate authorities that the machine trusts.
    ///
    /// ```no_run
    /// # fn example(config: grpc_chat_client::Config) -> Result<(), Box<dyn std::error::Error>> {
    /// use grpc_chat_client::Tls;
    ///
    /// let config = config.tls(Tls::default().ca_certificates(std::fs::read("ca.pem")?));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// Sets the id that tells this device from the user's others.
    ///
    /// ```
    /// # fn example(config: grpc_chat_client::Config) -> Result<(), grpc_chat_client::ParseError> {
    /// let config = config.device("laptop".parse()?);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn device(mut self, device: DeviceId) -> Self {
        self.device = Some(device);
        self
    }

    /// Sets the token for a service that authenticates its callers; see [`Token`].
    #[must_use]
    pub fn token(mut self, token: Token) -> Self {
        self.token = token;
        self
    }

    /// Sets the program's name and version, which the service logs.
    ///
    /// ```
    /// # fn example(config: grpc_chat_client::Config) {
    /// use grpc_chat_client::Program;
    ///
    /// let config = config.program(Program { name: "night-watch".to_owned(), version: "1.4.0".to_owned() });
    /// # }
    /// ```
    #[must_use]
    pub fn program(mut self, program: Program) -> Self {
        self.program = program;
        self
    }

    /// Sets a file that keeps, for the next run of the program, drafts that have no ack and the last event that the
    /// application has seen in each room.
    ///
    /// The file is made if it does not exist. It belongs to one user of one service and is used by one client at a time, so
    /// give each user their own. With a token, the user is known only once a session is open: the drafts of a run that never
    /// had one are sent, in a later run, as the user that the file belongs to.
    ///
    /// ```
    /// # fn example(config: grpc_chat_client::Config) {
    /// let config = config.state_file("/var/lib/night-watch/chat.db");
    /// # }
    /// ```
    #[cfg(feature = "state")]
    #[must_use]
    pub fn state_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_file = Some(path.into());
        self
    }

    /// Sets how many drafts may be unsent at once, 1,000 by default. Values outside of 1 to 1,000,000 count as the nearest
    /// one. For one more, [`Client::send`](crate::Client::send) waits and [`Client::try_enqueue`](crate::Client::try_enqueue)
    /// returns [`SendError::Full`](crate::SendError::Full).
    #[must_use]
    pub fn max_unsent(mut self, drafts: usize) -> Self {
        self.max_unsent = drafts;
        self
    }

    /// Sets how much may wait for an application that is slow to take its updates.
    ///
    /// ```
    /// # fn example(config: grpc_chat_client::Config) {
    /// use grpc_chat_client::MailboxLimits;
    ///
    /// let config = config.mailbox_limits(MailboxLimits { updates: 512, bytes: 256 * 1024 });
    /// # }
    /// ```
    #[must_use]
    pub fn mailbox_limits(mut self, limits: MailboxLimits) -> Self {
        self.mailbox_limits = limits;
        self
    }

    /// Sets how long to wait between attempts to connect.
    ///
    /// ```
    /// # fn example(config: grpc_chat_client::Config) {
    /// use std::time::Duration;
    /// use grpc_chat_client::Backoff;
    ///
    /// let config = config.backoff(Backoff { base: Duration::from_secs(1), max: Duration::from_secs(60) });
    /// # }
    /// ```
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }
}

/// The token that tells the service who the user is.
///
/// ```
/// # async fn issue() -> Result<String, std::io::Error> { Ok(String::new()) }
/// use grpc_chat_client::Token;
///
/// let fixed = Token::Fixed("secret".to_owned());
/// let fetched = Token::source(|| async { issue().await.map_err(|error| format!("no token: {error}")) });
/// ```
#[derive(Clone, Default)]
pub enum Token {
    /// No token.
    #[default]
    None,
    /// Always the same token.
    Fixed(String),
    /// A function that is called before each connection, and once more when the service refuses the token it returned. It
    /// must not return a cached token then: what was refused is refused again. A call that takes longer than 30 s counts as
    /// failed.
    Source(TokenSource),
}

/// A function that gets a token, or returns a sentence that says why there is none.
pub type TokenSource = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, String>> + Send>> + Send + Sync>;

impl Token {
    /// Returns a [`Token::Source`] of this function.
    pub fn source<F>(source: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, String>> + Send + 'static,
    {
        Self::Source(Arc::new(move || Box::pin(source())))
    }

    /// Returns the token as it is now.
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

/// Does not show the token.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Fixed(_) => "Fixed(..)",
            Self::Source(_) => "Source(..)",
        })
    }
}
