//! What a history counts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::register::show;

/// Seconds. A commit is mostly one sync of the disk: 50 µs on a fast one, 20 ms on one that turns.
const SECONDS: [f64; 13] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// Requests in a batch.
const REQUESTS: [f64; 8] = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 2048.0, 4096.0];

/// What a history counts. Clones count together.
#[derive(Clone, Debug)]
pub struct HistoryMetrics {
    appends: Family<Appended, Counter>,
    stored: Counter,
    duplicates: Counter,
    commit_seconds: Histogram,
    batch_requests: Histogram,
    queue: Option<Arc<dyn QueueSize>>,
}

/// A queue of requests, asked for its size when that is shown.
pub(crate) trait QueueSize: Send + Sync + fmt::Debug + 'static {
    fn requests(&self) -> usize;
    fn bytes(&self) -> usize;
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Appended {
    outcome: &'static str,
}

impl HistoryMetrics {
    pub(super) fn register(&self, registry: &mut Registry, healthy: watch::Receiver<bool>) {
        let help = "Requests to store an event, by how they ended";
        registry.register("chat_appends", help, self.appends.clone());
        let help = "Seconds that a batch took to be written and, if that is what durability means, synced";
        registry.register("chat_commit_seconds", help, self.commit_seconds.clone());
        let help = "Requests that were stored together in one batch";
        registry.register("chat_batch_requests", help, self.batch_requests.clone());
        registry.register_collector(Box::new(State { queue: self.queue.clone(), healthy }));
    }

    /// Creates what a history with such a queue counts.
    pub(crate) fn new(queue: Arc<dyn QueueSize>) -> Self {
        Self { queue: Some(queue), ..Self::default() }
    }

    /// Counts the appends of a batch that have succeeded: events that were stored, and repeats of events stored before.
    pub(crate) fn appended(&self, stored: u64, duplicates: u64) {
        self.stored.inc_by(stored);
        self.duplicates.inc_by(duplicates);
    }

    /// Counts an append that has failed, by the name of the error.
    pub(crate) fn append_failed(&self, outcome: &'static str) {
        self.appends.get_or_create(&Appended { outcome }).inc();
    }

    /// Notes that a batch has been committed.
    pub(crate) fn committed(&self, requests: usize, time: Duration) {
        #[expect(clippy::cast_precision_loss, reason = "a batch has a few thousand requests")]
        self.batch_requests.observe(requests as f64);
        self.commit_seconds.observe(time.as_secs_f64());
    }
}

impl Default for HistoryMetrics {
    fn default() -> Self {
        let appends = Family::default();
        let outcome = |outcome| appends.get_or_create_owned(&Appended { outcome });
        // There from the start, so that the first one is an increase.
        for failure in ["overloaded", "storage_full", "unavailable", "unknown"] {
            outcome(failure);
        }
        Self {
            stored: outcome("stored"),
            duplicates: outcome("duplicate"),
            appends,
            commit_seconds: Histogram::new(SECONDS),
            batch_requests: Histogram::new(REQUESTS),
            queue: None,
        }
    }
}

/// What is looked at when it is shown.
#[derive(Debug)]
struct State {
    queue: Option<Arc<dyn QueueSize>>,
    /// Whether messages can be stored.
    healthy: watch::Receiver<bool>,
}

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        if let Some(queue) = &self.queue {
            let help = "Requests that wait to be stored";
            show(encoder, "chat_append_queue_requests", help, &gauge(queue.requests()))?;
            let help = "Bytes of the requests that wait to be stored";
            show(encoder, "chat_append_queue_bytes", help, &gauge(queue.bytes()))?;
        }
        let help = "Whether messages can be stored: 1 if so, otherwise 0";
        show(encoder, "chat_history_healthy", help, &gauge(usize::from(*self.healthy.borrow())))
    }
}

fn gauge(value: usize) -> ConstGauge<u64> {
    ConstGauge::new(value as u64)
}
