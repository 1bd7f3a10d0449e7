//! The caller of a request, and its connection, which the connection's service has attached to it.

use http::Extensions;
use tonic::Status;

use super::status;
use crate::access::Caller;
use crate::connection::Calls;

/// Returns who sent the request.
///
/// # Errors
///
/// `INTERNAL` if it did not come through a connection of this server.
pub(super) fn caller(extensions: &Extensions) -> Result<Caller, Status> {
    extensions.get::<Caller>().copied().ok_or_else(status::no_connection)
}

/// Returns the calls of the connection that the request came through.
///
/// # Errors
///
/// As [`caller`].
pub(super) fn calls(extensions: &Extensions) -> Result<Calls, Status> {
    extensions.get::<Calls>().cloned().ok_or_else(status::no_connection)
}
