//! Connections are cut at any byte and at the worst moments, while the service keeps running.

use std::sync::Arc;
use std::time::Duration;

use super::fault::{FaultResult, Size, block_on, passed};
use super::load::clients::Clients;
use super::load::sender::Workload;
use super::proxy::{CutBudget, Proxy};
use super::route::Route;
use super::site::{Site, Store};

const SENDERS: usize = 3;
const READERS: usize = 20;

/// More than a slow machine takes.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) fn run(size: Size) -> FaultResult {
    let (cuts, deliveries) = if size.small { (60, 40_000) } else { (200, 1_000_000) };
    let cuts = size.rounds.unwrap_or(cuts);
    block_on(async {
        let site = Site::new()?;
        // On disk, so that resuming involves the pages and the writer of the embedded history.
        let service = site.start(Store::Disk(&site.path("data")))?;
        let cuts = CutBudget::new(cuts);
        let mut seeds = fastrand::Rng::with_seed(size.seed);
        let mut clients = Clients::new(&["north", "south/east"], seeds.u64(..));
        for client in 0..SENDERS + READERS {
            let proxy = Proxy::start(site.server.clone(), Arc::clone(&cuts), seeds.u64(..)).await?;
            let route = Route::Proxied(Arc::new(proxy));
            if client < SENDERS {
                let drafts = deliveries / READERS / SENDERS + 1;
                clients.add_sender(route, Workload { drafts, ..Workload::STEADY });
            } else {
                clients.add_reader(route, true);
            }
        }
        if !clients.counters.delivered.reaches(deliveries as u64, PATIENCE).await {
            let delivered = clients.counters.delivered.get();
            return Err(format!("{delivered} deliveries of {deliveries} within {} s", PATIENCE.as_secs()).into());
        }
        while !cuts.is_spent() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let tally = clients.finish(&site.server).await?;
        let status = service.stop()?;
        if !status.success() {
            return Err(format!("the service ended with {status}: {}", site.log()).into());
        }
        passed(format!("{} cuts, {tally}", cuts.made()), &tally)
    })
}
