//! A run from its warm-up to the last answer.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::cpu::Threads;
use super::listener::Process;
use super::progress::{EVERY, Progress};
use super::run::Run;
use super::units;

/// The number of the signal that Ctrl-C sends.
pub(super) const INTERRUPTED: u8 = 2;

/// How long it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// What is begun in this time is not measured.
    pub(super) warm_up: Duration,
    pub(super) length: Duration,
    /// How long no answer may come while some are expected.
    pub(super) patience: Duration,
    /// What is counted.
    pub(super) unit: [&'static str; 2],
}

/// What was measured.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) time: Duration,
    /// Answers that came in this time.
    pub(super) answered: u64,
    /// What the service's processes took, or why that is not known.
    pub(super) server: Result<Duration, String>,
    /// What this process took, where that is known.
    pub(super) own: Option<Duration>,
    /// It was ended by Ctrl-C.
    pub(super) interrupted: bool,
}

/// Why nothing was measured, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The load has failed.
    Failed(String),
    /// Nothing comes any more.
    Stalled(String),
}

impl From<Broken> for String {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Failed(why) | Broken::Stalled(why) => why,
        }
    }
}

/// Lets a load run, and measures it. The load begins at once; it is to end when the run is over and all is answered.
///
/// # Errors
///
/// [`Broken`].
pub(super) async fn drive<T>(
    run: &Run,
    plan: &Plan,
    server: &Result<Vec<Process>, String>,
    progress: &mut Progress,
    load: impl Future<Output = Result<T, String>>,
) -> Result<(T, Measured), Broken> {
    let interrupt = CancellationToken::new();
    tokio::spawn(interrupts(interrupt.clone()));
    let load = std::pin::pin!(load);
    let now = Instant::now();
    let mut driver = Driver { run, plan, progress, load, interrupt, shown: (now, 0), moved: (now, 0), rate: 0.0 };

    driver.pass("warming up", plan.warm_up).await?;
    if driver.interrupt.is_cancelled() {
        driver.progress.clear();
        // There is nothing to report.
        std::process::exit(128 + i32::from(INTERRUPTED));
    }
    let before = Mark::now(run, server);
    run.tally.begin(run.clock.now());
    driver.pass("measuring", plan.length).await?;
    run.tally.end(run.clock.now());
    let after = Mark::now(run, server);

    run.over.cancel();
    let interrupted = driver.interrupt.is_cancelled();
    let loaded = driver.finish().await?;
    Ok((loaded, after.since(&before, interrupted)))
}

/// The first Ctrl-C ends what is measured, the second one everything.
async fn interrupts(interrupt: CancellationToken) {
    if tokio::signal::ctrl_c().await.is_ok() {
        interrupt.cancel();
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(128 + i32::from(INTERRUPTED));
        }
    }
}

struct Driver<'a, F> {
    run: &'a Run,
    plan: &'a Plan,
    progress: &'a mut Progress,
    load: Pin<&'a mut F>,
    interrupt: CancellationToken,
    /// Answers when they were last looked at, for their rate.
    shown: (Instant, u64),
    rate: f64,
    /// Answers when there were last more of them.
    moved: (Instant, u64),
}

impl<T, F: Future<Output = Result<T, String>>> Driver<'_, F> {
    /// Lets the load go on for a while, or until Ctrl-C.
    async fn pass(&mut self, phase: &str, length: Duration) -> Result<(), Broken> {
        let begun = Instant::now();
        let end = begun + length;
        while Instant::now() < end {
            tokio::select! {
                loaded = &mut self.load => {
                    let why = loaded.err().unwrap_or_else(|| "the service has ended it before its time".to_owned());
                    return Err(Broken::Failed(why));
                }
                () = self.interrupt.cancelled() => return Ok(()),
                () = sleep_until(end.min(Instant::now() + EVERY)) => {}
            }
            self.look(false)?;
            let (done, rate) = (begun.elapsed().min(length).as_secs_f64(), self.rate);
            let many = self.plan.unit[1];
            self.progress.show(|| {
                let rate = units::whole(rate as u64);
                format!("{phase}, {done:.1} of {:.1} s, {rate} {many}/s", length.as_secs_f64())
            });
        }
        Ok(())
    }

    /// Waits for what is under way.
    async fn finish(mut self) -> Result<T, Broken> {
        self.moved.0 = Instant::now();
        loop {
            tokio::select! {
                loaded = &mut self.load => return loaded.map_err(Broken::Failed),
                () = sleep_until(Instant::now() + EVERY) => {}
            }
            self.look(true)?;
            let left = self.run.under_way();
            self.progress.show(|| format!("waiting for {}", units::counted(left, self.plan.unit)));
        }
    }

    /// Looks at what has come.
    fn look(&mut self, finishing: bool) -> Result<(), Broken> {
        let (now, answered) = (Instant::now(), self.run.tally.count());
        let (then, before) = self.shown;
        if now - then >= EVERY {
            self.rate = (answered - before) as f64 / (now - then).as_secs_f64();
            self.shown = (now, answered);
        }
        if answered != self.moved.1 {
            self.moved = (now, answered);
        }
        let under_way = self.run.under_way();
        if now - self.moved.0 >= self.plan.patience && (finishing || under_way > 0) {
            return Err(Broken::Stalled(stalled(self.plan, under_way, self.run.trouble())));
        }
        // While nothing is expected it is no wonder that nothing comes.
        if !finishing && under_way == 0 {
            self.moved.0 = now;
        }
        Ok(())
    }
}

