//! Applications that use the client library, under everything at once: networks that are cut and black holes, a service that
//! is killed, asked to leave and away for seconds, programs that end and come back.

mod application;
mod cast;
mod notes;
mod weather;

use std::time::Duration;

use grpc_chat_client::Backoff;
use tokio::time::Instant;

use self::application::Part;
use self::cast::Cast;
use self::weather::{BRIEF, ROUGH, mishaps};
use super::cutter::{Cuts, Cutter};
use super::fault::{Ended, Size, block_on, held};
use super::site::{Keeps, Site};

/// How many applications speak and listen, and only listen.
const SPEAKERS: usize = 4;
const LISTENERS: usize = 4;

/// Which of them, counted through, keep their state and live more than once; and which one is slow.
const KEEPERS: [usize; 3] = [0, 1, SPEAKERS];
const SLOW: usize = SPEAKERS + 1;

/// How many rounds there are, and how long each is; and all of the short form.
const ROUNDS: usize = 10;
const ROUND: Duration = Duration::from_secs(60);
const SMALL: Duration = Duration::from_secs(12);

pub(crate) fn run(size: Size) -> Ended {
    let (climate, lifetime, backoff) = if size.small {
        (&BRIEF, 500..5_500, Backoff { base: Duration::from_millis(50), max: Duration::from_millis(500) })
    } else {
        (&ROUGH, 2_000..30_000, Backoff::default())
    };
    let rounds = u32::try_from(size.rounds.unwrap_or(ROUNDS))?;
    let length = if size.small { SMALL } else { ROUND.saturating_mul(rounds) };
    block_on(async {
        let site = Site::new()?;
        let data = site.path("data");
        let service = site.start(Keeps::Data(&data))?;
        let mut random = fastrand::Rng::with_seed(size.seed);
        let mut cast = Cast::new(&["north", "south/east", "west"]);
        for number in 0..SPEAKERS + LISTENERS {
            let network = Cutter::start(site.server.clone(), Cuts::new(0), random.u64(..)).await?;
            let part = Part {
                user: format!("app{number}"),
                speaks: number < SPEAKERS,
                slow: number == SLOW,
                lives: KEEPERS.contains(&number).then(|| (site.path(&format!("state{number}")), lifetime.clone())),
                backoff,
                seed: random.u64(..),
            };
            cast.enter(network, part);
        }
        cast.begin().await?;
        cast.storm(climate, &mut random);
        let until = Instant::now() + length;
        let (service, happened) = mishaps(&site, &data, service, climate, until, &mut random).await?;
        let history = cast.settle(&site).await?;
        let status = service.stop()?;
        if !status.success() {
            return Err(format!("the service ended with {status}: {}", site.log()).into());
        }
        let tally = cast.tally(&history);
        held(format!("{}; {tally}", cast.numbers(&happened)?), &tally)
    })
}
