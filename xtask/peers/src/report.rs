//! The results, and what can be said about them.

pub(crate) mod json;
pub(crate) mod picture;
pub(crate) mod table;

use crate::machine::Machine;
use crate::measure::{Round, Sample};
use crate::servers::{Kind, Peer, Server};
use crate::workload::{Plan, Unit, Workload};

/// Everything that was measured.
pub(crate) struct Results {
    machine: Machine,
    plan: Plan,
    /// What could not be measured, and why.
    missing: Vec<(Peer, String)>,
    pub(crate) works: Vec<Work>,
}

/// A workload, and the servers that did it.
pub(crate) struct Work {
    pub(crate) workload: &'static Workload,
    pub(crate) rows: Vec<Row>,
}

/// A server that did a workload.
pub(crate) struct Row {
    name: String,
    kind: Kind,
    pub(crate) rounds: Vec<Round>,
    /// What the server did wrong.
    pub(crate) failure: Option<String>,
}

impl Results {
    pub(crate) fn new(plan: Plan, missing: Vec<(Peer, String)>) -> Self {
        Self { machine: Machine::here(), plan, missing, works: Vec::new() }
    }

    /// Returns a sentence for each server that failed.
    pub(crate) fn failures(&self) -> Vec<String> {
        let failures = self.works.iter().flat_map(|work| {
            work.rows.iter().filter_map(|row| {
                row.failure.as_ref().map(|failure| format!("{}: {}: {failure}", work.workload.name, row.name))
            })
        });
        failures.collect()
    }
}

impl Row {
    pub(crate) fn new(server: &Server) -> Self {
        Self { name: server.name.clone(), kind: server.kind, rounds: Vec::new(), failure: None }
    }

    /// Returns what is compared, of every round.
    fn costs(&self, unit: Unit) -> impl Iterator<Item = f64> {
        self.rounds.iter().filter_map(move |round| match (*round, unit) {
            (Round::Load { server, .. }, Unit::Cpu) => Some(server),
            (Round::Load { latency, .. }, Unit::Latency) => latency,
            (Round::Idle { kilobytes }, Unit::Memory) => Some(kilobytes),
            _ => None,
        })
    }

    fn cost(&self, unit: Unit) -> Option<Sample> {
        Sample::new(self.costs(unit))
    }

    /// Returns the cost of each round, divided by that of the other server's round next to it: what disturbed one disturbed
    /// the other.
    fn ratio(&self, other: &Self, unit: Unit) -> Option<Sample> {
        Sample::new(self.costs(unit).zip(other.costs(unit)).map(|(own, other)| own / other))
    }

    fn per_second(&self) -> Option<Sample> {
        Sample::new(self.rounds.iter().filter_map(|round| match *round {
            Round::Load { per_second, .. } => Some(per_second),
            Round::Idle { .. } => None,
        }))
    }

    /// Returns the cores that other processes used.
    fn others(&self) -> impl Iterator<Item = f64> {
        self.rounds.iter().filter_map(|round| match *round {
            Round::Load { others, .. } => Some(others),
            Round::Idle { .. } => None,
        })
    }

    /// Returns the generator's CPU time for a message.
    fn generator(&self) -> Option<Sample> {
        Sample::new(self.rounds.iter().filter_map(|round| match *round {
            Round::Load { generator, .. } => Some(generator),
            Round::Idle { .. } => None,
        }))
    }
}

impl Work {
    /// Returns whether the generator was so slow that a server may have waited for it. Where a server waits in any case, for
    /// the next message, this does not matter.
    fn has_heavy_generator(&self, row: &Row) -> bool {
        let costs = row.generator().zip(row.cost(Unit::Cpu));
        let is_heavy = costs.is_some_and(|(generator, server)| generator.median() > server.median() / 3.0);
        self.workload.is_saturating() && is_heavy
    }
}

#[cfg(test)]
mod tests;
