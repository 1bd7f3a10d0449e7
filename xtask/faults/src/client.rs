//! Applications that use the client library, under everything at once: connections that are cut, black holes, a service that
//! is killed, drained and down for seconds, and applications that are closed, crash and start again.

mod application;
mod listener;
mod orders;
mod record;
mod scenario;
mod schedule;
mod speaker;

use std::time::Duration;

use grpc_chat_client::Backoff;
use tokio::time::Instant;

use self::application::Profile;
use self::scenario::Scenario;
use self::schedule::{LONG, SHORT, restart_service};
use super::fault::{FaultResult, Size, block_on, passed};
use super::proxy::{CutBudget, Proxy};
use super::site::{Site, Store};

/// The number of applications that send and receive, and of those that only receive.
const SPEAKERS: usize = 4;
const LISTENERS: usize = 4;

/// The numbers of the applications that keep their state on disk and are started more than once.
const RESTARTED: [usize; 3] = [0, 1, SPEAKERS];

/// The number of the application that is slow.
const SLOW: usize = SPEAKERS + 1;

/// The number of rounds, the length of one, and the length of the short form.
const ROUNDS: usize = 10;
const ROUND: Duration = Duration::from_secs(60);
const SMALL: Duration = Duration::from_secs(12);

pub(crate) fn run(size: Size) -> FaultResult {
    let (schedule, run_length, backoff) = if size.small {
        (&SHORT, 500..5_500, Backoff { base: Duration::from_millis(50), max: Duration::from_millis(500) })
    } else {
        (&LONG, 2_000..30_000, Backoff::default())
    };
    let rounds = u32::try_from(size.rounds.unwrap_or(ROUNDS))?;
    let length = if size.small { SMALL } else { ROUND.saturating_mul(rounds) };
    block_on(async {
        let site = Site::new()?;
        let data = site.path("data");
        let service = site.start(Store::Disk(&data))?;
        let mut random = fastrand::Rng::with_seed(size.seed);
        let mut scenario = Scenario::new(&["north", "south/east", "west"]);
        for number in 0..SPEAKERS + LISTENERS {
            let proxy = Proxy::start(site.server.clone(), CutBudget::new(0), random.u64(..)).await?;
            let restarted = RESTARTED.contains(&number);
            let profile = Profile {
                user: format!("app{number}"),
                speaks: number < SPEAKERS,
                slow: number == SLOW,
                restarts: restarted.then(|| (site.path(&format!("state{number}")), run_length.clone())),
                backoff,
                seed: random.u64(..),
            };
            scenario.add(proxy, profile);
        }
        scenario.begin().await?;
        scenario.disrupt_networks(schedule, &mut random);
        let until = Instant::now() + length;
        let (service, restarts) = restart_service(&site, &data, service, schedule, until, &mut random).await?;
        let history = scenario.finish(&site).await?;
        let status = service.stop()?;
        if !status.success() {
            return Err(format!("the service ended with {status}: {}", site.log()).into());
        }
        let tally = scenario.tally(&history);
        passed(format!("{}; {tally}", scenario.summary(&restarts)?), &tally)
    })
}
