//! How far the user has read in each room, and what the service knows of it. Pure.

use std::collections::BTreeMap;

use crate::model::{Joined, RoomId, Seq, Verdict};

#[derive(Debug, Default)]
pub(super) struct ReadMarks {
    marks: BTreeMap<RoomId, ReadMark>,
}

#[derive(Debug, Default)]
struct ReadMark {
    /// The epoch of the history that it belongs to, once that is known.
    epoch: Option<u64>,
    /// What the application asked to store.
    wanted: Seq,
    /// What is stored, as far as is known.
    stored: Seq,
    /// What was last delivered to the application.
    delivered: Seq,
    /// Whether the service was asked to store one and has not replied.
    in_flight: bool,
}

impl ReadMarks {
    pub(super) fn want(&mut self, room: &RoomId, seq: Seq) {
        let mark = self.marks.entry(room.clone()).or_default();
        mark.wanted = mark.wanted.max(seq);
    }

    /// Returns the rooms whose marks have to be sent.
    pub(super) fn due(&self) -> Vec<RoomId> {
        self.marks.iter().filter(|(_, mark)| mark.is_due()).map(|(room, _)| room.clone()).collect()
    }

    /// Returns the mark to send, if it has to be sent and no other is in flight.
    pub(super) fn take_due(&mut self, room: &RoomId) -> Option<Seq> {
        let mark = self.marks.get_mut(room).filter(|mark| mark.is_due())?;
        mark.in_flight = true;
        Some(mark.wanted)
    }

    /// Notes what the service has stored when a room is joined.
    pub(super) fn joined(&mut self, joined: &Joined) {
        let mark = self.marks.entry(joined.room.clone()).or_default();
        // Seqs of another epoch say nothing about this one.
        if mark.epoch.is_some_and(|epoch| epoch != joined.epoch) || matches!(joined.verdict, Verdict::Reset(_)) {
            *mark = ReadMark { in_flight: mark.in_flight, ..ReadMark::default() };
        }
        mark.epoch = Some(joined.epoch);
        (mark.stored, mark.delivered) = (mark.stored.max(joined.read), joined.read);
    }

    /// Notes that a mark is stored. Returns whether the application has to be notified.
    pub(super) fn stored(&mut self, room: &RoomId, seq: Seq) -> bool {
        let mark = self.marks.entry(room.clone()).or_default();
        mark.stored = mark.stored.max(seq);
        let is_new = seq > mark.delivered;
        mark.delivered = mark.delivered.max(seq);
        is_new
    }

    /// The mark in flight has a reply, or has to be sent again.
    pub(super) fn not_in_flight(&mut self, room: &RoomId) {
        if let Some(mark) = self.marks.get_mut(room) {
            mark.in_flight = false;
        }
    }

    /// The service refused the mark `seq`. It is not sent again; others may be.
    pub(super) fn refused(&mut self, room: &RoomId, seq: Seq) {
        if let Some(mark) = self.marks.get_mut(room) {
            mark.in_flight = false;
            if mark.wanted == seq {
                mark.wanted = mark.stored;
            }
        }
    }

    /// Marks that were in flight when the session ended may not have arrived.
    pub(super) fn session_ended(&mut self) {
        for mark in self.marks.values_mut() {
            mark.in_flight = false;
        }
    }
}

impl ReadMark {
    fn is_due(&self) -> bool {
        self.wanted > self.stored && !self.in_flight
    }
}
