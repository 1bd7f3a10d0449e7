//! The example, and lines of one's own in its way.

use std::io;

use grpc_chat_client::example::{self, ChatMessage, ConversationError};
use grpc_chat_client::{ServerUrl, Tls};
use tokio_stream::Stream;

use super::with_advice;
use crate::output::{Failure, line};

/// Three messages, three replies.
pub(crate) async fn run(server: &ServerUrl, tls: &Tls) -> Result<(), Failure> {
    talk(server, tls, tokio_stream::iter(example::messages())).await
}

/// Each line of standard input under this name, and each reply as it comes.
pub(crate) async fn lines(server: &ServerUrl, tls: &Tls, name: String) -> Result<(), Failure> {
    let (lines, problem) = example::lines(tokio::io::stdin(), name);
    talk(server, tls, lines).await?;
    // What could be sent was answered first.
    match problem.try_recv() {
        Ok(problem) => Err(Failure::Failed(problem)),
        Err(_) => Ok(()),
    }
}

async fn talk(
    server: &ServerUrl,
    tls: &Tls,
    outgoing: impl Stream<Item = ChatMessage> + Send + 'static,
) -> Result<(), Failure> {
    let service = example::connect(server, tls).await;
    let service = service.map_err(|error| Failure::Failed(with_advice(&error.to_string())))?;
    match example::converse(service, outgoing, line).await {
        Ok(()) => Ok(()),
        Err(ConversationError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderLeft),
        Err(ConversationError::Output(error)) => Err(error.into()),
        Err(ConversationError::Service(status)) => {
            let why = if status.message().is_empty() { status.code().description() } else { status.message() };
            Err(Failure::Failed(format!("the service ended the conversation: {why}")))
        }
    }
}
