//! A client of the example, on tonic.

use std::net::SocketAddr;

use stubs::ChatMessage;
use stubs::chat_client::ChatClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use crate::support::{channel, with_timeout};

/// Messages that a call holds until they are sent: few, so that a test notices when the server stops taking them.
const UNSENT: usize = 64;
/// The same for a call in a room: as many as any test sends before it reads.
const UNSENT_IN_ROOM: usize = 20_000;

/// One call of `Chat/chat`.
pub(crate) struct ExampleCall {
    messages: Option<mpsc::Sender<ChatMessage>>,
    replies: Streaming<String>,
}

/// Connects a client of the example.
pub(crate) async fn connect(addr: SocketAddr) -> ChatClient<Channel> {
    ChatClient::new(channel(addr).await)
}

/// Asserts that the server replies to a new caller on a new connection.
pub(crate) async fn assert_serving(addr: SocketAddr) {
    let mut call = ExampleCall::open(addr).await;
    assert_eq!(call.echo("Sam", "Hi").await, "Sam: Hi");
}

impl ExampleCall {
    /// Opens a call on a connection of its own.
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        Self::open_on(&mut connect(addr).await).await
    }

    /// Opens a call on the client's connection.
    pub(crate) async fn open_on(client: &mut ChatClient<Channel>) -> Self {
        let (messages, stream) = mpsc::channel(UNSENT);
        let replies = with_timeout(client.chat(ReceiverStream::new(stream))).await.unwrap().into_inner();
        Self { messages: Some(messages), replies }
    }

    /// Opens a call in a room, which its metadata names, on a connection of its own.
    pub(crate) async fn open_in_room(addr: SocketAddr, room: &str) -> Result<Self, Status> {
        Self::open_with_metadata(addr, &[("chat-room", room)]).await
    }

    /// Opens a call in a room with this metadata, on a connection of its own.
    pub(crate) async fn open_with_metadata(
        addr: SocketAddr,
        metadata: &[(&'static str, &str)],
    ) -> Result<Self, Status> {
        let (messages, stream) = mpsc::channel(UNSENT_IN_ROOM);
        let mut request = Request::new(ReceiverStream::new(stream));
        for (key, value) in metadata {
            request.metadata_mut().insert(*key, value.parse().unwrap());
        }
        let replies = with_timeout(connect(addr).await.chat(request)).await?.into_inner();
        Ok(Self { messages: Some(messages), replies })
    }

    /// Sends a message.
    pub(crate) async fn send(&self, name: &str, text: &str) {
        let message = ChatMessage { name: name.to_owned(), message: text.to_owned() };
        with_timeout(self.messages.as_ref().unwrap().send(message)).await.unwrap();
    }

    /// Returns the next reply, `None` if the call ends with OK, or the error with which it ends.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, Status> {
        with_timeout(self.replies.message()).await
    }

    /// Returns the next reply.
    pub(crate) async fn reply(&mut self) -> String {
        self.next().await.unwrap().expect("the call ended without another reply")
    }

    /// Sends a message and returns the next reply.
    pub(crate) async fn echo(&mut self, name: &str, text: &str) -> String {
        self.send(name, text).await;
        self.reply().await
    }

    /// Closes the client's side of the stream.
    pub(crate) fn half_close(&mut self) {
        self.messages = None;
    }
}
