//! Connections cut at any byte and at the worst moments, while the service runs on.

use std::sync::Arc;
use std::time::Duration;

use super::cutter::{Cuts, Cutter};
use super::door::Door;
use super::fault::{Ended, Size, block_on, held};
use super::load::crew::{Crew, Pace};
use super::site::{Keeps, Site};

const SENDERS: usize = 3;
const READERS: usize = 20;

/// Longer than it takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) fn run(size: Size) -> Ended {
    let (cuts, deliveries) = if size.small { (60, 40_000) } else { (200, 1_000_000) };
    let cuts = size.rounds.unwrap_or(cuts);
    block_on(async {
        let site = Site::new()?;
        // On disk, so that resuming meets the history's pages and its writer.
        let service = site.start(Keeps::Data(&site.path("data")))?;
        let cuts = Cuts::new(cuts);
        let mut seeds = fastrand::Rng::with_seed(size.seed);
        let mut crew = Crew::new(&["north", "south/east"], seeds.u64(..));
        for client in 0..SENDERS + READERS {
            let network = Cutter::start(site.server.clone(), Arc::clone(&cuts), seeds.u64(..)).await?;
            let door = Door::Through(Arc::new(network));
            if client < SENDERS {
                let most = deliveries / READERS / SENDERS + 1;
                crew.sender(door, Pace { most, ..Pace::STEADY });
            } else {
                crew.reader(door, true);
            }
        }
        if !crew.counts.delivered.reaches(deliveries as u64, PATIENCE).await {
            let delivered = crew.counts.delivered.get();
            return Err(format!("{delivered} deliveries of {deliveries} within {} s", PATIENCE.as_secs()).into());
        }
        while !cuts.all_made() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let tally = crew.settle(&site.server).await?;
        let status = service.stop()?;
        if !status.success() {
            return Err(format!("the service ended with {status}: {}", site.log()).into());
        }
        held(format!("{} cuts, {tally}", cuts.made()), &tally)
    })
}
