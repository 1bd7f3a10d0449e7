//! What a client's task publishes to the client's handles.

use stubs::chat::v1::chat_service_client::ChatServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::error::SaveError;
use crate::model::ConnectionState;

/// How a client stands, for its handles.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) connection: ConnectionState,
    /// How to make other calls on the connection of the session, while there is one.
    pub(crate) access: Option<Access>,
    /// Set when the client has ended and its state file could not be written.
    pub(crate) save_error: Option<SaveError>,
}

impl Default for Link {
    fn default() -> Self {
        Self { connection: ConnectionState::Connecting, access: None, save_error: None }
    }
}

/// What a call to the service needs. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    channel: Channel,
    authorization: Option<MetadataValue<Ascii>>,
}

impl Access {
    pub(super) fn new(channel: Channel, authorization: Option<MetadataValue<Ascii>>) -> Self {
        Self { channel, authorization }
    }

    /// Makes calls with this token from here on.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if the token has characters that cannot be sent.
    pub(crate) fn renew(&mut self, token: &str) -> Result<(), Status> {
        self.authorization = Some(authorization(token)?);
        Ok(())
    }

    pub(crate) fn client(&self) -> ChatServiceClient<Channel> {
        ChatServiceClient::new(self.channel.clone())
    }

    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        request
    }
}

/// Returns the `authorization` metadata for a token.
///
/// # Errors
///
/// INVALID_ARGUMENT if the token has characters that cannot be sent.
pub(super) fn authorization(token: &str) -> Result<MetadataValue<Ascii>, Status> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
        .parse()
        .map_err(|_| Status::invalid_argument("the token has characters that no token has; is it the right file?"))?;
    // Keeps it out of logs of headers.
    value.set_sensitive(true);
    Ok(value)
}
