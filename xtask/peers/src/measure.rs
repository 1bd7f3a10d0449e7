//! What a round measures, and the statistics of several rounds.

use std::io;
use std::time::{Duration, Instant};

use crate::machine;
use crate::process::{self, Process};

/// What was measured in a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Round {
    /// A load.
    Load {
        /// Messages that arrived, per second.
        per_second: f64,
        /// CPU time of the server for each of them, in microseconds.
        server: f64,
        /// CPU time of the load generator for each of them, in microseconds.
        generator: f64,
        /// CPU time of everything else on the machine, as a share of the time of the round: 1.0 is a core.
        others: f64,
        /// The median of how long they took, in microseconds, if that was measured.
        latency: Option<f64>,
    },
    /// Idle sessions.
    Idle {
        /// Resident memory of the server for each of them, in kilobytes.
        kilobytes: f64,
    },
}

/// A round that is being measured.
pub(crate) struct Meter {
    start: Instant,
    server: Duration,
    generator: Duration,
    machine: Duration,
    arrived: u64,
}

impl Meter {
    /// Starts a round. `arrived` is how many messages have arrived so far.
    pub(crate) fn start(server: &Process, arrived: u64) -> io::Result<Self> {
        let (machine, generator, server) = (machine::busy()?, process::thread_cpu()?, server.cpu()?);
        Ok(Self { start: Instant::now(), server, generator, machine, arrived })
    }

    /// Ends the round. `arrived` is how many messages have arrived by now.
    pub(crate) fn stop(self, server: &Process, arrived: u64, latencies: &[Duration]) -> io::Result<Round> {
        let elapsed = self.start.elapsed();
        let (server, generator) = (server.cpu()? - self.server, process::thread_cpu()? - self.generator);
        let others = (machine::busy()? - self.machine).saturating_sub(server + generator);
        let arrived = (arrived - self.arrived) as f64;
        let latencies = Sample::new(latencies.iter().map(|latency| latency.as_secs_f64() * 1e6));
        Ok(Round::Load {
            per_second: arrived / elapsed.as_secs_f64(),
            server: server.as_secs_f64() * 1e6 / arrived,
            generator: generator.as_secs_f64() * 1e6 / arrived,
            others: others.as_secs_f64() / elapsed.as_secs_f64(),
            latency: latencies.map(|latencies| latencies.median()),
        })
    }
}

/// Several values of the same quantity: at least one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    sorted: Vec<f64>,
}

impl Sample {
    /// Returns `None` if there is no value.
    pub(crate) fn new(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_unstable_by(f64::total_cmp);
        (!sorted.is_empty()).then_some(Self { sorted })
    }

    pub(crate) fn median(&self) -> f64 {
        let middle = self.sorted.len() / 2;
        if self.sorted.len() % 2 == 1 {
            self.sorted[middle]
        } else {
            f64::midpoint(self.sorted[middle - 1], self.sorted[middle])
        }
    }

    pub(crate) fn min(&self) -> f64 {
        self.sorted[0]
    }

    pub(crate) fn max(&self) -> f64 {
        self.sorted[self.sorted.len() - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_a_median_and_a_range() {
        for (values, median, min, max) in
            [(&[3.0][..], 3.0, 3.0, 3.0), (&[5.0, 1.0, 2.0], 2.0, 1.0, 5.0), (&[4.0, 1.0, 2.0, 9.0], 3.0, 1.0, 9.0)]
        {
            let sample = Sample::new(values.iter().copied()).unwrap();
            assert_eq!((sample.median(), sample.min(), sample.max()), (median, min, max));
        }
        assert_eq!(Sample::new(std::iter::empty()), None);
    }
}
