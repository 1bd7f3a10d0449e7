//! The load generator: one thread that waits for all its connections with epoll.

pub(crate) mod example;
pub(crate) mod poller;
pub(crate) mod room;
pub(crate) mod wire;

use std::io;
use std::time::{Duration, Instant};

use crate::measure::{Meter, Round};
use crate::process::Process;

/// How long everything that has been sent may take to arrive, and how long nothing may arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a round takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// Load before anything is measured.
    pub(crate) warm_up: Duration,
    /// Load that is measured.
    pub(crate) measured: Duration,
}

/// Connections that keep a server busy.
pub(crate) trait Load {
    /// Sends what may be sent, if `sending`. Then waits until something arrives, at most until the deadline, and handles it.
    fn step(&mut self, sending: bool, deadline: Instant) -> io::Result<()>;

    /// Returns how many messages have arrived.
    fn arrived(&self) -> u64;

    /// Returns whether everything that has been sent has arrived.
    fn is_complete(&self) -> bool;

    /// Returns how long each message took since this was last called, if the load measures that.
    fn take_latencies(&mut self) -> Vec<Duration> {
        Vec::new()
    }
}

/// Measures a round. It fails if a message does not arrive, or not in order.
pub(crate) fn measure(load: &mut impl Load, server: &Process, times: Times) -> io::Result<Round> {
    run_for(load, times.warm_up)?;
    load.take_latencies();
    let meter = Meter::start(server, load.arrived())?;
    run_for(load, times.measured)?;
    let round = meter.stop(server, load.arrived(), &load.take_latencies())?;
    run_until(load, "everything that was sent", Load::is_complete)?;
    Ok(round)
}

/// Handles what arrives for a while, without sending anything new but replies.
pub(crate) fn rest(load: &mut impl Load, length: Duration) -> io::Result<()> {
    let end = Instant::now() + length;
    while Instant::now() < end {
        load.step(false, end)?;
    }
    Ok(())
}

fn run_for(load: &mut impl Load, length: Duration) -> io::Result<()> {
    let (end, before) = (Instant::now() + length, load.arrived());
    while Instant::now() < end {
        load.step(true, end)?;
    }
    if load.arrived() == before {
        return Err(io::Error::other(format!("nothing arrived for {length:?}")));
    }
    Ok(())
}

/// Handles what arrives until a condition is met, without sending anything new.
fn run_until<L: Load>(load: &mut L, what: &str, condition: impl Fn(&L) -> bool) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !condition(load) {
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("{what} had not arrived after {} s", PATIENCE.as_secs())));
        }
        load.step(false, deadline)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
