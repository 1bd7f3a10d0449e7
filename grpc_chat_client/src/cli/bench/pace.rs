//! When messages are sent.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{JoinHandle, spawn_blocking};

use super::run::Run;

/// A permit to send one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permit {
    /// An earlier message was answered. The latency counts from when the message is sent.
    Now,
    /// The rate says that a message is due at this time. The latency counts from then, however late the message is sent: a
    /// user would have waited since.
    Due(u64),
}

impl Permit {
    /// Uses the permit now. Returns when the message counts as sent.
    pub(super) fn used(self, run: &Run) -> u64 {
        let now = run.now();
        match self {
            Self::Now => now,
            Self::Due(due) => {
                run.late(due, now);
                due
            }
        }
    }
}

/// The longest sleep of the thread that keeps the rate, so that it notices the end of the run.
const SLEEP: Duration = Duration::from_millis(20);

/// Gives permits to the senders in turn: at `rate` a second until the run is over, or without a rate `in_flight` of them now.
/// Returns the thread that keeps the rate, which returns how many permits it has given.
///
/// A thread, because tokio's timers are accurate to a millisecond, ten times what is measured here; the operating system's are
/// accurate to less than a tenth of one.
pub(super) fn start(
    rate: Option<f64>,
    in_flight: u64,
    run: &Arc<Run>,
    senders: &[UnboundedSender<Permit>],
) -> Option<JoinHandle<u64>> {
    if let Some(rate) = rate {
        let (run, senders) = (Arc::clone(run), senders.to_vec());
        return Some(spawn_blocking(move || keep(rate, &run, &senders)));
    }
    for (sender, _) in senders.iter().cycle().zip(0..in_flight) {
        // A sender that takes no more permits has failed, and reports why.
        let _ = sender.send(Permit::Now);
    }
    None
}

/// Returns how many permits were given and not used, with a rate. To be called when the run is over.
pub(super) async fn unsent(pacer: Option<JoinHandle<u64>>, run: &Run) -> Option<u64> {
    let given = pacer?.await.unwrap_or_default();
    Some(given.saturating_sub(run.counts().messages))
}

fn keep(rate: f64, run: &Run, senders: &[UnboundedSender<Permit>]) -> u64 {
    let start = run.now();
    for (given, sender) in (0..).zip(senders.iter().cycle()) {
        let due = due(start, rate, given);
        while let wait @ 1.. = due.saturating_sub(run.now()) {
            if run.over.is_cancelled() {
                return given;
            }
            sleep(Duration::from_nanos(wait).min(SLEEP));
        }
        if run.over.is_cancelled() || sender.send(Permit::Due(due)).is_err() {
            return given;
        }
    }
    0
}

/// Returns when message `number` is due. Computed from the number alone, so that no error adds up.
fn due(start: u64, rate: f64, number: u64) -> u64 {
    let after = Duration::try_from_secs_f64(number as f64 / rate).unwrap_or(Duration::MAX);
    start.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::iter::from_fn;

    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;

    #[test]
    fn messages_are_due_evenly_and_no_error_adds_up() {
        assert_eq!([0, 1, 2, 1_000].map(|number| due(7, 1_000.0, number)), [7, 1_000_007, 2_000_007, 1_000_000_007]);
        assert_eq!(due(0, 0.5, 1), 2_000_000_000);
        assert_eq!(due(0, 3.0, 3_000_000), 1_000_000_000_000_000, "a million seconds, to the nanosecond");
        assert_eq!(due(0, 1e-300, u64::MAX), u64::MAX);
    }

    #[test]
    fn what_may_be_in_flight_is_shared_out() {
        let run = Arc::new(Run::new(32).unwrap());
        let (senders, mut permits): (Vec<_>, Vec<_>) = (0..3).map(|_| unbounded_channel()).unzip();
        assert!(start(None, 7, &run, &senders).is_none());
        let got = |permits: &mut UnboundedReceiver<_>| from_fn(|| permits.try_recv().ok()).count();
        assert_eq!(permits.iter_mut().map(got).collect::<Vec<_>>(), [3, 2, 2]);
    }

    #[tokio::test]
    async fn senders_get_permits_in_turn_and_never_before_they_are_due() {
        let run = Arc::new(Run::new(32).unwrap());
        let (senders, mut permits): (Vec<_>, Vec<_>) = (0..2).map(|_| unbounded_channel()).unzip();
        let pacer = start(Some(1_000.0), 0, &run, &senders);
        let mut last = 0;
        for turn in 0..10 {
            let Some(Permit::Due(due)) = permits[turn % 2].recv().await else { panic!("a permit") };
            assert!(due <= run.now());
            assert!(turn == 0 || due == last + 1_000_000);
            last = due;
        }
        run.over.cancel();
        let given = unsent(pacer, &run).await.unwrap();
        let left = from_fn(|| permits[0].try_recv().or_else(|_| permits[1].try_recv()).ok()).count() as u64;
        assert_eq!(given, 10 + left);
    }

    #[test]
    fn the_latency_of_a_message_that_was_due_counts_from_then() {
        let run = Run::new(32).unwrap();
        assert_eq!(Permit::Due(5).used(&run), 5);
        let before = run.now();
        assert!((before..before + 1_000_000_000).contains(&Permit::Now.used(&run)));
    }
}
