//! What has been answered, and how long it took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Histograms that share the work: threads do not wait for each other, and a thousand receivers do not need a thousand.
const SHARDS: usize = 16;

/// Latencies are told apart up to an hour, to one part in a thousand.
const LONGEST: u64 = 3_600_000_000_000;
const FIGURES: u8 = 3;

/// Counts what is answered, at any time, and keeps how long it took for what was begun while it is measured. Times are
/// nanoseconds of the bench's clock.
#[derive(Debug)]
pub(super) struct Tally {
    shards: Vec<Mutex<Shard>>,
    /// How much later than due messages have left.
    late: Mutex<Histogram<u64>>,
    /// What was begun from here on, and before there, is measured.
    from: AtomicU64,
    to: AtomicU64,
}

#[derive(Debug)]
struct Shard {
    answered: u64,
    latency: Histogram<u64>,
}

/// How long things took, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Times {
    pub(super) count: u64,
    pub(super) min_us: f64,
    pub(super) mean_us: f64,
    pub(super) p50_us: f64,
    pub(super) p90_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
    pub(super) max_us: f64,
}

impl Tally {
    pub(super) fn new() -> Result<Self, String> {
        let shard = || Ok(Mutex::new(Shard { answered: 0, latency: histogram()? }));
        Ok(Self {
            shards: (0..SHARDS).map(|_| shard()).collect::<Result<_, String>>()?,
            late: Mutex::new(histogram()?),
            from: AtomicU64::new(u64::MAX),
            to: AtomicU64::new(u64::MAX),
        })
    }

    /// One answer, as this one of those who wait for some.
    pub(super) fn answered(&self, who: usize, begun: u64, now: u64) {
        self.all_answered(who, &[(begun, now)]);
    }

    /// Answers, each with when it was begun and when it came.
    pub(super) fn all_answered(&self, who: usize, answers: &[(u64, u64)]) {
        let measured = self.from.load(Ordering::Relaxed)..self.to.load(Ordering::Relaxed);
        let mut shard = lock(&self.shards[who % SHARDS]);
        shard.answered += answers.len() as u64;
        for (begun, now) in answers {
            if measured.contains(begun) {
                shard.latency.saturating_record(now.saturating_sub(*begun));
            }
        }
    }

    /// A message left so much later than it was due.
    pub(super) fn left(&self, due: u64, now: u64) {
        let measured = self.from.load(Ordering::Relaxed)..self.to.load(Ordering::Relaxed);
        if measured.contains(&due) {
            lock(&self.late).saturating_record(now.saturating_sub(due));
        }
    }

    /// From now on it is measured.
    pub(super) fn begin(&self, now: u64) {
        self.from.store(now, Ordering::Relaxed);
    }

    /// What is begun from now on is not measured.
    pub(super) fn end(&self, now: u64) {
        self.to.store(now, Ordering::Relaxed);
    }

    /// Answers so far, measured or not.
    pub(super) fn count(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).answered).sum()
    }

    /// How long the answers took that were measured, if there were any.
    pub(super) fn latency(&self) -> Option<Times> {
        let mut all = lock(&self.shards[0]).latency.clone();
        for shard in &self.shards[1..] {
            // It has the same bounds, so it fits.
            let _ = all.add(&lock(shard).latency);
        }
        times(&all)
    }

    /// How late messages have left that were due, if there were any.
    pub(super) fn lateness(&self) -> Option<Times> {
        times(&lock(&self.late))
    }
}

fn histogram() -> Result<Histogram<u64>, String> {
    Histogram::new_with_bounds(1, LONGEST, FIGURES).map_err(|error| format!("cannot measure latencies: {error}"))
}

fn times(histogram: &Histogram<u64>) -> Option<Times> {
    let us = |nanoseconds: u64| nanoseconds as f64 / 1e3;
    let at = |share| us(histogram.value_at_quantile(share));
    (!histogram.is_empty()).then(|| Times {
        count: histogram.len(),
        min_us: us(histogram.min()),
        mean_us: histogram.mean() / 1e3,
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: us(histogram.max()),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_counted_and_what_is_begun_in_the_measured_time_is_timed() {
        let tally = Tally::new().unwrap();
        tally.answered(0, 10, 20);
        assert_eq!((tally.count(), tally.latency()), (1, None), "nothing is measured before it begins");
        tally.begin(100);
        tally.answered(1, 99, 150);
        tally.answered(2, 100, 1_100);
        tally.end(200);
        tally.all_answered(3, &[(199, 2_199), (200, 9_000)]);
        assert_eq!(tally.count(), 5);
        let latency = tally.latency().unwrap();
        assert_eq!((latency.count, latency.min_us.round(), latency.max_us.round()), (2, 1.0, 2.0));
    }

    #[test]
    fn percentiles_are_of_all_who_wait() {
        let tally = Tally::new().unwrap();
        tally.begin(0);
        for n in 1..=1_000_u64 {
            tally.answered(n as usize, 0, n * 1_000);
        }
        let Times { count, min_us, mean_us, p50_us, p90_us, p99_us, p999_us, max_us } = tally.latency().unwrap();
        assert_eq!(count, 1_000);
        for (told, right) in [
            (min_us, 1.0),
            (mean_us, 500.5),
            (p50_us, 500.0),
            (p90_us, 900.0),
            (p99_us, 990.0),
            (p999_us, 999.0),
            (max_us, 1_000.0),
        ] {
            assert!((told - right).abs() <= right / 500.0, "{told} for {right}");
        }
    }

    #[test]
    fn what_took_longer_than_can_be_told_took_the_longest() {
        let tally = Tally::new().unwrap();
        tally.begin(0);
        tally.answered(0, 0, u64::MAX - 1);
        assert!(tally.latency().unwrap().max_us >= 3.6e9);
    }

    #[test]
    fn lateness_counts_messages_that_were_due_in_the_measured_time() {
        let tally = Tally::new().unwrap();
        tally.left(10, 20);
        tally.begin(100);
        tally.left(150, 5_150);
        assert_eq!(tally.lateness().map(|times| (times.count, times.max_us.round())), Some((1, 5.0)));
    }
}
