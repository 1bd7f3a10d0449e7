//! What came of a bench, for a person and for a program.

use std::time::Duration;

use grpc_chat_client::Durability;
use serde::Serialize;

use super::drive::Measured;
use super::listener::Process;
use super::tally::Times;
use super::units::{counted, figure, list, time, whole};

/// What `--help` says of them. A test holds it to the fields there are.
pub(super) const FIELDS: &str = "\
The fields of --json (times in microseconds, _us; null where nothing is known):
  bench, server            What was run, and where the service is
  parameters               What was asked for: connections, streams, receivers, senders, clients,
                           rooms, room, in_flight (null with --rate), rate (null without), size_bytes,
                           seconds, warm_up_seconds, threads; those that the bench has
  interrupted              Whether Ctrl-C ended it before its time
  duration_us              How long it was measured
  unit, count, per_second  What is counted (reply, delivery, ack), and how many came in that time
  text_bytes_per_second    Their text
  latency                  Of what was begun in that time: count, min_us, mean_us, p50_us, p90_us,
                           p99_us, p999_us, max_us
  lateness                 With --rate, the same of how much later than due messages left the load
                           generator: it is part of their latency
  unsent                   With --rate, messages that were due and never sent; a few are always due
                           just when the time is over
  acked                    Messages acked in the whole run; at the end of fan-out every receiver has
                           heard each of them once and in order, or else it is an error
  durability               How safe the least safe one was: memory, written, synced, unknown
  reconnects               Sessions that were lost and opened again
  server_cpu               The service's processes (pid, name), cpu_us, share_of_core (1 is all of one),
                           us_each (for each that was counted)
  server_cpu_unknown       Why that is null: it is known on Linux, of a service on the same machine
  generator_cpu            The same of the load generator
  cores                    Cores that this process may use
  hint                     What to bear in mind, such as that the load generator was the limit

Messages stay in their rooms' history; a room's name is bench/ and a number unless it is told.

Exit codes: 0 when it could be run and all was right; 1 when not, with a sentence; 130 after Ctrl-C,
with what was measured until then.";

/// The whole of it. Its fields are what `--json` writes.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// `echo`, `fan-out` or `sends`.
    pub(super) bench: &'static str,
    /// Where the service is.
    pub(super) server: String,
    pub(super) parameters: Parameters,
    /// Ctrl-C ended it before its time.
    pub(super) interrupted: bool,
    /// How long it was measured.
    pub(super) duration_us: f64,
    /// What is counted: `reply`, `delivery` or `ack`.
    pub(super) unit: &'static str,
    /// How many came in that time.
    pub(super) count: u64,
    pub(super) per_second: f64,
    /// Their text.
    pub(super) text_bytes_per_second: f64,
    /// Of what was begun in that time.
    pub(super) latency: Option<Times>,
    /// With a rate: how much later than due messages left the load generator. It is part of their latency.
    pub(super) lateness: Option<Times>,
    /// With a rate: messages that were due and were never sent, because too many were.
    pub(super) unsent: Option<u64>,
    /// Messages acked from the first to the last, warm-up included.
    pub(super) acked: Option<u64>,
    /// How safe the least safe of them was when it was acked.
    pub(super) durability: Option<&'static str>,
    /// Sessions that were lost and opened again.
    pub(super) reconnects: Option<u64>,
    pub(super) server_cpu: Option<Cpu>,
    /// Why that is not known.
    pub(super) server_cpu_unknown: Option<String>,
    /// What the load generator itself took.
    pub(super) generator_cpu: Option<Cpu>,
    /// Cores that this process may use.
    pub(super) cores: usize,
    /// What to bear in mind, in a sentence.
    pub(super) hint: Option<String>,
    #[serde(skip)]
    pub(super) counts: [&'static str; 2],
}

/// What was asked for.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Parameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connections: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) streams: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) receivers: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) senders: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) clients: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rooms: Option<u64>,
    /// The room, or what the rooms' names begin with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) room: Option<String>,
    /// `None`: as many as the rate makes.
    pub(super) in_flight: Option<u64>,
    /// Messages a second, in all. `None`: as many as the answers allow.
    pub(super) rate: Option<f64>,
    pub(super) size_bytes: u64,
    pub(super) seconds: f64,
    pub(super) warm_up_seconds: f64,
    /// Of the load generator.
    pub(super) threads: u64,
}

