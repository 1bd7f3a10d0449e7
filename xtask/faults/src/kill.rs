//! The service is killed at any moment and started again on the same data, and clients reconnect.

use std::time::Duration;

use super::fault::{FaultResult, Size, block_on, passed};
use super::load::clients::Clients;
use super::load::sender::Workload;
use super::route::Route;
use super::site::{Site, Store};

const SENDERS: usize = 4;
const READERS: usize = 3;

pub(crate) fn run(size: Size) -> FaultResult {
    let (rounds, longest) = if size.small { (20, 250) } else { (100, 600) };
    let rounds = size.rounds.unwrap_or(rounds);
    block_on(async {
        let site = Site::new()?;
        let data = site.path("data");
        let mut random = fastrand::Rng::with_seed(size.seed);
        let mut clients = Clients::new(&["north", "south/east"], random.u64(..));
        for _ in 0..SENDERS {
            clients.add_sender(Route::Direct(site.server.clone()), Workload::STEADY);
        }
        for _ in 0..READERS {
            clients.add_reader(Route::Direct(site.server.clone()), true);
        }
        let mut with_acks = 0;
        for _ in 0..rounds {
            let before = clients.counters.acked.get();
            let service = site.start(Store::Disk(&data))?;
            tokio::time::sleep(Duration::from_millis(random.u64(1..longest))).await;
            service.kill();
            with_acks += usize::from(clients.counters.acked.get() > before);
        }
        let service = site.start(Store::Disk(&data))?;
        let tally = clients.finish(&site.server).await?;
        let status = service.stop()?;
        if !status.success() {
            return Err(format!("the service ended with {status}: {}", site.log()).into());
        }
        // A kill before the first ack proves little.
        if with_acks * 2 < rounds {
            return Err(format!("only {with_acks} of {rounds} rounds had an ack before the kill").into());
        }
        passed(format!("{rounds} rounds, {with_acks} of them with acks before the kill, {tally}"), &tally)
    })
}
