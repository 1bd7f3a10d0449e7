//! The example, to the letter: each message is answered with `"{name}: {message}"`, in order and at once.

use stubs::ChatMessage;
use stubs::chat_server::{Chat, ChatServer};
use tokio_stream::StreamExt;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use crate::drain::Drain;
use crate::grpc::call::Call;
use crate::limits::Limits;

pub(crate) fn server(limits: &Limits, drain: Drain) -> ChatServer<Example> {
    ChatServer::new(Example { drain }).max_decoding_message_size(limits.message_bytes)
}

/// The handler. It keeps nothing: callers do not see each other.
pub(crate) struct Example {
    drain: Drain,
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
        let answers = request.into_inner().map(|received| received.map(answer));
        let answers = self.drain.end(answers, || Err(Status::unavailable("the server is leaving; call again soon")));
        Ok(Response::new(Box::pin(Call::new(answers, caller))))
    }
}

fn answer(ChatMessage { name, message }: ChatMessage) -> String {
    format!("{name}: {message}")
}
