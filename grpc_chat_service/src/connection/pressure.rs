//! How much the calls of a connection have handed over to be sent, while the peer does not read.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// From this on, calls wait until the socket has taken what was handed over. Otherwise each call could leave as much as its
/// stream may buffer with a peer that has opened every window and reads nothing.
const MAX_BYTES: usize = 256 * 1024;

/// What the calls of a connection have handed over since the socket last took everything. Only used by the connection's task.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    bytes: AtomicUsize,
    /// A call waits.
    waiting: AtomicBool,
}

impl Pressure {
    /// Whether a call may hand over more. If not, it is polled again when it may.
    pub(super) fn admits(&self) -> bool {
        let admits = self.bytes.load(Ordering::Relaxed) < MAX_BYTES;
        if !admits {
            self.waiting.store(true, Ordering::Relaxed);
        }
        admits
    }

    /// Notes that a call has handed over so many bytes.
    pub(super) fn add(&self, bytes: usize) {
        self.bytes.store(self.bytes.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    }

    /// Notes that the socket has taken everything. Returns whether a call waits.
    pub(super) fn release(&self) -> bool {
        self.bytes.store(0, Ordering::Relaxed);
        self.waiting.load(Ordering::Relaxed) && self.waiting.swap(false, Ordering::Relaxed)
    }
}
