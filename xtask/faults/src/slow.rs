//! Some readers stop reading: the others do not notice, the server hardly does, and nothing is missed.

use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use super::door::Door;
use super::fault::{Ended, Size, block_on, held};
use super::load::Task;
use super::load::crew::{Crew, Pace, Until, tally};
use super::load::line::connect;
use super::site::{Keeps, Site};

/// Sessions of readers who read, on one connection.
const SHARING: usize = 50;

/// What a stalled reader may cost.
const MOST_BYTES: u64 = 1024 * 1024;

/// How much later events may come because of stalled readers.
const MOST_LATER: f64 = 1.5;

/// Messages of 8,000 bytes that stalled readers leave unread.
const BURST: usize = 180;

/// A p99 with nobody stalled, beyond which the machine and not the service is what is slow.
const MEASURABLE: Duration = Duration::from_millis(250);

const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn run(size: Size) -> Ended {
    let (readers, stalled, measured) = if size.small { (100, 20, 2) } else { (1_000, 200, 15) };
    block_on(async {
        let site = Site::new()?;
        let service = site.start(Keeps::Nothing)?;
        let mut crew = Crew::new(&["north"], size.seed);
        let mut left = readers - stalled;
        while left > 0 {
            let connection = connect(&site.server.address()).await?;
            for _ in 0..left.min(SHARING) {
                crew.reader(Door::Shared(connection.clone()), false);
            }
            left = left.saturating_sub(SHARING);
        }
        let here = |crew: &Crew, count: usize| {
            let caught_up = crew.counts.caught_up.clone();
            async move { caught_up.reaches(count as u64, PATIENCE).await }
        };
        if !here(&crew, readers - stalled).await {
            return Err("the readers did not all join in time".into());
        }
        // Before there is anything to deliver: what the readers who read need counts, too.
        let before = memory(service.id())?;
        // Little enough for a debug build: what is to be seen is the service, and not a machine at its limit.
        let every = Duration::from_millis(100);
        crew.sender(Door::Straight(site.server.clone()), Pace { text: 200, every, ..Pace::STEADY });
        // The same burst before both measurements, so that only the stalled readers make a difference.
        burst(&mut crew, &site, readers - stalled).await?;
        let (without, _) = crew.counts.latencies.p99_within(measured).await;

        let mut slow = Crew::new(&["north"], size.seed);
        for _ in 0..stalled {
            slow.reader(Door::Straight(site.server.clone()), false);
        }
        if !here(&slow, stalled).await {
            return Err("the readers that are going to stall did not all join in time".into());
        }
        slow.readers_to(Task::Stall);
        burst(&mut crew, &site, readers - stalled).await?;
        let (with, deliveries) = crew.counts.latencies.p99_within(measured).await;
        let each = memory(service.id())?.saturating_sub(before) / stalled as u64;
        let left = (crew.counts.acked.get() * stalled as u64).saturating_sub(slow.counts.delivered.get());

        // Awake again, and once more the same: what has changed by then is not due to stalled readers.
        slow.readers_to(Task::Work);
        burst(&mut crew, &site, readers - stalled).await?;
        let (after, _) = crew.counts.latencies.p99_within(measured).await;
        let sent = crew.finish_sending().await?;
        let history = crew.history(&site.server).await?;
        let mut received = crew.finish_reading(&history).await?;
        received.extend(slow.finish_reading(&history).await?);
        let mut tally = tally(&history, &sent, &received, Until::Finished);
        service.stop()?;
        // All but what fits the windows of the burst, which alone is larger than what is kept for a reader.
        if left < 100 * stalled as u64 {
            tally
                .violations
                .push(format!("the stalled readers had only {left} events left to read: they did not stall"));
        }
        if each > MOST_BYTES {
            tally.violations.push(format!("a stalled reader costs {each} bytes"));
        }
        let usual = without.max(after);
        let later = with.as_secs_f64() / usual.as_secs_f64().max(0.001);
        // At its limit the machine's own queues are measured, and they prove nothing either way.
        let latency = if size.small || usual > MEASURABLE {
            "THE OTHERS' LATENCY IS NOT KNOWN TO HOLD (this machine is at its limit, or the form is small)"
        } else {
            "the others' latency held"
        };
        if !size.small && usual <= MEASURABLE && later > MOST_LATER {
            tally.violations.push(format!("with stalled readers the others' p99 is {later:.2} times as long"));
        }
        let [without, with, after] = [without, with, after].map(|p99| p99.as_secs_f64() * 1e3);
        held(
            format!(
                "{stalled} of {readers} stalled with {left} events unread, at most {} KiB each, p99 of the others {without:.1} ms \
                 before, {with:.1} ms then ({deliveries} deliveries), {after:.1} ms after: {latency}; {tally}",
                each / 1024
            ),
            &tally,
        )
    })
}

/// More than the windows hold, so that the server has to wait for readers who do not read, and more than it keeps of a
/// room in memory, so that the history has to help when they wake up. Returns when the others are level again.
async fn burst(crew: &mut Crew, site: &Site, reading: usize) -> Result<(), Box<dyn Error>> {
    let acked = crew.counts.acked.get();
    crew.sender(Door::Straight(site.server.clone()), Pace { text: 8_000, most: BURST, ..Pace::STEADY });
    if !crew.counts.acked.reaches(acked + BURST as u64, PATIENCE).await {
        return Err("a burst was not acked in time".into());
    }
    let deadline = Instant::now() + PATIENCE;
    // But for what has been acked just now.
    while crew.counts.delivered.get() < crew.counts.acked.get().saturating_sub(2) * reading as u64 {
        if Instant::now() > deadline {
            return Err("the readers that read did not get level after a burst in time".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Bytes of memory that the process has.
fn memory(process: u32) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in /proc")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
