//! What all tasks of one run share: its clock, its counters and its latencies.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use grpc_chat_client::{ConnectionState, RoomId, sanitize};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Bytes of text that a [`Stamp`] takes.
pub(super) const STAMP_BYTES: usize = 32;

/// Senders that a [`Stamp`] can tell apart.
pub(super) const SENDERS: u64 = 1 << 12;

/// The head of a message's text: which message it is, and when it was sent. In hexadecimal digits, after those of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Index of the sender; 3 digits.
    pub(super) sender: u32,
    /// How many messages that sender sent before; 9 digits.
    pub(super) number: u64,
    /// When it was sent, or due, on the run's clock; 12 digits, which is three days.
    pub(super) at: u64,
}

/// One run. Times are nanoseconds since it began.
pub(super) struct Run {
    /// Tells the messages of this run from those of others in the same room.
    id: u32,
    /// Bytes of text in a message.
    size: usize,
    start: Instant,
    /// Cancelled when nothing more is to be sent.
    pub(super) over: CancellationToken,
    /// Notified when every answer has come.
    idle: Notify,
    counts: Mutex<Counts>,
}

/// The counters. An answer is whatever the bench counts: a reply, a delivery or an ack.
pub(super) struct Counts {
    /// Messages sent.
    pub(super) messages: u64,
    /// Answers that those lead to, and answers that have come.
    expected: u64,
    pub(super) answers: u64,
    /// Messages that were sent, or due, in this time are measured.
    window: Range<u64>,
    latency: Histogram<u64>,
    lateness: Histogram<u64>,
    /// Sessions that were opened, and why the last one that was lost was lost.
    pub(super) sessions: u64,
    pub(super) trouble: Option<String>,
}

/// A distribution of durations, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Times {
    pub(super) count: u64,
    pub(super) min_us: f64,
    pub(super) mean_us: f64,
    pub(super) p50_us: f64,
    pub(super) p90_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
    pub(super) max_us: f64,
}

impl Run {
    pub(super) fn new(size: usize) -> Result<Self, String> {
        const HOUR: u64 = 3_600_000_000_000;
        let histogram = Histogram::new_with_bounds(1, HOUR, 3);
        let latency = histogram.map_err(|error| format!("cannot measure latencies: {error}"))?;
        Ok(Self {
            id: fastrand::u32(..),
            size,
            start: Instant::now(),
            over: CancellationToken::new(),
            idle: Notify::new(),
            counts: Mutex::new(Counts {
                messages: 0,
                expected: 0,
                answers: 0,
                window: u64::MAX..u64::MAX,
                lateness: latency.clone(),
                latency,
                sessions: 0,
                trouble: None,
            }),
        })
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Returns a new room.
    pub(super) fn room(&self) -> Result<RoomId, String> {
        format!("bench/{:08x}", self.id).parse::<RoomId>().map_err(|error| error.to_string())
    }

    /// Returns the text of a message.
    pub(super) fn text(&self, Stamp { sender, number, at }: Stamp) -> String {
        format!("{:08x}{sender:03x}{number:09x}{at:012x}{:.<2$}", self.id, "", self.size - STAMP_BYTES)
    }

    /// Reads the stamp of a text. `None`: the text is not of this run.
    pub(super) fn stamp(&self, text: &str) -> Option<Stamp> {
        let digits = |range| u64::from_str_radix(text.get(range)?, 16).ok();
        let of_this_run = text.len() == self.size && digits(0..8)? == u64::from(self.id);
        let stamp = Stamp { sender: digits(8..11)? as u32, number: digits(11..20)?, at: digits(20..32)? };
        of_this_run.then_some(stamp)
    }

    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        lock(&self.counts)
    }

    /// Counts a message that is about to be sent and leads to this many answers.
    pub(super) fn sent(&self, answers: u64) {
        let mut counts = self.counts();
        counts.messages += 1;
        counts.expected += answers;
    }

    /// Counts answers, each given by when its message was sent and when it came.
    pub(super) fn answered(&self, answers: &[(u64, u64)]) {
        let mut counts = self.counts();
        for (sent, came) in answers {
            if counts.window.contains(sent) {
                counts.latency.saturating_record(came.saturating_sub(*sent));
            }
        }
        counts.answers += answers.len() as u64;
        if counts.under_way() == 0 {
            self.idle.notify_one();
        }
    }

    /// Records when a message was sent that was due.
    pub(super) fn late(&self, due: u64, sent: u64) {
        let mut counts = self.counts();
        if counts.window.contains(&due) {
            counts.lateness.saturating_record(sent.saturating_sub(due));
        }
    }

    pub(super) fn begin_measuring(&self) {
        self.counts().window.start = self.now();
    }

    pub(super) fn end_measuring(&self) {
        self.counts().window.end = self.now();
    }

    /// Waits until every answer has come. For one caller.
    pub(super) async fn all_answered(&self) {
        while self.counts().under_way() > 0 {
            self.idle.notified().await;
        }
    }

