//! Drafts that are not acked yet, in the order in which they were made. Pure.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::error::SendError;
use crate::model::{Ack, Draft, MsgId};

/// How a draft's way ends.
pub(crate) type Outcome = Result<Ack, SendError>;

/// A draft, whoever waits for its outcome, and its place in the outbox, which is free again when it is dropped. Drafts of
/// an earlier run of the program have nobody, and take no place.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) draft: Draft,
    pub(crate) reply: Option<oneshot::Sender<Outcome>>,
    pub(crate) _place: Option<OwnedSemaphorePermit>,
}

/// Drafts are numbered in the order in which they were made, which is the order in which they are sent and sent again.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    drafts: BTreeMap<u64, Posted>,
    /// Those that are to be sent, for the first time or again.
    due: BTreeSet<u64>,
    last: u64,
}

impl Outbox {
    pub(crate) fn put(&mut self, posted: Posted) {
        self.last += 1;
        self.drafts.insert(self.last, posted);
        self.due.insert(self.last);
    }

    /// The id of the draft with this number.
    pub(crate) fn id(&self, number: u64) -> Option<MsgId> {
        self.drafts.get(&number).map(|posted| posted.draft.id)
    }

    /// The drafts that were not left by an earlier run.
    pub(crate) fn of_this_run(&self) -> Vec<MsgId> {
        self.drafts.values().filter(|posted| posted.reply.is_some()).map(|posted| posted.draft.id).collect()
    }

    /// The drafts that were.
    pub(crate) fn of_earlier_runs(&self) -> Vec<Draft> {
        self.drafts.values().filter(|posted| posted.reply.is_none()).map(|posted| posted.draft.clone()).collect()
    }

    /// How many are not acked.
    pub(crate) fn len(&self) -> usize {
        self.drafts.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.drafts.is_empty()
    }

    pub(crate) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// The oldest that is due, with its number. It is on its way from here on.
    pub(crate) fn next(&mut self) -> Option<(u64, &Draft)> {
        let number = self.due.pop_first()?;
        self.drafts.get(&number).map(|posted| (number, &posted.draft))
    }

    /// It was not stored, or that is not known: it is to be sent again.
    pub(crate) fn again(&mut self, number: u64) {
        if self.drafts.contains_key(&number) {
            self.due.insert(number);
        }
    }

    /// Everything is to be sent again.
    pub(crate) fn all_again(&mut self) {
        self.due.extend(self.drafts.keys());
    }

    /// Its way has ended.
    pub(crate) fn remove(&mut self, number: u64) -> Option<Posted> {
        self.due.remove(&number);
        self.drafts.remove(&number)
    }

    /// All that is left, oldest first.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Posted> {
        self.due.clear();
        std::mem::take(&mut self.drafts).into_values()
    }
}

impl Posted {
    /// Tells whoever waits; answers the draft and the outcome if nobody does.
    pub(crate) fn settle(self, outcome: Outcome) -> Option<(Draft, Outcome)> {
        let Self { draft, reply, _place } = self;
        match reply {
            Some(reply) => reply.send(outcome).err().map(|outcome| (draft, outcome)),
            None => Some((draft, outcome)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Change, RoomId};

    fn put(outbox: &mut Outbox, text: &str) {
        let draft = Draft::new("general".parse::<RoomId>().unwrap(), Change::post(text));
        outbox.put(Posted { draft, reply: None, _place: None });
    }

    fn numbers(outbox: &mut Outbox) -> Vec<u64> {
        std::iter::from_fn(|| outbox.next().map(|(number, _)| number)).collect()
    }

    #[test]
    fn what_is_to_be_sent_again_goes_before_what_came_later() {
        let mut outbox = Outbox::default();
        for text in ["a", "b", "c"] {
            put(&mut outbox, text);
        }
        assert_eq!(outbox.next().map(|(number, _)| number), Some(1));
        assert_eq!(outbox.next().map(|(number, _)| number), Some(2));
        outbox.again(1);
        assert_eq!(numbers(&mut outbox), [1, 3]);
        assert!(outbox.remove(2).is_some());
        outbox.all_again();
        outbox.again(2);
        assert_eq!(numbers(&mut outbox), [1, 3], "what has ended is not sent again");
        assert_eq!(outbox.len(), 2);
    }
}
