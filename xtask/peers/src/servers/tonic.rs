//! The plain alternative for the example: the shortest handler there is, on tonic's own server with its defaults.

use std::io;
use std::net::TcpListener;

use stubs::ChatMessage;
use stubs::chat_server::{Chat, ChatServer};
use tokio_stream::StreamExt;
use tonic::codegen::BoxStream;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// The argument with which this program is that server; the next argument is its address.
pub(crate) const COMMAND: &str = "serve-tonic";

/// Serves until the process is killed.
pub(crate) fn serve(address: &str) -> io::Result<()> {
    serve_on(TcpListener::bind(address)?)
}

pub(crate) fn serve_on(listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener)?).with_nodelay(Some(true));
        let server = tonic::transport::Server::builder().add_service(ChatServer::new(Mapped));
        server.serve_with_incoming(incoming).await.map_err(io::Error::other)
    })
}

struct Mapped;

#[tonic::async_trait]
impl Chat for Mapped {
    type chatStream = BoxStream<String>;

    async fn chat(&self, request: Request<Streaming<ChatMessage>>) -> Result<Response<BoxStream<String>>, Status> {
        let messages = request.into_inner();
        let replies =
            messages.map(|received| received.map(|ChatMessage { name, message }| format!("{name}: {message}")));
        Ok(Response::new(Box::pin(replies)))
    }
}
