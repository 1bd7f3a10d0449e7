//! The example, with its own three messages or with lines of standard input.

use grpc_chat_client::example::{self, ChatMessage, ConnectError, ConversationError};
use grpc_chat_client::{ServerUrl, Tls};
use tokio_stream::Stream;

use super::with_advice;
use crate::output::{Failure, line};

/// Sends the example's messages and prints the replies.
pub(crate) async fn run(server: &ServerUrl, tls: &Tls) -> Result<(), Failure> {
    converse(server, tls, tokio_stream::iter(example::messages())).await
}

/// Sends each line of standard input under this name, and prints each reply as it comes.
pub(crate) async fn lines(server: &ServerUrl, tls: &Tls, name: String) -> Result<(), Failure> {
    let (lines, problem) = example::lines(tokio::io::stdin(), name);
    converse(server, tls, lines).await?;
    // The lines before the one with a problem were answered first.
    problem.try_recv().map_or(Ok(()), |problem| Err(Failure::Failed(problem)))
}

async fn converse(
    server: &ServerUrl,
    tls: &Tls,
    outgoing: impl Stream<Item = ChatMessage> + Send + 'static,
) -> Result<(), Failure> {
    let service = example::connect(server, tls).await.map_err(|error| match error {
        ConnectError::Tls(error) => error.into(),
        error => Failure::Failed(with_advice(&error.to_string())),
    })?;
    example::converse(service, outgoing, line).await.map_err(|error| match error {
        ConversationError::Output(error) => error.into(),
        error => Failure::Failed(error.to_string()),
    })
}
