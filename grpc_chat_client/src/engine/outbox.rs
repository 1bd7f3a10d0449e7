//! Drafts that have no ack yet. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::time::Time;
use crate::error::SendError;
use crate::model::{Ack, Draft, MsgId, RoomId};
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
#[derive(Debug)]
pub(super) struct Outbox {
    drafts: BTreeMap<u64, Queued>,
    /// The drafts to send, for the first time or again.
    due: BTreeSet<u64>,
    /// The drafts to send once their rooms are no longer held.
    waiting: BTreeSet<u64>,
    /// Rooms to which nothing is sent, and until when.
    held: BTreeMap<RoomId, Time>,
    last: u64,
    /// The most drafts in flight at once. One after a refusal, and one more for each that is done: the service is not sent again
    /// and again what it will not take.
    window: usize,
    /// A draft was refused, and others are still in flight. They may be refused, too, and must not be overtaken then, so nothing
    /// is sent until each has its reply.
    settling: bool,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            drafts: BTreeMap::new(),
            due: BTreeSet::new(),
            waiting: BTreeSet::new(),
            held: BTreeMap::new(),
            last: 0,
            window: usize::MAX,
            settling: false,
        }
    }
}

impl Outbox {
    pub(super) fn push(&mut self, queued: Queued) {
        self.last += 1;
        self.drafts.insert(self.last, queued);
        self.retry(self.last);
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

    /// Whether [`Outbox::next`] may be called: there is a draft to send, and it may be sent now.
    pub(super) fn may_send(&self) -> bool {
        !self.due.is_empty() && !self.settling && self.in_flight() < self.window
    }

    /// Takes the oldest draft to send, with its number.
    pub(super) fn next(&mut self) -> Option<(u64, &Draft)> {
        let number = self.due.pop_first()?;
        self.drafts.get(&number).map(|queued| (number, &queued.draft))
    }

    /// The service has refused a draft, which is sent again.
    pub(super) fn refused(&mut self, number: u64) {
        self.settling = true;
        self.retry(number);
        self.settle();
    }

    /// The service takes less than it is sent.
    pub(super) fn slow_down(&mut self) {
        self.window = 1;
    }

    /// The service takes nothing for the room of this draft until then. Drafts for other rooms go on.
    pub(super) fn hold_room_of(&mut self, number: u64, until: Time) {
        let Some(room) = self.drafts.get(&number).map(|queued| queued.draft.room.clone()) else { return };
        if self.held.insert(room.clone(), until).is_none() {
            let drafts = &self.drafts;
            let is_held = |number: &u64| drafts.get(number).is_some_and(|queued| queued.draft.room == room);
            self.waiting.extend(self.due.extract_if(.., is_held));
        }
    }

    /// Time has passed: drafts for rooms that are no longer held may be sent.
    pub(super) fn tick(&mut self, now: Time) {
        if self.held.extract_if(.., |_, until| now >= *until).count() > 0 {
            std::mem::take(&mut self.waiting).into_iter().for_each(|number| self.retry(number));
        }
    }

    /// Returns when [`Outbox::tick`] is due.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.held.values().min().copied()
    }

    /// Sends all drafts again: nothing is in flight any more.
    pub(super) fn retry_all(&mut self) {
        self.due.extend(self.drafts.keys().filter(|number| !self.waiting.contains(number)));
        if !self.held.is_empty() {
            std::mem::take(&mut self.due).into_iter().for_each(|number| self.retry(number));
        }
        self.settle();
    }

    /// Removes a draft that is done.
    pub(super) fn remove(&mut self, number: u64) -> Option<Queued> {
        self.due.remove(&number);
        self.waiting.remove(&number);
        let removed = self.drafts.remove(&number);
        if !self.settling {
            self.window = self.window.saturating_add(1);
        }
        self.settle();
        removed
    }

    /// Removes all drafts, oldest first.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Queued> {
        self.due.clear();
        self.waiting.clear();
        std::mem::take(&mut self.drafts).into_values()
    }

    /// Sends a draft in its turn, for the first time or again.
    fn retry(&mut self, number: u64) {
        let Some(queued) = self.drafts.get(&number) else { return };
        let to = if self.held.contains_key(&queued.draft.room) { &mut self.waiting } else { &mut self.due };
        to.insert(number);
    }

    /// Returns how many drafts were sent and have no reply.
    fn in_flight(&self) -> usize {
        self.drafts.len() - self.due.len() - self.waiting.len()
    }

    fn settle(&mut self) {
        self.settling &= self.in_flight() > 0;
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
    use crate::model::Change;

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
        outbox.refused(1);
        assert_eq!(numbers(&mut outbox), [1, 3]);
        assert!(outbox.remove(2).is_some());
        outbox.retry_all();
        outbox.refused(2);
        assert_eq!(numbers(&mut outbox), [1, 3], "a draft that was removed is not sent again");
        assert_eq!(outbox.len(), 2);
    }
}
