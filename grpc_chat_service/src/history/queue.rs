//! Requests on their way to a writer, and results on their way back.
//!
//! Whoever waits for the writer waits in a queue of its account, and the writer takes from these in turn: about as many
//! bytes from each (deficit round robin). So an account that asks for much delays itself.

use std::collections::{HashMap, VecDeque};
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

/// The most requests that a writer stores and syncs together, and about the most bytes: enough for so many short messages. A
/// batch of any size delays whoever comes after it.
pub(super) const MAX_BATCH: usize = 4_096;
const MAX_BATCH_BYTES: usize = 2 * 1024 * 1024;

/// What a request is counted as besides its text: about what it occupies in memory.
pub(super) const REQUEST_BYTES: usize = 256;

/// What an account may have taken from its queue before it is another one's turn, in bytes.
const TURN_BYTES: i64 = 16 * 1024;

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
    /// What is queued, by account. An account without anything queued has no entry.
    accounts: HashMap<Account, Waiting>,
    /// The accounts with something queued, the next one first.
    turns: VecDeque<Account>,
    requests: usize,
    bytes: usize,
    /// Empty queues, kept for their allocations.
    spare: Vec<VecDeque<Request>>,
    closed: bool,
}

/// What is queued for one account.
#[derive(Debug, Default)]
struct Waiting {
    requests: VecDeque<Request>,
    bytes: usize,
    /// The bytes that may still be taken in this turn; negative if the last turn took more.
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
        if let Err(error) = state.check(account, bytes, &self.limits) {
            drop(state);
            return request.refuse(error, &self.metrics);
        }
        let was_empty = state.push(account, request, bytes);
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
    bytes: usize,
}

impl Batch {
    /// Removes all requests.
    pub(super) fn drain(&mut self) -> std::vec::Drain<'_, Request> {
        self.bytes = 0;
        self.requests.drain(..)
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.requests.len() >= MAX_BATCH || self.bytes >= MAX_BATCH_BYTES
    }
}

impl State {
    /// Checks that there is room for so many bytes.
    fn check(&self, account: &Account, bytes: usize, limits: &HistoryLimits) -> Result<(), AppendError> {
        if self.closed {
            return Err(AppendError::Unavailable);
        }
        let of_account = self.accounts.get(account).map_or(0, |waiting| waiting.bytes);
        if self.bytes + bytes > limits.queue_bytes || of_account + bytes > limits.queue_bytes_per_account {
            return Err(AppendError::Overloaded);
        }
        Ok(())
    }

    /// Returns whether the queue was empty.
    fn push(&mut self, account: &Account, request: Request, bytes: usize) -> bool {
        let was_empty = self.turns.is_empty();
        if let Some(waiting) = self.accounts.get_mut(account) {
            waiting.bytes += bytes;
            waiting.requests.push_back(request);
        } else {
            let mut requests = self.spare.pop().unwrap_or_default();
            requests.push_back(request);
            self.accounts.insert(account.clone(), Waiting { requests, bytes, credit: 0 });
            self.turns.push_back(account.clone());
        }
        self.requests += 1;
        self.bytes += bytes;
        was_empty
    }

    fn take(&mut self, batch: &mut Batch) -> Took {
        if self.turns.is_empty() {
            return if self.closed { Took::Closed } else { Took::Nothing };
        }
        while !batch.is_full()
            && let Some(account) = self.turns.pop_front()
        {
            let Some(waiting) = self.accounts.get_mut(&account) else { continue };
            waiting.credit += TURN_BYTES;
            while waiting.credit > 0
                && !batch.is_full()
                && let Some(request) = waiting.requests.pop_front()
            {
                let bytes = request.bytes();
                waiting.credit -= bytes.cast_signed() as i64;
                waiting.bytes -= bytes;
                self.requests -= 1;
                self.bytes -= bytes;
                batch.bytes += bytes;
                batch.requests.push(request);
            }
            if !waiting.requests.is_empty() {
                // What is left of a turn that the end of the batch has cut short is not saved up.
                waiting.credit = waiting.credit.min(0);
                self.turns.push_back(account);
            } else if let Some(Waiting { requests, .. }) = self.accounts.remove(&account) {
                self.keep(requests);
            }
        }
        Took::Requests
    }

