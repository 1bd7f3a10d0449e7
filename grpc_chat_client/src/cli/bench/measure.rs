//! One run from its warm-up to the last answer.

use std::convert::Infallible;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use crossterm::cursor::MoveToColumn;
use crossterm::execute;
use crossterm::style::Print;
use crossterm::terminal::{Clear, ClearType};
use grpc_chat_client::ServerUrl;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::args::Load;
use super::cpu::{self, CpuTime, Process};
use super::pace::{self, Permit};
use super::report::{Cpu, Report, counted, hint, time, whole};
use super::run::Run;
use crate::output::Failure;

/// The number of the signal that Ctrl-C sends.
pub(super) const INTERRUPTED: u8 = 2;

/// How often the answers are looked at.
const EVERY: Duration = Duration::from_millis(250);

/// Gives permits to the senders, as `rate` or `in_flight` says, and measures what comes of it. `sending` has to end when
/// [`Run::over`] is cancelled and all is answered. Fails if `sending` does, if no more answers come, or if Ctrl-C ends it
/// before anything is measured.
pub(super) async fn measure<T>(
    load: &Load,
    server: &ServerUrl,
    run: &Arc<Run>,
    progress: Progress,
    (in_flight, senders): (Option<u64>, Vec<UnboundedSender<Permit>>),
    sending: impl Future<Output = Result<T, String>>,
) -> Result<(T, Report), Failure> {
    // Nothing is due yet: this takes a while.
    let processes = cpu::listening_at(server).await;
    let pacer = pace::start(load.common().rate, in_flight.unwrap_or(0), run, &senders);
    // From here on there are no permits but the pacer's, and those that answers give.
    drop(senders);
    let mut measured = None;
    let supervisor = Supervisor { load, run, progress, answers: (Instant::now(), 0) };
    let sent = tokio::select! {
        sent = sending => sent?,
        Err(failure) = supervisor.run(&processes, &mut measured) => return Err(failure),
    };
    let Some(measured) = measured else { return Err("the service ended the calls too early".to_owned().into()) };
    let report = report(load, server, run, measured, processes);
    Ok((sent, Report { unsent: pace::unsent(pacer, run).await, ..report }))
}

struct Supervisor<'a> {
    load: &'a Load,
    run: &'a Run,
    progress: Progress,
    /// When answers were last seen to come, or none was expected, and how many there were.
    answers: (Instant, u64),
}

/// The counters at the beginning and at the end of the measured time, and whether Ctrl-C ended it.
type Measured = (Snapshot, Snapshot, bool);

impl Supervisor<'_> {
    /// Carries out the phases; then waits for the last answers until it is dropped.
    async fn run(
        mut self,
        processes: &Result<Vec<Process>, String>,
        measured: &mut Option<Measured>,
    ) -> Result<Infallible, Failure> {
        let interrupt = CancellationToken::new();
        tokio::spawn(watch_interrupts(interrupt.clone()));
        let common = self.load.common();
        self.pass("warming up", common.warm_up, &interrupt).await?;
        if interrupt.is_cancelled() {
            return Err(Failure::Stopped(INTERRUPTED));
        }
        let before = Snapshot::take(self.run, processes);
        self.run.begin_measuring();
        self.pass("measuring", common.seconds, &interrupt).await?;
        self.run.end_measuring();
        *measured = Some((before, Snapshot::take(self.run, processes), interrupt.is_cancelled()));
        self.run.over.cancel();
        self.answers.0 = Instant::now();
        loop {
            sleep(EVERY).await;
            self.look(true)?;
            let left = self.run.counts().under_way();
            self.progress.show(&format!("waiting for {}", counted(left, self.load.unit())));
        }
    }

    /// Waits for this long, or until Ctrl-C.
    async fn pass(&mut self, phase: &str, seconds: f64, interrupt: &CancellationToken) -> Result<(), Failure> {
        let (start, answers) = (Instant::now(), self.run.counts().answers);
        let length = Duration::from_secs_f64(seconds);
        while start.elapsed() < length {
            let left = length.saturating_sub(start.elapsed());
            if timeout(left.min(EVERY), interrupt.cancelled()).await.is_ok() {
                return Ok(());
            }
            self.look(false)?;
            let done = start.elapsed().as_secs_f64();
            let rate = whole(((self.run.counts().answers - answers) as f64 / done) as u64);
            let [_, many] = self.load.unit();
            self.progress.show(&format!("{phase}, {:.1} of {seconds:.1} s, {rate} {many}/s", done.min(seconds)));
        }
        Ok(())
    }

    /// Fails if nothing has come for too long although something should have.
    fn look(&mut self, finishing: bool) -> Result<(), Failure> {
        let counts = self.run.counts();
        let (answers, under_way) = (counts.answers, counts.under_way());
        if answers != self.answers.1 || !(finishing || under_way > 0) {
            self.answers = (Instant::now(), answers);
        }
        let patience = self.load.common().patience;
        if self.answers.0.elapsed().as_secs_f64() < patience {
            return Ok(());
        }
        let patience = time(patience * 1e6);
        let why = match under_way {
            0 => format!("the service has not ended its calls within {patience}"),
            _ => {
                let missing = counted(under_way, self.load.unit());
                format!("no answer has come for {patience}, and there should be {missing}")
            }
        };
        let trouble = counts.trouble.as_ref().map(|why| format!("; a connection was lost: {why}"));
        Err(format!("{why}{}", trouble.unwrap_or_default()).into())
    }
}

/// The first Ctrl-C ends the measured time, the second one the program.
async fn watch_interrupts(interrupt: CancellationToken) {
    if tokio::signal::ctrl_c().await.is_ok() {
        interrupt.cancel();
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(128 + i32::from(INTERRUPTED));
        }
    }
}

