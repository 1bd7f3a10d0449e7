//! When connections break, and when the service is restarted.

use std::error::Error;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use xtask::service::Service;

use crate::load::Counter;
use crate::proxy::{BlackHole, Proxy};
use crate::site::{Site, Store};

/// The lengths of everything that happens, in milliseconds. Where there are several ranges, each is equally likely.
#[derive(Debug)]
pub(super) struct Schedule {
    /// The time between two disruptions of a network.
    undisturbed: &'static [Range<u64>],
    /// The time in which some connections are cut.
    cutting: &'static [Range<u64>],
    black_hole: &'static [Range<u64>],
    /// The time between two restarts of the service.
    up: &'static [Range<u64>],
    /// The time between the end of the service and its next start.
    down: &'static [Range<u64>],
}

/// The schedule of the full form: black holes of half a minute, which both sides notice, and shorter ones, which neither
/// does; and a service that is down for seconds.
#[expect(clippy::single_range_in_vec_init, reason = "one range is what is meant")]
pub(super) const LONG: Schedule = Schedule {
    undisturbed: &[500..20_000],
    cutting: &[500..6_000],
    black_hole: &[30_000..30_001, 1_000..5_000],
    up: &[2_000..15_000],
    down: &[0..1, 0..1_000, 2_000..8_000],
};

/// The schedule of the short form. Its black holes are too short to be noticed.
#[expect(clippy::single_range_in_vec_init, reason = "one range is what is meant")]
pub(super) const SHORT: Schedule = Schedule {
    undisturbed: &[100..1_500],
    cutting: &[200..1_500],
    black_hole: &[2_000..4_000],
    up: &[600..1_800],
    down: &[0..1, 0..300, 500..1_200],
};

/// A client connects again within this time of a black hole: its transport sends a ping after 10 s of silence, waits 10 s for
/// the reply, and then backs off for at most 6 s.
const NOTICED_WITHIN: Duration = Duration::from_secs(28);

/// The black holes of all networks.
#[derive(Clone, Debug, Default)]
pub(super) struct BlackHoles {
    pub(super) total: Counter,
    /// Those that were not noticed, although they were longer than [`NOTICED_WITHIN`].
    pub(super) unnoticed: Counter,
}

/// How often the service was restarted.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    pub(super) kills: usize,
    pub(super) drains: usize,
}

/// Returns a random length from the ranges.
fn length(ranges: &[Range<u64>], random: &mut fastrand::Rng) -> Duration {
    let range = random.choice(ranges).cloned().unwrap_or(0..1);
    Duration::from_millis(random.u64(range))
}

/// Disrupts one network until the task is aborted, by cutting connections or by a black hole.
pub(super) async fn disrupt_network(
    proxy: Arc<Proxy>,
    schedule: &Schedule,
    mut random: fastrand::Rng,
    black_holes: BlackHoles,
) {
    loop {
        tokio::time::sleep(length(schedule.undisturbed, &mut random)).await;
        if random.u8(..3) > 0 {
            proxy.cuts().allow(random.usize(1..6));
            proxy.cut();
            tokio::time::sleep(length(schedule.cutting, &mut random)).await;
            continue;
        }
        // A black hole is silent: nothing is cut.
        proxy.cuts().allow(0);
        let [up, down] = [[true, true], [true, true], [true, false], [false, true]][random.usize(..4)];
        proxy.set_black_hole(BlackHole { up, down, refuse: random.bool() });
        black_holes.total.increment();
        let (length, connections) = (length(schedule.black_hole, &mut random), proxy.connections().len());
        tokio::time::sleep(length).await;
        if up && down && length > NOTICED_WITHIN && proxy.connections().len() == connections {
            black_holes.unnoticed.increment();
        }
        // What was blocked is lost, or else delivered late.
        if random.u8(..4) > 0 {
            proxy.cuts().allow(1);
            proxy.cut();
        }
        proxy.set_black_hole(BlackHole::default());
    }
}

/// Kills and drains the service in turn, and starts it again each time, until this time. Returns the running service.
pub(super) async fn restart_service(
    site: &Site,
    data: &Path,
    mut service: Service,
    schedule: &Schedule,
    until: Instant,
    random: &mut fastrand::Rng,
) -> Result<(Service, Restarts), Box<dyn Error>> {
    let mut restarts = Restarts::default();
    loop {
        let next = Instant::now() + length(schedule.up, random);
        tokio::time::sleep_until(next.min(until)).await;
        if next >= until {
            return Ok((service, restarts));
        }
        // In turn, so that a short fault has both.
        if restarts.kills <= restarts.drains {
            service.kill();
            restarts.kills += 1;
        } else {
            let status = service.stop()?;
            restarts.drains += 1;
            if !status.success() {
                return Err(format!("the service was told to stop and ended with {status}: {}", site.log()).into());
            }
        }
        site.server.set_unreachable();
        tokio::time::sleep(length(schedule.down, random)).await;
        service = site.start(Store::Disk(data))?;
    }
}
