//! The result of a bench, for a person and for a program.

use std::time::Duration;

use serde::Serialize;

use super::args::{Echo, FanOut, Load, Sends};
use super::cpu::Process;
use super::run::Times;

/// The result. Its fields are those of `--json`; the help of `bench` describes them.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) bench: &'static str,
    pub(super) server: String,
    pub(super) parameters: Load,
    pub(super) interrupted: bool,
    pub(super) duration_us: f64,
    pub(super) unit: &'static str,
    pub(super) count: u64,
    pub(super) per_second: f64,
    pub(super) text_bytes_per_second: f64,
    pub(super) latency: Option<Times>,
    pub(super) lateness: Option<Times>,
    pub(super) unsent: Option<u64>,
    pub(super) acked: Option<u64>,
    pub(super) durability: Option<&'static str>,
    pub(super) reconnects: Option<u64>,
    pub(super) server_cpu: Option<Cpu>,
    pub(super) server_cpu_unknown: Option<String>,
    pub(super) generator_cpu: Option<Cpu>,
    pub(super) cores: usize,
    pub(super) hint: Option<String>,
}

/// CPU time of one process, or of all that listen where the service does.
#[derive(Debug, Serialize)]
pub(super) struct Cpu {
    processes: Vec<Process>,
    cpu_us: f64,
    share_of_core: f64,
    us_each: Option<f64>,
}

/// A machine, or the load generator, that used more than this share of its cores was the limit of what was measured.
const BUSY: f64 = 0.9;

/// More unsent messages than this share of the answers are worth a line: a few are always due just when the time is over.
const FEW: f64 = 0.01;

impl Report {
    /// Returns the lines for a person.
    pub(super) fn text(&self) -> String {
        let [one, many] = self.parameters.unit();
        let mut lines = vec![format!("{} at {}: {}", self.bench, self.server, description(&self.parameters))];
        let mut line = |name: &str, value: String| lines.push(format!("  {name:<15}{value}"));

        let cut = if self.interrupted { ", then interrupted" } else { "" };
        let warm_up = time(self.parameters.common().warm_up * 1e6);
        line("measured", format!("{}, after {warm_up} of warm-up{cut}", time(self.duration_us)));
        line(many, whole(self.count));
        let megabytes = figure(self.text_bytes_per_second / 1e6);
        line("throughput", format!("{} {many}/s, {megabytes} MB/s of text", figure(self.per_second)));
        match &self.latency {
            Some(times) => line("latency", times.text()),
            None => line("latency", format!("not known: no {one} came to a message sent in this time")),
        }
        if let Some(times) = &self.lateness {
            line("of it, late", format!("{} (from when a message was due until it was sent)", times.text()));
        }
        if let Some(unsent) = self.unsent.filter(|unsent| *unsent as f64 > FEW * self.count as f64) {
            let unsent = counted(unsent, ["message was", "messages were"]);
            line("unsent", format!("{unsent} due and never sent: the rate is higher than can be reached"));
        }
        if let Some(acked) = self.acked {
            let durability = match self.durability {
                Some("synced") => ", synced to disk",
                Some("written") => ", written to the operating system",
                Some("memory") => ", kept in memory only",
                Some(_) => ", with unknown durability",
                None => "",
            };
            let complete = match &self.parameters {
                Load::FanOut(FanOut { receivers: 1, .. }) => "; the receiver has heard each once and in order",
                Load::FanOut(_) => "; every receiver has heard each once and in order",
                _ => "",
            };
            let acked = counted(acked, ["message", "messages"]);
            line("acked", format!("{acked} with the warm-up{durability}{complete}"));
        }
        if let Some(reconnects @ 1..) = self.reconnects {
            line("reconnects", format!("{}: sessions were lost and opened again", whole(reconnects)));
        }
        if let Some(cpu) = &self.server_cpu {
            let processes = cpu.processes.iter().map(|Process { pid, name }| format!("{name} {pid}"));
            line("server CPU", format!("{} ({})", cpu.text(one), list(processes)));
        }
        if let Some(why) = &self.server_cpu_unknown {
            line("server CPU", format!("not known: {why}"));
        }
        if let Some(cpu) = &self.generator_cpu {
            line("own CPU", format!("{}; there are {}", cpu.text(one), counted(self.cores as u64, CORES)));
        }
        if let Some(hint) = &self.hint {
            line("note", hint.clone());
        }
        lines.join("\n")
    }
}

