//! Where a service is, and how to connect to it.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::diagnosis::{Target, innermost};
use crate::error::{ParseError, TlsError};

/// How long a service may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may be silent before an HTTP/2 PING asks whether the other side is there, and how long the reply
/// may take. Without it the operating system would keep a dead connection for a quarter of an hour.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How much a service may send ahead of our reading, on one stream and on all streams of a connection.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;

/// The port of a URL with `http://`, or without a scheme, that names none: the service's own default.
const DEFAULT_PORT: u16 = 9090;

/// The URL of a service: `http://HOST:PORT`, or `https://HOST:PORT` for TLS.
///
/// A plain `HOST:PORT` means `http://`. The default port is 9090 with `http://`, and 443 with `https://`.
///
/// ```
/// use grpc_chat_client::ServerUrl;
///
/// let server: ServerUrl = "https://chat.example".parse()?;
/// let local: ServerUrl = "localhost".parse()?;
/// assert_eq!(local.to_string(), "http://localhost:9090");
/// assert!("ftp://chat.example".parse::<ServerUrl>().is_err());
/// # Ok::<(), grpc_chat_client::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ServerUrl {
    endpoint: Endpoint,
    /// Without user information, so that it can be shown.
    shown: String,
}

/// Whom to trust, and the client's own certificate, where a service is reached by TLS.
///
/// The default trusts the certificate authorities that the machine trusts.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::fs;
/// use grpc_chat_client::{Tls, TlsIdentity};
///
/// let identity = TlsIdentity { certificate: fs::read("sam.pem")?, key: fs::read("sam.key")? };
/// let tls = Tls::default().ca_certificates(fs::read("ca.pem")?).identity(identity).server_name("chat.internal");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Tls {
    /// The certificates (PEM) of the authorities to trust. `None`: those that the machine trusts.
    pub ca_certificates: Option<Vec<u8>>,
    /// The client's own certificate, for a service that asks for one.
    pub identity: Option<TlsIdentity>,
    /// The name in the service's certificate, where it is not the host of the URL.
    pub server_name: Option<String>,
}

/// A client's certificate and its key, in PEM.
#[derive(Clone)]
pub struct TlsIdentity {
    /// The certificate, followed by those of intermediate authorities, if there are any.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
}

impl Tls {
    /// Trusts these authorities (PEM) and no others.
    #[must_use]
    pub fn ca_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_certificates = Some(pem.into());
        self
    }

    /// Shows this certificate to the service.
    #[must_use]
    pub fn identity(mut self, identity: TlsIdentity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Expects the service's certificate to be for this name, and not for the host of the URL.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Finds what is wrong with the files that people name. tonic does not say which one it is, and takes a file without
    /// certificates for one that trusts nobody.
    fn check(&self) -> Result<(), TlsError> {
        check_clock(SystemTime::now())?;
        if let Some(pem) = &self.ca_certificates {
            let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
            let (usable, _) = RootCertStore::empty().add_parsable_certificates(certificates);
            if usable == 0 {
                return Err(unusable("the CA certificate file contains no certificate", "CERTIFICATE"));
            }
        }
        if let Some(TlsIdentity { certificate, key }) = &self.identity {
            if CertificateDer::from_pem_slice(certificate).is_err() {
                return Err(unusable("the client certificate file contains no certificate", "CERTIFICATE"));
            }
            if PrivateKeyDer::from_pem_slice(key).is_err() {
                return Err(unusable("the client key file contains no private key", "PRIVATE KEY"));
            }
        }
        match &self.server_name {
            Some(name) if ServerName::try_from(name.as_str()).is_err() => Err(TlsError(format!(
                "{name:?} cannot be the name of a server in its certificate; give a host name, or an IP address"
            ))),
            _ => Ok(()),
        }
    }
}

/// rustls panics where it would have to compare a time before 1970 with those in a certificate.
fn check_clock(now: SystemTime) -> Result<(), TlsError> {
    if now >= SystemTime::UNIX_EPOCH {
        return Ok(());
    }
    Err(TlsError("the clock of this machine is before 1970, so that no certificate can be checked; set it".to_owned()))
}

/// Returns the error for a file that does not contain what it should.
fn unusable(what: &str, label: &str) -> TlsError {
    TlsError(format!("{what}; name a PEM file, which has a line -----BEGIN {label}-----"))
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ca_certificates, identity, server_name } = self;
        f.debug_struct("Tls")
            .field("ca_certificates", &ca_certificates.is_some())
            .field("identity", &identity)
            .field("server_name", server_name)
            .finish()
    }
}

/// Does not show the key.
impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsIdentity(..)")
    }
}

