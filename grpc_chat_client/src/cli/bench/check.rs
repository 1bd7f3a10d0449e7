//! Checks that every receiver of a room gets what was acked: all of it, once and in order. No I/O.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::ops::Range;

use super::run::Stamp;

/// What was acked in a room, and what each receiver has of it.
pub(super) struct Check {
    acked: Messages,
    received: Vec<Messages>,
    /// Messages that every receiver has. All get the same ones in the same order.
    complete: u64,
    /// For each message after those, how many receivers do not have it yet.
    missing: VecDeque<u32>,
}

/// Messages, each with its seq: how many, and the sum of their hashes. Two such sums are equal if the messages are.
#[derive(Clone, Copy, Debug, Default)]
struct Messages {
    count: u64,
    hashes: u64,
    last: u64,
}

impl Check {
    pub(super) fn new(receivers: u64) -> Self {
        let received = vec![Messages::default(); receivers as usize];
        Self { acked: Messages::default(), received, complete: 0, missing: VecDeque::new() }
    }

    /// Adds a message that was acked. Acks may overtake each other.
    pub(super) fn acked(&mut self, seq: u64, stamp: Stamp) {
        self.acked.add(seq, stamp);
    }

    pub(super) fn acked_count(&self) -> u64 {
        self.acked.count
    }

    /// Adds what a receiver got. Returns the messages, by number in the order of the room, that every receiver has now and
    /// not every one had before. Fails if one came twice or out of order.
    pub(super) fn received(&mut self, receiver: usize, batch: &[(u64, Stamp)]) -> Result<Range<u64>, String> {
        let received = &mut self.received[receiver];
        let index = |count: u64| count.saturating_sub(self.complete) as usize;
        let from = index(received.count);
        for (seq, stamp) in batch {
            if *seq <= received.last {
                return Err(format!("event {seq} came after event {}", received.last));
            }
            received.add(*seq, *stamp);
        }
        let to = index(received.count);
        if to > self.missing.len() {
            self.missing.resize(to, self.received.len() as u32);
        }
        self.missing.range_mut(from..to).for_each(|missing| *missing = missing.saturating_sub(1));
        let before = self.complete;
        while self.missing.pop_front_if(|missing| *missing == 0).is_some() {
            self.complete += 1;
        }
        Ok(before..self.complete)
    }

    /// Fails if a receiver has anything else than what was acked. To be called when all has come.
    pub(super) fn finish(&self) -> Result<(), String> {
        let Messages { count: acked, hashes, .. } = self.acked;
        for (index, received) in self.received.iter().enumerate() {
            let receiver = index + 1;
            if received.count != acked {
                return Err(format!("receiver {receiver}: {} messages came, and {acked} were acked", received.count));
            }
            if received.hashes != hashes {
                return Err(format!("receiver {receiver}: other messages came than were acked, or with other seqs"));
            }
        }
        Ok(())
    }
}

impl Messages {
    fn add(&mut self, seq: u64, Stamp { sender, number, .. }: Stamp) {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((seq, sender, number));
        *self = Self { count: self.count + 1, hashes: self.hashes.wrapping_add(hash), last: seq };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(numbers: Range<u64>) -> Vec<(u64, Stamp)> {
        numbers.map(|number| (number + 1, Stamp { sender: 0, number, at: 0 })).collect()
    }

    #[test]
    fn a_message_is_complete_when_the_slowest_receiver_has_it() {
        let mut check = Check::new(3);
        let mut received = |receiver, numbers| check.received(receiver, &messages(numbers)).unwrap();
        assert_eq!(received(0, 0..5), 0..0);
        assert_eq!(received(1, 0..2), 0..0);
        assert_eq!(received(2, 0..1), 0..1);
        assert_eq!(received(2, 1..10), 1..2);
        assert_eq!(received(1, 2..5), 2..5);
        assert_eq!(received(0, 5..5), 5..5);
        assert_eq!(check.missing.len(), 5, "what is complete is not kept");
    }

    #[test]
    fn each_receiver_has_to_get_what_was_acked() {
        let mut check = Check::new(2);
        // Acks overtake each other.
        messages(0..3).into_iter().rev().for_each(|(seq, stamp)| check.acked(seq, stamp));
        check.received(0, &messages(0..3)).unwrap();
        check.received(1, &messages(0..2)).unwrap();
        assert_eq!(check.finish().unwrap_err(), "receiver 2: 2 messages came, and 3 were acked");
        check.received(1, &messages(2..3)).unwrap();
        check.finish().unwrap();
    }

    #[test]
    fn a_message_too_many_or_another_one_or_with_another_seq_is_an_error() {
        for (received, why) in [
            ([(1, 0), (2, 1), (3, 2), (4, 3)].as_slice(), "4 messages came, and 3 were acked"),
            (&[(1, 0), (2, 2), (3, 1)], "other messages came"),
            (&[(1, 0), (2, 1), (4, 2)], "other messages came"),
            (&[(1, 0), (2, 1), (2, 1)], "event 2 came after event 2"),
            (&[(2, 1), (1, 0)], "event 1 came after event 2"),
        ] {
            let mut check = Check::new(1);
            messages(0..3).into_iter().for_each(|(seq, stamp)| check.acked(seq, stamp));
            let batch = received.iter().map(|&(seq, number)| (seq, Stamp { sender: 0, number, at: 0 }));
            let batch: Vec<_> = batch.collect();
            let problem = check.received(0, &batch).and_then(|_| check.finish()).unwrap_err();
            assert!(problem.contains(why), "{problem}");
        }
    }
}
