//! One bidirectional call: sending and reading at the same time.

use std::io;

use stubs::ChatMessage;
use stubs::chat_client::ChatClient;
use tokio_stream::Stream;
use tonic::Status;
use tonic::transport::Channel;

/// Why a conversation ended before both sides were done.
#[derive(Debug)]
pub enum Ended {
    /// The service ended the call with an error, or the connection was lost.
    ByService(Status),
    /// A reply could not be handed on.
    Output(io::Error),
}

/// Sends every message of `outgoing` and gives each reply to `received`, until the service has ended the call,
/// which it does when `outgoing` is over and all is answered.
///
/// The two directions are independent: tonic takes from `outgoing` whenever the service has room, in the
/// connection's own task, while this function waits for replies. Neither side has to take turns.
///
/// # Errors
///
/// [`Ended`], if the call fails or `received` does. Replies already handed on are not taken back.
pub async fn converse(
    mut service: ChatClient<Channel>,
    outgoing: impl Stream<Item = ChatMessage> + Send + 'static,
    mut received: impl FnMut(&str) -> io::Result<()>,
) -> Result<(), Ended> {
    let mut replies = service.chat(outgoing).await.map_err(Ended::ByService)?.into_inner();
    while let Some(reply) = replies.message().await.map_err(Ended::ByService)? {
        received(&reply).map_err(Ended::Output)?;
    }
    Ok(())
}
