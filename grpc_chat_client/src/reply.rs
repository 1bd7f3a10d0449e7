//! The way back to a caller that waits for an outcome.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Sends one outcome to the caller that waits for it. Dropping it ends the caller's wait without one.
#[derive(Debug)]
pub(crate) struct Reply<T> {
    sender: oneshot::Sender<T>,
    /// Released when the reply is sent or dropped.
    _permit: Option<OwnedSemaphorePermit>,
}

/// Receives the outcome, or learns that none will come.
pub(crate) type Receiver<T> = oneshot::Receiver<T>;

/// Returns a reply, and the receiver of its outcome.
pub(crate) fn channel<T>() -> (Reply<T>, Receiver<T>) {
    let (sender, receiver) = oneshot::channel();
    (Reply { sender, _permit: None }, receiver)
}

/// Returns a reply that holds a permit, and the receiver of its outcome.
pub(crate) fn channel_with_permit<T>(permit: OwnedSemaphorePermit) -> (Reply<T>, Receiver<T>) {
    let (sender, receiver) = oneshot::channel();
    (Reply { sender, _permit: Some(permit) }, receiver)
}

impl<T> Reply<T> {
    /// Sends the outcome.
    ///
    /// # Errors
    ///
    /// The outcome, if the caller no longer waits.
    pub(crate) fn send(self, outcome: T) -> Result<(), T> {
        self.sender.send(outcome)
    }
}
