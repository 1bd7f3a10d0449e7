//! One bidirectional call: sending and reading at the same time.

use std::error::Error;
use std::fmt;
use std::io;

use stubs::ChatMessage;
use stubs::chat_client::ChatClient;
use tokio_stream::Stream;
use tonic::Status;
use tonic::transport::Channel;

/// Why a conversation ended before both sides were done.
#[derive(Debug)]
pub enum ConversationError {
    /// The service ended the call with an error, or the connection was lost.
    Service(Status),
    /// The caller could not handle a reply.
    Output(io::Error),
}

/// Sends every message of `outgoing` and passes each reply to `received`, until the service has ended the call, which it
/// does when `outgoing` has ended and every message is answered.
///
/// The two directions are independent: tonic takes from `outgoing` whenever the service has room, in the connection's own
/// task, while this function waits for replies. Neither side has to take turns.
///
/// # Errors
///
/// [`ConversationError`] if the call fails or `received` does. Replies that were already passed on stay so.
pub async fn converse(
    mut service: ChatClient<Channel>,
    outgoing: impl Stream<Item = ChatMessage> + Send + 'static,
    mut received: impl FnMut(&str) -> io::Result<()>,
) -> Result<(), ConversationError> {
    let mut replies = service.chat(outgoing).await?.into_inner();
    while let Some(reply) = replies.message().await? {
        received(&reply).map_err(ConversationError::Output)?;
    }
    Ok(())
}

impl From<Status> for ConversationError {
    fn from(status: Status) -> Self {
        Self::Service(status)
    }
}

impl fmt::Display for ConversationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(status) => {
                let why = if status.message().is_empty() { status.code().description() } else { status.message() };
                write!(f, "the service ended the conversation: {why}")
            }
            Self::Output(error) => write!(f, "a reply could not be passed on: {error}"),
        }
    }
}

impl Error for ConversationError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Service(status) => Some(status),
            Self::Output(error) => Some(error),
        }
    }
}
