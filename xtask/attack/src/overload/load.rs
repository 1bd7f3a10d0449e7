//! 1,000 users who send, from many addresses, and what becomes of their messages.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use prost::Message;
use stubs::chat::v1 as pb;
use stubs::chat::v1::client_frame::Body;
use stubs::chat::v1::server_frame;

use crate::frames::prefixed;
use crate::link::Link;
use crate::messages::{self, SESSION};
use crate::sources;

/// Connections, each from an address of its own, and users on each: as many as share an address before it counts.
const CONNECTIONS: usize = 125;
const USERS: usize = 8;

/// Bytes of each message's text.
const TEXT: usize = 1024;

/// Rooms that they send to.
const ROOMS: usize = 100;

/// How often each connection sends what is due.
const TURN: Duration = Duration::from_millis(25);

/// How often the figures are written.
const REPORT: Duration = Duration::from_millis(100);

/// The longest time to an ack that is told from longer ones, in milliseconds.
const LONGEST: usize = 20_000;

/// How much all users together send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    pub(crate) per_second: f64,
    /// The most messages of each user that have no reply.
    pub(crate) in_flight: u64,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.per_second, self.in_flight)
    }
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (per_second, in_flight) = text.split_once('/').ok_or("a load is RATE/IN_FLIGHT")?;
        let wrong = |error: &dyn fmt::Display| error.to_string();
        Ok(Self {
            per_second: per_second.parse().map_err(|error| wrong(&error))?,
            in_flight: in_flight.parse().map_err(|error| wrong(&error))?,
        })
    }
}

/// What has become of the messages so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    /// Messages that were due. Those that flow control held back are due, and not sent.
    pub(crate) due: u64,
    pub(crate) acked: u64,
    /// Refused, with a hint when to try again.
    pub(crate) hinted: u64,
    /// Refused in any other way.
    pub(crate) refused: u64,
    /// The 99th percentile of the time to an ack, in milliseconds.
    pub(crate) p99: u64,
}

impl Figures {
    /// Reads a line of a report.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut numbers = line.split(' ').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self { due: next()?, acked: next()?, hinted: next()?, refused: next()?, p99: next()? })
    }
}

struct Counters {
    start: Instant,
    due: AtomicU64,
    acked: AtomicU64,
    hinted: AtomicU64,
    refused: AtomicU64,
    /// Acks by the milliseconds that they took.
    times: Vec<AtomicU64>,
}

