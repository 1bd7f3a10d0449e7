//! The figures in `/metrics`: one `Metrics` for each server, with a handle for everything that is counted.
//!
//! Whoever counts has its handles from the start. On the path of a message they are touched once for a batch, or for a write,
//! and never for a message. Nothing is labelled by room, user or address, of which there may be any number.

mod calls;
mod connections;
mod history;
mod process;
mod register;
mod rooms;
mod sessions;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::budgets::Budgets;
#[cfg(test)]
use crate::limits::MemoryLimits;

pub(crate) use calls::{CallMetrics, Method};
pub(crate) use connections::ConnectionMetrics;
pub use history::HistoryMetrics;
pub(crate) use history::QueueSize;
pub(crate) use register::Counted;
use register::{registered, show};
pub(crate) use rooms::RoomMetrics;
pub(crate) use sessions::SessionMetrics;

/// The `Content-Type` of what [`Metrics::encode`] returns.
pub(crate) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// What one server counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) calls: CallMetrics,
    pub(crate) connections: ConnectionMetrics,
    pub(crate) sessions: SessionMetrics,
    pub(crate) rooms: RoomMetrics,
    limits: Family<Limit, Counter>,
    refusals: Family<Reason, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Limit {
    limit: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

impl Metrics {
    /// Creates the metrics of a server. `history` is what its history counts, `healthy` whether that can store messages, and
    /// `suppressed` the number of log lines that were not written, and `budgets`
    /// what peers have the service hold.
    pub(crate) fn new(
        history: &HistoryMetrics,
        healthy: watch::Receiver<bool>,
        suppressed: Arc<AtomicU64>,
        budgets: Budgets,
    ) -> Self {
        let mut registry = Registry::default();
        let build: Family<Build, Gauge> =
            registered(&mut registry, "chat_build_info", "The version of the service, as a label of the value 1");
        build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
        history.register(&mut registry, healthy);
        registry.register_collector(Box::new(Suppressed(suppressed)));
        registry.register_collector(Box::new(Held(budgets)));
        process::register(&mut registry);
        let metrics = Self {
            calls: CallMetrics::register(&mut registry),
            connections: ConnectionMetrics::register(&mut registry),
            sessions: SessionMetrics::register(&mut registry),
            rooms: RoomMetrics::register(&mut registry),
            limits: registered(
                &mut registry,
                "chat_limits_reached",
                "Times that a limit made somebody wait or took something away, by the name of the limit",
            ),
            refusals: registered(
                &mut registry,
                "chat_refusals",
                "Requests, calls and sessions that were refused, by the reason that the client was sent",
            ),
            registry,
        };
        // There from the start, so that the first time is an increase.
        for limit in ["listener.connections", "memory.tail-bytes", "system.descriptors_or_memory"] {
            metrics.limits.get_or_create(&Limit { limit }).inc_by(0);
        }
        metrics
    }

    /// Counts a refusal. `reason` is the name of a `Reason` of the contract.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&Reason { reason }).inc();
    }

    /// Counts that a limit made somebody wait or took something away. `limit` is its group and name in `limits.rs`, such as
    /// `listener.connections`; the system's own begin with `system.`.
    pub(crate) fn limit_reached(&self, limit: &'static str) {
        self.limits.get_or_create(&Limit { limit }).inc();
    }

    /// Returns all metrics in Prometheus' text format.
    pub(crate) fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
impl Default for Metrics {
    /// The metrics of a server without a history.
    fn default() -> Self {
        Self::new(
            &HistoryMetrics::default(),
            watch::channel(true).1,
            Arc::default(),
            Budgets::new(&MemoryLimits::default()),
        )
    }
}

/// The number of log lines that were not written.
#[derive(Debug)]
struct Suppressed(Arc<AtomicU64>);

impl Collector for Suppressed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        show(
            &mut encoder,
            "chat_log_lines_suppressed",
            "Log lines that were not written, because there were too many in their second",
            &ConstCounter::new(self.0.load(Ordering::Relaxed)),
        )
    }
}

/// The bytes that peers have the service hold.
#[derive(Debug)]
struct Held(Budgets);

impl Collector for Held {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Budgets { pages, tails, replies, requests } = &self.0;
        for (name, help, budget) in [
            ("chat_page_bytes", "Bytes of pages that are read, or not sent completely yet", pages),
            ("chat_tail_bytes", "Bytes of the newest events of rooms that are kept for their readers", tails),
            ("chat_unread_reply_bytes", "Bytes of replies that sessions do not read, of those with many", replies),
            (
                "chat_unread_request_bytes",
                "Bytes received for calls that do not read them at present, with responses that wait",
                requests,
            ),
        ] {
            show(&mut encoder, name, help, &ConstGauge::new(budget.used() as u64))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_what_was_counted() {
        let metrics = Metrics::default();
        metrics.refused("RATE_LIMITED");
        metrics.refused("RATE_LIMITED");
        let first = metrics.connections.open();
        let second = metrics.connections.open();
        drop(first);
        let text = metrics.encode();
        for line in [
            "chat_refusals_total{reason=\"RATE_LIMITED\"} 2",
            "chat_connections_open 1",
            "chat_connections_accepted_total 2",
            "chat_history_healthy 1",
            concat!("chat_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
        drop(second);
        assert!(metrics.encode().contains("chat_connections_open 0"));
    }

    #[test]
    fn every_server_has_figures_of_its_own() {
        let (one, other) = (Metrics::default(), Metrics::default());
        one.refused("OVERLOADED");
        assert!(one.encode().contains("OVERLOADED") && !other.encode().contains("OVERLOADED"));
    }
}
