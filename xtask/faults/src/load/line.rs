//! One session's stream, from the client's side.

use std::time::Duration;

use stubs::chat::v1::chat_service_client::ChatServiceClient;
use stubs::chat::v1::{self as pb, client_frame, server_frame};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

use crate::door::Door;

/// How long opening a connection, or a session on one, may take before it is tried again.
const OPEN: Duration = Duration::from_secs(5);

/// Frames said and not yet taken by the transport.
const UNSENT: usize = 64;

/// What the server may send ahead of our reading: on one stream, so that it notices one that is not read, and on all
/// streams of a connection, so that the others are not held up by it.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// An open session.
pub(crate) struct Line {
    frames: mpsc::Sender<pb::ClientFrame>,
    heard: Streaming<pb::ServerFrame>,
    last_id: u64,
}

pub(crate) async fn connect(address: &str) -> Result<Channel, Status> {
    endpoint(address)?.connect().await.map_err(|error| Status::unavailable(error.to_string()))
}

fn endpoint(address: &str) -> Result<Endpoint, Status> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.map_err(|error| Status::invalid_argument(error.to_string()))?;
    let endpoint = endpoint.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    Ok(endpoint.connect_timeout(OPEN).tcp_nodelay(true))
}

impl Line {
    /// Connects, if that is still to be done, and says Hello.
    pub(crate) async fn open(door: &Door, user: &str) -> Result<Self, Status> {
        let channel = match door {
            Door::Straight(server) => connect(&server.address()).await?,
            Door::Through(cutter) => connect(&cutter.address()).await?,
            Door::Shared(channel) => channel.clone(),
        };
        let (frames, said) = mpsc::channel(UNSENT);
        let hello = pb::Hello { client_name: "faults".to_owned(), user: user.to_owned(), ..pb::Hello::default() };
        let hello = pb::ClientFrame { id: 1, body: Some(client_frame::Body::Hello(hello)) };
        // There is room for it: nothing has been said before.
        let _ = frames.try_send(hello);
        let opening = async {
            let mut client = ChatServiceClient::new(channel);
            let mut heard = client.session(ReceiverStream::new(said)).await?.into_inner();
            match heard.message().await?.and_then(|frame| frame.body) {
                Some(server_frame::Body::Welcome(_)) => Ok(heard),
                other => Err(Status::internal(format!("the first frame should be Welcome and is {other:?}"))),
            }
        };
        match tokio::time::timeout(OPEN, opening).await {
            Ok(heard) => Ok(Self { frames, heard: heard?, last_id: 1 }),
            Err(_) => Err(Status::deadline_exceeded("the session did not open in time")),
        }
    }

    /// Says something, and answers the frame's id. A stream that is over takes it and drops it: its end is still to be
    /// heard.
    pub(crate) async fn say(&mut self, body: client_frame::Body) -> u64 {
        self.last_id += 1;
        let _ = self.frames.send(pb::ClientFrame { id: self.last_id, body: Some(body) }).await;
        self.last_id
    }

    /// What the server says next, its pings being answered; `None` after an end with OK. Can be cancelled.
    pub(crate) async fn hear(&mut self) -> Result<Option<(u64, server_frame::Body)>, Status> {
        loop {
            match self.heard.message().await? {
                None => return Ok(None),
                Some(pb::ServerFrame { body: Some(server_frame::Body::Ping(_)), .. }) => self.pong(),
                Some(pb::ServerFrame { reply_to, body: Some(body) }) => return Ok(Some((reply_to, body))),
                Some(pb::ServerFrame { body: None, .. }) => {}
            }
        }
    }

    /// A sign of life, asked for or not.
    pub(crate) fn pong(&self) {
        let pong = client_frame::Body::Pong(pb::Pong {});
        // With a full buffer there are other signs of life.
        let _ = self.frames.try_send(pb::ClientFrame { id: 0, body: Some(pong) });
    }
}
