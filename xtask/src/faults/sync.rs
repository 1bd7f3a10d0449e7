//! The disk says that it could not sync: what was acked until then holds, and nothing more is acked.

use std::error::Error;
use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::door::Door;
use super::load::crew::{Crew, Pace, Until, tally};
use super::load::line::connect;
use super::site::{Keeps, Site, tool};
use super::{Ended, Ending, Size, block_on, held};

/// A reply that was on its way when the first refusal came.
const ON_ITS_WAY: Duration = Duration::from_millis(250);

/// How long the broken disk is watched.
const WATCHED: Duration = Duration::from_secs(3);

pub(crate) fn run(size: Size) -> Ended {
    if let Err(why) = tool(Command::new("strace").args(["-f", "-qq", "-o", "/dev/null", "true"])) {
        return Ok(Ending::Skipped(format!("strace, which makes syncs fail, does not work here: {why}")));
    }
    // Late enough to be under load.
    let from = fastrand::Rng::with_seed(size.seed).u32(60..120);
    block_on(async {
        let site = Site::new()?;
        let data = site.path("data");
        let inject = format!("inject=fdatasync,fsync:error=EIO:when={from}+");
        // Detached, so that the service and not strace is our child.
        let strace = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", &inject];
        let service = site.start_under(&strace.map(OsStr::new), Keeps::Data(&data))?;
        let mut crew = Crew::new(&["north"], size.seed);
        for _ in 0..3 {
            crew.sender(Door::Straight(site.server.clone()), Pace { window: 16, ..Pace::STEADY });
        }
        if !crew.counts.refused.reaches(1, Duration::from_secs(60)).await {
            return Err(format!("syncs fail from the {from}th on, and all is acked").into());
        }
        let told_unhealthy = unhealthy_within(&site.server.address(), WATCHED).await?;
        tokio::time::sleep(WATCHED).await;
        let still_unhealthy = unhealthy_within(&site.server.address(), Duration::ZERO).await?;
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
        held(format!("from the {from}th sync on, {unknown} UNKNOWN, {unavailable} UNAVAILABLE, {tally}"), &tally)
    })
}

async fn unhealthy_within(address: &str, time: Duration) -> Result<bool, Box<dyn Error>> {
    let mut health = HealthClient::new(connect(address).await?);
    let deadline = Instant::now() + time;
    loop {
        let request = HealthCheckRequest { service: "chat.v1.ChatService".to_owned() };
        if health.check(request).await?.into_inner().status() == ServingStatus::NotServing {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
