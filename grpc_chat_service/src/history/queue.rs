//! Requests on their way to a writer, and results on their way back.
//!
//! Whoever waits for the writer waits in a queue of its account, and the writer takes from these in turn, as [`Rotation`]
//! has them: about as many bytes from each (deficit round robin). So an account that asks for much delays itself.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::{Admission, AppendError, Appended, Appending, Expected, Marking};
use crate::limits::HistoryLimits;
use crate::metrics::{HistoryMetrics, QueueSize};
use crate::model::{Account, Draft, RoomId, Seq, UserId};
use crate::rates::Rates;
use crate::rotation::Rotation;

/// The most requests that a writer stores and syncs together, and the most that they cost together, about: whoever
/// comes later waits for it.
pub(super) const MAX_BATCH: usize = 4_096;
const MAX_BATCH_COST: usize = 1024 * 1024;

/// What a request is counted as besides its text: about what it occupies in memory.
pub(super) const REQUEST_BYTES: usize = 256;

/// What finding a message costs, as that many bytes to store.
const LOOKUP_COST: usize = 8 * 1024;

/// What an account's requests may cost before it is another one's turn.
const TURN_COST: i64 = 16 * 1024;

/// How many accounts with nothing queued are remembered at least, each with a queue for at most so many requests.
const MAX_IDLE: usize = 1_024;
const MAX_IDLE_CAPACITY: usize = 64;

/// The sending end of a writer's queue.
#[derive(Debug)]
pub(super) struct Queue {
    shared: Arc<Shared>,
    limits: HistoryLimits,
    metrics: HistoryMetrics,
    /// Wakes the writer: the queue is not empty any more, or closed.
    wake: mpsc::Sender<()>,
}

/// The receiving end of a writer's queue.
#[derive(Debug)]
pub(super) struct Queued {
    shared: Arc<Shared>,
    /// What is taken is subject to these.
    pub(super) rates: Arc<Rates>,
    woken: mpsc::Receiver<()>,
    metrics: HistoryMetrics,
}

/// Whether there was something to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Took {
    Requests,
    Nothing,
    /// Nothing, and nothing will follow.
    Closed,
}

/// Something to write, and where to send the result.
#[derive(Debug)]
pub(super) enum Request {
    Append(Append, oneshot::Sender<Result<Appended, AppendError>>),
    MarkRead(ReadMark, oneshot::Sender<Result<Seq, AppendError>>),
}

/// A draft to store.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) account: Account,
    pub(super) draft: Draft,
    /// See [`super::History::append`].
    pub(super) expected: Expected,
}

/// How far a user has read.
#[derive(Debug)]
pub(super) struct ReadMark {
    pub(super) room: RoomId,
    pub(super) user: UserId,
    pub(super) seq: Seq,
}

/// A result that is held back until it is true.
#[derive(Debug)]
pub(super) enum Reply {
    Append(oneshot::Sender<Result<Appended, AppendError>>, Result<Appended, AppendError>),
    MarkRead(oneshot::Sender<Result<Seq, AppendError>>, Result<Seq, AppendError>),
}

/// Short lock, never held across an await.
#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Where the account is among those below.
    places: HashMap<Account, usize>,
    /// The accounts with something queued, and others that had something before.
    accounts: Vec<Waiting>,
    /// Those with something queued.
    turns: Rotation<usize>,
    requests: usize,
    bytes: usize,
    closed: bool,
}

/// What is queued for one account.
#[derive(Debug)]
struct Waiting {
    account: Account,
    requests: VecDeque<Request>,
    bytes: usize,
    /// What may still be taken in this turn; negative if the last turn took more.
    credit: i64,
}

impl Queue {
    pub(super) fn new(Admission { limits, rates, .. }: Admission) -> (Self, Queued) {
        let (wake, woken) = mpsc::channel(1);
        let shared = Arc::<Shared>::default();
        let metrics = HistoryMetrics::new(Arc::clone(&shared) as Arc<dyn QueueSize>);
        (
            Self { shared: Arc::clone(&shared), limits, metrics: metrics.clone(), wake },
            Queued { shared, rates, woken, metrics },
        )
    }

