//! The example, to the letter: each message is answered with `"{name}: {message}"`, in order and at once.
//!
//! A caller that names a room in its metadata takes part in that room instead: see `lines`.

use std::sync::Arc;

use stubs::ChatMessage;
use stubs::chat_server::{Chat, ChatServer};
use tokio_stream::StreamExt;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use super::responses::Responses;
use super::{caller, lines, status};
use crate::session::Context;

pub(super) fn server(context: &Arc<Context>) -> ChatServer<Example> {
    let max_bytes = context.limits.connection.message_bytes;
    ChatServer::new(Example { context: Arc::clone(context) }).max_decoding_message_size(max_bytes)
}

/// The handler. It keeps no state: callers do not see each other.
pub(super) struct Example {
    context: Arc<Context>,
}

#[tonic::async_trait]
impl Chat for Example {
    type chatStream = BoxStream<String>;

    /// A bidirectional call is a function from one stream to another, and here the responses *are* the messages, mapped:
    /// tonic asks for the next response when the caller has room for it, and that takes the next message. No task, no
    /// channel, no buffer; a caller that does not read is held back by HTTP/2's own flow control.
    async fn chat(&self, request: Request<Streaming<ChatMessage>>) -> Result<Response<BoxStream<String>>, Status> {
        let peer = caller::caller(request.extensions())?.peer;
        if let Some(room) = lines::room(&request)? {
            let lines = lines::join(&self.context, room, request).await?;
            return Ok(Response::new(Box::pin(Responses::new(lines, peer))));
        }
        let responses = request.into_inner().map(|message| message.map(respond));
        let responses = self.context.drain.end(responses, || Err(status::shutting_down()));
        Ok(Response::new(Box::pin(Responses::new(responses, peer))))
    }
}

/// Does what `format!("{name}: {message}")` does, but allocates the text once, with the right size.
fn respond(ChatMessage { name, message }: ChatMessage) -> String {
    [&name, ": ", &message].concat()
}