fn stalled(plan: &Plan, under_way: u64, trouble: Option<String>) -> String {
    let patience = units::time(plan.patience.as_secs_f64() * 1e6);
    let waited = match under_way {
        0 => format!("the service has not ended its calls within {patience}"),
        _ => format!("no answer has come for {patience}, and there should be {}", units::counted(under_way, plan.unit)),
    };
    match trouble {
        Some(why) => format!("{waited}; a connection was lost: {why}"),
        None => waited,
    }
}

/// How things stand at one moment.
struct Mark {
    at: Instant,
    answered: u64,
    server: Result<Vec<Threads>, String>,
    own: Option<Threads>,
}

impl Mark {
    fn now(run: &Run, server: &Result<Vec<Process>, String>) -> Self {
        let of = |process: &Process| {
            Threads::of(&process.folder()).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => format!("process {}, which was the service, has ended", process.id),
                _ => format!("process {} does not let us look: {error}", process.id),
            })
        };
        Self {
            at: Instant::now(),
            answered: run.tally.count(),
            server: server.as_ref().map_err(String::clone).and_then(|processes| processes.iter().map(of).collect()),
            own: Threads::of(Path::new("/proc/self")).ok(),
        }
    }

    fn since(self, earlier: &Self, interrupted: bool) -> Measured {
        let server = match (self.server, &earlier.server) {
            (Ok(now), Ok(then)) => Ok(now.iter().zip(then).map(|(now, then)| now.since(then)).sum()),
            (Err(why), _) => Err(why),
            (_, Err(why)) => Err(why.clone()),
        };
        let own = self.own.zip(earlier.own.as_ref()).map(|(now, then)| now.since(then));
        Measured { time: self.at - earlier.at, answered: self.answered - earlier.answered, server, own, interrupted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        warm_up: Duration::from_millis(100),
        length: Duration::from_millis(800),
        patience: Duration::from_millis(300),
        unit: ["reply", "replies"],
    };

    async fn driven<T>(run: &Run, load: impl Future<Output = Result<T, String>>) -> Result<(T, Measured), Broken> {
        drive(run, &PLAN, &Err("not asked".to_owned()), &mut Progress::new("test"), load).await
    }

    #[tokio::test]
    async fn what_is_answered_after_the_warm_up_counts() {
        let run = Run::new(200).unwrap();
        let answers = async {
            // Three in the warm-up, and then some.
            (0..3).for_each(|_| run.tally.answered(0, 0, 1));
            while !run.over.is_cancelled() {
                tokio::time::sleep(Duration::from_millis(10)).await;
                run.tally.answered(0, run.clock.now(), run.clock.now());
            }
            run.tally.answered(0, run.clock.now(), run.clock.now());
            Ok("all")
        };
        let (loaded, measured) = driven(&run, answers).await.unwrap();
        assert_eq!((loaded, measured.interrupted), ("all", false));
        assert!((PLAN.length..PLAN.length * 2).contains(&measured.time), "{:?}", measured.time);
        assert!((20..=run.tally.count() - 4).contains(&measured.answered), "{}", measured.answered);
        assert_eq!(measured.server.unwrap_err(), "not asked");
    }

    #[tokio::test]
    async fn a_load_that_fails_ends_it() {
        let run = Run::new(200).unwrap();
        let fails = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Err::<(), _>("refused".to_owned())
        };
        assert_eq!(driven(&run, fails).await.unwrap_err(), Broken::Failed("refused".to_owned()));
    }

    #[tokio::test]
    async fn a_service_that_answers_no_more_is_not_waited_for() {
        let run = Run::new(200).unwrap();
        let begun = Instant::now();
        let stalls = async {
            run.sent(1);
            std::future::pending::<Result<(), String>>().await
        };
        let why = driven(&run, stalls).await.unwrap_err();
        let expected = "no answer has come for 300 ms, and there should be 1 reply";
        assert_eq!(why, Broken::Stalled(expected.to_owned()));
        assert!(begun.elapsed() < Duration::from_millis(900));
    }

    #[tokio::test]
    async fn where_nothing_is_expected_nothing_is_missed_until_the_end() {
        let run = Run::new(200).unwrap();
        let begun = Instant::now();
        let why = driven(&run, std::future::pending::<Result<(), String>>()).await.unwrap_err();
        assert_eq!(why, Broken::Stalled("the service has not ended its calls within 300 ms".to_owned()));
        assert!(begun.elapsed() >= PLAN.warm_up + PLAN.length + PLAN.patience);
    }
}
