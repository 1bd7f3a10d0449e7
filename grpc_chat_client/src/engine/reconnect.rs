//! Whether and when to connect again after a session has ended, or could not be opened. Pure.

use std::time::Duration;

use tonic::{Code, Status};

use super::session::Session;
use super::time::Time;
use crate::backoff::Backoff;
use crate::wire::convert;

/// What to do after a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Another attempt would end the same way.
    GiveUp,
    /// Connect at once, with another token.
    RefreshNow,
    /// Connect again after this delay.
    Retry(Duration),
}

/// What is known of the attempts so far.
#[derive(Debug)]
pub(super) struct Attempts {
    backoff: Backoff,
    /// Whether another token can be had.
    can_refresh: bool,
    /// Attempts since a session last went well.
    count: u32,
    /// Whether a token was refused, and another one fetched, since a session last lasted long.
    refreshed: bool,
}

impl Attempts {
    pub(super) fn new(backoff: Backoff, can_refresh: bool) -> Self {
        Self { backoff, can_refresh, count: 0, refreshed: false }
    }

    /// Returns how long the next session has to last to count as a success.
    pub(super) fn well_after(&self) -> Duration {
        self.backoff.ceiling(self.count)
    }

    /// Decides what to do after `status`. `session` is `None` if no session could be opened; `without_room` says that the
    /// next session leaves out the room that ended this one.
    pub(super) fn after(
        &mut self,
        status: &Status,
        session: Option<&Session>,
        without_room: bool,
        now: Time,
        random: &mut fastrand::Rng,
    ) -> After {
        let went_well = session.is_some_and(|session| session.went_well(now));
        if went_well {
            self.count = 0;
        }
        // A service that accepts tokens and then ends each session at once must not be asked again at once each time.
        if session.is_some_and(|session| session.age(now) >= self.backoff.max) {
            self.refreshed = false;
        }
        let unauthenticated = status.code() == Code::Unauthenticated && self.can_refresh;
        if unauthenticated && !self.refreshed {
            self.refreshed = true;
            return After::RefreshNow;
        }
        // A token that was accepted for a while has expired; there may be another one later.
        let expired = unauthenticated && session.is_some();
        if !convert::is_transient(status.code()) && !expired && !without_room {
            return After::GiveUp;
        }
        let spread = self.backoff.delay(self.count, random);
        self.count = self.count.saturating_add(1);
        After::Retry(match session.and_then(|session| session.reconnect_in(now)) {
            // The service has spread these over all its clients.
            Some(delay) if went_well => delay,
            // A service that drains every session at once would otherwise have the next one at once.
            Some(delay) => delay.max(spread),
            None => convert::retry_hint(status).unwrap_or_default() + spread,
        })
    }
}
