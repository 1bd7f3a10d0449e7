//! When messages are to be sent.

use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::run::{Clock, Run};

/// Leave to send one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ticket {
    /// Something was answered, so something may be sent: its time is when it is.
    Now,
    /// It is due at this time, nanoseconds of the bench's clock, whatever has been answered. If it is sent later than that,
    /// its time is still this one: whoever would have sent it has been waiting since.
    Due(u64),
}

/// What is sent, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Demand {
    /// So many messages are under way in all: an answer gives leave to send another one.
    InFlight(u64),
    /// So many messages a second in all, whether the ones before are answered or not.
    Rate(f64),
}

impl Demand {
    /// Begins to give out tickets to each taker in turn. With a rate a thread goes on with that until the run is over.
    ///
    /// # Errors
    ///
    /// A sentence, if there can be no such thread.
    pub(super) fn start(self, run: &Run, takers: &[UnboundedSender<Ticket>]) -> Result<Option<Pacer>, String> {
        match self {
            Self::Rate(rate) => Pacer::start(Rate(rate), run.clock, run.over.clone(), takers.to_vec()).map(Some),
            Self::InFlight(messages) => {
                for (taker, _) in takers.iter().cycle().zip(0..messages) {
                    // One that takes no more has failed, and says why.
                    let _ = taker.send(Ticket::Now);
                }
                Ok(None)
            }
        }
    }
}

/// So many messages a second, evenly.
#[derive(Clone, Copy, Debug)]
struct Rate(f64);

impl Rate {
    /// When this message is due, the first being 0, after the beginning. From its number alone, so that nothing adds up.
    fn due(self, number: u64) -> Duration {
        Duration::try_from_secs_f64(number as f64 / self.0).unwrap_or(Duration::MAX)
    }
}

/// The longest that a pacer sleeps, so that it sees soon that the bench is over.
const SLEEP: Duration = Duration::from_millis(20);

/// A thread that gives out tickets, to each taker in turn, until the bench is over; and how many it has given.
///
/// A thread, because the timers of tokio are good to a millisecond, which is ten times what is measured here; the operating
/// system's are good to less than a tenth of one.
#[derive(Debug)]
pub(super) struct Pacer(thread::JoinHandle<u64>);

impl Pacer {
    fn start(
        rate: Rate,
        clock: Clock,
        over: CancellationToken,
        takers: Vec<UnboundedSender<Ticket>>,
    ) -> Result<Self, String> {
        let thread = thread::Builder::new().name("pacer".to_owned());
        let pacer = thread.spawn(move || give(rate, clock, &over, &takers));
        pacer.map(Self).map_err(|error| format!("cannot start a thread: {error}"))
    }

    /// How many tickets it has given out. To be asked when the bench is over.
    pub(super) fn given(self) -> u64 {
        // It does not panic.
        self.0.join().unwrap_or_default()
    }
}

fn give(rate: Rate, clock: Clock, over: &CancellationToken, takers: &[UnboundedSender<Ticket>]) -> u64 {
    let beginning = clock.now();
    let mut given = 0;
    for taker in takers.iter().cycle() {
        let due = beginning.saturating_add(nanoseconds(rate.due(given)));
        loop {
            if over.is_cancelled() {
                return given;
            }
            let wait = Duration::from_nanos(due.saturating_sub(clock.now()));
            if wait.is_zero() {
                break;
            }
            thread::sleep(wait.min(SLEEP));
        }
        given += 1;
        if taker.send(Ticket::Due(due)).is_err() {
            // Whoever would have sent it has failed, and has said why.
            return given;
        }
    }
    given
}

pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn messages_are_due_evenly_and_nothing_adds_up() {
        let due = |rate, number| Rate(rate).due(number).as_nanos();
        assert_eq!([0, 1, 2, 1_000].map(|number| due(1_000.0, number)), [0, 1_000_000, 2_000_000, 1_000_000_000]);
        assert_eq!(due(0.5, 1), 2_000_000_000);
        assert_eq!(due(3.0, 3_000_000), 1_000_000_000_000_000, "a million seconds, to the nanosecond");
        assert_eq!(Rate(1e-300).due(u64::MAX), Duration::MAX);
    }

    #[test]
    fn what_may_be_in_flight_is_shared_out() {
        let run = Run::new(200).unwrap();
        let (takers, mut taken): (Vec<_>, Vec<_>) = (0..3).map(|_| mpsc::unbounded_channel()).unzip();
        assert!(Demand::InFlight(7).start(&run, &takers).unwrap().is_none());
        let got = |taken: &mut mpsc::UnboundedReceiver<_>| std::iter::from_fn(|| taken.try_recv().ok()).count();
        assert_eq!(taken.iter_mut().map(got).collect::<Vec<_>>(), [3, 2, 2]);
    }

    #[test]
    fn takers_get_theirs_in_turn_and_never_before_it_is_due() {
        let (clock, over) = (Clock::start(), CancellationToken::new());
        let (takers, mut taken): (Vec<_>, Vec<_>) = (0..2).map(|_| mpsc::unbounded_channel()).unzip();
        let pacer = Pacer::start(Rate(1_000.0), clock, over.clone(), takers).unwrap();
        let mut last = 0;
        for turn in 0..10 {
            let Some(Ticket::Due(due)) = taken[turn % 2].blocking_recv() else { panic!("a ticket") };
            assert!(due <= clock.now());
            assert!(turn == 0 || due == last + 1_000_000);
            last = due;
        }
        over.cancel();
        let given = pacer.given();
        let left = std::iter::from_fn(|| taken[0].try_recv().or_else(|_| taken[1].try_recv()).ok()).count() as u64;
        assert_eq!(given, 10 + left);
    }
}
