//! Reaching a service, and saying clearly why it was not reached.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use stubs::chat_client::ChatClient;
use tonic::transport::{Channel, Endpoint};

/// How long a service may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a service listens: `http://HOST:PORT`; a plain `HOST:PORT` is taken for the same.
#[derive(Clone, Debug)]
pub struct ServerUrl {
    endpoint: Endpoint,
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("https://") {
            return Err("this client does not speak TLS; use http:// on a trusted network".to_owned());
        }
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        match Endpoint::from_shared(url) {
            Ok(endpoint) if endpoint.uri().scheme_str() == Some("http") && endpoint.uri().host().is_some() => {
                Ok(Self { endpoint: endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true) })
            }
            _ => Err("expected http://HOST:PORT".to_owned()),
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.endpoint.uri().to_string().trim_end_matches('/'))
    }
}

/// Nobody answers there. Its text is a sentence that says what to do.
#[derive(Debug)]
pub struct ConnectError {
    server: ServerUrl,
    source: tonic::transport::Error,
}

/// Connects.
///
/// # Errors
///
/// [`ConnectError`] if the host is unknown, nothing listens there, or it does not answer within five seconds.
pub async fn connect(server: &ServerUrl) -> Result<ChatClient<Channel>, ConnectError> {
    match server.endpoint.connect().await {
        Ok(channel) => Ok(ChatClient::new(channel)),
        Err(source) => Err(ConnectError { server: server.clone(), source }),
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no chat service answers at {}; start one with `cargo run -p grpc_chat_service`, \
             or name another with --server URL",
            self.server
        )
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
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
        ] {
            assert_eq!(text.parse::<ServerUrl>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_cannot_be_a_server_is_refused_before_connecting() {
        for text in ["", "ftp://host:1", "http://", "a b", "https://chat.example:443"] {
            text.parse::<ServerUrl>().unwrap_err();
        }
    }
}
