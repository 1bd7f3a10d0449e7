//! What all clients of a run have counted and measured so far.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The counters that the clients of a run share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) delivered: Counter,
    pub(crate) caught_up: Counter,
    pub(crate) acked: Counter,
    pub(crate) refused: Counter,
    /// The number of senders that have received Draining.
    pub(crate) drained: Counter,
    pub(crate) latencies: Latencies,
}

/// A counter that many increment and one reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counter(Arc<AtomicU64>);

impl Counter {
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits until the counter has reached this value. Returns `false` after `patience`.
    pub(crate) async fn reaches(&self, enough: u64, patience: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + patience;
        while self.get() < enough {
            if tokio::time::Instant::now() > deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }
}

/// The times from drafting an event to its delivery, in microseconds. They are collected only while
/// [`Latencies::p99_within`] runs. The lock is held briefly, and never across an await.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Arc<Mutex<Option<Vec<u64>>>>);

impl Latencies {
    /// Records the delivery of an event whose text begins with the time of its draft, from [`micros`].
    pub(super) fn record(&self, text: &str) {
        if let Some(latencies) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)
            && let Some(drafted) = text.split(' ').next().and_then(|word| word.parse::<u64>().ok())
        {
            latencies.push(micros().saturating_sub(drafted));
        }
    }

    /// Measures for so many seconds. Returns the median of each second's 99th percentile, which a single bad second of the
    /// machine does not change, and the number of events.
    pub(crate) async fn p99_within(&self, seconds: u32) -> (Duration, usize) {
        let (mut p99s, mut events) = (Vec::new(), 0);
        for _ in 0..seconds {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut latencies = self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
            latencies.sort_unstable();
            events += latencies.len();
            // A second without any event counts as the worst.
            p99s.push(latencies.get(latencies.len() * 99 / 100).copied().unwrap_or(u64::MAX));
        }
        p99s.sort_unstable();
        (Duration::from_micros(p99s.get(p99s.len() / 2).copied().unwrap_or(u64::MAX)), events)
    }
}

/// Returns the microseconds since the first call.
pub(super) fn micros() -> u64 {
    static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGINNING.elapsed().as_micros()).unwrap_or(u64::MAX)
}
