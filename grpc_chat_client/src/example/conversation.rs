//! One bidirectional call: sending and reading at the same time.

use std::error::Error;
use std::fmt;
use std::io;

use stubs::ChatMessage;
use stubs::chat_client::ChatClient;
use tokio_stream::Stream;
use tonic::Status;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;

use crate::diagnosis::{Target, call_ended};

/// Why a conversation ended before both sides were done.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConversationError {
    /// What was reached is not the example's service, or the connection was lost before it replied. The text is a sentence.
    Unreachable(String),
    /// The service ended the call with an error, or the connection was lost.
    Service(Status),
    /// The caller could not handle a reply.
    Output(io::Error),
}

/// Sends every message of `outgoing` and passes each reply to `received`, until the service has ended the call, which it
/// does when `outgoing` has ended and every message is answered.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use grpc_chat_client::Tls;
/// use grpc_chat_client::example::{ChatMessage, connect, converse};
///
/// let service = connect(&"http://127.0.0.1:9090".parse()?, &Tls::default()).await?;
/// let hi = ChatMessage { name: "Sam".to_owned(), message: "Hi".to_owned() };
/// converse(service, tokio_stream::once(hi), |reply| Ok(println!("{reply}"))).await?;
/// # Ok(())
/// # }
/// ```
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
    const THERE: Target<'_> = Target { name: &"the server's address", tls: None };
    let failed = |headers: Option<&MetadataMap>, status: &Status| match THERE.call_failed(headers, status) {
        Some(why) => ConversationError::Unreachable(why),
        None => ConversationError::Service(call_ended(status)),
    };
    let response = service.chat(outgoing).await.map_err(|status| failed(None, &status))?;
    let (headers, mut replies, _) = response.into_parts();
    let mut next = replies.message().await.map_err(|status| failed(Some(&headers), &status))?;
    while let Some(reply) = next {
        received(&reply).map_err(ConversationError::Output)?;
        next = replies.message().await.map_err(|status| ConversationError::Service(call_ended(&status)))?;
    }
    Ok(())
}

impl fmt::Display for ConversationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => f.write_str(why),
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
            Self::Unreachable(_) => None,
            Self::Service(status) => Some(status),
            Self::Output(error) => Some(error),
        }
    }
}
