//! The example, to the letter: each message is answered with `"{name}: {message}"`, in order and at once.
//!
//! A caller that names a room in its metadata takes part in that room instead: see `lines`.

use std::sync::Arc;

use http::{Request, Response};
use stubs::ChatMessage;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use super::reply::{self, Body, Reply};
use super::responses::Responses;
use super::{decode, lines, messages, status};
use crate::access::Caller;
use crate::connection::{Calls, RequestBody};
use crate::session::Context;

/// The path of the method.
pub(super) const PATH: &str = "/Chat/chat";

/// The whole example. A bidirectional call is a function from one stream to another, and here the responses *are* the
/// messages, mapped: the next response is asked for when the caller has room for it, and that takes the next message. No
/// task, no channel, no buffer; a caller that does not read is held back by HTTP/2's own flow control.
fn chat(messages: impl Stream<Item = Result<ChatMessage, Status>>) -> impl Stream<Item = Result<String, Status>> {
    messages.map(|message| message.map(respond))
}

/// Does what `format!("{name}: {message}")` does, but allocates the text once, with the right size.
fn respond(ChatMessage { name, message }: ChatMessage) -> String {
    [&name, ": ", &message].concat()
}

/// Handles a call of the method.
pub(super) async fn call(
    context: Arc<Context>,
    caller: Caller,
    calls: Calls,
    request: Request<RequestBody>,
) -> Result<Response<Body>, Status> {
    let (max_bytes, drain) = (context.limits.connection.message_bytes, context.drain.clone());
    let place = lines::place(request.headers())?;
    let incoming = request.body().incoming();
    let messages = messages::of(request, max_bytes).map_err(|broken| status::from_broken(&broken))?;
    if let Some(place) = place {
        let lines = lines::join(&context, caller.clone(), &calls, place, messages, incoming).await?;
        let replies = Reply::of_session(Responses::new(lines, caller.peer));
        return Ok(reply::response(Box::new(replies) as Body));
    }
    let messages = messages.map(|message| {
        let message = message.map_err(|broken| status::from_broken(&broken))?;
        decode::chat_message(&message).map_err(|error| status::undecodable(&error))
    });
    let responses = drain.end(chat(messages), || Err(status::shutting_down()));
    Ok(reply::response(Box::new(Reply::new(Responses::new(responses, caller.peer))) as Body))
}
