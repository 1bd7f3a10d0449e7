//! The example, to the letter: each message is answered with `"{name}: {message}"`, in order and at once.
//!
//! A caller that names a room in its metadata is in that room instead: see `lines`.

use stubs::ChatMessage;
use stubs::chat_server::{Chat, ChatServer};
use tokio_stream::StreamExt;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use crate::grpc::call::Call;
use crate::grpc::lines;
use crate::session::Shared;

pub(crate) fn server(shared: &Shared) -> ChatServer<Example> {
    ChatServer::new(Example { shared: shared.clone() }).max_decoding_message_size(shared.limits.message_bytes)
}

/// The handler. It keeps nothing: callers do not see each other.
pub(crate) struct Example {
    shared: Shared,
}

#[tonic::async_trait]
impl Chat for Example {
    type chatStream = BoxStream<String>;

    /// A bidirectional call is a function from one stream to another, and this one's answers *are* its
    /// messages, mapped: tonic asks for the next answer when the caller has room for it, and that takes the
    /// next message. No task, no channel, no buffer; a caller that does not read is held back by HTTP/2's
    /// own flow control.
    async fn chat(&self, request: Request<Streaming<ChatMessage>>) -> Result<Response<BoxStream<String>>, Status> {
        let caller = request.remote_addr();
        if let Some(room) = lines::room(&request)? {
            let lines = lines::join(&self.shared, room, request).await?;
            return Ok(Response::new(Box::pin(Call::new(lines, caller))));
        }
        let answers = request.into_inner().map(|received| received.map(answer));
        let leaving = || Err(Status::unavailable("the server is leaving; call again soon"));
        let answers = self.shared.drain.end(answers, leaving);
        Ok(Response::new(Box::pin(Call::new(answers, caller))))
    }
}

/// `format!` says the same, but does not know how long the text will be and grows it as it goes.
fn answer(ChatMessage { name, message }: ChatMessage) -> String {
    [&name, ": ", &message].concat()
}
