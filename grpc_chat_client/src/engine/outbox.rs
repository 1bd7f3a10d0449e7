//! Drafts that have no ack yet. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::SendError;
use crate::model::{Ack, Draft, MsgId};
use crate::reply::Reply;

/// What comes of a draft.
pub(crate) type Outcome = Result<Ack, SendError>;

/// A draft, and the reply to the caller that waits for its outcome. For a draft of an earlier run of the program there is no
/// caller.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) draft: Draft,
    pub(crate) reply: Option<Reply<Outcome>>,
}

/// Drafts by number, in the order in which they were made, which is the order in which they are sent and sent again.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    drafts: BTreeMap<u64, Queued>,
    /// The drafts to send, for the first time or again.
    due: BTreeSet<u64>,
    last: u64,
}

impl Outbox {
    pub(super) fn push(&mut self, queued: Queued) {
        self.last += 1;
        self.drafts.insert(self.last, queued);
        self.due.insert(self.last);
    }

    /// Returns the id of the draft with this number.
    pub(super) fn id(&self, number: u64) -> Option<MsgId> {
        self.drafts.get(&number).map(|queued| queued.draft.id)
    }

    /// Returns the drafts of this run of the program.
    pub(super) fn of_this_run(&self) -> Vec<MsgId> {
        self.drafts.values().filter(|queued| queued.reply.is_some()).map(|queued| queued.draft.id).collect()
    }

    /// Returns the drafts of earlier runs.
    pub(super) fn of_earlier_runs(&self) -> Vec<Draft> {
        self.drafts.values().filter(|queued| queued.reply.is_none()).map(|queued| queued.draft.clone()).collect()
    }

    /// Returns the number of drafts without an ack.
    pub(super) fn len(&self) -> usize {
        self.drafts.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.drafts.is_empty()
    }

    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Takes the oldest draft to send, with its number.
    pub(super) fn next(&mut self) -> Option<(u64, &Draft)> {
        let number = self.due.pop_first()?;
        self.drafts.get(&number).map(|queued| (number, &queued.draft))
    }

    /// Sends a draft again that was not stored, or perhaps not.
    pub(super) fn retry(&mut self, number: u64) {
        if self.drafts.contains_key(&number) {
            self.due.insert(number);
        }
    }

    /// Sends all drafts again.
    pub(super) fn retry_all(&mut self) {
        self.due.extend(self.drafts.keys());
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Queued> {
        self.due.remove(&number);
        self.drafts.remove(&number)
    }

    /// Removes all drafts, oldest first.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Queued> {
        self.due.clear();
        std::mem::take(&mut self.drafts).into_values()
    }
}

impl Queued {
    /// Sends the outcome to the caller. Returns the draft if no caller waits.
    pub(super) fn resolve(self, outcome: Outcome) -> Option<Draft> {
        let Self { draft, reply } = self;
        let sent = reply.is_some_and(|reply| reply.send(outcome).is_ok());
        (!sent).then_some(draft)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Change, RoomId};

    fn push(outbox: &mut Outbox, text: &str) {
        let draft = Draft::new("general".parse::<RoomId>().unwrap(), Change::post(text));
        outbox.push(Queued { draft, reply: None });
    }

    fn numbers(outbox: &mut Outbox) -> Vec<u64> {
        std::iter::from_fn(|| outbox.next().map(|(number, _)| number)).collect()
    }

    #[test]
    fn a_draft_to_send_again_goes_before_later_ones() {
        let mut outbox = Outbox::default();
        for text in ["a", "b", "c"] {
            push(&mut outbox, text);
        }
        assert_eq!(outbox.next().map(|(number, _)| number), Some(1));
        assert_eq!(outbox.next().map(|(number, _)| number), Some(2));
        outbox.retry(1);
        assert_eq!(numbers(&mut outbox), [1, 3]);
        assert!(outbox.remove(2).is_some());
        outbox.retry_all();
        outbox.retry(2);
        assert_eq!(numbers(&mut outbox), [1, 3], "a draft that was removed is not sent again");
        assert_eq!(outbox.len(), 2);
    }
}
