//! One session's stream on the wire.

use std::error::Error;
use std::time::Duration;

use stubs::chat::v1::chat_service_client::ChatServiceClient;
use stubs::chat::v1::{self as pb, client_frame, server_frame};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

use crate::config::{Config, Token};
use crate::connection::{ServerUrl, TlsError, reason, unanswered};

/// How long a session may take from connecting to Welcome.
const OPEN: Duration = Duration::from_secs(10);

/// How long a token may take.
const TOKEN: Duration = Duration::from_secs(30);

/// Frames said and not yet taken by the transport.
const UNSENT: usize = 64;

/// How to open sessions.
#[derive(Debug)]
pub(crate) struct Opener {
    server: ServerUrl,
    endpoint: Endpoint,
    hello: pb::Hello,
    token: Token,
}

/// An open session, and what other calls on its connection need.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) frames: mpsc::Sender<pb::ClientFrame>,
    pub(crate) heard: Streaming<pb::ServerFrame>,
    pub(crate) access: Access,
}

/// What a call needs. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    channel: Channel,
    authorization: Option<MetadataValue<Ascii>>,
}

impl Opener {
    /// # Errors
    ///
    /// [`TlsError`] if a certificate or a key cannot be used.
    pub(crate) fn new(config: &Config) -> Result<Self, TlsError> {
        let Config { server, tls, user, device, token, program: (name, version), .. } = config;
        let hello = pb::Hello {
            client_name: name.clone(),
            client_version: version.clone(),
            user: user.clone(),
            // It goes into the metadata, where every service of a network knows to look.
            token: String::new(),
            device: device.clone().unwrap_or_default(),
        };
        Ok(Self { server: server.clone(), endpoint: server.endpoint(tls)?, hello, token: token.clone() })
    }

    /// The token as it is now.
    pub(crate) async fn token(&self) -> Result<Option<String>, String> {
        let got = tokio::time::timeout(TOKEN, self.token.get()).await;
        got.unwrap_or_else(|_| Err(format!("there is no token: its source has not answered for {} s", TOKEN.as_secs())))
    }

    /// Connects, calls, and says Hello.
    ///
    /// # Errors
    ///
    /// The status that the service answered, or one that says what went wrong on the way to it.
    pub(crate) async fn open(&self) -> Result<(Line, pb::Welcome), Status> {
        let token = self.token().await.map_err(Status::unavailable)?;
        let authorization = token.map(|token| authorization(&token)).transpose()?;
        match tokio::time::timeout(OPEN, self.open_in_any_time(authorization)).await {
            Ok(opened) => opened,
            Err(_) => Err(Status::deadline_exceeded(format!("{} does not answer", self.server))),
        }
    }

    async fn open_in_any_time(
        &self,
        authorization: Option<MetadataValue<Ascii>>,
    ) -> Result<(Line, pb::Welcome), Status> {
        let channel = self.endpoint.connect().await;
        let channel = channel.map_err(|error| Status::unavailable(unanswered(&self.server, &error)))?;
        let access = Access { channel, authorization };
        let (frames, said) = mpsc::channel(UNSENT);
        let hello = pb::ClientFrame { id: 1, body: Some(client_frame::Body::Hello(self.hello.clone())) };
        // There is room for it: nothing has been said before.
        let _ = frames.try_send(hello);
        let called = access.client().session(access.request(ReceiverStream::new(said))).await;
        let mut heard = called.map_err(|status| with_reason(&status))?.into_inner();
        match heard.message().await.map_err(|status| with_reason(&status))? {
            Some(pb::ServerFrame { body: Some(server_frame::Body::Welcome(welcome)), .. }) => {
                Ok((Line { frames, heard, access }, welcome))
            }
            Some(_) => {
                Err(Status::failed_precondition("the service did not begin with Welcome; is it a chat.v1 service?"))
            }
            None => Err(Status::unavailable("the service ended the session before it began")),
        }
    }
}

impl Access {
    /// Calls are made with this token from here on.
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

/// What our own transport says, in its own words is "transport error": a certificate that was not taken, for one.
pub(crate) fn with_reason(status: &Status) -> Status {
    match status.source() {
        Some(source) => Status::with_details(status.code(), reason(source), status.details().to_vec().into()),
        None => status.clone(),
    }
}

fn authorization(token: &str) -> Result<MetadataValue<Ascii>, Status> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
        .parse()
        .map_err(|_| Status::invalid_argument("the token has characters that no token has; is it the right file?"))?;
    // Not to be shown by whoever prints headers.
    value.set_sensitive(true);
    Ok(value)
}
