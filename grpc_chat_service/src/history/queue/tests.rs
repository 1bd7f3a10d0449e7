//! Turns, order and bounds.

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
fn any_number_of_accounts_is_served_and_those_without_requests_are_forgotten() {
    let (queue, queued) = queue(LIMITS);
    let mut waiting = Vec::new();
    for n in 0..10 * MAX_IDLE {
        let name = format!("user-{n}");
        let _result = push(&queue, &name, 1, 1);
        waiting.push(name);
        // Accounts are forgotten while these wait.
        if waiting.len() == 77 {
            let taken: Vec<_> = take(&queued).into_iter().map(|(name, _)| name).collect();
            assert_eq!(taken, waiting);
            waiting.clear();
        }
    }
    assert!(queued.shared.lock().accounts.len() <= MAX_IDLE);
}

#[test]
fn a_batch_is_bounded_and_the_rest_comes_later() {
    let limits = HistoryLimits { queue_bytes: usize::MAX, queue_bytes_per_account: usize::MAX };
    let (queue, queued) = queue(limits);
    let _results: Vec<_> = (0..90).map(|n| push(&queue, "ann", n, 60_000)).collect();
    let first = take(&queued);
    assert!((15..=20).contains(&first.len()), "{}", first.len());
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
