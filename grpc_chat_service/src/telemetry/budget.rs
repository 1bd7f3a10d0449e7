//! How many lines are logged in a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Where the operator's own lines come from: the start and the end of the service, of which there are a few.
const UNLIMITED: [&str; 3] = ["grpc_chat_service", "grpc_chat_service::server", "grpc_chat_service::telemetry"];

/// A layer that lets through a bounded number of lines, so that nobody can fill the disk by causing them. Lines of the levels
/// DEBUG and TRACE are not limited: whoever asks for them wants all.
pub(super) struct Budget {
    errors: Rate,
    warnings: Rate,
    infos: Rate,
    started: Instant,
    suppressed: Arc<AtomicU64>,
}

/// So many a second, after a burst.
struct Rate {
    interval: u64,
    burst: u64,
    /// When the next one would be due if they came evenly, in nanoseconds since the start.
    due: AtomicU64,
}

impl Budget {
    /// Returns a budget that counts in `suppressed` what it holds back.
    pub(super) fn new(suppressed: Arc<AtomicU64>) -> Self {
        Self {
            // A disk that fails does so for every batch.
            errors: Rate::new(10, 50),
            warnings: Rate::new(10, 10),
            // The end of a session is one of these. A restart ends all of them at once, and a sample tells as much.
            infos: Rate::new(20, 200),
            started: Instant::now(),
            suppressed,
        }
    }

    fn allows(&self, metadata: &Metadata<'_>, since_start: Duration) -> bool {
        let rate = match *metadata.level() {
            Level::ERROR => &self.errors,
            Level::WARN => &self.warnings,
            Level::INFO => &self.infos,
            _ => return true,
        };
        UNLIMITED.contains(&metadata.target()) || rate.take(since_start)
    }
}

impl<S: Subscriber> Layer<S> for Budget {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let allowed = self.allows(event.metadata(), self.started.elapsed());
        if !allowed {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
        }
        allowed
    }
}

impl Rate {
    const fn new(per_second: u64, burst: u64) -> Self {
        let interval = 1_000_000_000 / per_second;
        Self { interval, burst: interval * burst, due: AtomicU64::new(0) }
    }

    /// Takes one, if there is one at this time.
    fn take(&self, since_start: Duration) -> bool {
        let now = u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX);
        let next = |due: u64| {
            let next = due.max(now).saturating_add(self.interval);
            (next - now <= self.burst).then_some(next)
        };
        self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_burst_and_then_so_many_a_second() {
        let rate = Rate::new(10, 30);
        let taken_at = |millis| (0..100).filter(|_| rate.take(Duration::from_millis(millis))).count();
        assert_eq!(taken_at(0), 30);
        assert_eq!(taken_at(99), 0);
        assert_eq!(taken_at(100), 1);
        assert_eq!(taken_at(1_100), 10);
        // What is not used is not saved up beyond the burst.
        assert_eq!(taken_at(3_600_000), 30);
    }
}
