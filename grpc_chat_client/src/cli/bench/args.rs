//! The command line of `bench`. What it asks for is in the report again, as its `parameters`.

use clap::builder::ArgPredicate;
use grpc_chat_client::RoomId;
use serde::{Serialize, Serializer};

use super::run::{SENDERS, STAMP_BYTES};
use crate::values::whole;

/// The longest text that a service takes with its usual settings.
const MAX_TEXT_BYTES: usize = 8 * 1024;

/// The longest duration, in seconds.
const DAY: f64 = 86_400.0;

// Not a doc comment, which would be shown in the help.
#[derive(Debug, clap::Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(super) load: Load,
}

#[derive(Clone, Debug, Serialize, clap::Subcommand)]
#[serde(untagged)]
pub(super) enum Load {
    /// Send messages on calls of the example, and match each reply to its message
    Echo(Echo),
    /// Send messages to one room with many receivers, and check that each receives all that was acked, once and in order
    FanOut(FanOut),
    /// Send messages that are stored, and measure the time to the ack
    Sends(Sends),
}

#[derive(Clone, Debug, Serialize, clap::Args)]
pub(super) struct Echo {
    /// Connections; a service uses at most one core for each
    #[arg(long, value_name = "N", default_value = "4", value_parser = whole::<u64>(1..=10_000))]
    pub(super) connections: u64,
    /// Calls on each connection; the service takes 128
    #[arg(long, value_name = "N", default_value = "4", value_parser = whole::<u64>(1..=128))]
    pub(super) streams: u64,
    /// Messages of each call that have no reply yet
    #[arg(long, value_name = "N", default_value = "64", value_parser = whole::<u64>(1..=1_024))]
    #[arg(default_value_if("rate", ArgPredicate::IsPresent, None))]
    pub(super) in_flight: Option<u64>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) common: Common,
}

#[derive(Clone, Debug, Serialize, clap::Args)]
pub(super) struct FanOut {
    /// Clients that receive, each with its own connection
    #[arg(long, value_name = "N", default_value = "100", value_parser = whole::<u64>(1..=100_000))]
    pub(super) receivers: u64,
    /// Clients that send, each with its own connection
    #[arg(long, value_name = "N", default_value = "1", value_parser = whole::<u64>(1..=SENDERS))]
    pub(super) senders: u64,
    /// Messages, in all, that have not reached every receiver yet
    #[arg(long, value_name = "N", default_value = "100", value_parser = whole::<u64>(1..=1_000_000))]
    #[arg(default_value_if("rate", ArgPredicate::IsPresent, None))]
    pub(super) in_flight: Option<u64>,
    /// The room [default: a new one]
    #[arg(long, value_name = "ROOM")]
    #[serde(serialize_with = "room_text")]
    pub(super) room: Option<RoomId>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) common: Common,
}

#[derive(Clone, Debug, Serialize, clap::Args)]
pub(super) struct Sends {
    /// Clients, each with its own connection
    #[arg(long, value_name = "N", default_value = "4", value_parser = whole::<u64>(1..=SENDERS))]
    pub(super) clients: u64,
    /// Messages of each client that are not acked yet; the service takes 1,024
    #[arg(long, value_name = "N", default_value = "64", value_parser = whole::<u64>(1..=1_024))]
    #[arg(default_value_if("rate", ArgPredicate::IsPresent, None))]
    pub(super) in_flight: Option<u64>,
    /// Rooms; each client sends to them in turn
    #[arg(long, value_name = "N", default_value = "1", value_parser = whole::<u64>(1..=1_000_000))]
    pub(super) rooms: u64,
    /// The room, or what the names of the rooms begin with: new for each run.
    #[arg(skip)]
    #[serde(serialize_with = "room_text")]
    pub(super) room: Option<RoomId>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) common: Common,
}

#[derive(Clone, Debug, Serialize, clap::Args)]
pub(super) struct Common {
    /// Messages a second in all, sent on time whatever is answered; latency then counts from when a message was due
    /// [default: a new message for each answer]
    #[arg(long, value_name = "N", value_parser = rate, conflicts_with = "in_flight")]
    pub(super) rate: Option<f64>,
    /// Bytes of text in a message, 32 to 8192
    #[arg(long, value_name = "BYTES", default_value = "200", value_parser = size)]
    #[serde(rename = "size_bytes")]
    pub(super) size: usize,
    /// How long to measure
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds(0.001))]
    pub(super) seconds: f64,
    /// How long to send before measuring
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds(0.0))]
    #[serde(rename = "warm_up_seconds")]
    pub(super) warm_up: f64,
    /// Give up when no answer has come for this long
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds(0.001))]
    #[serde(skip)]
    pub(super) patience: f64,
    /// Threads of the load generator, beside the one that keeps the rate
    #[arg(long, value_name = "N", default_value = "1", value_parser = whole::<u64>(1..=1_024))]
    pub(super) threads: u64,
    /// Write the result as one JSON object; `bench --help` lists its fields
    #[arg(long)]
    #[serde(skip)]
    pub(super) json: bool,
}

