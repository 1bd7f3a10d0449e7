//! Bytes that all peers together may have the service hold.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::MemoryLimits;

/// What all peers together may have the service hold, by kind. What waits to be stored is counted in the history's queue.
#[derive(Clone, Debug)]
pub(crate) struct Budgets {
    /// Pages that are read, or sent more slowly than they are read.
    pub(crate) pages: Budget,
    /// The tails of rooms.
    pub(crate) tails: Budget,
    /// Replies to sessions that do not read them.
    pub(crate) replies: Budget,
    /// What was received for calls that do not read it at present.
    pub(crate) requests: Budget,
}

/// A number of bytes, shared by all who hold a clone.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    used: AtomicUsize,
    max: usize,
}

/// Bytes taken from a budget, until this is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    budget: Budget,
    bytes: usize,
}

impl Budgets {
    pub(crate) fn new(limits: &MemoryLimits) -> Self {
        Self {
            pages: Budget::new(limits.page_bytes),
            tails: Budget::new(limits.tail_bytes),
            replies: Budget::new(limits.reply_bytes),
            requests: Budget::new(limits.request_bytes),
        }
    }
}

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        Self(Arc::new(Shared { used: AtomicUsize::new(0), max }))
    }

    /// Takes `bytes`, if there are as many.
    pub(crate) fn take(&self, bytes: usize) -> Option<Lease> {
        let mut lease = self.lease();
        lease.resize(bytes).then_some(lease)
    }

    /// Takes nothing yet.
    pub(crate) fn lease(&self) -> Lease {
        Lease { budget: self.clone(), bytes: 0 }
    }

    /// Returns how many bytes are taken.
    pub(crate) fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Whether more is taken than there is.
    pub(crate) fn is_overdrawn(&self) -> bool {
        self.used() > self.0.max
    }

    /// Returns how many bytes may be taken.
    pub(crate) fn max(&self) -> usize {
        self.0.max
    }
}

impl Lease {
    /// Returns how many bytes are taken.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes more, or gives back some. Returns `false`, and changes nothing, if there are not as many.
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        let Shared { used, max } = &*self.budget.0;
        if let Some(more) = bytes.checked_sub(self.bytes) {
            let fits = |used: usize| used.checked_add(more).filter(|used| used <= max);
            if more > 0 && used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
                return false;
            }
        } else {
            used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
        true
    }

    /// Hands over all that is taken.
    pub(crate) fn take(&mut self) -> Self {
        Self { budget: self.budget.clone(), bytes: mem::take(&mut self.bytes) }
    }

    /// Takes what is there already, even if there are not as many: others have to give some back.
    pub(crate) fn overdraw(&mut self, bytes: usize) {
        let used = &self.budget.0.used;
        used.fetch_add(bytes, Ordering::Relaxed);
        used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is_and_all_of_it_is_given_back() {
        let budget = Budget::new(10);
        let mut first = budget.take(4).unwrap();
        let second = budget.take(6).unwrap();
        assert!(budget.take(1).is_none());
        assert!(!first.resize(5));
        assert!(first.resize(1));
        drop(second);
        assert!(first.resize(10));
        first.overdraw(15);
        assert_eq!((budget.used(), first.bytes()), (15, 15));
        assert!(!first.resize(16));
        let mut first = first.take();
        assert!(first.resize(12) && budget.take(1).is_none());
        drop(first);
        assert_eq!(budget.used(), 0);
    }
}
