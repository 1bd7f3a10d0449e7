//! What every bench is asked for.

use std::time::Duration;

use clap::value_parser;
use grpc_chat_client::Config;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

use super::drive::{self, Broken, Measured, Plan};
use super::listener::{self, Process};
use super::pace::{Demand, Pacer, Ticket};
use super::progress::Progress;
use super::report::{Cpu, Parameters, Report, hint};
use super::run::Run;
use super::stamp;

/// The longest text that the service takes, unless it is told otherwise.
const LONGEST: usize = 8 * 1024;

/// The longest time, in seconds: a day. Stamps hold three.
const DAY: f64 = 86_400.0;

/// What every bench is asked for.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Terms {
    /// Bytes of text in a message, 32 to 8192
    #[arg(long, value_name = "BYTES", default_value = "200", value_parser = size)]
    pub(super) size: usize,

    /// How long to measure
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = length)]
    pub(super) seconds: Duration,

    /// How long to go on before measuring
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(super) warm_up: Duration,

    /// Messages a second in all, answered or not; latency is then from when each was due [default: as many as the answers
    /// allow]
    #[arg(long, value_name = "N", value_parser = rate, conflicts_with = "in_flight")]
    pub(super) rate: Option<f64>,

    /// Give up when no answer has come for so long
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = length)]
    pub(super) patience: Duration,

    /// Threads of the load generator, beside the one that keeps the rate
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u64).range(1..=1_024))]
    pub(super) threads: u64,

    /// Write the result as one JSON object; `bench --help` says what is in it
    #[arg(long)]
    pub(super) json: bool,
}

/// What is counted, and what it is called when there is one and when there are many.
pub(super) type Unit = [&'static str; 2];

/// A bench that is about to run.
pub(super) struct Setting<'a> {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    pub(super) config: &'a Config,
    pub(super) terms: &'a Terms,
    pub(super) run: &'a Run,
    pub(super) demand: Demand,
    pub(super) progress: &'a mut Progress,
}

impl Terms {
    pub(super) fn parameters(&self) -> Parameters {
        Parameters {
            rate: self.rate,
            size_bytes: self.size as u64,
            seconds: self.seconds.as_secs_f64(),
            warm_up_seconds: self.warm_up.as_secs_f64(),
            threads: self.threads,
            ..Parameters::default()
        }
    }

    /// What is sent: so much a second, if that was asked for, or so many at once.
    pub(super) fn demand(&self, in_flight: u64) -> Demand {
        self.rate.map_or(Demand::InFlight(in_flight), Demand::Rate)
    }
}

impl Setting<'_> {
    /// Gives leave to send to each taker in turn, and measures what comes of the load. Answers the load's answer and a
    /// report without what only this bench knows.
    ///
    /// # Errors
    ///
    /// [`Broken`].
    pub(super) async fn measure<T>(
        self,
        takers: Vec<UnboundedSender<Ticket>>,
        load: impl Future<Output = Result<T, String>>,
    ) -> Result<(T, Report), Broken> {
        let Self { name, unit, config, terms, run, demand, progress } = self;
        let Terms { seconds: length, warm_up, patience, .. } = *terms;
        let server = listener::find(&config.server).await;
        let pacer = demand.start(run, &takers).map_err(Broken::Failed)?;
        // There are no tickets but the pacer's, and those that answers give.
        drop(takers);
        let plan = Plan { warm_up, length, patience, unit };
        let driven = drive::drive(run, &plan, &server, progress, load).await;
        // Also when that has failed: the pacer sees it here.
        run.over.cancel();
        let given = pacer.map(Pacer::given);
        let (loaded, measured) = driven?;
        let unsent = given.map(|given| given.saturating_sub(run.messages_sent()));
        let report = report(name, unit, config, terms, run, &measured, &server);
        Ok((loaded, Report { unsent, ..report }))
    }
}

fn report(
    bench: &'static str,
    unit: Unit,
    config: &Config,
    terms: &Terms,
    run: &Run,
    measured: &Measured,
    server: &Result<Vec<Process>, String>,
) -> Report {
    let per_second = measured.answered as f64 / measured.time.as_secs_f64();
    let processes = server.as_deref().unwrap_or_default();
    let server_cpu = measured.server.as_ref().map(|taken| Cpu::new(*taken, processes, measured));
    let (server_cpu, server_cpu_unknown) = match server_cpu {
        Ok(cpu) => (Some(cpu), None),
        Err(why) => (None, Some(why.clone())),
    };
    let generator_cpu = measured.own.map(|taken| Cpu::new(taken, &[Process::own()], measured));
    let share = |cpu: &Option<Cpu>| cpu.as_ref().map(|cpu| cpu.share_of_core);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Report {
        bench,
        server: config.server.to_string(),
        parameters: terms.parameters(),
        interrupted: measured.interrupted,
        duration_us: measured.time.as_secs_f64() * 1e6,
        unit: unit[0],
        count: measured.answered,
        per_second,
        text_bytes_per_second: per_second * terms.size as f64,
        latency: run.tally.latency(),
        lateness: run.tally.lateness(),
        unsent: None,
        acked: None,
        durability: None,
        reconnects: None,
        hint: hint(share(&generator_cpu), share(&server_cpu), terms.threads as usize, cores),
        server_cpu,
        server_cpu_unknown,
        generator_cpu,
        cores,
        counts: unit,
    }
}

/// Waits for all tasks.
///
/// # Errors
///
/// The first of theirs.
pub(super) async fn all<T: 'static>(tasks: &mut JoinSet<Result<T, String>>) -> Result<Vec<T>, String> {
    let mut done = Vec::new();
    while let Some(task) = tasks.join_next().await {
        done.push(task.map_err(|error| format!("a part of the load generator has failed: {error}"))??);
    }
    Ok(done)
}

fn size(text: &str) -> Result<usize, String> {
    let (shortest, longest) = (stamp::LENGTH, LONGEST);
    match text.parse() {
        Ok(size) if (shortest..=longest).contains(&size) => Ok(size),
        _ => Err(format!(
            "a message has {shortest} to {longest} bytes: it says when it was sent, and the service takes no longer ones"
        )),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=DAY).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("expected seconds, up to {DAY}")),
    }
}

fn length(text: &str) -> Result<Duration, String> {
    match seconds(text) {
        Ok(length) if length < Duration::from_millis(1) => Err(format!("expected seconds, 0.001 to {DAY}")),
        length => length,
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (1e-3..=1e8).contains(&rate) => Ok(rate),
        _ => Err("expected messages a second, 0.001 to 100000000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_room_for_its_stamp_and_is_not_longer_than_the_service_takes() {
        assert_eq!([size("32"), size("8192")], [Ok(32), Ok(8192)]);
        for text in ["31", "8193", "0", "-1", "x", ""] {
            let why = size(text).unwrap_err();
            assert!(why.starts_with("a message has 32 to 8192 bytes"), "{why}");
        }
    }

    #[test]
    fn times_and_rates_are_numbers_that_can_be_meant() {
        assert_eq!([seconds("0"), seconds("0.5")], [Ok(Duration::ZERO), Ok(Duration::from_millis(500))]);
        assert_eq!(length("86400"), Ok(Duration::from_secs(86_400)));
        for text in ["-1", "86401", "inf", "nan", "x", ""] {
            seconds(text).unwrap_err();
            length(text).unwrap_err();
        }
        length("0").unwrap_err();
        assert_eq!([rate("0.5"), rate("1e6")], [Ok(0.5), Ok(1e6)]);
        for text in ["0", "-1", "1e9", "inf", "nan", "x"] {
            rate(text).unwrap_err();
        }
    }
}
