//! The service is killed at any moment, comes back on the same data, and clients go on.

use std::time::Duration;

use super::door::Door;
use super::fault::{Ended, Size, block_on, held};
use super::load::crew::{Crew, Pace};
use super::site::{Keeps, Site};

const SENDERS: usize = 4;
const READERS: usize = 3;

pub(crate) fn run(size: Size) -> Ended {
    let (rounds, longest) = if size.small { (20, 250) } else { (100, 600) };
    let rounds = size.rounds.unwrap_or(rounds);
    block_on(async {
        let site = Site::new()?;
        let data = site.path("data");
        let mut random = fastrand::Rng::with_seed(size.seed);
        let mut crew = Crew::new(&["north", "south/east"], random.u64(..));
        for _ in 0..SENDERS {
            crew.sender(Door::Straight(site.server.clone()), Pace::STEADY);
        }
        for _ in 0..READERS {
            crew.reader(Door::Straight(site.server.clone()), true);
        }
        let mut busy = 0;
        for _ in 0..rounds {
            let before = crew.counts.acked.get();
            let service = site.start(Keeps::Data(&data))?;
            tokio::time::sleep(Duration::from_millis(random.u64(1..longest))).await;
            service.kill();
            busy += usize::from(crew.counts.acked.get() > before);
        }
        let service = site.start(Keeps::Data(&data))?;
        let tally = crew.settle(&site.server).await?;
        let status = service.stop()?;
        if !status.success() {
            return Err(format!("the service ended with {status}: {}", site.log()).into());
        }
        // A kill before the first ack proves little.
        if busy * 2 < rounds {
            return Err(format!("only {busy} of {rounds} rounds had an ack before the kill").into());
        }
        held(format!("{rounds} rounds, {busy} of them with acks before the kill, {tally}"), &tally)
    })
}