/// The counters at one moment.
struct Snapshot {
    at: Instant,
    answers: u64,
    server: Result<CpuTime, String>,
    own: Result<CpuTime, String>,
}

impl Snapshot {
    fn take(run: &Run, processes: &Result<Vec<Process>, String>) -> Self {
        Self {
            at: Instant::now(),
            answers: run.counts().answers,
            server: processes.as_ref().map_err(String::clone).and_then(|processes| cpu::time_of(processes)),
            own: cpu::time_of(&[Process::own()]),
        }
    }
}

fn report(
    load: &Load,
    server: &ServerUrl,
    run: &Run,
    (before, after, interrupted): Measured,
    processes: Result<Vec<Process>, String>,
) -> Report {
    let (duration, count) = (after.at - before.at, after.answers - before.answers);
    let per_second = count as f64 / duration.as_secs_f64();
    let cpu = |processes, taken| Cpu::new(processes, taken, duration, count);
    let server_cpu = before.server.and_then(|before| Ok(cpu(processes?, after.server?.since(&before))));
    let generator_cpu = before.own.and_then(|before| Ok(cpu(vec![Process::own()], after.own?.since(&before)))).ok();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (latency, lateness) = run.counts().times();
    Report {
        bench: load.name(),
        server: server.to_string(),
        parameters: load.clone(),
        interrupted,
        duration_us: duration.as_secs_f64() * 1e6,
        unit: load.unit()[0],
        count,
        per_second,
        text_bytes_per_second: per_second * load.common().size as f64,
        latency,
        lateness,
        unsent: None,
        acked: None,
        durability: None,
        reconnects: None,
        hint: hint(generator_cpu.as_ref(), server_cpu.as_ref().ok(), load.common().threads as usize, cores),
        server_cpu_unknown: server_cpu.as_ref().err().cloned(),
        server_cpu: server_cpu.ok(),
        generator_cpu,
        cores,
    }
}

/// One line on standard error that shows how far the bench is, if standard error is a terminal. Removed on drop.
pub(super) struct Progress(pub(super) &'static str);

impl Progress {
    /// Replaces the line.
    pub(super) fn show(&self, line: &str) {
        replace_line(&format!("{}: {line}", self.0));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        replace_line("");
    }
}

fn replace_line(line: &str) {
    if io::stderr().is_terminal() {
        // Nobody is left to see it if that fails.
        let _ = execute!(io::stderr(), MoveToColumn(0), Clear(ClearType::UntilNewLine), Print(line));
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::BenchArgs;
    use super::*;

    #[derive(Parser)]
    struct Args {
        #[command(flatten)]
        bench: BenchArgs,
    }

    async fn measured<T>(
        run: &Arc<Run>,
        sending: impl Future<Output = Result<T, String>>,
    ) -> Result<(T, Report), String> {
        let args = ["test", "echo", "--warm-up", "0.1", "--seconds", "0.8", "--patience", "0.3"];
        let Args { bench: BenchArgs { load } } = Args::parse_from(args);
        let server = "http://192.0.2.1:9090".parse().unwrap();
        let measured = measure(&load, &server, run, Progress("test"), (None, Vec::new()), sending).await;
        measured.map_err(|failure| match failure {
            Failure::Failed(why) => why,
            other => panic!("{other:?}"),
        })
    }

    #[tokio::test]
    async fn what_is_answered_after_the_warm_up_counts() {
        let run = Arc::new(Run::new(200).unwrap());
        let answers = async {
            // Three in the warm-up, then some in the measured time, then one after it.
            run.answered(&[(0, 1); 3]);
            while !run.over.is_cancelled() {
                sleep(Duration::from_millis(10)).await;
                run.answered(&[(run.now(), run.now())]);
            }
            run.answered(&[(run.now(), run.now())]);
            Ok("all")
        };
        let (sent, report) = measured(&run, answers).await.unwrap();
        assert_eq!((sent, report.interrupted), ("all", false));
        assert!((0.8e6..1.6e6).contains(&report.duration_us), "{}", report.duration_us);
        assert!((20..=run.counts().answers - 4).contains(&report.count), "{}", report.count);
        assert_eq!(report.server_cpu_unknown.unwrap(), "the service is on another machine");
    }

    #[tokio::test]
    async fn a_load_that_fails_or_ends_too_early_is_an_error() {
        let run = Arc::new(Run::new(200).unwrap());
        for (ended, why) in [(Err("refused".to_owned()), "refused"), (Ok(()), "the service ended the calls too early")]
        {
            let ends = async {
                sleep(Duration::from_millis(200)).await;
                ended
            };
            assert_eq!(measured(&run, ends).await.unwrap_err(), why);
        }
    }

    #[tokio::test]
    async fn a_service_that_stops_answering_is_not_waited_for() {
        let run = Arc::new(Run::new(200).unwrap());
        let start = Instant::now();
        let stalls = async {
            run.sent(1);
            std::future::pending::<Result<(), String>>().await
        };
        let why = measured(&run, stalls).await.unwrap_err();
        assert_eq!(why, "no answer has come for 300 ms, and there should be 1 reply");
        assert!(start.elapsed() < Duration::from_millis(900));
    }

    #[tokio::test]
    async fn while_no_answer_is_expected_none_is_missed_until_the_end() {
        let run = Arc::new(Run::new(200).unwrap());
        let start = Instant::now();
        let why = measured(&run, std::future::pending::<Result<(), String>>()).await.unwrap_err();
        assert_eq!(why, "the service has not ended its calls within 300 ms");
        assert!(start.elapsed() >= Duration::from_millis(1_200));
    }
}
