//! Reaching a service, and saying clearly why it was not reached.

use std::error::Error;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use stubs::chat_client::ChatClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::model::Invalid;

/// How long a service may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may be silent before its other end is asked, by an HTTP/2 PING, whether it is there; and how long
/// the answer may take. It ends what the operating system would keep for a quarter of an hour.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What a service may send ahead of our reading it, on one stream and on all of a connection.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;

/// Where a service listens: `http://HOST:PORT`, or `https://HOST:PORT` for TLS; a plain `HOST:PORT` is the first.
#[derive(Clone, Debug)]
pub struct ServerUrl {
    endpoint: Endpoint,
    /// Without user information, so that it can be shown.
    shown: String,
}

/// Whom to trust, and who one is, where a service is reached by TLS.
#[derive(Clone, Default)]
pub struct Tls {
    /// Certificates (PEM) of the authorities that are trusted. `None`: those that the machine trusts.
    pub ca_certificates: Option<Vec<u8>>,
    /// The client's own certificate and its key (PEM), for a service that asks for one.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The name that the service's certificate has to be for, where that is not the host of the URL.
    pub server_name: Option<String>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key is a secret.
        let Self { ca_certificates, identity, server_name } = self;
        f.debug_struct("Tls")
            .field("ca_certificates", &ca_certificates.is_some())
            .field("identity", &identity.is_some())
            .field("server_name", server_name)
            .finish()
    }
}

impl FromStr for ServerUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        const EXPECTED: Invalid = Invalid("expected http://HOST:PORT or https://HOST:PORT");
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let Ok(endpoint) = Endpoint::from_shared(url) else { return Err(EXPECTED) };
        let uri = endpoint.uri();
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        let plain = uri.path() == "/" && uri.query().is_none();
        match (uri.scheme_str(), uri.authority()) {
            (Some(scheme), Some(authority)) if known && plain && is_host_and_port(authority.as_str()) => {
                let shown = format!("{scheme}://{authority}");
                Ok(Self { endpoint, shown })
            }
            _ => Err(EXPECTED),
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl ServerUrl {
    /// Host and port, as they stand in the URL.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.endpoint.uri().authority().map_or("", |authority| authority.as_str())
    }

    /// How to connect, with what a long conversation needs.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if a certificate or a key cannot be used.
    pub(crate) fn endpoint(&self, tls: &Tls) -> Result<Endpoint, TlsError> {
        let endpoint = self
            .endpoint
            .clone()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        if endpoint.uri().scheme_str() != Some("https") {
            return Ok(endpoint);
        }
        let Tls { ca_certificates, identity, server_name } = tls;
        let mut config = ClientTlsConfig::new().timeout(CONNECT_TIMEOUT);
        config = match ca_certificates {
            Some(pem) => config.ca_certificate(Certificate::from_pem(pem)),
            None => config.with_native_roots(),
        };
        if let Some((certificate, key)) = identity {
            config = config.identity(Identity::from_pem(certificate, key));
        }
        if let Some(name) = server_name {
            config = config.domain_name(name);
        }
        endpoint.tls_config(config).map_err(|error| TlsError(reason(&error)))
    }
}

/// A certificate or a key that cannot be used. Its text is a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError(String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificates for TLS cannot be used: {}", self.0)
    }
}

impl Error for TlsError {}

/// Nobody answers there. Its text is a sentence.
#[derive(Debug)]
pub enum ConnectError {
    /// The host is unknown, nothing listens there, or it does not answer.
    Unreachable {
        /// Where.
        server: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// What TLS needs cannot be used.
    Tls(TlsError),
}

/// Connects, for a conversation of the example's kind.
///
/// # Errors
///
/// [`ConnectError`] if the host is unknown, nothing listens there, or it does not answer within five seconds.
pub async fn connect_once(server: &ServerUrl, tls: &Tls) -> Result<ChatClient<Channel>, ConnectError> {
    let endpoint = server.endpoint(tls).map_err(ConnectError::Tls)?;
    match endpoint.connect().await {
        Ok(channel) => Ok(ChatClient::new(channel)),
        Err(source) => Err(ConnectError::Unreachable { server: server.to_string(), source }),
    }
}

/// `HOST`, `HOST:PORT`, or the same with an address in brackets; nothing before an `@`, and no port beyond 65,535.
fn is_host_and_port(authority: &str) -> bool {
    let after_host = authority.rsplit_once(']').map_or(authority, |(_, after)| after);
    let port = after_host.rsplit_once(':').map(|(_, port)| port);
    !authority.contains('@') && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// That nobody answers there, and why.
pub(crate) fn unanswered(server: impl fmt::Display, error: &tonic::transport::Error) -> String {
    format!("no chat service answers at {server} ({})", reason(error))
}

/// What lies at the bottom of an error, which is where tonic's say something.
pub(crate) fn reason(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match innermost.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => "nothing listens there".to_owned(),
        Some(io::ErrorKind::TimedOut) => "it does not answer".to_owned(),
        Some(io::ErrorKind::ConnectionReset) => {
            "the connection was reset; does it speak TLS, as https:// says, or not, as http:// does?".to_owned()
        }
        // It says no more than that it is one.
        _ if innermost.is::<tonic::transport::Error>() => "the connection was closed before it was ready".to_owned(),
        // h2 says no more of it.
        _ if innermost.to_string().contains("http2 error") => {
            "what listens there does not speak HTTP/2; is it a chat service?".to_owned()
        }
        _ => innermost.to_string(),
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { server, source } => f.write_str(&unanswered(server, source)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_url_or_by_host_and_port() {
        for (text, shown) in [
            ("http://127.0.0.1:9090", "http://127.0.0.1:9090"),
            ("http://127.0.0.1:9090/", "http://127.0.0.1:9090"),
            ("localhost:9090", "http://localhost:9090"),
            ("http://[::1]:9090", "http://[::1]:9090"),
            ("https://chat.example", "https://chat.example"),
        ] {
            assert_eq!(text.parse::<ServerUrl>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_cannot_be_a_server_is_refused_before_connecting() {
        for text in
            ["", "ftp://host:1", "http://", "a b", "http://sam:secret@host:1", "http://host:1/path", "h:99999", "h:"]
        {
            text.parse::<ServerUrl>().unwrap_err();
        }
    }

    #[test]
    fn certificates_that_are_none_are_refused_before_connecting() {
        let server: ServerUrl = "https://chat.example".parse().unwrap();
        let tls = Tls { identity: Some((b"none".to_vec(), b"none".to_vec())), ..Tls::default() };
        assert!(server.endpoint(&tls).unwrap_err().to_string().contains("TLS"));
    }
}
