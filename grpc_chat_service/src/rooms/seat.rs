//! A seat: how a room notifies one of its readers.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};

/// A session, as the rooms that it receives see it.
pub(crate) trait Subscriber: Send + Sync + std::fmt::Debug {
    /// The room of this reader has something new. Called at most once until the reader has looked.
    fn due(&self, reader: u64);
}

/// How a room notifies one of its readers.
#[derive(Debug)]
pub(crate) struct Seat {
    /// The reader has been notified and has not looked since, so it need not be notified again. The room changes and then
    /// reads this flag; the reader clears this flag and then reads the room. One of the two must see the other, so both
    /// accesses have one order for all threads (`SeqCst`, here and for the announced version in the room).
    due: AtomicBool,
    /// Identifies the reader in its session.
    reader: u64,
    session: Weak<dyn Subscriber>,
}

impl Seat {
    /// Returns the seat of a reader who is about to look, and is notified of what comes after that.
    pub(super) fn new(reader: u64, session: Weak<dyn Subscriber>) -> Self {
        Self { due: AtomicBool::new(true), reader, session }
    }

    /// Notifies the reader, unless it has been notified and has not looked since.
    pub(super) fn notify(&self) {
        if !self.due.swap(true, Ordering::SeqCst)
            && let Some(session) = self.session.upgrade()
        {
            session.due(self.reader);
        }
    }

    /// Marks the reader as due because it has not read everything. Returns whether it was not due anyway.
    pub(crate) fn due_again(&self) -> bool {
        !self.due.swap(true, Ordering::SeqCst)
    }

    /// To be called before the reader looks: it is notified of what comes from here on.
    pub(crate) fn looking(&self) {
        self.due.store(false, Ordering::SeqCst);
    }
}
