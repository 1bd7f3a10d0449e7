//! Waiting after the service has refused requests, for as long as it asks. Pure.

use std::time::Duration;

use super::time::Time;
use crate::backoff::Backoff;

/// Requests of one kind, and until when none is sent.
#[derive(Debug, Default)]
pub(super) struct Hold {
    until: Option<Time>,
    /// How much longer than the service asks: chosen once for all that is refused together.
    spread: Duration,
    /// Whether it holds in the next session, too.
    outlives_session: bool,
    /// How often requests were refused since one was last carried out. What is refused together counts once.
    refusals: u32,
}

impl Hold {
    /// The service has refused a request, and asks to wait for `hint`. Returns whether this begins a wait.
    pub(super) fn refused(
        &mut self,
        hint: Duration,
        outlives_session: bool,
        backoff: Backoff,
        now: Time,
        random: &mut fastrand::Rng,
    ) -> bool {
        let begins = self.until.is_none();
        if begins {
            self.spread = backoff.delay(self.refusals, random);
            self.refusals = self.refusals.saturating_add(1);
            self.outlives_session = outlives_session;
        }
        self.outlives_session |= outlives_session;
        self.until = self.until.max(Some(now + hint + self.spread));
        begins
    }

    /// The service has carried out a request.
    pub(super) fn succeeded(&mut self) {
        self.refusals = 0;
    }

    /// There is another session.
    pub(super) fn session_opened(&mut self) {
        if !self.outlives_session {
            self.until = None;
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.until.is_some()
    }

    pub(super) fn until(&self) -> Option<Time> {
        self.until
    }

    /// Time has passed. Returns whether the wait ends now.
    pub(super) fn tick(&mut self, now: Time) -> bool {
        self.until.take_if(|until| now >= *until).is_some()
    }
}
