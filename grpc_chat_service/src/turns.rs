//! A bounded number of places at something slow, given to accounts in turn.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::model::Account;
use crate::rotation::Rotation;

/// A bounded number of places. Whoever finds none free waits; the next one goes to the account whose turn it is (see
/// [`Rotation`]), and within an account to whoever has waited longest. So an account that asks for much delays itself.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Shared>);

/// A place, which is free again when this is dropped.
pub(crate) struct Turn {
    /// `None` once it has been given to somebody else.
    shared: Option<Arc<Shared>>,
}

/// Short lock, never held across an await.
#[derive(Debug)]
struct Shared(Mutex<State>);

#[derive(Debug)]
struct State {
    free: usize,
    /// An account for which nobody waits has no entry.
    waiting: HashMap<Account, VecDeque<oneshot::Sender<Turn>>>,
    /// The accounts for which somebody waits.
    order: Rotation<Account>,
}

impl Turns {
    /// Creates this many places.
    pub(crate) fn new(places: usize) -> Self {
        let state = State { free: places, waiting: HashMap::new(), order: Rotation::default() };
        Self(Arc::new(Shared(Mutex::new(state))))
    }

    /// Waits for a place.
    pub(crate) async fn take(&self, account: &Account) -> Turn {
        let given = {
            let mut state = self.0.lock();
            if state.free > 0 {
                state.free -= 1;
                return Turn { shared: Some(Arc::clone(&self.0)) };
            }
            let (sender, given) = oneshot::channel();
            match state.waiting.get_mut(account) {
                Some(waiting) => waiting.push_back(sender),
                None => {
                    state.waiting.insert(account.clone(), VecDeque::from([sender]));
                    state.order.push(account.network, account.clone());
                }
            }
            given
        };
        match given.await {
            Ok(turn) => turn,
            // A sender is only removed to be used.
            Err(_) => std::future::pending().await,
        }
    }
}

impl State {
    /// Removes the next one who waits.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let account = self.order.pop()?;
        let waiting = self.waiting.get_mut(&account)?;
        let next = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&account);
        } else {
            self.order.push(account.network, account);
        }
        next
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else { return };
        loop {
            let mut state = shared.lock();
            let Some(next) = state.next() else {
                state.free += 1;
                return;
            };
            drop(state);
            match next.send(Self { shared: Some(Arc::clone(&shared)) }) {
                Ok(()) => return,
                // It does not wait any more.
                Err(mut unused) => unused.shared = None,
            }
        }
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn")
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::model::UserId;

    fn account(name: &str) -> Account {
        Account { user: Some(UserId::new(name).unwrap()), network: [127, 0, 0, 1].into() }
    }

    #[test]
    fn accounts_take_turns_and_nobody_is_forgotten() {
        let turns = Turns::new(1);
        let (greedy, ann) = (account("greedy"), account("ann"));
        let first = turns.take(&greedy).now_or_never().unwrap();
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(turns.take(&greedy))).collect();
        assert!(waiting.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
        let mut anns = Box::pin(turns.take(&ann));
        assert!((&mut anns).now_or_never().is_none());

        drop(first);
        let second = (&mut waiting[0]).now_or_never().expect("it has waited longest");
        drop(second);
        let third = anns.now_or_never().expect("it is another account's turn");
        // Whoever stops waiting is skipped, also when it has been given a place already.
        let last = waiting.pop().unwrap();
        drop(waiting);
        drop(third);
        drop(last.now_or_never().expect("all places are free"));
        drop(turns.take(&ann).now_or_never().expect("nobody waits"));
    }

    #[tokio::test]
    async fn there_are_never_more_than_there_are_places() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let turns = Turns::new(3);
        let inside = Arc::new(AtomicUsize::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..300 {
            let (turns, inside) = (turns.clone(), Arc::clone(&inside));
            tasks.spawn(async move {
                let turn = turns.take(&account(&format!("user-{}", n % 7))).await;
                assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                drop(turn);
            });
            if n % 5 == 0 {
                tokio::task::yield_now().await;
            }
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert_eq!(turns.0.lock().free, 3);
    }
}