    /// Keeps track of a client's connection.
    pub(super) fn connection_is(&self, connection: &ConnectionState) {
        match connection {
            ConnectionState::Online { .. } => self.counts().sessions += 1,
            ConnectionState::Reconnecting { why, .. } => self.counts().trouble = Some(sanitize(why).into_owned()),
            _ => {}
        }
    }
}

impl Counts {
    /// Returns how many answers are still to come.
    pub(super) fn under_way(&self) -> u64 {
        self.expected.saturating_sub(self.answers)
    }

    /// Returns the latency of what was measured, and with a rate how late it was sent.
    pub(super) fn times(&self) -> (Option<Times>, Option<Times>) {
        (times(&self.latency), times(&self.lateness))
    }
}

fn times(histogram: &Histogram<u64>) -> Option<Times> {
    let us = |nanoseconds: u64| nanoseconds as f64 / 1e3;
    let at = |quantile| us(histogram.value_at_quantile(quantile));
    (!histogram.is_empty()).then(|| Times {
        count: histogram.len(),
        min_us: us(histogram.min()),
        mean_us: histogram.mean() / 1e3,
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: us(histogram.max()),
    })
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written_and_only_in_its_run() {
        let largest = Stamp { sender: 0xFFF, number: (1 << 36) - 1, at: (1 << 48) - 1 };
        for (stamp, size) in [(largest, 32), (Stamp { sender: 0, number: 0, at: 0 }, 33), (largest, 8_192)] {
            let run = Run::new(size).unwrap();
            let text = run.text(stamp);
            assert_eq!((text.len(), run.stamp(&text)), (size, Some(stamp)));
            let other = Run { id: run.id.wrapping_add(1), ..Run::new(size).unwrap() };
            assert_eq!(other.stamp(&text), None);
            for text in [&text[1..], "", "Hi", &"é".repeat(size / 2)] {
                assert_eq!(run.stamp(text), None, "{text:?}");
            }
        }
        Run::new(32).unwrap().room().unwrap();
    }

    #[test]
    fn every_answer_is_counted_and_what_was_sent_in_the_measured_time_is_timed() {
        let run = Run::new(32).unwrap();
        run.answered(&[(10, 20)]);
        run.late(10, 20);
        let counts = run.counts();
        assert_eq!((counts.answers, counts.times()), (1, (None, None)), "nothing is measured yet");
        drop(counts);
        run.counts().window = 100..200;
        run.answered(&[(99, 150), (100, 1_100), (199, 2_199), (200, 9_000)]);
        run.late(150, 5_150);
        let of = |times: Option<Times>| times.map(|times| (times.count, times.min_us.round(), times.max_us.round()));
        let counts = run.counts();
        let (latency, lateness) = counts.times();
        assert_eq!((counts.answers, of(latency), of(lateness)), (5, Some((2, 1.0, 2.0)), Some((1, 5.0, 5.0))));
    }

    #[test]
    fn percentiles_are_right_to_three_figures() {
        let run = Run::new(32).unwrap();
        run.counts().window = 0..1;
        (1..=1_000).for_each(|n| run.answered(&[(0, n * 1_000)]));
        let Times { count, min_us, mean_us, p50_us, p90_us, p99_us, p999_us, max_us } = run.counts().times().0.unwrap();
        assert_eq!(count, 1_000);
        let times = [min_us, mean_us, p50_us, p90_us, p99_us, p999_us, max_us];
        for (time, expected) in times.into_iter().zip([1.0, 500.5, 500.0, 900.0, 990.0, 999.0, 1_000.0]) {
            assert!((time - expected).abs() <= expected / 500.0, "{time} for {expected}");
        }
        run.answered(&[(0, u64::MAX - 1)]);
        assert!(run.counts().times().0.unwrap().max_us >= 3.6e9, "what took longer than an hour counts as an hour");
    }

    #[tokio::test]
    async fn all_is_answered_when_nothing_is_under_way() {
        let run = Run::new(32).unwrap();
        run.all_answered().await;
        run.sent(2);
        run.answered(&[(0, 0)]);
        let all = run.all_answered();
        assert!(tokio::time::timeout(Duration::from_millis(1), all).await.is_err(), "one is still to come");
        run.answered(&[(0, 0)]);
        run.all_answered().await;
    }

    #[test]
    fn why_a_session_was_lost_cannot_steer_a_terminal() {
        let run = Run::new(32).unwrap();
        run.connection_is(&ConnectionState::Online { user: "sam".to_owned(), max_text_bytes: 1 });
        run.connection_is(&ConnectionState::Reconnecting {
            why: "it\u{1b} is away".to_owned(),
            reason: String::new(),
            retry_in: Duration::ZERO,
        });
        let counts = run.counts();
        assert_eq!((counts.sessions, counts.trouble.as_deref()), (1, Some("it\u{FFFD} is away")));
    }
}
