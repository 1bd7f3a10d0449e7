//! The caller of a request, which the connection's service has attached to it.

use http::Extensions;
use tonic::Status;

use super::status;
use crate::access::Caller;

/// Returns who sent the request.
///
/// # Errors
///
/// `INTERNAL` if it did not come through a connection of this server.
pub(super) fn caller(extensions: &Extensions) -> Result<Caller, Status> {
    extensions.get::<Caller>().cloned().ok_or_else(status::no_connection)
}