/// CPU time of a process, or of all that listen where the service does.
#[derive(Debug, Serialize)]
pub(super) struct Cpu {
    pub(super) processes: Vec<Program>,
    pub(super) cpu_us: f64,
    /// Of one core.
    pub(super) share_of_core: f64,
    /// Microseconds for each that was counted. `None`: there were none.
    pub(super) us_each: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Program {
    pub(super) pid: u32,
    pub(super) name: String,
}

/// Above this share of what it may use, whatever is measured is short of CPU time.
const BUSY: f64 = 0.9;

/// Up to this share of what was answered, what was not sent is what was due when the time was over.
const FEW: f64 = 0.01;

impl Cpu {
    pub(super) fn new(taken: Duration, of: &[Process], measured: &Measured) -> Self {
        let cpu_us = taken.as_secs_f64() * 1e6;
        Self {
            processes: of.iter().map(|process| Program { pid: process.id, name: process.name.clone() }).collect(),
            cpu_us,
            share_of_core: cpu_us / 1e6 / measured.time.as_secs_f64(),
            us_each: (measured.answered > 0).then(|| cpu_us / measured.answered as f64),
        }
    }
}

/// What to bear in mind about who was busy: shares are of one core, and the load generator has so many threads.
pub(super) fn hint(own: Option<f64>, server: Option<f64>, threads: usize, cores: usize) -> Option<String> {
    let own = own?;
    let all = counted(cores as u64, ["core", "cores"]);
    if threads < cores && own >= BUSY * threads as f64 {
        let threads = counted(threads as u64, ["thread", "threads"]);
        return Some(format!(
            "the load generator itself was the limit, and the service may do more: its {threads} had no rest; this machine \
             has {all}, see --threads"
        ));
    }
    if own >= BUSY * cores as f64 {
        return Some(format!(
            "the load generator itself was the limit, and the service may do more: it took {} of {all}",
            figure(own)
        ));
    }
    let both = own + server?;
    (both >= BUSY * cores as f64).then(|| {
        let (own, server) = (figure(own), figure(both - own));
        format!("this machine was the limit: of its {all} the load generator took {own}, and the service {server}")
    })
}

pub(super) fn durability(durability: Durability) -> &'static str {
    match durability {
        Durability::Synced => "synced",
        Durability::Written => "written",
        Durability::Memory => "memory",
        _ => "unknown",
    }
}

impl Parameters {
    fn text(&self) -> String {
        let Self {
            connections, streams, receivers, senders, clients, rooms, room, in_flight, rate, size_bytes, ..
        } = self;
        let mut parts = Vec::new();
        match (connections, streams) {
            (Some(connections), Some(streams)) => {
                let connections = counted(*connections, ["connection", "connections"]);
                parts.push(format!("{connections} x {}", counted(*streams, ["stream", "streams"])));
            }
            (Some(number), None) => parts.push(counted(*number, ["connection", "connections"])),
            _ => {}
        }
        for (number, words) in [
            (receivers, ["receiver", "receivers"]),
            (senders, ["sender", "senders"]),
            (clients, ["client", "clients"]),
            (rooms, ["room", "rooms"]),
        ] {
            parts.extend(number.map(|number| counted(number, words)));
        }
        parts.extend(room.as_ref().map(|room| format!("in {room}")));
        parts.push(format!("messages of {}", counted(*size_bytes, ["byte", "bytes"])));
        // A rate is of all; so are the messages on their way to receivers, and all others are each one's.
        let where_in_flight = match (streams, clients) {
            (Some(_), _) => " on each stream",
            (_, Some(_)) => " for each client",
            _ => "",
        };
        parts.extend(in_flight.map(|number| format!("{} in flight{where_in_flight}", whole(number))));
        parts.extend(rate.map(|rate| format!("{} a second in all", figure(rate))));
        list(&parts)
    }
}

