//! A session as an honest client has it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use stubs::chat::v1::chat_service_client::ChatServiceClient;
use stubs::chat::v1::client_frame::Body;
use stubs::chat::v1::{self as pb, server_frame};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

/// Frames that are queued for the transport.
const QUEUED: usize = 64;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Connects to the service from this address.
pub(crate) async fn connect(target: SocketAddr, from: IpAddr) -> Result<Channel, Status> {
    let endpoint = Endpoint::from_shared(format!("http://{target}"));
    let endpoint = endpoint.map_err(|error| Status::invalid_argument(error.to_string()))?;
    let endpoint = endpoint.local_address(Some(from)).connect_timeout(CONNECT).tcp_nodelay(true);
    endpoint.connect().await.map_err(|error| Status::unavailable(error.to_string()))
}

/// An open session.
pub(crate) struct Session {
    frames: mpsc::Sender<pb::ClientFrame>,
    replies: Streaming<pb::ServerFrame>,
    last_id: u64,
}

impl Session {
    /// Opens a session with Hello.
    pub(crate) async fn open(channel: Channel, user: &str) -> Result<Self, Status> {
        let (frames, queued) = mpsc::channel(QUEUED);
        let hello = pb::Hello { client_name: "attack".to_owned(), user: user.to_owned(), ..pb::Hello::default() };
        let hello = pb::ClientFrame { id: 1, body: Some(Body::Hello(hello)) };
        // The queue is empty, so there is room.
        let _ = frames.try_send(hello);
        let replies = ChatServiceClient::new(channel).session(ReceiverStream::new(queued)).await?.into_inner();
        let mut session = Self { frames, replies, last_id: 1 };
        session.reply(1).await?;
        Ok(session)
    }

    /// Sends a frame, and returns its id.
    pub(crate) async fn send(&mut self, body: Body) -> u64 {
        self.last_id += 1;
        // After the end of the stream, receiving says why it has ended.
        let _ = self.frames.send(pb::ClientFrame { id: self.last_id, body: Some(body) }).await;
        self.last_id
    }

    /// Receives until the reply to the frame with this id. An Error is returned as its status.
    pub(crate) async fn reply(&mut self, id: u64) -> Result<server_frame::Body, Status> {
        loop {
            match self.receive().await? {
                (reply_to, server_frame::Body::Error(error)) if reply_to == id => {
                    let status = error.status.unwrap_or_default();
                    return Err(Status::new(Code::from_i32(status.code), status.message));
                }
                (reply_to, body) if reply_to == id => return Ok(body),
                _ => {}
            }
        }
    }

    /// Receives the next frame with its `reply_to`, and replies to pings.
    pub(crate) async fn receive(&mut self) -> Result<(u64, server_frame::Body), Status> {
        loop {
            match self.replies.message().await? {
                None => return Err(Status::unavailable("the service has ended the session")),
                Some(pb::ServerFrame { body: Some(server_frame::Body::Ping(_)), .. }) => {
                    // If the queue is full, its other frames show that the client is alive.
                    let pong = pb::ClientFrame { id: 0, body: Some(Body::Pong(pb::Pong {})) };
                    let _ = self.frames.try_send(pong);
                }
                Some(pb::ServerFrame { reply_to, body: Some(body) }) => return Ok((reply_to, body)),
                Some(pb::ServerFrame { body: None, .. }) => {}
            }
        }
    }
}
