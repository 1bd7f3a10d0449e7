//! Measures a workload: the rounds of all servers in turn.

use std::io;

use crate::load::example::Example;
use crate::load::room::{Pace, Room};
use crate::load::{self, Times};
use crate::measure::Round;
use crate::process::{Cores, Process};
use crate::protocol::PubSub;
use crate::protocol::nats::Nats;
use crate::protocol::redis::Redis;
use crate::protocol::session::Session;
use crate::report::{Row, Work};
use crate::servers::{RoomProtocol, Running, Server};
use crate::workload::{Kind, Plan, Workload};

/// Idle sessions in a room.
const IDLE_ROOM: usize = 100;

/// Measures the servers that can do this work. A server that fails is not measured further.
pub(crate) fn measure(workload: &'static Workload, servers: &[Server], plan: Plan, cores: Cores) -> Work {
    let able = servers.iter().filter(|server| workload.is_for(server.kind));
    let mut entries: Vec<Entry<'_>> =
        able.map(|server| Entry { server, running: None, row: Row::new(server) }).collect();
    let discarded = usize::from(plan.discards_first_round);
    for round in 0..plan.rounds + discarded {
        for entry in entries.iter_mut().filter(|entry| entry.row.failure.is_none()) {
            match entry.round(workload.kind, round, plan, cores) {
                Ok(_) if round < discarded => {}
                Ok(measured) => entry.row.rounds.push(measured),
                Err(error) => entry.row.failure = Some(error.to_string()),
            }
        }
    }
    Work { workload, rows: entries.into_iter().map(|entry| entry.row).collect() }
}

/// A server that is being measured.
struct Entry<'a> {
    server: &'a Server,
    running: Option<Running>,
    row: Row,
}

impl Entry<'_> {
    fn round(&mut self, kind: Kind, round: usize, plan: Plan, cores: Cores) -> io::Result<Round> {
        let running = match self.running.take() {
            Some(running) => running,
            None => self.server.start(cores)?,
        };
        let (server, rooms) = (&running.process, self.server.kind.rooms());
        let name = format!("room-{round}");
        let measured = match (kind, rooms) {
            (Kind::Example(shape), _) => {
                load::measure(&mut Example::open(server.address(), shape)?, server, plan.times)
            }
            (Kind::Room { receivers, pace }, Some(RoomProtocol::Session)) => {
                room::<Session>(server, &name, receivers, pace, plan.times)
            }
            (Kind::Room { receivers, pace }, Some(RoomProtocol::Nats)) => {
                room::<Nats>(server, &name, receivers, pace, plan.times)
            }
            (Kind::Room { receivers, pace }, Some(RoomProtocol::Redis)) => {
                room::<Redis>(server, &name, receivers, pace, plan.times)
            }
            // Memory is given back late or never, so each round has a new process.
            (Kind::Idle, Some(RoomProtocol::Session)) => return idle::<Session>(server, plan),
            (Kind::Idle, Some(RoomProtocol::Nats)) => return idle::<Nats>(server, plan),
            (Kind::Idle, Some(RoomProtocol::Redis)) => return idle::<Redis>(server, plan),
            (_, None) => Err(io::Error::other("this server has no rooms")),
        };
        self.running = Some(running);
        measured
    }
}

fn room<P: PubSub>(server: &Process, name: &str, receivers: usize, pace: Pace, times: Times) -> io::Result<Round> {
    load::measure(&mut Room::<P>::open(server.address(), name, receivers, pace)?, server, times)
}

fn idle<P: PubSub>(server: &Process, plan: Plan) -> io::Result<Round> {
    let before = server.memory()?;
    let room_of = |session| format!("room-{}", session / IDLE_ROOM);
    let mut sessions = Room::<P>::idle(server.address(), plan.idle_sessions, room_of)?;
    load::rest(&mut sessions, plan.idle_settling)?;
    let grown = server.memory()?.saturating_sub(before);
    Ok(Round::Idle { kilobytes: grown as f64 / 1000.0 / plan.idle_sessions as f64 })
}