    /// Keeps an empty queue for the next account.
    fn keep(&mut self, queue: VecDeque<Request>) {
        const MAX_KEPT: usize = 64;
        const MAX_CAPACITY: usize = 64;
        if self.spare.len() < MAX_KEPT && queue.capacity() <= MAX_CAPACITY {
            self.spare.push(queue);
        }
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
        let text = match self {
            Self::Append(Append { draft, .. }, _) => draft.change.text_bytes(),
            Self::MarkRead(..) => 0,
        };
        REQUEST_BYTES + text
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
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::model::{Change, ClientMsgId};

    const LIMITS: HistoryLimits = HistoryLimits { queue_bytes: 1_200_000, queue_bytes_per_account: 400_000 };

    fn queue(limits: HistoryLimits) -> (Queue, Queued) {
        Queue::new(Admission { limits, ..Admission::default() })
    }

    fn account(name: &str) -> Account {
        Account { user: Some(UserId::new(name).unwrap()), network: [127, 0, 0, 1].into() }
    }

    fn push(queue: &Queue, sender: &str, n: u8, text_bytes: usize) -> Appending {
        let change = Change::Post { text: "x".repeat(text_bytes).into(), reply_to: None };
        let (room, sender_id) = (RoomId::new("r").unwrap(), UserId::new(sender).unwrap());
        let draft = Draft { room, sender: sender_id, device: None, client_msg_id: ClientMsgId([n; 16]), change };
        queue.append(&account(sender), draft, Expected::default())
    }

    /// Returns the senders, and the first byte of the ids, of what is taken.
    fn take(queued: &Queued) -> Vec<(String, u8)> {
        let mut batch = Batch::default();
        let took = queued.try_take(&mut batch);
        assert_eq!(took == Took::Requests, !batch.requests.is_empty());
        let taken = batch.drain().map(|request| match request {
            Request::Append(Append { draft, .. }, _) => (draft.sender.as_str().to_owned(), draft.client_msg_id.0[0]),
            Request::MarkRead(..) => unreachable!("nothing was marked"),
        });
        taken.collect()
    }

    #[test]
    fn each_account_has_its_turn_and_keeps_its_order() {
        let (queue, queued) = queue(LIMITS);
        let mut results: Vec<_> = (0..40).map(|n| push(&queue, "greedy", n, 8_000)).collect();
        results.extend((0..3).map(|n| push(&queue, "ann", n, 10)));
        let taken = take(&queued);
        let ann = taken.iter().position(|(sender, _)| sender == "ann").unwrap();
        assert!(ann <= 2, "ann waits for no more than one turn: {taken:?}");
        for name in ["greedy", "ann"] {
            let ids: Vec<_> = taken.iter().filter(|(sender, _)| sender == name).map(|(_, id)| *id).collect();
            assert!(ids.is_sorted(), "{ids:?}");
        }
        assert_eq!(taken.len(), 43);
        assert_eq!(take(&queued), []);
    }

    #[test]
    fn a_long_request_is_taken_and_paid_for_later() {
        let (queue, queued) = queue(LIMITS);
        let _results: Vec<_> = (0..4).map(|n| push(&queue, "long", n, 90_000)).collect();
        let _results: Vec<_> = (0..12).map(|n| push(&queue, "short", n, 10_000)).collect();
        let taken = take(&queued);
        let first = taken.iter().rposition(|(sender, _)| sender == "short").unwrap();
        let long_before = taken[..first].iter().filter(|(sender, _)| sender == "long").count();
        assert!((1..=2).contains(&long_before), "about as many bytes as the other: {taken:?}");
        assert_eq!(taken.len(), 16);
    }

    #[test]
    fn a_batch_is_bounded_and_the_rest_comes_later() {
        let limits = HistoryLimits { queue_bytes: usize::MAX, queue_bytes_per_account: usize::MAX };
        let (queue, queued) = queue(limits);
        let _results: Vec<_> = (0..90).map(|n| push(&queue, "ann", n, 60_000)).collect();
        let first = take(&queued);
        assert!((30..=40).contains(&first.len()), "{}", first.len());
        let rest: usize = std::iter::from_fn(|| Some(take(&queued).len()).filter(|taken| *taken > 0)).sum();
        assert_eq!(first.len() + rest, 90);
    }

    #[test]
    fn what_exceeds_a_budget_is_refused_and_there_is_room_again_later() {
        let (queue, queued) = queue(LIMITS);
        let mut results: Vec<_> = (0..12).map(|n| push(&queue, ["a", "b", "c"][n / 4], n as u8, 100_000)).collect();
        // Three of each account fit into its budget, and the ninth does not fit into that of all.
        let refused = results.iter_mut().map(FutureExt::now_or_never);
        let refused: Vec<_> = refused.enumerate().filter_map(|(n, result)| Some((n, result?))).collect();
        let overloaded = Err(AppendError::Overloaded);
        assert_eq!(refused, [3, 7, 11].map(|n| (n, overloaded)));
        assert_eq!(take(&queued).len(), 9);
        let _accepted = push(&queue, "a", 99, 100_000);
        assert_eq!(take(&queued), [("a".to_owned(), 99)]);
    }

    #[test]
    fn a_closed_queue_is_emptied_and_accepts_nothing() {
        let (queue, queued) = queue(LIMITS);
        let _accepted = push(&queue, "ann", 1, 10);
        queue.close();
        let _refused = push(&queue, "ann", 2, 10);
        assert_eq!(take(&queued), [("ann".to_owned(), 1)]);
        assert_eq!(queued.try_take(&mut Batch::default()), Took::Closed);
    }
}
