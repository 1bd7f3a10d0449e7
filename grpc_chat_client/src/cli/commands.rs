//! The commands that print and end; the screen has a place of its own.

pub(crate) mod example;
pub(crate) mod history;
pub(crate) mod lines;
pub(crate) mod rooms;
pub(crate) mod send;
pub(crate) mod tail;

use grpc_chat_client::{Client, Config, ConnectionState, Events, JoinError, OpenError, Refused, SendError, connect};

use crate::output::Failure;

/// How long a command waits at its end for what it has asked.
const GRACE: std::time::Duration = std::time::Duration::from_secs(5);

/// A client whose first attempt to reach the service went well. Later it connects again by itself; but somebody who
/// has just typed a command wants to know that there is no service.
pub(crate) async fn open(config: Config) -> Result<(Client, Events), Failure> {
    let (client, events) = connect(config).await?;
    match client.first_attempt().await {
        ConnectionState::Reconnecting { why, .. } => Err(Failure::Failed(with_advice(&why))),
        ConnectionState::Failed(why) => Err(why.into()),
        _ => Ok((client, events)),
    }
}

/// What went wrong, and what to do about it where it is that there is no service.
pub(crate) fn with_advice(why: &str) -> String {
    let advice = match why.contains("nothing listens there") {
        true => "; start a service with `cargo run -p grpc_chat_service`, or name another with --server URL",
        false => "",
    };
    format!("{why}{advice}")
}

/// Resolves with the number of the signal that asks the program to end.
pub(crate) async fn stopped() -> u8 {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let signal = |kind: SignalKind| async move {
            match signal(kind) {
                Ok(mut signal) => signal.recv().await,
                // Then it ends the program as it always did.
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = signal(SignalKind::interrupt()) => 2,
            _ = signal(SignalKind::terminate()) => 15,
            _ = signal(SignalKind::hangup()) => 1,
        }
    }
    #[cfg(not(unix))]
    {
        match tokio::signal::ctrl_c().await {
            Ok(()) => 2,
            Err(_) => std::future::pending().await,
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Tls(_) => Self::Usage(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<Refused> for Failure {
    fn from(why: Refused) -> Self {
        use grpc_chat_client::Code;
        let sentence = format!("the service says: {why}");
        match why.code {
            // What is nobody's no.
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::Unknown
            | Code::Cancelled
            | Code::DataLoss => Self::Failed(sentence),
            _ => Self::Refused(sentence),
        }
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Refused(why) | SendError::Failed(why) => why.into(),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Refused(why) | JoinError::Failed(why) => why.into(),
            other => Self::Failed(other.to_string()),
        }
    }
}
