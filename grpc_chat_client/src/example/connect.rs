//! Connecting for one call of the example.

use std::error::Error;
use std::fmt;

use stubs::chat_client::ChatClient;
use tonic::transport::Channel;

use crate::error::TlsError;
use crate::server::{ServerUrl, Tls};

/// Why [`connect`] failed. Its text is a sentence.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host is unknown, nothing listens there, or it does not answer.
    Unreachable {
        /// A sentence.
        why: String,
        /// The error of the transport.
        source: tonic::transport::Error,
    },
    /// The certificates or the key cannot be used.
    Tls(TlsError),
}

/// Connects to the example's service, once.
///
/// # Errors
///
/// [`ConnectError`] if the host is unknown, nothing listens there, or it does not answer within five seconds.
pub async fn connect(server: &ServerUrl, tls: &Tls) -> Result<ChatClient<Channel>, ConnectError> {
    let endpoint = server.endpoint(tls).map_err(ConnectError::Tls)?;
    match endpoint.connect().await {
        Ok(channel) => Ok(ChatClient::new(channel)),
        Err(source) => Err(ConnectError::Unreachable { why: server.target().unreachable(&source), source }),
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { why, .. } => f.write_str(why),
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreachable { source, .. } => Some(source),
            Self::Tls(error) => Some(error),
        }
    }
}
