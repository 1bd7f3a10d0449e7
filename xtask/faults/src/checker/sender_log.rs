//! What one sender sent, and how each of its drafts was answered.

use std::collections::HashMap;

use super::event::Id;

/// The log of one sender.
#[derive(Debug, Default)]
pub(crate) struct SenderLog {
    drafts: HashMap<Id, Draft>,
    violations: Vec<String>,
}

/// A draft and how its attempts were answered.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(super) room: String,
    pub(super) message: u64,
    pub(super) attempts: u32,
    /// The number of attempts that were answered as not stored.
    pub(super) refused: u32,
    pub(super) acked: Option<u64>,
    /// Whether an ack without `duplicate` was received.
    acked_as_new: bool,
}

impl SenderLog {
    /// Records an attempt to send the draft.
    pub(crate) fn sent(&mut self, id: Id, room: &str, message: u64) {
        let room = room.to_owned();
        let new = Draft { room, message, attempts: 0, refused: 0, acked: None, acked_as_new: false };
        self.drafts.entry(id).or_insert(new).attempts += 1;
    }

    /// Records another attempt, which the client library made by itself.
    pub(crate) fn sent_again(&mut self, id: Id) {
        if let Some(draft) = self.drafts.get_mut(&id) {
            draft.attempts += 1;
        }
    }

    /// Records an attempt that stored nothing: it was answered with an error other than UNKNOWN, or was never sent.
    pub(crate) fn refused(&mut self, id: Id) {
        if let Some(draft) = self.drafts.get_mut(&id) {
            draft.refused += 1;
        }
    }

    /// Records an ack.
    pub(crate) fn acked(&mut self, id: Id, room: &str, seq: u64, duplicate: bool) {
        let Some(draft) = self.drafts.get_mut(&id) else {
            return self.violation(format!("an ack at {seq} in {room} for a draft that was never sent"));
        };
        if draft.room != room {
            self.violations.push(format!("sent to {} and acked in {room}", draft.room));
        }
        if duplicate && draft.attempts < 2 {
            self.violations.push(format!("{seq} in {room} was sent once and acked as a duplicate"));
        }
        if !duplicate && std::mem::replace(&mut draft.acked_as_new, true) {
            self.violations.push(format!("{seq} in {room} was acked twice, neither time as a duplicate"));
        }
        match draft.acked.replace(seq) {
            Some(first) if first != seq => {
                self.violations.push(format!("acked at {first} and then at {seq} in {room}"));
            }
            _ => {}
        }
    }

    /// Records something that a server must not send to a sender.
    pub(crate) fn violation(&mut self, violation: String) {
        self.violations.push(violation);
    }

    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    pub(super) fn drafts(&self) -> &HashMap<Id, Draft> {
        &self.drafts
    }

    /// Returns the number of drafts without an ack.
    pub(crate) fn unacked(&self) -> usize {
        self.drafts.values().filter(|draft| draft.acked.is_none()).count()
    }
}
