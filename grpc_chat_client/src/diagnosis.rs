//! Why a service could not be reached, in sentences.

use std::error::Error;
use std::fmt;
use std::io;

use tonic::Status;

/// Returns the sentence that no chat service answers at `server`, and why.
pub(crate) fn unreachable(server: impl fmt::Display, error: &tonic::transport::Error) -> String {
    format!("no chat service answers at {server} ({})", reason(error))
}

/// Returns the status with the words of what caused it, where our own transport did: it says only "transport error".
pub(crate) fn with_reason(status: &Status) -> Status {
    match status.source() {
        Some(source) => Status::with_details(status.code(), reason(source), status.details().to_vec().into()),
        None => status.clone(),
    }
}

/// Returns the error at the end of the chain of sources, which is the one that says something in tonic's errors.
pub(crate) fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}

fn reason(error: &(dyn Error + 'static)) -> String {
    let innermost = innermost(error);
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
