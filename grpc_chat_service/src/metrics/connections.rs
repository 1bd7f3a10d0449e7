//! Connections.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::register::{Counted, registered};

/// The usual reasons. They are there from the start, so that the first refusal is an increase.
const REASONS: [&str; 5] = ["too_many_of_network", "handshake_timeout", "http1", "not_http2", "tls"];

/// What is counted of connections.
#[derive(Debug)]
pub(crate) struct ConnectionMetrics {
    open: Gauge,
    accepted: Counter,
    refused: Family<Refused, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    reason: &'static str,
}

impl ConnectionMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            open: registered(registry, "chat_connections_open", "Connections that are open"),
            accepted: registered(registry, "chat_connections_accepted", "Connections that were accepted"),
            refused: registered(
                registry,
                "chat_connections_refused",
                "Connections that were closed before they could carry a call, by the reason",
            ),
        };
        for reason in REASONS {
            metrics.refused.get_or_create(&Refused { reason }).inc_by(0);
        }
        metrics
    }

    /// Counts a connection, which is open until the result is dropped.
    pub(crate) fn open(&self) -> Counted {
        self.accepted.inc();
        Counted::new(&self.open)
    }

    /// Counts a connection that is closed before it can carry a call.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Refused { reason }).inc();
    }
}
