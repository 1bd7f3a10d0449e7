//! One session with the server, as a client holds it.

use std::time::Duration;

use stubs::chat::v1::chat_service_client::ChatServiceClient;
use stubs::chat::v1::{self as pb, client_frame, server_frame};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

use crate::route::Route;

/// How long a connection, or a session on one, may take to open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// The number of frames that are queued for the transport.
const QUEUED_FRAMES: usize = 64;

/// The windows limit what the server sends before it is read: on one stream, so that it notices a stream that is not read,
/// and on the whole connection, so that such a stream does not block the others.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// An open session.
pub(crate) struct Session {
    frames: mpsc::Sender<pb::ClientFrame>,
    replies: Streaming<pb::ServerFrame>,
    last_id: u64,
}

/// Connects to the server at this address.
pub(crate) async fn connect(address: &str) -> Result<Channel, Status> {
    endpoint(address)?.connect().await.map_err(|error| Status::unavailable(error.to_string()))
}

fn endpoint(address: &str) -> Result<Endpoint, Status> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.map_err(|error| Status::invalid_argument(error.to_string()))?;
    let endpoint = endpoint.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    Ok(endpoint.connect_timeout(OPEN_TIMEOUT).tcp_nodelay(true))
}

impl Session {
    /// Connects unless the route is a shared connection, and opens a session with Hello.
    pub(crate) async fn open(route: &Route, user: &str) -> Result<Self, Status> {
        let channel = match route {
            Route::Direct(server) => connect(&server.address()).await?,
            Route::Proxied(proxy) => connect(&proxy.address()).await?,
            Route::Shared(channel) => channel.clone(),
        };
        let (frames, queued) = mpsc::channel(QUEUED_FRAMES);
        let hello = pb::Hello { client_name: "faults".to_owned(), user: user.to_owned(), ..pb::Hello::default() };
        let hello = pb::ClientFrame { id: 1, body: Some(client_frame::Body::Hello(hello)) };
        // The queue is empty, so there is room.
        let _ = frames.try_send(hello);
        let opening = async {
            let mut client = ChatServiceClient::new(channel);
            let mut replies = client.session(ReceiverStream::new(queued)).await?.into_inner();
            match replies.message().await?.and_then(|frame| frame.body) {
                Some(server_frame::Body::Welcome(_)) => Ok(replies),
                other => Err(Status::internal(format!("the first frame should be Welcome and is {other:?}"))),
            }
        };
        match tokio::time::timeout(OPEN_TIMEOUT, opening).await {
            Ok(replies) => Ok(Self { frames, replies: replies?, last_id: 1 }),
            Err(_) => Err(Status::deadline_exceeded("the session did not open in time")),
        }
    }

    /// Sends a frame and returns its id. After the stream has ended the frame is dropped, and [`Session::receive`] returns
    /// the reason.
    pub(crate) async fn send(&mut self, body: client_frame::Body) -> u64 {
        self.last_id += 1;
        let _ = self.frames.send(pb::ClientFrame { id: self.last_id, body: Some(body) }).await;
        self.last_id
    }

    /// Receives the next frame with its `reply_to`, answering pings by itself. Returns `None` after an orderly end. Safe to
    /// cancel.
    pub(crate) async fn receive(&mut self) -> Result<Option<(u64, server_frame::Body)>, Status> {
        loop {
            match self.replies.message().await? {
                None => return Ok(None),
                Some(pb::ServerFrame { body: Some(server_frame::Body::Ping(_)), .. }) => self.pong(),
                Some(pb::ServerFrame { reply_to, body: Some(body) }) => return Ok(Some((reply_to, body))),
                Some(pb::ServerFrame { body: None, .. }) => {}
            }
        }
    }

    fn pong(&self) {
        let pong = client_frame::Body::Pong(pb::Pong {});
        // If the queue is full, its other frames show that the client is alive.
        let _ = self.frames.try_send(pb::ClientFrame { id: 0, body: Some(pong) });
    }
}
