//! The disk says that it could not sync: what was acked until then holds, and nothing more is acked. Once it syncs again,
//! the service finds back by itself, or is started again.

use std::error::Error;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use super::checker::Tally;
use super::door::Door;
use super::fault::{Ended, Ending, Size, block_on, held};
use super::load::crew::{Crew, Pace, Until, tally};
use super::load::is_serving;
use super::site::{Keeps, Site, tool};

/// A reply that was on its way when the first refusal came.
const ON_ITS_WAY: Duration = Duration::from_millis(250);

/// How long the broken disk is watched.
const WATCHED: Duration = Duration::from_secs(3);

/// How long it may take to notice that the disk fails, and that it works again.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(size: Size) -> Ended {
    if let Err(why) = tool(Command::new("strace").args(["-f", "-qq", "-o", "/dev/null", "true"])) {
        return Ok(Ending::Skipped(format!("strace, which makes syncs fail, does not work here: {why}")));
    }
    let (broken, once) = broken_for_good(size.seed)?;
    let (mended, again) = mended(size)?;
    held(
        format!("{broken}, {once}; {mended}, {again}"),
        &Tally { violations: [once.violations, again.violations].concat(), ..Tally::default() },
    )
}

/// From some sync on all fail, until the service is killed.
fn broken_for_good(seed: u64) -> Result<(String, Tally), Box<dyn Error>> {
    // Late enough to be under load.
    let from = fastrand::Rng::with_seed(seed).u32(60..120);
    block_on(async {
        let site = Site::new()?;
        let data = site.path("data");
        let inject = format!("inject=fdatasync,fsync:error=EIO:when={from}+");
        // Detached, so that the service and not strace is our child.
        let strace = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", &inject];
        let service = site.start_under(&strace.map(OsStr::new), Keeps::Data(&data))?;
        let mut crew = Crew::new(&["north"], seed);
        for _ in 0..3 {
            crew.sender(Door::Straight(site.server.clone()), Pace { window: 16, ..Pace::STEADY });
        }
        if !crew.counts.refused.reaches(1, Duration::from_secs(60)).await {
            return Err(format!("syncs fail from the {from}th on, and all is acked").into());
        }
        let told_unhealthy = serving_within(&site.server.address(), false, WATCHED).await?;
        tokio::time::sleep(WATCHED).await;
        let still_unhealthy = serving_within(&site.server.address(), false, Duration::ZERO).await?;
        let sent = crew.abandon_senders().await?;
        let log = site.log();
        service.kill();

        let service = site.start(Keeps::Data(&data))?;
        let mut tally = tally(&crew.history(&site.server).await?, &sent, &[], Until::Stopped);
        service.stop()?;

        let refused: Vec<(Instant, Code)> = sent.iter().flat_map(|sent| sent.refused.iter().copied()).collect();
        let count = |code| refused.iter().filter(|(_, refused)| *refused == code).count();
        let (unknown, unavailable) = (count(Code::Unknown), count(Code::Unavailable));
        if let Some(first) = refused.iter().map(|(when, _)| *when).min() {
            let after = sent.iter().flat_map(|sent| &sent.acked_at).filter(|when| **when > first + ON_ITS_WAY).count();
            if after > 0 {
                tally.violations.push(format!("{after} acks after a sync had failed"));
            }
        }
        let told = [
            (told_unhealthy, "health did not turn NOT_SERVING"),
            (still_unhealthy, "health was SERVING again, although no sync has worked since"),
            (unknown > 0, "what was in flight was not answered with UNKNOWN"),
            (unavailable > 0, "later sends were not refused with UNAVAILABLE"),
        ];
        tally.violations.extend(told.iter().filter(|(right, _)| !right).map(|(_, wrong)| format!("{wrong}: {log}")));
        Ok((format!("from the {from}th sync on, {unknown} UNKNOWN, {unavailable} UNAVAILABLE"), tally))
    })
}

/// Syncs fail for a second or so, at any moment, again and again, and the service is never started anew. Readers are
/// there: whatever they are shown on the way has to be in the history.
fn mended(size: Size) -> Result<(String, Tally), Box<dyn Error>> {
    let rounds = size.rounds.unwrap_or(if size.small { 1 } else { 8 });
    block_on(async {
        let mut random = fastrand::Rng::with_seed(size.seed);
        let site = Site::new()?;
        let data = site.path("data");
        let service = site.start(Keeps::Data(&data))?;
        let mut crew = Crew::new(&["north"], random.u64(..));
        for _ in 0..3 {
            crew.sender(Door::Straight(site.server.clone()), Pace { window: 16, ..Pace::STEADY });
        }
        for _ in 0..2 {
            crew.reader(Door::Straight(site.server.clone()), true);
        }
        for _ in 0..rounds {
            tokio::time::sleep(Duration::from_millis(random.u64(50..500))).await;
            let disk = BadDisk::under(service.id())?;
            if !serving_within(&site.server.address(), false, PATIENCE).await? {
                return Err(format!("syncs fail, and it goes on SERVING: {}", site.log()).into());
            }
            tokio::time::sleep(Duration::from_millis(random.u64(0..1_500))).await;
            drop(disk);
            let acked = crew.counts.acked.get();
            if !crew.counts.acked.reaches(acked + 100, PATIENCE).await {
                return Err(format!("syncs work again, and it does not: {}", site.log()).into());
            }
            if !serving_within(&site.server.address(), true, PATIENCE).await? {
                return Err(format!("it acks again, and is not SERVING: {}", site.log()).into());
            }
        }
        // What it acked before and after survives the process.
        service.kill();
        let service = site.start(Keeps::Data(&data))?;
        let tally = crew.settle(&site.server).await?;
        service.stop()?;
        Ok((format!("mended {rounds} times"), tally))
    })
}

/// Every sync of a running process fails, until this is dropped.
struct BadDisk(Child);

impl BadDisk {
    fn under(process: u32) -> Result<Self, Box<dyn Error>> {
        let mut tracer = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO"])
            .args(["-p", &process.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let said = tracer.stderr.take();
        let disk = Self(tracer);
        // Its first line says that it is attached, or why not; it says a line for every thread, and needs a reader.
        let mut lines = BufReader::new(said.ok_or("strace has no standard error")?).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        thread::spawn(move || lines.for_each(drop));
        if first.contains("attached") { Ok(disk) } else { Err(format!("strace: {first}").into()) }
    }
}

impl Drop for BadDisk {
    fn drop(&mut self) {
        // Asked and not killed: so it lets go of what it traces. Both fail only if it has ended.
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

/// Whether health says that it is serving, or is not, within so long.
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