    pub(super) fn append(&self, account: &Account, draft: Draft, expected: Expected) -> Appending {
        let (sender, appending) = Appending::new();
        self.push(account, Request::Append(Append { account: account.clone(), draft, expected }, sender));
        appending
    }

    pub(super) fn mark_read(&self, account: &Account, mark: ReadMark) -> Marking {
        let (sender, marking) = Marking::new();
        self.push(account, Request::MarkRead(mark, sender));
        marking
    }

    /// Returns what is counted of the queue and its writer.
    pub(super) fn metrics(&self) -> &HistoryMetrics {
        &self.metrics
    }

    /// Accepts nothing more. What is queued is still written.
    pub(super) fn close(&self) {
        self.shared.lock().closed = true;
        self.wake();
    }

    fn push(&self, account: &Account, request: Request) {
        let bytes = request.bytes();
        let mut state = self.shared.lock();
        let waiting = match state.admit(account, bytes, &self.limits) {
            Ok(waiting) => waiting,
            Err(error) => {
                drop(state);
                return request.refuse(error, &self.metrics);
            }
        };
        let was_empty = state.push(waiting, request, bytes);
        drop(state);
        if was_empty {
            self.wake();
        }
    }

    fn wake(&self) {
        // If the channel is full, the writer is being woken already.
        let _ = self.wake.try_send(());
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.close();
    }
}

impl Queued {
    pub(super) fn metrics(&self) -> &HistoryMetrics {
        &self.metrics
    }

    /// Adds to `batch` the next requests, as far as they fit into a batch.
    pub(super) fn try_take(&self, batch: &mut Batch) -> Took {
        self.shared.lock().take(batch)
    }

    /// Adds to `batch` the next requests; waits until there are some. Returns `false` when nothing will follow.
    pub(super) async fn take(&mut self, batch: &mut Batch) -> bool {
        loop {
            match self.try_take(batch) {
                Took::Requests => return true,
                Took::Closed => return false,
                // The sender is not dropped before it has closed the queue.
                Took::Nothing => _ = self.woken.recv().await,
            }
        }
    }

    /// Does what [`Queued::take`] does, on a thread that may block, but waits no longer than until `until`.
    pub(super) fn blocking_take_until(&mut self, batch: &mut Batch, until: Instant) -> Took {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            let took = self.try_take(batch);
            if took != Took::Nothing {
                return took;
            }
            while self.woken.poll_recv(&mut Context::from_waker(&waker)).is_pending() {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Took::Nothing;
                }
                thread::park_timeout(left);
            }
        }
    }
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What a writer stores and syncs together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    requests: Vec<Request>,
    cost: usize,
}

impl Batch {
    /// Removes all requests.
    pub(super) fn drain(&mut self) -> std::vec::Drain<'_, Request> {
        self.cost = 0;
        self.requests.drain(..)
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.requests.len() >= MAX_BATCH || self.cost >= MAX_BATCH_COST
    }
}

impl State {
    /// Checks that there is room for so many bytes. Returns the place of the account.
    fn admit(&mut self, account: &Account, bytes: usize, limits: &HistoryLimits) -> Result<usize, AppendError> {
        if self.closed {
            return Err(AppendError::Unavailable);
        }
        if self.bytes + bytes > limits.queue_bytes {
            return Err(AppendError::Overloaded);
        }
        let place = match self.places.get(account) {
            Some(place) => *place,
            None => self.add(account),
        };
        if self.accounts[place].bytes + bytes > limits.queue_bytes_per_account {
            return Err(AppendError::Overloaded);
        }
        Ok(place)
    }

    /// Returns whether the queue was empty.
    fn push(&mut self, place: usize, request: Request, bytes: usize) -> bool {
        let was_empty = self.turns.is_empty();
        let waiting = &mut self.accounts[place];
        if waiting.requests.is_empty() {
            self.turns.push(waiting.account.network, place);
        }
        waiting.requests.push_back(request);
        waiting.bytes += bytes;
        self.requests += 1;
        self.bytes += bytes;
        was_empty
    }

