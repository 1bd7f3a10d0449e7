//! Sessions, and what is delivered to them.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::register::{Counted, registered};

/// What is counted of sessions.
#[derive(Debug)]
pub(crate) struct SessionMetrics {
    open: Gauge,
    opened: Counter,
    behind: Gauge,
    delivered: Counter,
}

impl SessionMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            open: registered(registry, "chat_sessions_open", "Sessions that were welcomed and have not ended"),
            opened: registered(registry, "chat_sessions_opened", "Sessions that were welcomed"),
            behind: registered(
                registry,
                "chat_readers_behind",
                "Rooms of sessions that wait for a page of the history, since the tail no longer has what follows",
            ),
            delivered: registered(
                registry,
                "chat_deliveries",
                "Events put on the streams of sessions: an event in a room with ten readers counts ten times",
            ),
        }
    }

    /// Counts a session, which is open until the result is dropped.
    pub(crate) fn open(&self) -> Counted {
        self.opened.inc();
        Counted::new(&self.open)
    }

    /// Counts a reader, which is behind until the result is dropped.
    pub(crate) fn behind(&self) -> Counted {
        Counted::new(&self.behind)
    }

    /// Counts events put on a stream. To be called once for a write.
    pub(crate) fn delivered(&self, events: u64) {
        self.delivered.inc_by(events);
    }
}
