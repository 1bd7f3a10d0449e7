//! Rooms.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::register::{Counted, registered};

/// What is counted of rooms.
#[derive(Debug)]
pub(crate) struct RoomMetrics {
    open: Gauge,
}

impl RoomMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self { open: registered(registry, "chat_rooms_open", "Rooms that have readers") }
    }

    /// Counts a room, which is open until the result is dropped.
    pub(crate) fn open(&self) -> Counted {
        Counted::new(&self.open)
    }
}
