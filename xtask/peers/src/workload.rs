//! What is measured.

use std::time::Duration;

use crate::load::Times;
use crate::load::example::Shape;
use crate::load::room::Pace;
use crate::servers;

/// One kind of work that servers do.
#[derive(Debug)]
pub(crate) struct Workload {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What it is called in the results.
    pub(crate) title: &'static str,
    pub(crate) kind: Kind,
    pub(crate) unit: Unit,
}

/// What clients do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// They call the example.
    Example(Shape),
    /// They are in a room, and one of them publishes.
    Room { receivers: usize, pace: Pace },
    /// They are in rooms, and do nothing.
    Idle,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Server CPU for a message, or a delivery, in microseconds.
    Cpu,
    /// The median of the time between a message and its reply, in microseconds.
    Latency,
    /// Resident memory for a session, in kilobytes.
    Memory,
}

pub(crate) const WORKLOADS: [Workload; 8] = [
    Workload {
        name: "example",
        title: "the example, 4 connections x 4 streams, 128 in flight on each",
        kind: Kind::Example(Shape { connections: 4, streams: 4, in_flight: 128 }),
        unit: Unit::Cpu,
    },
    Workload {
        name: "streams",
        title: "the example, 64 streams on one connection, 1 in flight on each",
        kind: Kind::Example(Shape { connections: 1, streams: 64, in_flight: 1 }),
        unit: Unit::Cpu,
    },
    Workload {
        name: "ping-pong",
        title: "the example, 1 message at a time: latency, p50",
        kind: Kind::Example(Shape { connections: 1, streams: 1, in_flight: 1 }),
        unit: Unit::Latency,
    },
    Workload {
        name: "fan-out-10",
        title: "fan-out to 10, 64 in flight",
        kind: Kind::Room { receivers: 10, pace: Pace::InFlight(64) },
        unit: Unit::Cpu,
    },
    Workload {
        name: "fan-out-100",
        title: "fan-out to 100, 64 in flight",
        kind: Kind::Room { receivers: 100, pace: Pace::InFlight(64) },
        unit: Unit::Cpu,
    },
    Workload {
        name: "fan-out-1000",
        title: "fan-out to 1,000, 16 in flight",
        kind: Kind::Room { receivers: 1_000, pace: Pace::InFlight(16) },
        unit: Unit::Cpu,
    },
    Workload {
        name: "paced",
        title: "fan-out to 100, 1,000 messages/s",
        kind: Kind::Room { receivers: 100, pace: Pace::PerSecond(1_000) },
        unit: Unit::Cpu,
    },
    Workload { name: "idle", title: "an idle session: memory", kind: Kind::Idle, unit: Unit::Memory },
];

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// There is one round more, before the others, whose result is not used.
    pub(crate) discards_first_round: bool,
    pub(crate) times: Times,
    pub(crate) idle_sessions: usize,
    /// How long idle sessions are left alone before memory is measured.
    pub(crate) idle_settling: Duration,
}

impl Workload {
    /// Returns whether a server can do this work.
    pub(crate) fn is_for(&self, server: servers::Kind) -> bool {
        match self.kind {
            Kind::Example(_) => server.has_example(),
            Kind::Room { .. } | Kind::Idle => server.rooms().is_some(),
        }
    }

    /// Returns whether clients always send as soon as they may, so that a server can be slowed down only by them being slow.
    pub(crate) fn is_saturating(&self) -> bool {
        match self.kind {
            Kind::Example(shape) => shape.connections * shape.streams > 1 || shape.in_flight > 1,
            Kind::Room { pace, .. } => matches!(pace, Pace::InFlight(_)),
            Kind::Idle => false,
        }
    }
}