/// The fields of the report, for `--help`. A test compares it with those there are.
pub(super) const FIELDS: &str = "\
The fields of --json (times in microseconds, _us; null where a value is not known):
  bench, server            What was run, and where the service is
  parameters               What was asked for: connections, streams, receivers, senders, clients,
                           rooms, room, in_flight (null with --rate), rate (null without), size_bytes,
                           seconds, warm_up_seconds, threads; those that the bench has
  interrupted              Whether Ctrl-C ended it early
  duration_us              How long was measured
  unit, count, per_second  What is counted (reply, delivery, ack), and how many came in that time
  text_bytes_per_second    Their text
  latency                  Of the messages sent in that time: count, min_us, mean_us, p50_us, p90_us,
                           p99_us, p999_us, max_us
  lateness                 With --rate, the same of the delay between when a message was due and when
                           the load generator sent it; this delay is part of the latency
  unsent                   With --rate, messages that were due and not sent; a few are always due
                           just when the time is over
  acked                    Messages acked in the whole run; fan-out fails unless every receiver has
                           received each of them once and in order
  durability               Of the least durable ack: memory, written, synced, unknown
  reconnects               Sessions that were lost and opened again
  server_cpu               The service's processes (pid, name), cpu_us, share_of_core (1 is a whole core),
                           us_each (per unit)
  server_cpu_unknown       Why server_cpu is null: it needs Linux and a service on this machine
  generator_cpu            The same for the load generator
  cores                    Cores that this process may use
  hint                     What to bear in mind, such as that the load generator was the limit

Messages stay in the history of their rooms; a room is named bench/ and a number unless --room names it.

Exit codes: 0 when the bench ran and every check held; 1 when not, with a sentence; 130 after Ctrl-C,
with what was measured until then.";

impl Load {
    /// The name of the subcommand.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Echo(_) => "echo",
            Self::FanOut(_) => "fan-out",
            Self::Sends(_) => "sends",
        }
    }

    /// What is counted: the word for one, and for many.
    pub(super) fn unit(&self) -> [&'static str; 2] {
        match self {
            Self::Echo(_) => ["reply", "replies"],
            Self::FanOut(_) => ["delivery", "deliveries"],
            Self::Sends(_) => ["ack", "acks"],
        }
    }

    pub(super) fn common(&self) -> &Common {
        match self {
            Self::Echo(Echo { common, .. })
            | Self::FanOut(FanOut { common, .. })
            | Self::Sends(Sends { common, .. }) => common,
        }
    }
}

// Called by serde with a reference to the field.
#[expect(clippy::ref_option, reason = "serde's signature")]
fn room_text<S: Serializer>(room: &Option<RoomId>, serializer: S) -> Result<S::Ok, S::Error> {
    room.as_deref().serialize(serializer)
}

fn size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if (STAMP_BYTES..=MAX_TEXT_BYTES).contains(&size) => Ok(size),
        _ => Err(format!(
            "a message has {STAMP_BYTES} to {MAX_TEXT_BYTES} bytes: the first {STAMP_BYTES} tell when it was sent, and the \
             service takes no more than {MAX_TEXT_BYTES}"
        )),
    }
}

fn seconds(shortest: f64) -> impl Fn(&str) -> Result<f64, String> + Clone {
    move |text| match text.parse() {
        Ok(seconds) if (shortest..=DAY).contains(&seconds) => Ok(seconds),
        _ => Err(format!("expected seconds, {shortest} to {DAY}")),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
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
    fn durations_and_rates_are_finite_and_in_range() {
        let (length, warm_up) = (seconds(0.001), seconds(0.0));
        assert_eq!([warm_up("0"), warm_up("0.5"), length("86400")], [Ok(0.0), Ok(0.5), Ok(86_400.0)]);
        for text in ["-1", "86401", "inf", "nan", "x", ""] {
            warm_up(text).unwrap_err();
            length(text).unwrap_err();
        }
        length("0").unwrap_err();
        assert_eq!([rate("0.5"), rate("1e6")], [Ok(0.5), Ok(1e6)]);
        for text in ["0", "-1", "1e9", "inf", "nan", "x"] {
            rate(text).unwrap_err();
        }
    }
}
