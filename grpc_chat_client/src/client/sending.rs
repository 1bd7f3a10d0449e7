//! A draft on its way.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::SendError;
use crate::model::{Ack, MsgId};
use crate::reply::Receiver;

/// A draft that waits in the outbox. A future that resolves with the ack, however many connections that takes.
///
/// Dropping it does not cancel the draft.
#[derive(Debug)]
pub struct Sending {
    id: MsgId,
    outcome: Receiver<Result<Ack, SendError>>,
}

impl Sending {
    pub(super) fn new(id: MsgId, outcome: Receiver<Result<Ack, SendError>>) -> Self {
        Self { id, outcome }
    }

    /// Returns the draft's id, which its event has, too.
    #[must_use]
    pub fn id(&self) -> MsgId {
        self.id
    }
}

impl Future for Sending {
    type Output = Result<Ack, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The task resolves every draft that it took before it ends.
        Pin::new(&mut self.outcome).poll(cx).map(|outcome| outcome.unwrap_or(Err(SendError::Closed)))
    }
}
