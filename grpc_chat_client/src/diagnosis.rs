//! Why a service could not be reached, or a connection was lost: one sentence, which says what to do where something can be
//! done.

use std::error::Error;
use std::fmt;
use std::io;

use tonic::Status;
use tonic::metadata::MetadataMap;

/// What a client tried to reach, as the sentences name it.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    /// The URL, or a word for it.
    pub(crate) name: &'a dyn fmt::Display,
    /// Whether it is reached by TLS, if that is known.
    pub(crate) tls: Option<bool>,
}

impl Target<'_> {
    /// Returns the sentence that no chat service answers there, and why.
    pub(crate) fn unreachable(&self, error: &(dyn Error + 'static)) -> String {
        self.no_service(&reason(self.tls, innermost(error)))
    }

    /// Returns that sentence for a call that failed before the service replied to it; `None` if it is the service's own
    /// status. `headers` are those of the response, if there was one.
    pub(crate) fn call_failed(&self, headers: Option<&MetadataMap>, status: &Status) -> Option<String> {
        if let Some(source) = status.source() {
            return Some(self.unreachable(source));
        }
        // The generated client says this, and no more, when the connection ends before the call is made.
        if status.message().starts_with("Service was not ready") {
            return Some(self.no_service(closed_early(self.tls)));
        }
        let content_type =
            headers.and_then(|headers| headers.get("content-type")).and_then(|value| value.to_str().ok());
        let page = content_type.filter(|content_type| !content_type.starts_with("application/grpc"));
        let http_status = http_status(status.message());
        if page.is_none() && http_status.is_none() {
            return None;
        }
        let page = page.map(|page| format!(" of type {page}")).unwrap_or_default();
        let http_status = http_status.map(|status| format!(", HTTP status {status}")).unwrap_or_default();
        Some(self.no_service(&format!(
            "it replied with a web page{page}{http_status}; check the URL, and that a proxy there forwards gRPC"
        )))
    }

    fn no_service(&self, reason: &str) -> String {
        format!("no chat service answers at {} ({reason})", self.name)
    }
}

/// Returns the status with which an open call ended: the service's own, or one that says how the connection was lost.
pub(crate) fn call_ended(status: &Status) -> Status {
    let why = match status.source() {
        Some(source) => loss(innermost(source)),
        None if status.message().contains("missing grpc-status trailer") => "the connection was closed".to_owned(),
        None => return status.clone(),
    };
    Status::with_details(status.code(), why, status.details().to_vec().into())
}

/// Returns the error at the end of the chain of sources: in tonic's errors only that one says what happened.
pub(crate) fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}

/// Returns why no connection could be made, or why it was lost before the service replied.
fn reason(tls: Option<bool>, error: &(dyn Error + 'static)) -> String {
    let text = error.to_string();
    let has = |part: &str| text.contains(part);
    match error.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => return "nothing listens there".to_owned(),
        Some(io::ErrorKind::TimedOut) => return "it does not answer".to_owned(),
        _ => {}
    }
    let sentence = match tls {
        _ if has("failed to lookup address") => "there is no such host; check its name",
        Some(true) if has("InvalidContentType") || has("handshake eof") => {
            "it does not speak TLS; use http:// if the service has no TLS"
        }
        _ if has("UnknownIssuer") => {
            "its certificate is not signed by an authority that this client trusts; name the authority's certificate"
        }
        _ if has("certificate expired") => "its certificate has expired; the service needs a new one",
        _ if has("CertificateRequired") => "it asks for a client certificate; configure one",
        _ if closed(error, &text) => closed_early(tls),
        Some(true) if is_not_http2(&text) => "it does not speak HTTP/2; check the port",
        _ if is_not_http2(&text) => "it does not speak HTTP/2 without TLS; use https:// if it expects TLS",
        _ if has("not valid for name") => return format!("its certificate is for another host: {text}"),
        _ if has("fatal alert") => return format!("it refused the TLS handshake: {text}"),
        _ => return text,
    };
    sentence.to_owned()
}

fn closed_early(tls: Option<bool>) -> &'static str {
    match tls {
        Some(true) => "it closed the connection; use http:// if the service has no TLS",
        _ => "it closed the connection; use https:// if it expects TLS",
    }
}

/// Returns how an open connection was lost.
fn loss(error: &(dyn Error + 'static)) -> String {
    let text = error.to_string();
    if text.contains("timed out") {
        "the service does not respond".to_owned()
    } else if closed(error, &text) || is_not_http2(&text) {
        "the connection was closed".to_owned()
    } else {
        text
    }
}

fn closed(error: &(dyn Error + 'static), text: &str) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof))
        || error.is::<tonic::transport::Error>()
        || ["broken pipe", "connection reset", "connection closed", "connection error: not a result"]
            .iter()
            .any(|part| text.contains(part))
}

/// h2 takes the first bytes of another protocol for the head of a frame, which is too long.
fn is_not_http2(text: &str) -> bool {
    text.contains("frame with invalid size") || text.contains("http2 error")
}

/// Returns the HTTP status in the message of a status that tonic made, if it was not that of a gRPC response.
fn http_status(message: &str) -> Option<&str> {
    ["while receiving response with status: ", "mapped from HTTP status code "]
        .into_iter()
        .find_map(|before| message.split_once(before))
        .map(|(_, status)| status)
        .filter(|status| !status.starts_with("200"))
}
