//! Messages from callers without a session.

use std::sync::Arc;

use crate::access::{Caller, PermittedHistory, Policy};
use crate::drain::Drain;
use crate::history::{Appended, Expected};
use crate::model::{Draft, Durability, Epoch};
use crate::rates::Rates;
use crate::refusal::Refusal;

/// Stores messages.
#[derive(Clone, Debug)]
pub(crate) struct Posting {
    history: PermittedHistory,
    policy: Policy,
    drain: Drain,
    rates: Arc<Rates>,
}

/// A message that is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) appended: Appended,
    pub(crate) durability: Durability,
    pub(crate) epoch: Epoch,
}

impl Posting {
    pub(crate) fn new(history: PermittedHistory, policy: Policy, drain: Drain, rates: Arc<Rates>) -> Self {
        Self { history, policy, drain, rates }
    }

    /// Stores a message.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the caller may not write to the room, the server is shutting down, or the message is not stored, or
    /// may not be.
    pub(crate) async fn send(&self, caller: &Caller, draft: Draft, expected: Expected) -> Result<Sent, Refusal> {
        if self.drain.has_begun() {
            return Err(Refusal::Draining);
        }
        let permit = self.policy.write(&caller.named(draft.sender.clone()), draft.room.clone())?;
        self.rates.change(permit.account(), draft.change.text_bytes())?;
        let epoch = *self.history.epoch().borrow();
        let appended = self.history.append(&permit, draft, expected).await;
        let appended = appended.map_err(|error| Refusal::from_append(error, permit.room()))?;
        Ok(Sent { appended, durability: self.history.durability(), epoch })
    }
}
