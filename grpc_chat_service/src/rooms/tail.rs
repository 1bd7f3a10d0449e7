//! The newest events of a room, as the bytes that every reader is sent.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::budgets::Lease;
use crate::model::{Change, Event, Seq};

/// The approximate size of a batch. Whoever holds a part of a batch, such as the stream of a client that does not read,
/// keeps the whole batch in memory.
const BATCH_BYTES: usize = 32 * 1024;

/// A room's newest events, each encoded once. Pure: events are added in the order in which they were stored, and readers
/// take what follows their cursor.
#[derive(Debug)]
pub(super) struct Tail {
    /// Events that were stored together stay together, up to the batch size: a reader that is up to date takes a batch as
    /// it is, without a copy.
    batches: VecDeque<Batch>,
    /// The sequence number before the first event kept. Without any, that of the last one dropped.
    start: Seq,
    /// The newest event added, 0 if there is none.
    head: Seq,
    /// The size of all batches.
    bytes: usize,
    max_bytes: usize,
    /// What the batches occupy.
    lease: Lease,
}

#[derive(Debug)]
struct Batch {
    wire: Bytes,
    /// The sequence number of each event, and where its bytes end.
    ends: Vec<(Seq, usize)>,
    last: Seq,
    /// What this occupies, in bytes.
    occupied: usize,
}

/// The result of taking what follows a cursor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// No later event has been added.
    Level,
    /// Some of what follows is not kept here and has to be read from the history.
    Behind,
    /// Events were taken, and this is the reader's new cursor.
    Upto(Seq),
}

