//! How much each of many holders has of something, within a bound for each.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much each holder has. Whoever has nothing has no entry.
#[derive(Debug)]
pub(crate) struct Counts<K: Eq + Hash>(Arc<Mutex<HashMap<K, usize>>>);

/// What a holder has, until this is dropped.
#[derive(Debug)]
pub(crate) struct Held<K: Clone + Eq + Hash> {
    key: K,
    amount: usize,
    counts: Counts<K>,
}

impl<K: Clone + Eq + Hash> Counts<K> {
    /// Gives `amount` more to `key`, unless it had more than `max` then.
    pub(crate) fn take(&self, key: &K, amount: usize, max: usize) -> Option<Held<K>> {
        let mut counts = self.lock();
        match counts.get_mut(key) {
            Some(held) if held.saturating_add(amount) > max => return None,
            Some(held) => *held += amount,
            None if amount > max => return None,
            None => _ = counts.insert(key.clone(), amount),
        }
        drop(counts);
        Some(Held { key: key.clone(), amount, counts: self.clone() })
    }

    /// Short lock, never held across an await.
    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Clone for Counts<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Eq + Hash> Default for Counts<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Clone + Eq + Hash> Drop for Held<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(held) = counts.get_mut(&self.key) {
            *held -= self.amount;
            if *held == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_holder_has_its_bound_and_gives_back_what_it_had() {
        let counts = Counts::default();
        let first = counts.take(&"a", 2, 3).unwrap();
        assert!(counts.take(&"a", 2, 3).is_none());
        let second = counts.take(&"a", 1, 3).unwrap();
        let _other = counts.take(&"b", 3, 3).unwrap();
        assert!(counts.take(&"c", 4, 3).is_none());
        drop(first);
        assert!(counts.take(&"a", 2, 3).is_some());
        drop(second);
        assert_eq!(counts.lock().len(), 1);
    }
}