impl FromStr for ServerUrl {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        const EXPECTED: ParseError = ParseError("expected http://HOST:PORT or https://HOST:PORT");
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if !matches!(scheme, "http" | "https") || authority.contains(['@', '/', '?', '#']) {
            return Err(EXPECTED);
        }
        // An IPv6 address in brackets has colons of its own.
        let after_host = authority.rsplit_once(']').map_or(authority, |(_, after)| after);
        let shown = match after_host.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_err() => return Err(EXPECTED),
            None if scheme == "http" => format!("{scheme}://{authority}:{DEFAULT_PORT}"),
            _ => format!("{scheme}://{authority}"),
        };
        match Endpoint::from_shared(shown.clone()) {
            Ok(endpoint) if endpoint.uri().host().is_some_and(|host| !host.is_empty()) => Ok(Self { endpoint, shown }),
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
    /// Returns the host and the port, as they stand in the URL.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.endpoint.uri().authority().map_or("", |authority| authority.as_str())
    }

    /// Returns the service, as sentences about it name it.
    pub(crate) fn target(&self) -> Target<'_> {
        Target { name: &self.shown, tls: Some(self.endpoint.uri().scheme_str() == Some("https")) }
    }

    /// Returns how to connect, with settings for a long session.
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
        tls.check()?;
        let Tls { ca_certificates, identity, server_name } = tls;
        let mut config = ClientTlsConfig::new().timeout(CONNECT_TIMEOUT);
        config = match ca_certificates {
            Some(pem) => config.ca_certificate(Certificate::from_pem(pem)),
            None => config.with_native_roots(),
        };
        if let Some(TlsIdentity { certificate, key }) = identity {
            config = config.identity(Identity::from_pem(certificate, key));
        }
        if let Some(name) = server_name {
            config = config.domain_name(name);
        }
        let unusable = |error| TlsError(format!("the certificates for TLS cannot be used: {}", innermost(&error)));
        endpoint.tls_config(config).map_err(unusable)
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
            ("localhost:80", "http://localhost:80"),
            ("http://[::1]:9090", "http://[::1]:9090"),
            ("https://chat.example:8443", "https://chat.example:8443"),
        ] {
            assert_eq!(text.parse::<ServerUrl>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn the_default_port_is_the_services_own_or_that_of_https() {
        for (text, shown, authority) in [
            ("http://chat.example", "http://chat.example:9090", "chat.example:9090"),
            ("chat.example", "http://chat.example:9090", "chat.example:9090"),
            ("http://[::1]", "http://[::1]:9090", "[::1]:9090"),
            ("https://chat.example", "https://chat.example", "chat.example"),
        ] {
            let server: ServerUrl = text.parse().unwrap();
            assert_eq!((server.to_string().as_str(), server.authority()), (shown, authority));
        }
    }

    #[test]
    fn text_that_is_no_url_of_a_service_is_refused() {
        for text in [
            "",
            "ftp://host:1",
            "http://",
            "http://:1",
            "a b",
            "http://sam:secret@host:1",
            "http://host:1/path",
            "http://host:1?q",
            "h:99999",
            "h:",
        ] {
            text.parse::<ServerUrl>().unwrap_err();
        }
    }

    #[test]
    fn a_clock_that_no_certificate_can_be_compared_with_is_an_error() {
        check_clock(SystemTime::UNIX_EPOCH).unwrap();
        let error = check_clock(SystemTime::UNIX_EPOCH - Duration::from_secs(1)).unwrap_err().to_string();
        assert!(error.ends_with("set it"), "{error}");
    }

    #[test]
    fn files_without_certificates_or_keys_are_refused_before_connecting() {
        let server: ServerUrl = "https://chat.example".parse().unwrap();
        let one = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        let error = |tls: Tls| server.endpoint(&tls).unwrap_err().to_string();
        for pem in ["garbage", "", &one("CERTIFICATE", "not base64!"), &one("CERTIFICATE", "aGVsbG8=")] {
            assert_eq!(
                error(Tls::default().ca_certificates(pem)),
                "the CA certificate file contains no certificate; name a PEM file, which has a line -----BEGIN CERTIFICATE-----"
            );
        }
        let identity = |certificate: &str, key: &str| {
            Tls::default().identity(TlsIdentity { certificate: certificate.into(), key: key.into() })
        };
        assert!(error(identity("none", "none")).starts_with("the client certificate file contains no certificate; "));
        let certificate = one("CERTIFICATE", "aGVsbG8=");
        assert!(error(identity(&certificate, "none")).ends_with("has a line -----BEGIN PRIVATE KEY-----"));
        let both = identity(&certificate, &one("PRIVATE KEY", "aGVsbG8="));
        assert!(error(both).starts_with("the certificates for TLS cannot be used: "));
    }

    #[test]
    fn a_name_that_no_certificate_has_is_refused_before_connecting() {
        let server: ServerUrl = "https://chat.example".parse().unwrap();
        for name in ["", "no name", "https://chat.example", "chat.example:443"] {
            let error = server.endpoint(&Tls::default().server_name(name)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name:?} cannot be the name of a server")), "{error}");
        }
        for name in ["chat.example", "localhost", "127.0.0.1"] {
            server.endpoint(&Tls::default().server_name(name)).unwrap();
        }
    }
}