    /// Adds an account, and forgets those with nothing queued once they are many.
    fn add(&mut self, account: &Account) -> usize {
        if self.accounts.len() >= MAX_IDLE.max(2 * self.turns.len()) {
            self.places.clear();
            let mut accounts: Vec<_> = mem::take(&mut self.accounts).into_iter().map(Some).collect();
            self.turns.for_each(|turn| {
                if let Some(waiting) = accounts[*turn].take() {
                    *turn = self.accounts.len();
                    self.places.insert(waiting.account.clone(), *turn);
                    self.accounts.push(waiting);
                }
            });
        }
        let place = self.accounts.len();
        self.places.insert(account.clone(), place);
        self.accounts.push(Waiting { account: account.clone(), requests: VecDeque::new(), bytes: 0, credit: 0 });
        place
    }

    fn take(&mut self, batch: &mut Batch) -> Took {
        if self.turns.is_empty() {
            return if self.closed { Took::Closed } else { Took::Nothing };
        }
        while !batch.is_full()
            && let Some(place) = self.turns.pop()
        {
            let waiting = &mut self.accounts[place];
            waiting.credit += TURN_COST;
            while waiting.credit > 0
                && !batch.is_full()
                && let Some(request) = waiting.requests.pop_front()
            {
                let (bytes, cost) = (request.bytes(), request.cost());
                waiting.credit -= cost.cast_signed() as i64;
                waiting.bytes -= bytes;
                self.requests -= 1;
                self.bytes -= bytes;
                batch.cost += cost;
                batch.requests.push(request);
            }
            if waiting.requests.is_empty() {
                waiting.credit = 0;
                if waiting.requests.capacity() > MAX_IDLE_CAPACITY {
                    waiting.requests = VecDeque::new();
                }
            } else {
                // What is left of a turn that the end of the batch has cut short is not saved up.
                waiting.credit = waiting.credit.min(0);
                self.turns.push(waiting.account.network, place);
            }
        }
        Took::Requests
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueSize for Shared {
    fn requests(&self) -> usize {
        self.lock().requests
    }

    fn bytes(&self) -> usize {
        self.lock().bytes
    }
}

impl Request {
    pub(super) fn refuse(self, error: AppendError, metrics: &HistoryMetrics) {
        match self {
            Self::Append(_, sender) => {
                metrics.append_failed(error.name());
                Reply::Append(sender, Err(error)).send();
            }
            Self::MarkRead(_, sender) => Reply::MarkRead(sender, Err(error)).send(),
        }
    }

    /// What the request is counted as, in bytes.
    fn bytes(&self) -> usize {
        match self {
            Self::Append(Append { draft, .. }, _) => REQUEST_BYTES + draft.change.text_bytes(),
            Self::MarkRead(..) => REQUEST_BYTES,
        }
    }

    /// What carrying it out costs the writer: as much as storing so many bytes.
    fn cost(&self) -> usize {
        let looks_up = match self {
            Self::Append(Append { draft, .. }, _) => draft.change.target().is_some(),
            Self::MarkRead(..) => true,
        };
        self.bytes() + if looks_up { LOOKUP_COST } else { 0 }
    }
}

impl Reply {
    /// Counts the appends among the results of a batch.
    pub(super) fn count(replies: &[Self], metrics: &HistoryMetrics) {
        let (mut stored, mut duplicates) = (0, 0);
        for reply in replies {
            match reply {
                Self::Append(_, Ok(appended)) if appended.duplicate => duplicates += 1,
                Self::Append(_, Ok(_)) => stored += 1,
                Self::Append(_, Err(error)) => metrics.append_failed(error.name()),
                Self::MarkRead(..) => {}
            }
        }
        metrics.appended(stored, duplicates);
    }

    /// Sends the result. A receiver that has gone away is not an error.
    pub(super) fn send(self) {
        match self {
            Self::Append(sender, result) => _ = sender.send(result),
            Self::MarkRead(sender, result) => _ = sender.send(result),
        }
    }

    /// Sends this error instead of the result, which has not become true.
    pub(super) fn fail(self, error: AppendError, metrics: &HistoryMetrics) {
        match self {
            Self::Append(sender, _) => {
                metrics.append_failed(error.name());
                Self::Append(sender, Err(error)).send();
            }
            Self::MarkRead(sender, _) => Self::MarkRead(sender, Err(error)).send(),
        }
    }
}

#[cfg(test)]
mod tests;
