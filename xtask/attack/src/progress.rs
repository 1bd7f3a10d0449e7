//! What an attacker has done, reported to the process that started it by a line on standard output now and then.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

static SENT: AtomicU64 = AtomicU64::new(0);
static RECEIVED: AtomicU64 = AtomicU64::new(0);
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
static GOAWAYS: AtomicU64 = AtomicU64::new(0);

/// How often a line is written.
const INTERVAL: Duration = Duration::from_millis(100);

/// What an attacker has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes written to sockets.
    pub(crate) sent: u64,
    /// Bytes read from sockets.
    pub(crate) received: u64,
    /// Connections opened.
    pub(crate) connections: u64,
    /// GOAWAY frames received.
    pub(crate) goaways: u64,
}

pub(crate) fn sent(bytes: usize) {
    SENT.fetch_add(bytes as u64, Ordering::Relaxed);
}

pub(crate) fn received(bytes: usize) {
    RECEIVED.fetch_add(bytes as u64, Ordering::Relaxed);
}

pub(crate) fn connected() {
    CONNECTIONS.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn goaway() {
    GOAWAYS.fetch_add(1, Ordering::Relaxed);
}

/// Reports until the process that reads the lines is gone.
pub(crate) fn report() -> io::Result<()> {
    loop {
        let [sent, received, connections, goaways] =
            [&SENT, &RECEIVED, &CONNECTIONS, &GOAWAYS].map(|counter| counter.load(Ordering::Relaxed));
        writeln!(io::stdout(), "{sent} {received} {connections} {goaways}")?;
        thread::sleep(INTERVAL);
    }
}

impl Progress {
    /// Reads a line of a report.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut numbers = line.split(' ').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self { sent: next()?, received: next()?, connections: next()?, goaways: next()? })
    }

    /// Adds what another attacker has done.
    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.connections += other.connections;
        self.goaways += other.goaways;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_four_numbers() {
        let expected = Progress { sent: 1, received: 2, connections: 3, goaways: 4 };
        assert_eq!(Progress::parse("1 2 3 4"), Some(expected));
        assert_eq!(Progress::parse("1 2 3"), None);
    }
}
