//! The overload: 1,000 users who send three times as much as the service can store.

pub(crate) mod load;

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::args::Plan;
use crate::honest::{Deed, Honest, Phase};
use crate::offender::{Offence, Offender};
use crate::report;
use crate::seed;
use crate::service::{Service, Setup};
use load::{Figures, Load};

/// How many times as much is sent as can be stored.
const TIMES: f64 = 3.0;

/// How long an accepted message may take to its ack.
const ACKED_IN: Duration = Duration::from_secs(1);

/// How long it takes until what is sent is what is meant to be sent: all have to connect.
const RAMP: Duration = Duration::from_secs(2);

/// How long the service's capacity is measured.
const CAPACITY: Duration = Duration::from_secs(3);

/// The load that finds it: every user waits for some of its messages.
const AS_FAST_AS_POSSIBLE: Load = Load { per_second: 1e6, in_flight: 8 };

/// When everything has to be as before, and how long that is watched.
const RECOVERY: Duration = Duration::from_secs(5);
const WATCHED: Duration = Duration::from_secs(4);

/// Overloads the service, with and without rates, and prints what happened. Returns whether all targets were met.
pub(crate) async fn run(program: &Path, history: &Path, plan: Plan) -> Result<bool, Box<dyn std::error::Error>> {
    let capacity = capacity(program, history, plan).await?;
    println!("overload: {capacity:.0} messages of 1 KiB can be stored in a second");
    let mut all_met = true;
    for has_rates in [true, false] {
        let missed = overload(program, history, plan, has_rates, capacity).await?;
        if !missed.is_empty() {
            println!("          missed: {}", missed.join("; "));
        }
        all_met &= missed.is_empty();
    }
    Ok(all_met)
}

/// Returns how many messages the service stores in a second.
async fn capacity(program: &Path, history: &Path, plan: Plan) -> Result<f64, Box<dyn std::error::Error>> {
    let folder = seed::copy(history)?;
    let setup = Setup { cores: plan.cores, has_rates: false, descriptors: None };
    let service = Service::start(program, folder.path(), setup)?;
    let users = Offender::start(Offence::Load(AS_FAST_AS_POSSIBLE), service.address())?;
    sleep(RAMP).await;
    let before = figures(&users)?;
    sleep(CAPACITY).await;
    let acked = figures(&users)?.acked - before.acked;
    Ok(acked as f64 / CAPACITY.as_secs_f64())
}

async fn overload(
    program: &Path,
    history: &Path,
    plan: Plan,
    has_rates: bool,
    capacity: f64,
) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let folder = seed::copy(history)?;
    let setup = Setup { cores: plan.cores, has_rates, descriptors: None };
    let service = Service::start(program, folder.path(), setup)?;
    let honest = Honest::start(service.address()).await?;
    honest.begin(Phase::Control);
    sleep(WATCHED).await;
    honest.begin(Phase::Attack);
    let load = Load { per_second: capacity * TIMES, in_flight: u64::from(u32::MAX) };
    let users = Offender::start(Offence::Load(load), service.address())?;
    sleep(RAMP).await;
    let (start, before) = (Instant::now(), figures(&users)?);
    let length = if plan.is_quick { Duration::from_secs(10) } else { Duration::from_secs(60) };
    while start.elapsed() < length && service.memory().is_some() {
        sleep(Duration::from_millis(100)).await;
    }
    let (seconds, after) = (start.elapsed().as_secs_f64(), figures(&users)?);
    drop(users);
    honest.begin(Phase::Other);
    let peak = service.peak().unwrap_or_default();
    sleep(RECOVERY).await;
    honest.begin(Phase::After);
    sleep(WATCHED).await;
    let experience = honest.finish();

    let rate = |number: fn(&Figures) -> u64| (number(&after) - number(&before)) as f64 / seconds;
    let p99 = |phase| experience.p99(phase, Deed::Send).unwrap_or_default();
    let (control, attack, recovered) = (p99(Phase::Control), p99(Phase::Attack), p99(Phase::After));
    println!(
        "overload: rates {}: offered {:.0}/s for {seconds:.0} s; acked {:.0}/s, p99 {} ms; refused {:.0}/s with a hint and \
         {:.0}/s without; peak {}; honest sends p99 {} before, {} meanwhile, {} after 5 s",
        if has_rates { "on" } else { "off" },
        rate(|figures| figures.due),
        rate(|figures| figures.acked),
        after.p99,
        rate(|figures| figures.hinted),
        rate(|figures| figures.refused),
        report::mebibytes(peak),
        report::time(control),
        report::time(attack),
        report::time(recovered),
    );
    let mut missed = Vec::new();
    let is_alive = service.memory().is_some();
    for (is_missed, what) in [
        (!is_alive, "died"),
        (peak > report::MEMORY, "memory"),
        (Duration::from_millis(after.p99) > ACKED_IN, "the time to an ack"),
        (after.refused > before.refused, "refusals without a hint"),
        (report::is_slower(control, recovered), "normal after 5 s"),
    ] {
        if is_missed {
            missed.push(what.to_owned());
        }
    }
    Ok(missed)
}

fn figures(users: &Offender) -> Result<Figures, String> {
    Figures::parse(&users.last_line()).ok_or_else(|| "the overload reports nothing".to_owned())
}
