//! Measures one attack on one service.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::args::Plan;
use crate::attacks::presence::CROWD;
use crate::attacks::{Attack, Kind};
use crate::honest::{Experience, Honest, Phase, is_newcomer_served};
use crate::offender::{Offence, Offender};
use crate::progress::Progress;
use crate::seed;
use crate::service::{Service, Setup};

/// What the service may have to do 5 s after an attack, as a share of a core.
const IDLE_CPU: f64 = 0.05;

/// When the service has to be idle.
const IDLE_AFTER: Duration = Duration::from_secs(5);

/// How long the CPU time is measured at once.
const IDLE_WINDOW: Duration = Duration::from_millis(500);

/// Descriptors for a service that is to run out of them.
const FEW_DESCRIPTORS: u32 = 512;

/// How long a crowd takes to come.
const CROWD_COMES: Duration = Duration::from_secs(60);

/// One run of an attack.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) attack: &'static Attack,
    pub(crate) connections: usize,
    pub(crate) has_rates: bool,
}

/// What happened.
pub(crate) struct Outcome {
    /// If the service ended, or serves nobody any more, why.
    pub(crate) death: Option<String>,
    /// Whether somebody was not served who came at the end of the attack.
    pub(crate) is_closed: bool,
    /// The most resident memory, in bytes.
    pub(crate) peak: u64,
    /// Resident memory after the attack.
    pub(crate) after: u64,
    /// The share of a core that it uses after the attack.
    pub(crate) cpu: f64,
    /// When it was idle, if it was.
    pub(crate) idle: Option<Duration>,
    /// Bytes logged in each round.
    pub(crate) logged: u64,
    /// The attackers' own figures.
    pub(crate) progress: Progress,
    /// Where nothing else was measured, there were no honest clients.
    pub(crate) honest: Option<Experience>,
}

/// Runs an attack on a fresh service with a copy of this history.
pub(crate) async fn run(
    program: &Path,
    history: &Path,
    case: Case,
    plan: Plan,
) -> Result<Outcome, Box<dyn std::error::Error>> {
    let folder = seed::copy(history)?;
    let descriptors = (case.attack.kind == Kind::Descriptors).then_some(FEW_DESCRIPTORS);
    let setup = Setup { cores: plan.cores, has_rates: case.has_rates, descriptors };
    let service = Service::start(program, folder.path(), setup)?;

    let crowd = match case.attack.kind {
        Kind::Crowd => Some(crowd(&service).await?),
        _ => None,
    };
    let honest = if plan.is_quick { None } else { Some(Honest::start(service.address()).await?) };
    let attack = Offence::Attack(case.attack.name, case.connections);
    let (mut progress, mut peak, mut is_closed, logged) = (Progress::default(), 0, false, service.logged()?);
    for _ in 0..plan.rounds {
        if let Some(honest) = &honest {
            let control = Offender::start(Offence::Spin, service.address())?;
            honest.begin(Phase::Control);
            sleep(plan.control).await;
            honest.begin(Phase::Other);
            drop(control);
        }
        let attackers = Offender::start(attack, service.address())?;
        if let Some(honest) = &honest {
            honest.begin(Phase::Attack);
        }
        let end = Instant::now() + plan.attack;
        while Instant::now() < end && service.memory().is_some() {
            peak = peak.max(service.peak().unwrap_or_default());
            sleep(Duration::from_millis(20)).await;
        }
        if let Some(honest) = &honest {
            honest.begin(Phase::Other);
        }
        is_closed |= service.memory().is_some() && !is_newcomer_served(service.address()).await;
        progress.add(attackers.progress());
        drop(attackers);
        if service.memory().is_none() {
            break;
        }
        if let Some(honest) = &honest {
            // What was due during the attack counts, however late it comes, and must not disturb the next round.
            honest.catch_up(Instant::now()).await;
        }
    }
    drop(crowd);
    let honest = honest.map(Honest::finish);
    let (idle, cpu) = rest(&service, plan).await;
    let logged = (service.logged()? - logged) / u64::from(plan.rounds);
    let after = service.memory();
    let death = match after {
        Some(_) if is_newcomer_served(service.address()).await => None,
        Some(_) => Some("it serves nobody".to_owned()),
        None => Some(service.last_words()),
    };
    let peak = peak.max(service.peak().unwrap_or_default());
    Ok(Outcome { death, is_closed, peak, after: after.unwrap_or_default(), cpu, idle, logged, progress, honest })
}

/// Brings a crowd into a room.
async fn crowd(service: &Service) -> Result<Offender, Box<dyn std::error::Error>> {
    let crowd = Offender::start(Offence::Crowd, service.address())?;
    let deadline = Instant::now() + CROWD_COMES;
    // Each of them is sent the whole crowd, so they are there when hardly anything is sent any more.
    let mut received = 0;
    loop {
        sleep(Duration::from_secs(2)).await;
        let now = crowd.progress().received;
        if now > 0 && now - received < CROWD as u64 {
            return Ok(crowd);
        }
        received = now;
        if Instant::now() > deadline {
            return Err("the crowd does not come to rest".into());
        }
    }
}

/// Watches the service for 5 s, or until it is idle if it is only to be seen that it is. Returns when it was idle, and its
/// CPU time at the end.
async fn rest(service: &Service, plan: Plan) -> (Option<Duration>, f64) {
    let start = Instant::now();
    let (mut idle, mut cpu) = (None, 0.0);
    while start.elapsed() < IDLE_AFTER {
        let (began, before) = (Instant::now(), service.cpu());
        sleep(if plan.is_quick { IDLE_WINDOW / 2 } else { IDLE_WINDOW }).await;
        let (Some(before), Some(now)) = (before, service.cpu()) else { return (None, 0.0) };
        cpu = (now - before).as_secs_f64() / began.elapsed().as_secs_f64();
        if cpu > IDLE_CPU {
            idle = None;
        } else if idle.is_none() {
            idle = Some(start.elapsed());
            if plan.is_quick {
                break;
            }
        }
    }
    (idle, cpu)
}
