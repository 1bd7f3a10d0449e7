//! Rounds of a measurement, and their statistics.

use std::io;
use std::time::{Duration, Instant};

use crate::process::Server;

/// A round that is being measured.
pub(crate) struct Meter {
    start: Instant,
    cpu: Duration,
    count: u64,
}

/// The result of a round.
pub(crate) struct Round {
    /// Messages, deliveries or acks per second.
    pub(crate) per_second: f64,
    /// The CPU time that the server used for each of them, in microseconds.
    pub(crate) cpu_microseconds: f64,
}

impl Meter {
    /// Starts a round. `count` is how much has been counted so far.
    pub(crate) fn start(server: &Server, count: u64) -> io::Result<Self> {
        Ok(Self { start: Instant::now(), cpu: server.cpu()?, count })
    }

    /// Ends the round. `count` is how much has been counted by now.
    pub(crate) fn stop(self, server: &Server, count: u64) -> io::Result<Round> {
        let (elapsed, cpu) = (self.start.elapsed(), server.cpu()?.saturating_sub(self.cpu));
        let counted = (count - self.count) as f64;
        let cpu_microseconds = cpu.as_secs_f64() * 1e6 / counted;
        Ok(Round { per_second: counted / elapsed.as_secs_f64(), cpu_microseconds })
    }
}

/// Repeated measurements of the same quantity.
pub(crate) struct Sample {
    sorted: Vec<f64>,
}

impl Sample {
    pub(crate) fn new(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_unstable_by(f64::total_cmp);
        Self { sorted }
    }

    /// Returns the rate of each round.
    pub(crate) fn rates(rounds: &[Round]) -> Self {
        Self::new(rounds.iter().map(|round| round.per_second))
    }

    /// Returns the CPU time of each round.
    pub(crate) fn cpu(rounds: &[Round]) -> Self {
        Self::new(rounds.iter().map(|round| round.cpu_microseconds))
    }

    /// Returns the CPU time of each round, divided by that of the other server's round next to it. Both were disturbed
    /// by the same load of the machine.
    pub(crate) fn cpu_ratios(rounds: &[Round], others: &[Round]) -> Self {
        let pairs = rounds.iter().zip(others);
        Self::new(pairs.map(|(round, other)| round.cpu_microseconds / other.cpu_microseconds))
    }

    /// Returns the value below which the given share of the values lie.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        self.sorted[((self.sorted.len() - 1) as f64 * share).round() as usize]
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Formats the median and the range with so many decimals, as `0.61 (0.58..0.64)`.
    pub(crate) fn summary(&self, decimals: usize) -> String {
        let (median, min, max) = (self.median(), self.quantile(0.0), self.quantile(1.0));
        format!("{median:.decimals$} ({min:.decimals$}..{max:.decimals$})")
    }
}