impl Report {
    /// Lines for a person.
    pub(super) fn text(&self) -> String {
        let [one, many] = self.counts;
        let mut lines = vec![format!("{} at {}: {}", self.bench, self.server, self.parameters.text())];
        let mut line = |name: &str, value: String| lines.push(format!("  {name:<15}{value}"));

        let cut = if self.interrupted { ", then interrupted" } else { "" };
        let warm_up = time(self.parameters.warm_up_seconds * 1e6);
        line("measured", format!("{}, after {warm_up} of warm-up{cut}", time(self.duration_us)));
        line(many, whole(self.count));
        let megabytes = figure(self.text_bytes_per_second / 1e6);
        line("throughput", format!("{} {many}/s, {megabytes} MB/s of text", figure(self.per_second)));
        match &self.latency {
            Some(times) => line("latency", spread(times)),
            None => line("latency", format!("not known: no {one} came to what was begun in this time")),
        }
        if let Some(times) = &self.lateness {
            line("of it, late", format!("{} (from when a message was due until it left)", spread(times)));
        }
        if let Some(unsent) = self.unsent.filter(|unsent| *unsent as f64 > FEW * self.count as f64) {
            let unsent = counted(unsent, ["message was", "messages were"]);
            line("unsent", format!("{unsent} due and never sent: the rate is higher than can be had"));
        }
        if let Some(acked) = self.acked {
            let safe = self.durability.map(|durability| format!(", {}", in_words(durability))).unwrap_or_default();
            let complete = match self.parameters.receivers {
                Some(1) => "; the receiver has heard each once and in order",
                Some(_) => "; every receiver has heard each once and in order",
                None => "",
            };
            line("acked", format!("{} with the warm-up{safe}{complete}", counted(acked, ["message", "messages"])));
        }
        if let Some(reconnects @ 1..) = self.reconnects {
            line("reconnects", format!("{}: sessions were lost and opened again", whole(reconnects)));
        }
        match (&self.server_cpu, &self.server_cpu_unknown) {
            (Some(cpu), _) => {
                let names: Vec<_> = cpu.processes.iter().map(|Program { pid, name }| format!("{name} {pid}")).collect();
                line("server CPU", format!("{} ({})", cpu.text(one), list(&names)));
            }
            (None, Some(why)) => line("server CPU", format!("not known: {why}")),
            (None, None) => {}
        }
        if let Some(cpu) = &self.generator_cpu {
            let cores = counted(self.cores as u64, ["core", "cores"]);
            line("own CPU", format!("{}; there are {cores}", cpu.text(one)));
        }
        if let Some(hint) = &self.hint {
            line("note", hint.clone());
        }
        lines.join("\n")
    }
}

impl Cpu {
    fn text(&self, each: &str) -> String {
        let each = self.us_each.map(|us| format!(", {} for each {each}", time(us))).unwrap_or_default();
        format!("{}, {} of a core{each}", time(self.cpu_us), figure(self.share_of_core))
    }
}

fn spread(times: &Times) -> String {
    let Times { min_us, p50_us, p90_us, p99_us, p999_us, max_us, .. } = *times;
    let told =
        [("min", min_us), ("p50", p50_us), ("p90", p90_us), ("p99", p99_us), ("p99.9", p999_us), ("max", max_us)];
    list(&told.map(|(name, us)| format!("{name} {}", time(us))))
}

