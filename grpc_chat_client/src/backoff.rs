//! How long to wait before the next attempt: full jitter, as in "Exponential Backoff And Jitter" (AWS Architecture Blog,
//! 2015). A thousand clients that lose a service together come back spread over the whole of each delay.

use std::time::Duration;

/// How long to wait before attempts that follow each other: a random time up to a limit that doubles with each attempt.
///
/// ```
/// use std::time::Duration;
/// use grpc_chat_client::Backoff;
///
/// let backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(60) };
/// assert_eq!(backoff.ceiling(0), Duration::from_secs(1));
/// assert_eq!(backoff.ceiling(3), Duration::from_secs(8));
/// assert_eq!(backoff.ceiling(10), Duration::from_secs(60));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The limit before the first attempt, 250 ms by default. Less than a millisecond counts as one.
    pub base: Duration,
    /// The highest limit, 6 s by default. More than a day counts as a day.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(250), max: Duration::from_secs(6) }
    }
}

impl Backoff {
    /// Returns delays that are neither a loop without a pause nor for ever.
    pub(crate) fn clamped(self) -> Self {
        let max = self.max.clamp(Duration::from_millis(1), Duration::from_secs(24 * 60 * 60));
        Self { base: self.base.clamp(Duration::from_millis(1), max), max }
    }

    /// Returns the longest delay before an attempt, of which 0 is the first.
    #[must_use]
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let doubled = 1_u32.checked_shl(attempt).and_then(|factor| self.base.checked_mul(factor));
        doubled.unwrap_or(self.max).min(self.max)
    }

    /// Returns a random delay between zero and the ceiling.
    pub(crate) fn delay(&self, attempt: u32, random: &mut fastrand::Rng) -> Duration {
        self.ceiling(attempt).mul_f64(random.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_maximum() {
        let backoff = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(5) };
        let ceilings = [0, 1, 2, 5, 6, 31, 32, u32::MAX].map(|attempt| backoff.ceiling(attempt).as_millis());
        assert_eq!(ceilings, [100, 200, 400, 3_200, 5_000, 5_000, 5_000, 5_000]);
    }

    #[test]
    fn delays_are_spread_over_the_whole_range() {
        let backoff = Backoff::default();
        let mut random = fastrand::Rng::with_seed(1);
        for attempt in [0, 1, 40] {
            let ceiling = backoff.ceiling(attempt);
            let delays: Vec<Duration> = (0..1_000).map(|_| backoff.delay(attempt, &mut random)).collect();
            assert!(delays.iter().all(|delay| *delay <= ceiling));
            // Each tenth of the range gets about a tenth of them.
            for tenth in 0..10 {
                let from = ceiling.mul_f64(f64::from(tenth) / 10.0);
                let upto = ceiling.mul_f64(f64::from(tenth + 1) / 10.0);
                let within = delays.iter().filter(|delay| **delay >= from && **delay < upto).count();
                assert!((50..200).contains(&within), "{within} of 1,000 in tenth {tenth}");
            }
        }
    }
}
