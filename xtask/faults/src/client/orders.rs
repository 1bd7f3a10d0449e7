//! What the applications of a run are told to do, all at once.

use tokio::sync::watch;

/// What an application has to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Join all rooms and receive.
    Listen,
    /// Also send, if the profile says so, and end and restart now and then.
    Work,
    /// Make no new drafts, and wait until everything is acked.
    StopSending,
    /// End when these heads are reached.
    Finish(Vec<(String, u64)>),
    /// End now.
    Abandon,
}

/// The orders, as an application receives them.
#[derive(Clone, Debug)]
pub(super) struct Orders(watch::Receiver<Order>);

impl Orders {
    pub(super) fn new(orders: watch::Receiver<Order>) -> Self {
        Self(orders)
    }

    /// Returns the current order, or `Abandon` if nobody can change it any more.
    pub(super) fn current(&self) -> Order {
        if self.0.has_changed().is_err() { Order::Abandon } else { self.0.borrow().clone() }
    }

    /// Waits until the order is one of these, or nobody can change it any more.
    pub(super) async fn until(&self, is_one: impl FnMut(&Order) -> bool) {
        let _ = self.0.clone().wait_for(is_one).await;
    }
}