impl Tail {
    pub(super) fn new(max_bytes: usize, lease: Lease) -> Self {
        Self { batches: VecDeque::new(), start: 0, head: 0, bytes: 0, max_bytes, lease }
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Adds stored events, in order. Events that a delete among them erases lose their text, and nothing from before a
    /// delete is kept: a reader who still needs it gets it from the history, erased.
    pub(super) fn extend(&mut self, mut events: Vec<Event>, encode: fn(&Event, &mut BytesMut)) {
        if self.head > 0 {
            // What is known to be stored already was added before, or is left to the history.
            events.retain(|event| event.seq > self.head);
        }
        let Some(first) = events.first().map(|event| event.prev_seq) else {
            return;
        };
        let deleted = erase_deleted(&mut events);
        if deleted || first != self.head {
            // The tail restarts with these events; otherwise it would have a gap.
            self.clear();
        }
        if self.batches.is_empty() {
            self.start = first;
        }
        let mut events = events.iter().peekable();
        while events.peek().is_some() {
            let mut wire = BytesMut::new();
            let mut ends = Vec::new();
            for event in events.by_ref() {
                encode(event, &mut wire);
                ends.push((event.seq, wire.len()));
                self.head = event.seq;
                if wire.len() >= BATCH_BYTES {
                    break;
                }
            }
            self.bytes += wire.len();
            let occupied = wire.capacity() + ends.capacity() * size_of::<(Seq, usize)>();
            self.lease.overdraw(self.lease.bytes() + occupied);
            self.batches.push_back(Batch { wire: wire.freeze(), ends, last: self.head, occupied });
        }
        while self.bytes > self.max_bytes && self.batches.len() > 1 {
            self.drop_oldest();
        }
    }

    /// Empties the tail: readers get what was in it from the history.
    pub(super) fn clear(&mut self) {
        self.batches.clear();
        self.bytes = 0;
        self.lease.overdraw(0);
        self.start = self.head;
    }

    /// Empties the tail and continues after `head`, which is stored and has not been added.
    pub(super) fn skip_to(&mut self, head: Seq) {
        self.head = self.head.max(head);
        self.clear();
    }

    /// Appends what follows `after` to `into`: about `max_bytes`, and at least one event.
    pub(super) fn take(&self, after: Seq, max_bytes: usize, into: &mut Vec<Bytes>) -> Taken {
        if after >= self.head {
            return Taken::Level;
        }
        if after < self.start || self.batches.is_empty() {
            return Taken::Behind;
        }
        let mut upto = after;
        let mut taken = 0;
        let first = self.batches.partition_point(|batch| batch.last <= after);
        for batch in self.batches.range(first..) {
            let skipped = batch.ends.partition_point(|&(seq, _)| seq <= upto);
            let begin = if skipped == 0 { 0 } else { batch.ends[skipped - 1].1 };
            let room = begin + (max_bytes - taken);
            // At least one event, then as many as fit.
            let fit = batch.ends.partition_point(|&(_, end)| end <= room).max(if taken == 0 { skipped + 1 } else { 0 });
            if fit <= skipped {
                break;
            }
            let (seq, end) = batch.ends[fit - 1];
            into.push(batch.wire.slice(begin..end));
            upto = seq;
            taken += end - begin;
            if fit < batch.ends.len() || taken >= max_bytes {
                break;
            }
        }
        Taken::Upto(upto)
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.batches.pop_front() {
            self.bytes -= oldest.wire.len();
            self.lease.overdraw(self.lease.bytes() - oldest.occupied);
            self.start = oldest.last;
        }
    }
}

/// Erases messages, and edits of them, that are deleted later in the same batch. Returns whether there was any delete.
fn erase_deleted(events: &mut [Event]) -> bool {
    let deleted: Vec<Seq> = events
        .iter()
        .filter_map(|event| match event.draft.change {
            Change::Delete { seq } => Some(seq),
            _ => None,
        })
        .collect();
    if deleted.is_empty() {
        return false;
    }
    for event in events {
        let message = match event.draft.change {
            Change::Post { .. } => event.seq,
            Change::Edit { seq, .. } => seq,
            Change::Delete { .. } | Change::React { .. } => continue,
        };
        if deleted.contains(&message) {
            event.erase();
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::budgets::Budget;
    use crate::model::{ClientMsgId, Draft, RoomId, UserId};

    fn tail_of(max_bytes: usize) -> Tail {
        Tail::new(max_bytes, Budget::new(0).lease())
    }

    fn event(seq: Seq, change: Change) -> Event {
        let draft = Draft {
            room: RoomId::new("r").unwrap(),
            sender: UserId::new("u").unwrap(),
            device: None,
            client_msg_id: ClientMsgId([0; 16]),
            change,
        };
        Event { seq, prev_seq: seq - 1, time: 0, draft, erased: false }
    }

    fn posts(seqs: std::ops::RangeInclusive<Seq>) -> Vec<Event> {
        seqs.map(|seq| event(seq, Change::Post { text: "x".repeat(seq as usize % 7).into(), reply_to: None })).collect()
    }

    /// `seq:text;`, so that tests can read what is taken.
    fn encode(event: &Event, out: &mut BytesMut) {
        let text = match &event.draft.change {
            Change::Post { text, .. } | Change::Edit { text, .. } => text,
            Change::Delete { .. } => "deleted",
            Change::React { .. } => "reacted",
        };
        out.extend_from_slice(format!("{}:{text};", event.seq).as_bytes());
    }

    fn text(parts: &[Bytes]) -> String {
        parts.iter().map(|part| std::str::from_utf8(part).unwrap()).collect()
    }

    fn seqs(parts: &[Bytes]) -> Vec<Seq> {
        text(parts).split_terminator(';').map(|one| one.split(':').next().unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn an_empty_tail_is_level_with_every_cursor() {
        let tail = tail_of(100);
        for cursor in [0, 1, 99] {
            assert_eq!(tail.take(cursor, 100, &mut Vec::new()), Taken::Level);
        }
    }

    #[test]
    fn a_reader_from_before_the_tail_is_behind_one_inside_gets_the_rest() {
        let mut tail = tail_of(1000);
        tail.extend(posts(10..=12), encode);
        tail.extend(posts(13..=13), encode);
        assert_eq!(tail.take(8, 1000, &mut Vec::new()), Taken::Behind);
        for (after, rest) in [(9, vec![10, 11, 12, 13]), (10, vec![11, 12, 13]), (12, vec![13])] {
            let mut parts = Vec::new();
            assert_eq!(tail.take(after, 1000, &mut parts), Taken::Upto(13));
            assert_eq!(seqs(&parts), rest);
        }
        assert_eq!(tail.take(13, 1000, &mut Vec::new()), Taken::Level);
        assert_eq!(tail.take(99, 1000, &mut Vec::new()), Taken::Level);
    }

    #[test]
    fn a_gap_empties_the_tail_before_it() {
        let mut tail = tail_of(1000);
        tail.extend(posts(1..=3), encode);
        tail.extend(posts(7..=8), encode);
        assert_eq!(tail.take(3, 1000, &mut Vec::new()), Taken::Behind);
        let mut parts = Vec::new();
        assert_eq!(tail.take(6, 1000, &mut parts), Taken::Upto(8));
        assert_eq!(seqs(&parts), [7, 8]);
    }

    #[test]
    fn a_delete_leaves_no_text_behind() {
        let mut tail = tail_of(1000);
        let secret = |seq| event(seq, Change::Post { text: "secret".into(), reply_to: None });
        tail.extend(vec![secret(1)], encode);
        let edit = event(3, Change::Edit { seq: 2, text: "secret too".into() });
        let kept = event(4, Change::Post { text: "kept".into(), reply_to: None });
        tail.extend(vec![secret(2), edit, kept, event(5, Change::Delete { seq: 2 })], encode);
        assert_eq!(tail.take(0, 1000, &mut Vec::new()), Taken::Behind);
        let mut parts = Vec::new();
        tail.take(1, 1000, &mut parts);
        assert_eq!(text(&parts), "2:;3:;4:kept;5:deleted;");
    }

    proptest! {
        /// However events are batched and however much is taken at a time, a reader that starts anywhere, and reads from the
        /// history where the tail is behind, sees every event after its cursor once and in order.
        #[test]
        fn every_reader_sees_every_event_once_in_order(
            batches in prop::collection::vec(1u64..6, 0..12),
            max_bytes in 1usize..200,
            start in 0u64..20,
            take in 1usize..60,
        ) {
            let mut tail = tail_of(max_bytes);
            let mut head = 0;
            let mut cursor = start.min(batches.iter().sum());
            let mut seen = Vec::new();
            let first = cursor + 1;
            for batch in batches {
                tail.extend(posts(head + 1..=head + batch), encode);
                head += batch;
                loop {
                    let mut parts = Vec::new();
                    match tail.take(cursor, take, &mut parts) {
                        Taken::Level => break,
                        Taken::Behind => { cursor += 1; seen.push(cursor); }
                        Taken::Upto(upto) => {
                            let got = seqs(&parts);
                            prop_assert!(!got.is_empty());
                            prop_assert_eq!(*got.last().unwrap(), upto);
                            prop_assert!(got.len() == 1 || text(&parts).len() <= take);
                            seen.extend(got);
                            cursor = upto;
                        }
                    }
                }
                prop_assert!(tail.batches.len() == 1 || tail.bytes <= max_bytes);
            }
            prop_assert_eq!(seen, (first..=head.max(first - 1)).collect::<Vec<_>>());
        }
    }
}