impl Counters {
    fn microseconds(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    /// Counts a reply. The id of a frame is the time at which it was sent.
    fn count(&self, frame: pb::ServerFrame) {
        match frame.body {
            Some(server_frame::Body::Ack(_)) => {
                let took = self.microseconds().saturating_sub(frame.reply_to) / 1000;
                self.times[(took as usize).min(LONGEST - 1)].fetch_add(1, Ordering::Relaxed);
                self.acked.fetch_add(1, Ordering::Relaxed);
            }
            Some(server_frame::Body::Error(error)) => {
                let details = error.status.unwrap_or_default().details;
                let has_hint = details.iter().any(|detail| detail.type_url.ends_with("/google.rpc.RetryInfo"));
                (if has_hint { &self.hinted } else { &self.refused }).fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    fn figures(&self) -> Figures {
        let [due, acked, hinted, refused] =
            [&self.due, &self.acked, &self.hinted, &self.refused].map(|counter| counter.load(Ordering::Relaxed));
        let mut slower = acked / 100;
        let times = self.times.iter().enumerate().rev();
        let p99 = times.map(|(took, count)| (took, count.load(Ordering::Relaxed))).find(|&(_, count)| {
            let is_it = count > slower;
            slower = slower.saturating_sub(count);
            is_it
        });
        Figures { due, acked, hinted, refused, p99: p99.map_or(0, |(took, _)| took as u64) }
    }
}

/// Sends until the process that reads the reports is gone.
pub(crate) fn run(target: SocketAddr, load: Load) -> io::Result<()> {
    let counters = Arc::new(Counters {
        start: Instant::now(),
        due: AtomicU64::new(0),
        acked: AtomicU64::new(0),
        hinted: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        times: std::iter::repeat_with(|| AtomicU64::new(0)).take(LONGEST).collect(),
    });
    for number in 0..CONNECTIONS {
        let counters = Arc::clone(&counters);
        thread::Builder::new().spawn(move || {
            let from = Ipv4Addr::new(127, 2, 0, number as u8 + 1);
            if let Err(error) = send(target, from, number, load, &counters) {
                eprintln!("attack: a connection of the overload has ended: {error}");
            }
        })?;
    }
    loop {
        let Figures { due, acked, hinted, refused, p99 } = counters.figures();
        writeln!(io::stdout(), "{due} {acked} {hinted} {refused} {p99}")?;
        thread::sleep(REPORT);
    }
}

/// One connection: sends what is due, as long as the connection lives.
fn send(target: SocketAddr, from: Ipv4Addr, number: usize, load: Load, counters: &Arc<Counters>) -> io::Result<()> {
    let replies = Arc::new(AtomicU64::new(0));
    let mut link = Link::over(sources::connect(from, target)?, {
        let (counters, replies, mut unused) = (Arc::clone(counters), Arc::clone(&replies), HashMap::new());
        move |stream, data| {
            let bytes: &mut Vec<u8> = unused.entry(stream).or_default();
            bytes.extend_from_slice(data);
            let mut rest = bytes.as_slice();
            while let Some((&[_, a, b, c, d], after)) = rest.split_first_chunk::<5>()
                && let Some((message, after)) = after.split_at_checked(u32::from_be_bytes([a, b, c, d]) as usize)
            {
                // The first reply of each session is Welcome.
                replies.fetch_add(1, Ordering::Relaxed);
                if let Ok(frame) = pb::ServerFrame::decode(message) {
                    counters.count(frame);
                }
                rest = after;
            }
            let used = bytes.len() - rest.len();
            bytes.drain(..used);
        }
    })?;
    let mut sessions = Vec::new();
    for user in 0..USERS {
        let stream = link.call(SESSION, &[])?;
        link.data(stream, &messages::hello(&format!("user-{number}-{user}")))?;
        let room = format!("overload-{}", (number * USERS + user) % ROOMS);
        let send = Body::Send(pb::Send { room, text: "x".repeat(TEXT), ..pb::Send::default() });
        sessions.push((stream, pb::ClientFrame { id: 0, body: Some(send) }.encode_to_vec(), 0));
    }
    // Until all have been welcomed.
    while replies.load(Ordering::Relaxed) < USERS as u64 {
        link.rest()?;
    }
    let (start, mut due, mut sent) = (Instant::now(), 0, 0);
    loop {
        let now_due = (start.elapsed().as_secs_f64() * load.per_second / CONNECTIONS as f64) as u64;
        let mut is_allowed = true;
        while due < now_due && is_allowed {
            let in_flight = sent + USERS as u64 - replies.load(Ordering::Relaxed);
            is_allowed = in_flight < load.in_flight * USERS as u64;
            let (stream, body, last_id) = &mut sessions[due as usize % USERS];
            *last_id = counters.microseconds().max(*last_id + 1);
            let mut frame = Vec::with_capacity(body.len() + 16);
            // The field `id`, followed by the others.
            frame.push(1 << 3);
            prost::encoding::encode_varint(*last_id, &mut frame);
            frame.extend_from_slice(body);
            if is_allowed {
                due += 1;
                counters.due.fetch_add(1, Ordering::Relaxed);
                sent += u64::from(link.data(*stream, &prefixed(&frame))?);
            }
        }
        link.flush()?;
        thread::sleep(TURN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_read_as_it_is_written() {
        let load = Load { per_second: 1.5e5, in_flight: 4 };
        assert_eq!(load.to_string().parse(), Ok(load));
        assert!("fast".parse::<Load>().is_err());
    }

    #[test]
    fn the_figures_have_a_percentile_and_are_read_as_they_are_written() {
        let counters = Counters {
            start: Instant::now(),
            due: AtomicU64::new(300),
            acked: AtomicU64::new(200),
            hinted: AtomicU64::new(60),
            refused: AtomicU64::new(40),
            times: (0..200).map(|_| AtomicU64::new(1)).collect(),
        };
        let expected = Figures { due: 300, acked: 200, hinted: 60, refused: 40, p99: 197 };
        assert_eq!(counters.figures(), expected);
        assert_eq!(Figures::parse("300 200 60 40 197"), Some(expected));
    }
}
