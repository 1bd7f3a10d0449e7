//! The part of an application that receives updates.

use std::time::{Duration, Instant};

use grpc_chat_client::Events;
use tokio::sync::watch;

use super::orders::{Order, Orders};
use super::record::SharedRecord;

/// A slow application pauses for so long after so many updates.
const UPDATES_BETWEEN_PAUSES: usize = 50;
const PAUSE: Duration = Duration::from_secs(1);

/// Receives the updates of one run of an application.
pub(super) struct Listener {
    pub(super) run: usize,
    pub(super) record: SharedRecord,
    pub(super) orders: Orders,
    pub(super) slow: bool,
}

impl Listener {
    /// Receives updates until the client is closed, or until `stop` is set and no update is waiting.
    pub(super) async fn listen(self, mut events: Events, mut stop: watch::Receiver<bool>) -> Events {
        let mut since_pause = 0;
        loop {
            let update = tokio::select! {
                biased;
                Ok(_) = stop.wait_for(|stop| *stop) => None,
                update = events.next() => update,
            };
            // Asking for one more also marks the last event as seen.
            let update = update.or_else(|| events.try_next());
            let Some(update) = update else { return events };
            self.record.lock().update(self.run, &update, Instant::now());
            since_pause += 1;
            if self.slow && since_pause >= UPDATES_BETWEEN_PAUSES && self.orders.current() == Order::Work {
                since_pause = 0;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