const CORES: [&str; 2] = ["core", "cores"];

/// Says what was asked for.
fn description(load: &Load) -> String {
    let (mut parts, in_flight, of) = match load {
        Load::Echo(Echo { connections, streams, in_flight, .. }) => {
            let connections = counted(*connections, ["connection", "connections"]);
            let streams = counted(*streams, ["stream", "streams"]);
            (vec![format!("{connections} x {streams}")], in_flight, " on each stream")
        }
        Load::FanOut(FanOut { receivers, senders, in_flight, .. }) => {
            let receivers = counted(*receivers, ["receiver", "receivers"]);
            (vec![receivers, counted(*senders, ["sender", "senders"])], in_flight, "")
        }
        Load::Sends(Sends { clients, rooms, in_flight, .. }) => {
            let clients = counted(*clients, ["client", "clients"]);
            (vec![clients, counted(*rooms, ["room", "rooms"])], in_flight, " for each client")
        }
    };
    if let Load::FanOut(FanOut { room: Some(room), .. }) | Load::Sends(Sends { room: Some(room), .. }) = load {
        parts.push(format!("in {room}"));
    }
    parts.push(format!("messages of {}", counted(load.common().size as u64, ["byte", "bytes"])));
    parts.extend(in_flight.map(|number| format!("{} in flight{of}", whole(number))));
    parts.extend(load.common().rate.map(|rate| format!("{} a second in all", figure(rate))));
    list(parts)
}

impl Cpu {
    pub(super) fn new(processes: Vec<Process>, taken: Duration, duration: Duration, count: u64) -> Self {
        let cpu_us = taken.as_secs_f64() * 1e6;
        let share_of_core = taken.as_secs_f64() / duration.as_secs_f64();
        Self { processes, cpu_us, share_of_core, us_each: (count > 0).then(|| cpu_us / count as f64) }
    }

    fn text(&self, unit: &str) -> String {
        let each = self.us_each.map(|us| format!(", {} for each {unit}", time(us))).unwrap_or_default();
        format!("{}, {} of a core{each}", time(self.cpu_us), figure(self.share_of_core))
    }
}

impl Times {
    fn text(&self) -> String {
        let Self { min_us, p50_us, p90_us, p99_us, p999_us, max_us, .. } = *self;
        let times =
            [("min", min_us), ("p50", p50_us), ("p90", p90_us), ("p99", p99_us), ("p99.9", p999_us), ("max", max_us)];
        list(times.map(|(name, us)| format!("{name} {}", time(us))))
    }
}

/// Says what was too busy, from the CPU time of the load generator, with its threads, and of the service.
pub(super) fn hint(own: Option<&Cpu>, server: Option<&Cpu>, threads: usize, cores: usize) -> Option<String> {
    let (own, server) = (own?.share_of_core, server.map(|cpu| cpu.share_of_core));
    let limit = "the load generator itself was the limit, and the service may do more";
    let all = counted(cores as u64, CORES);
    if threads < cores && own >= BUSY * threads as f64 {
        let threads = counted(threads as u64, ["thread", "threads"]);
        return Some(format!("{limit}: its {threads} never rested; this machine has {all}, see --threads"));
    }
    if own >= BUSY * cores as f64 {
        return Some(format!("{limit}: it took {} of {all}", figure(own)));
    }
    let server = server.filter(|server| own + server >= BUSY * cores as f64)?;
    let (own, server) = (figure(own), figure(server));
    Some(format!("this machine was the limit: of its {all} the load generator took {own}, and the service {server}"))
}

/// Formats a whole number, with commas between thousands.
pub(super) fn whole(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// Formats a number with three significant figures, or all those before the point.
fn figure(number: f64) -> String {
    match number {
        n if n >= 99.95 => whole(n.round() as u64),
        n if n >= 9.995 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}

/// Formats a duration in microseconds, in the unit that suits it.
pub(super) fn time(us: f64) -> String {
    match us {
        us if us < 999.5 => format!("{} µs", figure(us)),
        us if us < 999_500.0 => format!("{} ms", figure(us / 1e3)),
        us => format!("{} s", figure(us / 1e6)),
    }
}

/// Formats a number and what it counts.
pub(super) fn counted(number: u64, [one, many]: [&str; 2]) -> String {
    format!("{} {}", whole(number), if number == 1 { one } else { many })
}

fn list(parts: impl IntoIterator<Item = String>) -> String {
    parts.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
