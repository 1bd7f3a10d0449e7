//! What the networks do to their clients, and what happens to the service.

use std::error::Error;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use xtask::service::Service;

use crate::cutter::{Cutter, Hole};
use crate::load::Count;
use crate::site::{Keeps, Site};

/// How long things last, in milliseconds: somewhere in one of these, each as likely.
#[derive(Debug)]
pub(super) struct Climate {
    /// A network between two storms.
    fair: &'static [Range<u64>],
    /// A squall of cuts.
    squall: &'static [Range<u64>],
    /// A black hole.
    hole: &'static [Range<u64>],
    /// The service between two mishaps.
    up: &'static [Range<u64>],
    /// And in them.
    down: &'static [Range<u64>],
}

/// Black holes of half a minute, which both sides notice, and shorter ones, which nobody does; a service that is away for
/// seconds.
#[expect(clippy::single_range_in_vec_init, reason = "one range is what is meant")]
pub(super) const ROUGH: Climate = Climate {
    fair: &[500..20_000],
    squall: &[500..6_000],
    hole: &[30_000..30_001, 1_000..5_000],
    up: &[2_000..15_000],
    down: &[0..1, 0..1_000, 2_000..8_000],
};

/// The same in a hurry. Nobody notices these black holes.
#[expect(clippy::single_range_in_vec_init, reason = "one range is what is meant")]
pub(super) const BRIEF: Climate = Climate {
    fair: &[100..1_500],
    squall: &[200..1_500],
    hole: &[2_000..4_000],
    up: &[600..1_800],
    down: &[0..1, 0..300, 500..1_200],
};

/// A client that hears nothing connects again before a black hole is as old as this: its transport asks after 10 s and
/// waits for 10 s, and then it waits for 6 s at most.
const NOTICED: Duration = Duration::from_secs(28);

/// Black holes.
#[derive(Clone, Debug, Default)]
pub(super) struct Holes {
    pub(super) all: Count,
    /// Those that were not noticed although they were old enough.
    pub(super) unnoticed: Count,
}

/// What has happened to the service.
#[derive(Debug, Default)]
pub(super) struct Mishaps {
    pub(super) kills: usize,
    pub(super) drains: usize,
}

fn some(lengths: &[Range<u64>], random: &mut fastrand::Rng) -> Duration {
    let length = random.choice(lengths).cloned().unwrap_or(0..1);
    Duration::from_millis(random.u64(length))
}

/// Storms over one network, for ever: squalls of cuts, and black holes.
pub(super) async fn storms(network: Arc<Cutter>, climate: &Climate, mut random: fastrand::Rng, holes: Holes) {
    loop {
        tokio::time::sleep(some(climate.fair, &mut random)).await;
        if random.u8(..3) > 0 {
            network.cuts().want(random.usize(1..6));
            network.cut();
            tokio::time::sleep(some(climate.squall, &mut random)).await;
            continue;
        }
        // Nothing but silence.
        network.cuts().want(0);
        let [up, down] = [[true, true], [true, true], [true, false], [false, true]][random.usize(..4)];
        network.swallow(Hole { up, down, shut: random.bool() });
        holes.all.one_more();
        let (length, connections) = (some(climate.hole, &mut random), network.connections().len());
        tokio::time::sleep(length).await;
        if up && down && length > NOTICED && network.connections().len() == connections {
            holes.unnoticed.one_more();
        }
        // What was on its way never comes, or late.
        if random.u8(..4) > 0 {
            network.cuts().want(1);
            network.cut();
        }
        network.swallow(Hole::default());
    }
}

/// The service is killed and asked to leave, as often as there is time, and started again each time. Answers it as it
/// runs in the end.
pub(super) async fn mishaps(
    site: &Site,
    data: &Path,
    mut service: Service,
    climate: &Climate,
    until: Instant,
    random: &mut fastrand::Rng,
) -> Result<(Service, Mishaps), Box<dyn Error>> {
    let mut mishaps = Mishaps::default();
    loop {
        let next = Instant::now() + some(climate.up, random);
        tokio::time::sleep_until(next.min(until)).await;
        if next >= until {
            return Ok((service, mishaps));
        }
        // In turn, so that a short run has both.
        if mishaps.kills <= mishaps.drains {
            service.kill();
            mishaps.kills += 1;
        } else {
            let status = service.stop()?;
            mishaps.drains += 1;
            if !status.success() {
                return Err(format!("the service was asked to leave and ended with {status}: {}", site.log()).into());
            }
        }
        site.server.gone();
        tokio::time::sleep(some(climate.down, random)).await;
        service = site.start(Keeps::Data(data))?;
    }
}
