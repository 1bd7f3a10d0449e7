//! What the receivers of one room have heard: how far all of them are, and whether it was right. Pure.

use std::collections::VecDeque;

/// How far receivers are who all hear the same messages in the same order.
#[derive(Debug)]
pub(super) struct Reach {
    receivers: u32,
    /// Messages that everyone has heard.
    by_all: u64,
    /// For each of the messages after those: how many receivers have not heard it.
    missing: VecDeque<u32>,
}

impl Reach {
    pub(super) fn new(receivers: u32) -> Self {
        Self { receivers, by_all: 0, missing: VecDeque::new() }
    }

    pub(super) fn by_all(&self) -> u64 {
        self.by_all
    }

    /// A receiver that had heard so many messages has heard some more. Answers how many messages everyone has heard now
    /// that not everyone had.
    pub(super) fn heard(&mut self, before: u64, more: u64) -> u64 {
        let from = before.saturating_sub(self.by_all) as usize;
        let upto = (before + more).saturating_sub(self.by_all) as usize;
        if upto > self.missing.len() {
            self.missing.resize(upto, self.receivers);
        }
        for missing in self.missing.range_mut(from..upto) {
            *missing = missing.saturating_sub(1);
        }
        let mut newly = 0;
        while self.missing.front() == Some(&0) {
            self.missing.pop_front();
            newly += 1;
        }
        self.by_all += newly;
        newly
    }
}

/// Messages of a bench, each with its place in the room: how many, and their sum, which is another one if one of them is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) count: u64,
    sum: u64,
}

impl Log {
    /// In any order.
    pub(super) fn add(&mut self, seq: u64, sender: u32, number: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(mixed(mixed(mixed(seq) ^ u64::from(sender)) ^ number));
    }
}

/// What one receiver has heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) log: Log,
    last: u64,
}

impl Heard {
    /// # Errors
    ///
    /// A sentence, if it comes again or out of order.
    pub(super) fn next(&mut self, seq: u64, sender: u32, number: u64) -> Result<(), String> {
        if seq <= self.last {
            return Err(format!("event {seq} came after event {}", self.last));
        }
        self.last = seq;
        self.log.add(seq, sender, number);
        Ok(())
    }

    /// # Errors
    ///
    /// A sentence, if it is not all that was acked, and nothing else.
    pub(super) fn check(&self, acked: &Log) -> Result<(), String> {
        match self.log {
            log if log == *acked => Ok(()),
            Log { count, .. } if count != acked.count => {
                Err(format!("{count} messages came, and {} were acked", acked.count))
            }
            _ => Err("other messages came than were acked, or in other places".to_owned()),
        }
    }
}

/// The bits of a number, well mixed (the output function of SplitMix64).
fn mixed(number: u64) -> u64 {
    let z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_heard_what_the_slowest_has() {
        let mut reach = Reach::new(3);
        assert_eq!(reach.heard(0, 5), 0);
        assert_eq!(reach.heard(0, 2), 0);
        assert_eq!(reach.heard(0, 1), 1);
        assert_eq!(reach.heard(1, 9), 1);
        assert_eq!(reach.heard(2, 3), 3);
        assert_eq!(reach.by_all(), 5);
        assert_eq!(reach.heard(5, 0), 0);
        assert_eq!(reach.missing.len(), 5, "what nobody waits for is not kept");
    }

    #[test]
    fn one_receiver_is_always_all() {
        let mut reach = Reach::new(1);
        assert_eq!(reach.heard(0, 7), 7);
        assert_eq!(reach.heard(7, 1), 1);
        assert!(reach.missing.is_empty());
    }

    fn heard(messages: &[(u64, u32, u64)]) -> Result<Heard, String> {
        let mut heard = Heard::default();
        messages.iter().try_for_each(|&(seq, sender, number)| heard.next(seq, sender, number))?;
        Ok(heard)
    }

    #[test]
    fn what_was_acked_once_and_in_order_is_right_and_all_else_is_not() {
        let mut acked = Log::default();
        // Acks overtake each other.
        for (seq, sender, number) in [(7, 1, 0), (5, 0, 0), (6, 0, 1)] {
            acked.add(seq, sender, number);
        }
        heard(&[(5, 0, 0), (6, 0, 1), (7, 1, 0)]).unwrap().check(&acked).unwrap();

        for (wrong, why) in [
            (vec![(5, 0, 0), (7, 1, 0)], "2 messages came, and 3 were acked"),
            (vec![(5, 0, 0), (6, 0, 1), (7, 1, 0), (8, 1, 1)], "4 messages came, and 3 were acked"),
            (vec![(5, 0, 0), (6, 1, 0), (7, 0, 1)], "other messages came"),
            (vec![(5, 0, 0), (6, 0, 1), (8, 1, 0)], "other messages came"),
        ] {
            let problem = heard(&wrong).unwrap().check(&acked).unwrap_err();
            assert!(problem.starts_with(why), "{problem}");
        }
        for wrong in [[(5, 0, 0), (5, 0, 0)], [(6, 0, 1), (5, 0, 0)]] {
            let problem = heard(&wrong).unwrap_err();
            assert!(problem.contains("came after"), "{problem}");
        }
    }
}
