//! The commands that print lines; the screen is in `tui`.

pub(crate) mod example;
pub(crate) mod history;
pub(crate) mod lines;
pub(crate) mod rooms;
pub(crate) mod send;
pub(crate) mod tail;

use std::time::Duration;

use grpc_chat_client::{
    Client, Code, Config, ConnectionState, Events, JoinError, OpenError, Refused, SendError, TlsError, Update, connect,
};

use crate::output::{Failure, note};

/// The reason of a service that is asked for more than the user may in the time.
const RATE_LIMITED: &str = "RATE_LIMITED";

/// How long a command waits at its end for the service's last replies.
const GRACE: Duration = Duration::from_secs(5);

/// Returns a client with a session. Later the client reconnects by itself; but somebody who has just typed a command wants to
/// know that there is no service. Where the service asks to wait, because too many sessions are opened, this waits.
pub(crate) async fn open(config: Config) -> Result<(Client, Events), Failure> {
    let (client, mut events) = connect(config).await?;
    let mut notes = Notes::default();
    while let Some(update) = events.next().await {
        match update {
            Update::Connection(ConnectionState::Connecting) => {}
            Update::Connection(ConnectionState::Reconnecting { why, reason, .. }) if reason == RATE_LIMITED => {
                notes.wait(&why);
            }
            Update::Connection(ConnectionState::Reconnecting { why, .. }) => {
                return Err(Failure::Failed(with_advice(&why)));
            }
            Update::Connection(ConnectionState::Failed(why)) => return Err(why.into()),
            Update::Connection(_) => break,
            _ => {}
        }
    }
    Ok((client, events))
}

/// Returns the sentence with what to do about it, if it says that there is no service.
pub(crate) fn with_advice(why: &str) -> String {
    let advice = match why.contains("nothing listens there") {
        true => {
            "; start a service with `grpc_chat_service`, or in its sources with `cargo run -p grpc_chat_service`, or name \
             another one with --server URL"
        }
        false => "",
    };
    format!("{why}{advice}")
}

/// Does something, and says meanwhile on standard error why nothing happens, if nothing does.
async fn with_notes<T>(mut events: Events, work: impl Future<Output = T>) -> T {
    let notes = async {
        let mut notes = Notes::default();
        while let Some(update) = events.next().await {
            notes.update(&update);
        }
        std::future::pending().await
    };
    tokio::select! {
        done = work => done,
        done = notes => done,
    }
}

/// Says on standard error why nothing happens: the connection is lost, the service cannot store messages, or it asks to wait.
#[derive(Default)]
struct Notes {
    lost: bool,
    /// It has been said that the service asks to wait.
    waits: bool,
    /// It has been said that messages come faster than the service takes them.
    slow: bool,
}

impl Notes {
    fn update(&mut self, update: &Update) {
        match update {
            Update::Connection(ConnectionState::Reconnecting { why, .. }) if !self.lost => {
                self.lost = true;
                note(&format!("the connection was lost; reconnecting ({why})"));
            }
            Update::Connection(ConnectionState::Online { .. }) if self.lost => {
                *self = Self::default();
                note("connected again");
            }
            Update::RequestDelayed(why) => self.wait(&why.to_string()),
            Update::SendDelayed(why) if why.reason == RATE_LIMITED => once(
                &mut self.slow,
                &format!("messages come faster than the service takes them, and are sent more slowly: {why}"),
            ),
            Update::SendDelayed(why) => {
                let reason = if why.reason.is_empty() { format!("{:?}", why.code) } else { why.reason.clone() };
                note(&format!("the service cannot store messages now; what is unsent is sent again: {why} ({reason})"));
            }
            _ => {}
        }
    }

    fn wait(&mut self, why: &str) {
        once(&mut self.waits, &format!("the service asks to wait, and this goes on afterwards: {why}"));
    }
}

/// Says something that was not said before.
fn once(said: &mut bool, text: &str) {
    if !std::mem::replace(said, true) {
        note(text);
    }
}

/// Waits for a signal that asks the program to end. Returns its number.
pub(crate) async fn stopped() -> u8 {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let signal = |kind: SignalKind| async move {
            match signal(kind) {
                Ok(mut signal) => signal.recv().await,
                // The signal ends the program, as it does without a handler.
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
            OpenError::Tls(error) => error.into(),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<Refused> for Failure {
    fn from(why: Refused) -> Self {
        // What the client itself has found has no reason.
        let sentence = if why.reason.is_empty() { why.to_string() } else { format!("the service says: {why}") };
        match why.code {
            // The service could not answer; it did not refuse.
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