fn in_words(durability: &str) -> &'static str {
    match durability {
        "synced" => "synced to disk",
        "written" => "written to the operating system",
        "memory" => "kept in memory only",
        _ => "kept nobody said how safely",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn times() -> Times {
        Times {
            count: 5,
            min_us: 10.0,
            mean_us: 25.0,
            p50_us: 20.0,
            p90_us: 900.0,
            p99_us: 1_500.0,
            p999_us: 2_500.0,
            max_us: 1_250_000.0,
        }
    }

    fn cpu(name: &str) -> Cpu {
        let of = [Process { id: 42, name: name.to_owned() }];
        let measured = Measured {
            time: Duration::from_secs(2),
            answered: 1_000_000,
            server: Err(String::new()),
            own: None,
            interrupted: false,
        };
        Cpu::new(Duration::from_secs(1), &of, &measured)
    }

    fn parameters() -> Parameters {
        Parameters { size_bytes: 200, seconds: 2.0, warm_up_seconds: 1.0, threads: 1, ..Parameters::default() }
    }

    /// One that has everything.
    fn report() -> Report {
        Report {
            bench: "fan-out",
            server: "http://127.0.0.1:9090".to_owned(),
            parameters: Parameters {
                receivers: Some(100),
                senders: Some(1),
                room: Some("bench/x".to_owned()),
                rate: Some(5_000.0),
                ..parameters()
            },
            interrupted: false,
            duration_us: 2e6,
            unit: "delivery",
            count: 1_000_000,
            per_second: 500_000.0,
            text_bytes_per_second: 1e8,
            latency: Some(times()),
            lateness: Some(times()),
            unsent: Some(123_456),
            acked: Some(15_000),
            durability: Some("synced"),
            reconnects: Some(2),
            server_cpu: Some(cpu("service")),
            server_cpu_unknown: None,
            generator_cpu: Some(cpu("client")),
            cores: 2,
            hint: Some("look again".to_owned()),
            counts: ["delivery", "deliveries"],
        }
    }

    #[test]
    fn a_person_reads_lines() {
        let times = "min 10.0 µs, p50 20.0 µs, p90 900 µs, p99 1.50 ms, p99.9 2.50 ms, max 1.25 s";
        let expected = format!(
            "fan-out at http://127.0.0.1:9090: 100 receivers, 1 sender, in bench/x, messages of 200 bytes, 5,000 a second \
             in all
  measured       2.00 s, after 1.00 s of warm-up
  deliveries     1,000,000
  throughput     500,000 deliveries/s, 100 MB/s of text
  latency        {times}
  of it, late    {times} (from when a message was due until it left)
  unsent         123,456 messages were due and never sent: the rate is higher than can be had
  acked          15,000 messages with the warm-up, synced to disk; every receiver has heard each once and in order
  reconnects     2: sessions were lost and opened again
  server CPU     1.00 s, 0.50 of a core, 1.00 µs for each delivery (service 42)
  own CPU        1.00 s, 0.50 of a core, 1.00 µs for each delivery; there are 2 cores
  note           look again"
        );
        assert_eq!(report().text(), expected);
    }

    #[test]
    fn what_is_not_known_is_said_or_left_out() {
        let bare = Report {
            parameters: Parameters { connections: Some(1), streams: Some(4), in_flight: Some(64), ..parameters() },
            bench: "echo",
            interrupted: true,
            count: 0,
            per_second: 0.0,
            text_bytes_per_second: 0.0,
            latency: None,
            lateness: None,
            unsent: None,
            acked: None,
            durability: None,
            reconnects: None,
            server_cpu: None,
            server_cpu_unknown: Some("the service is on another machine".to_owned()),
            generator_cpu: None,
            hint: None,
            counts: ["reply", "replies"],
            ..report()
        };
        let expected =
            "echo at http://127.0.0.1:9090: 1 connection x 4 streams, messages of 200 bytes, 64 in flight on each \
                        stream
  measured       2.00 s, after 1.00 s of warm-up, then interrupted
  replies        0
  throughput     0.00 replies/s, 0.00 MB/s of text
  latency        not known: no reply came to what was begun in this time
  server CPU     not known: the service is on another machine";
        assert_eq!(bare.text(), expected);
        let few = Report { unsent: Some(10), ..report() };
        assert!(!few.text().contains("unsent"), "what was due in the last moment is not worth a line");
    }

    /// The names of all fields, at any depth.
    fn names(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                into.insert(name.clone());
                names(value, into);
            }),
            Value::Array(items) => items.iter().for_each(|item| names(item, into)),
            _ => {}
        }
    }

    #[test]
    fn help_names_the_fields_there_are() {
        let mut there = BTreeSet::new();
        names(&serde_json::to_value(report()).unwrap(), &mut there);
        let of_others = Parameters {
            connections: Some(1),
            streams: Some(1),
            clients: Some(1),
            rooms: Some(1),
            in_flight: Some(1),
            ..parameters()
        };
        names(&serde_json::to_value(of_others).unwrap(), &mut there);
        let words: BTreeSet<&str> = FIELDS.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        for name in &there {
            assert!(words.contains(name.as_str()), "{name} is not in the help");
        }
        for word in words.iter().filter(|word| word.contains('_') && **word != "_us") {
            assert!(there.contains(*word), "{word} is no field");
        }
    }

    #[test]
    fn a_program_reads_numbers_with_their_units() {
        let json = serde_json::to_value(report()).unwrap();
        for (pointer, value) in [
            ("/bench", Value::from("fan-out")),
            ("/parameters/receivers", 100.into()),
            ("/parameters/in_flight", Value::Null),
            ("/parameters/rate", 5_000.0.into()),
            ("/duration_us", 2e6.into()),
            ("/latency/p99_us", 1_500.0.into()),
            ("/server_cpu/processes/0/pid", 42.into()),
            ("/server_cpu/us_each", 1.0.into()),
            ("/server_cpu_unknown", Value::Null),
        ] {
            assert_eq!(json.pointer(pointer), Some(&value), "{pointer}");
        }
        assert_eq!(json.pointer("/parameters/connections"), None, "fan-out has no such parameter");
    }

    #[test]
    fn the_reader_is_told_who_was_short_of_time() {
        let hint = |own, server, threads, cores| hint(own, server, threads, cores).unwrap_or_default();
        assert_eq!(hint(Some(0.5), Some(0.5), 1, 2), "");
        assert_eq!(hint(None, Some(2.0), 1, 2), "");
        assert!(
            hint(Some(0.95), Some(0.1), 1, 2)
                .contains("its 1 thread had no rest; this machine has 2 cores, see --threads")
        );
        assert!(hint(Some(1.85), None, 2, 2).contains("it took 1.85 of 2 cores"));
        assert!(hint(Some(0.95), Some(0.0), 1, 1).contains("it took 0.95 of 1 core"));
        assert!(
            hint(Some(1.2), Some(0.7), 2, 2)
                .contains("of its 2 cores the load generator took 1.20, and the service 0.70")
        );
        assert_eq!(hint(Some(1.2), None, 2, 2), "", "another machine's service does not take from this one");
    }
}
