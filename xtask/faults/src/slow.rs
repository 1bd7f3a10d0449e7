//! Some readers stop reading: the latency of the others stays, the server's memory hardly grows, and nothing is missed.

use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use super::fault::{FaultResult, Size, block_on, passed};
use super::load::clients::{Clients, Extent, tally};
use super::load::sender::Workload;
use super::load::session::connect;
use super::route::Route;
use super::site::{Site, Store};

/// The number of active readers that share a connection.
const SHARING: usize = 50;

/// The most memory that a stalled reader may cost.
const MEMORY_LIMIT: u64 = 1024 * 1024;

/// The factor by which stalled readers may raise the latency of the others.
const LATENCY_FACTOR: f64 = 1.5;

/// The number of messages of 8,000 bytes that stalled readers leave unread.
const BURST: usize = 180;

/// A p99 without stalled readers above this means that the machine is overloaded, and not the service.
const MEASURABLE: Duration = Duration::from_millis(250);

const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn run(size: Size) -> FaultResult {
    let (readers, stalled, seconds) = if size.small { (100, 20, 2) } else { (1_000, 200, 15) };
    let active = readers - stalled;
    block_on(async {
        let site = Site::new()?;
        let service = site.start(Store::Memory)?;
        let mut clients = Clients::new(&["north"], size.seed);
        let mut left = active;
        while left > 0 {
            let connection = connect(&site.server.address()).await?;
            for _ in 0..left.min(SHARING) {
                clients.add_reader(Route::Shared(connection.clone()), false);
            }
            left = left.saturating_sub(SHARING);
        }
        if !clients.counters.caught_up.reaches(active as u64, PATIENCE).await {
            return Err("the active readers did not all join in time".into());
        }
        // Taken before anything is delivered, so that what the active readers need is included in the difference.
        let before = memory(service.id())?;
        // Slow enough for a debug build: the service is to be measured, and not a machine at its limit.
        let interval = Duration::from_millis(100);
        let workload = Workload { text_bytes: 200, interval, ..Workload::STEADY };
        clients.add_sender(Route::Direct(site.server.clone()), workload);
        // Each measurement follows the same burst, so that they differ only in the stalled readers.
        burst(&mut clients, &site, active).await?;
        let (without, _) = clients.counters.latencies.p99_within(seconds).await;

        let mut slow = Clients::new(&["north"], size.seed);
        for _ in 0..stalled {
            slow.add_reader(Route::Direct(site.server.clone()), false);
        }
        if !slow.counters.caught_up.reaches(stalled as u64, PATIENCE).await {
            return Err("the readers that are going to stall did not all join in time".into());
        }
        slow.stall_readers();
        burst(&mut clients, &site, active).await?;
        let (with, deliveries) = clients.counters.latencies.p99_within(seconds).await;
        let each = memory(service.id())?.saturating_sub(before) / stalled as u64;
        let unread = (clients.counters.acked.get() * stalled as u64).saturating_sub(slow.counters.delivered.get());

        // Measured once more with all readers active, since the machine may have become slower meanwhile.
        slow.wake_readers();
        burst(&mut clients, &site, active).await?;
        let (after, _) = clients.counters.latencies.p99_within(seconds).await;
        let sent = clients.finish_senders().await?;
        let history = clients.history(&site.server).await?;
        let mut received = clients.finish_readers(&history).await?;
        received.extend(slow.finish_readers(&history).await?);
        let mut tally = tally(&history, &sent, &received, Extent::Complete);
        service.stop()?;
        // The burst alone is larger than the windows and what the server buffers for a reader.
        if unread < 100 * stalled as u64 {
            tally.violations.push(format!("the stalled readers left only {unread} events unread: they did not stall"));
        }
        if each > MEMORY_LIMIT {
            tally.violations.push(format!("a stalled reader costs {each} bytes"));
        }
        let usual = without.max(after);
        let factor = with.as_secs_f64() / usual.as_secs_f64().max(0.001);
        // An overloaded machine measures its own queues, which proves nothing either way.
        let checked = !size.small && usual <= MEASURABLE;
        let latency = if checked {
            "the others' latency was checked"
        } else {
            "THE OTHERS' LATENCY WAS NOT CHECKED (the machine is overloaded, or this is the short form)"
        };
        if checked && factor > LATENCY_FACTOR {
            tally.violations.push(format!("with stalled readers the p99 of the others is {factor:.2} times as long"));
        }
        let [without, with, after] = [without, with, after].map(|p99| p99.as_secs_f64() * 1e3);
        passed(
            format!(
                "{stalled} of {readers} stalled with {unread} events unread, at most {} KiB each; p99 of the others \
                 {without:.1} ms before, {with:.1} ms meanwhile ({deliveries} deliveries), {after:.1} ms after: {latency}; \
                 {tally}",
                each / 1024
            ),
            &tally,
        )
    })
}

/// Sends more than the windows hold, so that the server has to wait for stalled readers, and more than the room's tail holds,
/// so that they catch up from the history when they wake up. Returns when the active readers have received it.
async fn burst(clients: &mut Clients, site: &Site, active: usize) -> Result<(), Box<dyn Error>> {
    let acked = clients.counters.acked.get();
    let workload = Workload { text_bytes: 8_000, drafts: BURST, ..Workload::STEADY };
    clients.add_sender(Route::Direct(site.server.clone()), workload);
    if !clients.counters.acked.reaches(acked + BURST as u64, PATIENCE).await {
        return Err("a burst was not acked in time".into());
    }
    let deadline = Instant::now() + PATIENCE;
    // Two events fewer, because others are acked meanwhile.
    while clients.counters.delivered.get() < clients.counters.acked.get().saturating_sub(2) * active as u64 {
        if Instant::now() > deadline {
            return Err("the active readers did not receive a burst in time".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Returns the resident memory of a process in bytes.
fn memory(process: u32) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in /proc")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
