//! Time, as the engine is given it.

use std::ops::Add;
use std::time::Duration;

/// A point in time: how long the client has run. A plain value, so that the engine needs no clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(Duration);

impl Time {
    pub(crate) fn since_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0
    }

    /// Returns the time from `earlier` to this one, zero if `earlier` is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}
