//! The service is told to stop under load, with many streams open.

use std::time::{Duration, Instant};

use tonic::Code;

use super::fault::{FaultResult, Size, block_on, passed};
use super::load::clients::{Clients, Extent, tally};
use super::load::sender::Workload;
use super::route::Route;
use super::site::{Site, Store};

const SENDERS: usize = 4;

/// The service's grace of 10 s, and some time to exit.
const EXIT_TIMEOUT: Duration = Duration::from_secs(15);

pub(crate) fn run(size: Size) -> FaultResult {
    let streams = if size.small { 60 } else { 500 };
    block_on(async {
        let site = Site::new()?;
        let data = site.path("data");
        let service = site.start(Store::Disk(&data))?;
        let mut clients = Clients::new(&["north"], size.seed);
        for _ in 0..streams {
            clients.add_reader(Route::Direct(site.server.clone()), false);
        }
        if !clients.counters.caught_up.reaches(streams, Duration::from_secs(60)).await {
            return Err(format!("only {} of {streams} streams opened", clients.counters.caught_up.get()).into());
        }
        for _ in 0..SENDERS {
            clients.add_sender(Route::Direct(site.server.clone()), Workload { text_bytes: 200, ..Workload::STEADY });
        }
        if !clients.counters.acked.reaches(1_000, Duration::from_secs(60)).await {
            return Err("1,000 sends were not acked in time".into());
        }

        let stopping = Instant::now();
        let status = service.stop()?;
        let took = stopping.elapsed();
        let received = clients.await_readers().await?;
        // Senders may still have to read Draining. Those that never receive it are found below.
        let _ = clients.counters.drained.reaches(SENDERS as u64, Duration::from_secs(10)).await;
        let sent = clients.abandon_senders().await?;
        if !status.success() || took > EXIT_TIMEOUT {
            return Err(format!("it ended with {status} after {} s: {}", took.as_secs(), site.log()).into());
        }

        let restarted = site.start(Store::Disk(&data))?;
        let mut tally = tally(&clients.history(&site.server).await?, &sent, &received, Extent::Partial);
        restarted.stop()?;
        for reader in &received {
            if !reader.drained {
                tally.violations.push("a reader's stream ended without Draining".to_owned());
            }
            if reader.ended != [Code::Unavailable] {
                tally.violations.push(format!("a reader's stream ended with {:?}", reader.ended));
            }
        }
        for sender in sent.iter().filter(|sender| !sender.drained) {
            tally.violations.push(format!("a sender's stream ended without Draining: {:?}", sender.ended.first()));
        }
        passed(format!("{streams} streams, drained in {:.2} s, {tally}", took.as_secs_f32()), &tally)
    })
}
