//! A service whose sessions a test holds itself, frame by frame.

use std::net::SocketAddr;

use stubs::chat::v1::chat_service_server::{ChatService, ChatServiceServer};
use stubs::chat::v1::{self as pb, client_frame, join, server_frame};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use crate::support::soon;

/// The epoch of every room.
pub(crate) const EPOCH: u64 = 7;

/// A service that runs for as long as the runtime.
pub(crate) struct HandMade {
    address: SocketAddr,
    sessions: mpsc::Receiver<Session>,
}

/// A session that a client has opened.
pub(crate) struct Session {
    received: Streaming<pb::ClientFrame>,
    frames: mpsc::Sender<Result<pb::ServerFrame, Status>>,
}

impl HandMade {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (opened, sessions) = mpsc::channel(16);
        let server = tonic::transport::Server::builder().add_service(ChatServiceServer::new(Service { opened }));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { address, sessions }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for the next session, and replies to its Hello.
    pub(crate) async fn session(&mut self) -> Session {
        let mut session = soon(self.sessions.recv()).await.unwrap();
        let (id, client_frame::Body::Hello(hello)) = session.next().await else { panic!("Hello is the first frame") };
        session.send(id, server_frame::Body::Welcome(pb::Welcome { user: hello.user, ..pb::Welcome::default() })).await;
        session
    }
}

impl Session {
    /// Waits for the next frame that is not a Ping, and returns its id and its body.
    async fn next(&mut self) -> (u64, client_frame::Body) {
        loop {
            let frame = soon(self.received.message()).await.unwrap();
            let pb::ClientFrame { id, body } = frame.expect("the client should not have ended the session");
            if !matches!(body, Some(client_frame::Body::Ping(_))) {
                return (id, body.unwrap());
            }
        }
    }

    /// Waits for a Join and replies to it. Returns where the client asked to start.
    pub(crate) async fn joined(&mut self, joined: pb::Joined) -> Option<join::Start> {
        let (id, client_frame::Body::Join(pb::Join { room, start })) = self.next().await else { panic!("not a Join") };
        self.send(id, server_frame::Body::Joined(pb::Joined { room, epoch: EPOCH, ..joined })).await;
        start
    }

    pub(crate) async fn send(&self, reply_to: u64, body: impl Into<Option<server_frame::Body>>) {
        self.frames.send(Ok(pb::ServerFrame { reply_to, body: body.into() })).await.unwrap();
    }

    /// Sends an event of the room "general".
    pub(crate) async fn event(&self, seq: u64, body: Option<pb::event::Body>) {
        let (room, client_msg_id) = ("general".to_owned(), msg_id(seq).into());
        let event = pb::Event { room, seq, prev_seq: seq - 1, client_msg_id, body, ..pb::Event::default() };
        self.send(0, server_frame::Body::Event(event)).await;
    }

    /// Ends the session with this status.
    pub(crate) async fn end(self, status: Status) {
        self.frames.send(Err(status)).await.unwrap();
    }
}

/// Returns a posted text.
pub(crate) fn posted(text: &str) -> Option<pb::event::Body> {
    Some(pb::event::Body::Posted(pb::Posted { text: text.to_owned(), ..pb::Posted::default() }))
}

/// Returns the start after the event with this seq.
pub(crate) fn after(seq: u64) -> Option<join::Start> {
    Some(join::Start::After(pb::Cursor { epoch: EPOCH, seq, client_msg_id: msg_id(seq).into() }))
}

fn msg_id(seq: u64) -> Vec<u8> {
    u128::from(seq).to_be_bytes().to_vec()
}

struct Service {
    opened: mpsc::Sender<Session>,
}

#[tonic::async_trait]
impl ChatService for Service {
    async fn session(
        &self,
        request: Request<Streaming<pb::ClientFrame>>,
    ) -> Result<Response<BoxStream<pb::ServerFrame>>, Status> {
        let (frames, sent) = mpsc::channel(16);
        let session = Session { received: request.into_inner(), frames };
        // The test may have ended.
        let _ = self.opened.send(session).await;
        Ok(Response::new(Box::pin(ReceiverStream::new(sent))))
    }
}
