//! Syncs to disk fail: what was acked before is kept, and nothing more is acked. When syncs work again the service recovers
//! by itself, or is restarted.

use std::error::Error;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use super::checker::Tally;
use super::fault::{Ending, FaultResult, Size, block_on, passed};
use super::load::clients::{Clients, Extent, tally};
use super::load::is_serving;
use super::load::sender::Workload;
use super::route::Route;
use super::site::{Site, Store, run_tool};

/// Acks may still arrive for this long after the first refusal, since they were on their way.
const STILL_ON_THE_WAY: Duration = Duration::from_millis(250);

/// How long the service is watched while syncs fail.
const WATCHED: Duration = Duration::from_secs(3);

/// How long the service may take to notice that syncs fail, or that they work again.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(size: Size) -> FaultResult {
    if let Err(why) = run_tool(Command::new("strace").args(["-f", "-qq", "-o", "/dev/null", "true"])) {
        return Ok(Ending::Skipped(format!("strace, which makes syncs fail, does not work here: {why}")));
    }
    let (permanent, first) = permanent_failure(size.seed)?;
    let (temporary, second) = temporary_failures(size)?;
    passed(
        format!("{permanent}, {first}; {temporary}, {second}"),
        &Tally { violations: [first.violations, second.violations].concat(), ..Tally::default() },
    )
}

/// All syncs fail from one of them on, until the service is killed.
fn permanent_failure(seed: u64) -> Result<(String, Tally), Box<dyn Error>> {
    // Late enough for the service to be under load.
    let from = fastrand::Rng::with_seed(seed).u32(60..120);
    block_on(async {
        let site = Site::new()?;
        let data = site.path("data");
        let inject = format!("inject=fdatasync,fsync:error=EIO:when={from}+");
        // Detached, so that the service and not strace is the child process.
        let strace = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", &inject];
        let service = site.start_under(&strace.map(OsStr::new), Store::Disk(&data))?;
        let mut clients = clients(&site, seed);
        if !clients.counters.refused.reaches(1, Duration::from_secs(60)).await {
            return Err(format!("syncs fail from the {from}th on, and everything is acked").into());
        }
        let turned_unhealthy = serving_within(&site.server.address(), false, WATCHED).await?;
        tokio::time::sleep(WATCHED).await;
        let stayed_unhealthy = serving_within(&site.server.address(), false, Duration::ZERO).await?;
        let sent = clients.abandon_senders().await?;
        let log = site.log();
        service.kill();

        let service = site.start(Store::Disk(&data))?;
        let mut tally = tally(&clients.history(&site.server).await?, &sent, &[], Extent::Partial);
        service.stop()?;

        let refused: Vec<(Instant, Code)> = sent.iter().flat_map(|sent| sent.refused.iter().copied()).collect();
        let count = |code| refused.iter().filter(|(_, refused)| *refused == code).count();
        let (unknown, unavailable) = (count(Code::Unknown), count(Code::Unavailable));
        if let Some(first) = refused.iter().map(|(when, _)| *when).min() {
            let late = first + STILL_ON_THE_WAY;
            let after = sent.iter().flat_map(|sent| &sent.acked_at).filter(|when| **when > late).count();
            if after > 0 {
                tally.violations.push(format!("{after} acks after a sync had failed"));
            }
        }
        let expectations = [
            (turned_unhealthy, "health did not become NOT_SERVING"),
            (stayed_unhealthy, "health was SERVING again, although no sync has worked since"),
            (unknown > 0, "the sends in flight were not answered with UNKNOWN"),
            (unavailable > 0, "later sends were not refused with UNAVAILABLE"),
        ];
        let wrong = expectations.iter().filter(|(right, _)| !right);
        tally.violations.extend(wrong.map(|(_, wrong)| format!("{wrong}: {log}")));
        Ok((format!("from the {from}th sync on, {unknown} UNKNOWN, {unavailable} UNAVAILABLE"), tally))
    })
}

/// Syncs fail for a second or so, again and again, while the service keeps running. Readers receive events meanwhile, and
/// whatever they receive has to be in the history.
fn temporary_failures(size: Size) -> Result<(String, Tally), Box<dyn Error>> {
    let rounds = size.rounds.unwrap_or(if size.small { 1 } else { 8 });
    block_on(async {
        let mut random = fastrand::Rng::with_seed(size.seed);
        let site = Site::new()?;
        let data = site.path("data");
        let service = site.start(Store::Disk(&data))?;
        let mut clients = clients(&site, random.u64(..));
        for _ in 0..2 {
            clients.add_reader(Route::Direct(site.server.clone()), true);
        }
        for _ in 0..rounds {
            tokio::time::sleep(Duration::from_millis(random.u64(50..500))).await;
            let failing = FailingSyncs::of(service.id())?;
            if !serving_within(&site.server.address(), false, PATIENCE).await? {
                return Err(format!("syncs fail, and health stays SERVING: {}", site.log()).into());
            }
            tokio::time::sleep(Duration::from_millis(random.u64(0..1_500))).await;
            drop(failing);
            let acked = clients.counters.acked.get();
            if !clients.counters.acked.reaches(acked + 100, PATIENCE).await {
                return Err(format!("syncs work again, and nothing is acked: {}", site.log()).into());
            }
            if !serving_within(&site.server.address(), true, PATIENCE).await? {
                return Err(format!("sends are acked again, and health is not SERVING: {}", site.log()).into());
            }
        }
        // What was acked before and after must survive the process.
        service.kill();
        let service = site.start(Store::Disk(&data))?;
        let tally = clients.finish(&site.server).await?;
        service.stop()?;
        Ok((format!("recovered {rounds} times"), tally))
    })
}

/// Starts the senders of both forms.
fn clients(site: &Site, seed: u64) -> Clients {
    let mut clients = Clients::new(&["north"], seed);
    for _ in 0..3 {
        clients.add_sender(Route::Direct(site.server.clone()), Workload { window: 16, ..Workload::STEADY });
    }
    clients
}

/// Makes every sync of a running process fail until dropped.
struct FailingSyncs(Child);

impl FailingSyncs {
    fn of(process: u32) -> Result<Self, Box<dyn Error>> {
        let mut tracer = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO"])
            .args(["-p", &process.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = tracer.stderr.take();
        let failing = Self(tracer);
        // The first line says whether strace is attached. There is one for every thread, and the pipe must not fill up.
        let mut lines = BufReader::new(stderr.ok_or("strace has no standard error")?).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        thread::spawn(move || lines.for_each(drop));
        if first.contains("attached") { Ok(failing) } else { Err(format!("strace: {first}").into()) }
    }
}

impl Drop for FailingSyncs {
    fn drop(&mut self) {
        // With SIGTERM strace detaches from the process. Both calls fail only if it has ended.
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

/// Waits until health is SERVING, or is not. Returns `false` after this time.
async fn serving_within(address: &str, serving: bool, time: Duration) -> Result<bool, Box<dyn Error>> {
    let deadline = Instant::now() + time;
    while is_serving(address).await? != serving {
        if Instant::now() > deadline {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(true)
}
