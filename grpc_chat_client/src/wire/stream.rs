//! Opening the stream of a session.

use std::time::Duration;

use stubs::chat::v1::{self as pb, client_frame, server_frame};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};

use super::link::{Access, authorization};
use crate::config::{Config, Token};
use crate::error::TlsError;
use crate::server::ServerUrl;

/// How long it may take to open a session, from connecting to Welcome.
const OPEN: Duration = Duration::from_secs(10);

/// How long it may take to get a token.
const TOKEN: Duration = Duration::from_secs(30);

/// Frames that may wait for the transport.
const UNSENT: usize = 64;

/// Opens sessions.
#[derive(Debug)]
pub(crate) struct Connector {
    server: ServerUrl,
    endpoint: Endpoint,
    hello: pb::Hello,
    token: Token,
}

/// The stream of an open session, in both directions, and what other calls on its connection need.
#[derive(Debug)]
pub(crate) struct SessionStream {
    pub(crate) outgoing: mpsc::Sender<pb::ClientFrame>,
    pub(crate) incoming: Streaming<pb::ServerFrame>,
    pub(crate) access: Access,
}

impl Connector {
    /// # Errors
    ///
    /// [`TlsError`] if a certificate or a key cannot be used.
    pub(crate) fn new(config: &Config) -> Result<Self, TlsError> {
        let Config { server, tls, user, device, token, program, .. } = config;
        let hello = pb::Hello {
            client_name: program.name.clone(),
            client_version: program.version.clone(),
            user: user.to_string(),
            // It is sent as metadata, where every proxy and service knows to look for it.
            token: String::new(),
            device: device.as_ref().map(ToString::to_string).unwrap_or_default(),
            no_heartbeat: false,
        };
        Ok(Self { server: server.clone(), endpoint: server.endpoint(tls)?, hello, token: token.clone() })
    }

    /// Gets the token as it is now.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub(crate) async fn token(&self) -> Result<Option<String>, String> {
        let got = tokio::time::timeout(TOKEN, self.token.get()).await;
        got.unwrap_or_else(|_| Err(format!("there is no token: its source has not returned for {} s", TOKEN.as_secs())))
    }

    /// Connects, calls, and says Hello.
    ///
    /// # Errors
    ///
    /// The status that the service returned, or one that says what went wrong on the way to it.
    pub(crate) async fn open(&self) -> Result<(SessionStream, pb::Welcome), Status> {
        let token = self.token().await.map_err(Status::unavailable)?;
        let authorization = token.as_deref().map(authorization).transpose()?;
        match tokio::time::timeout(OPEN, self.open_without_timeout(authorization)).await {
            Ok(opened) => opened,
            Err(_) => Err(Status::deadline_exceeded(format!("{} does not answer", self.server))),
        }
    }

    async fn open_without_timeout(
        &self,
        authorization: Option<MetadataValue<Ascii>>,
    ) -> Result<(SessionStream, pb::Welcome), Status> {
        let channel = self.endpoint.connect().await;
        let channel = channel.map_err(|error| Status::unavailable(self.server.target().unreachable(&error)))?;
        let access = Access::new(channel, authorization);
        let (outgoing, frames) = mpsc::channel(UNSENT);
        let hello = pb::ClientFrame { id: 1, body: Some(client_frame::Body::Hello(self.hello.clone())) };
        // There is room: nothing was sent before.
        let _ = outgoing.try_send(hello);
        let called = access.client().session(access.request(ReceiverStream::new(frames))).await;
        let (headers, mut incoming, _) = called.map_err(|status| self.call_failed(None, status))?.into_parts();
        match incoming.message().await.map_err(|status| self.call_failed(Some(&headers), status))? {
            Some(pb::ServerFrame { body: Some(server_frame::Body::Welcome(welcome)), .. }) => {
                Ok((SessionStream { outgoing, incoming, access }, welcome))
            }
            Some(_) => {
                Err(Status::failed_precondition("the service did not begin with Welcome; is it a chat.v1 service?"))
            }
            None => Err(Status::unavailable("the service ended the session before it began")),
        }
    }

    /// Returns the service's own status, or one that says why it was not reached.
    fn call_failed(&self, headers: Option<&MetadataMap>, status: Status) -> Status {
        match self.server.target().call_failed(headers, &status) {
            Some(why) => Status::unavailable(why),
            None => status,
        }
    }
}
