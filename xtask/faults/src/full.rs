//! The disk is full for a while: sends are refused, nothing acked is lost, and with space it goes on.

use std::fs;
use std::time::Duration;

use super::door::Door;
use super::fault::{Ended, Ending, Size, block_on, held};
use super::load::crew::{Crew, Pace};
use super::load::is_serving;
use super::site::{Keeps, Mounted, Site};

/// What else is on the disk, and goes.
const BALLAST_BYTES: usize = 24 * 1024 * 1024;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(size: Size) -> Ended {
    let site = Site::new()?;
    let disk = match Mounted::new(&["-t", "tmpfs", "-o", "size=40m", "tmpfs"], site.path("disk")) {
        Ok(disk) => disk,
        Err(why) => return Ok(Ending::Skipped(format!("a small disk cannot be mounted here: {why}"))),
    };
    block_on(async {
        let ballast = disk.at.join("ballast");
        fs::write(&ballast, vec![0; BALLAST_BYTES])?;
        let service = site.start(Keeps::Data(&disk.at.join("data")))?;
        let mut crew = Crew::new(&["north"], size.seed);
        for _ in 0..3 {
            crew.sender(Door::Straight(site.server.clone()), Pace { window: 16, text: 4_000, ..Pace::STEADY });
        }
        for _ in 0..3 {
            crew.reader(Door::Straight(site.server.clone()), true);
        }
        if !crew.counts.refused.reaches(100, PATIENCE).await {
            return Err(format!("the disk should be full: {} acked, {}", crew.counts.acked.get(), site.log()).into());
        }
        let (acked, refused) = (crew.counts.acked.get(), crew.counts.refused.get());
        let serving = is_serving(&site.server.address()).await?;
        let readable = crew.history(&site.server).await;
        fs::remove_file(ballast)?;
        if !crew.counts.acked.reaches(acked + 100, PATIENCE).await {
            return Err(format!("there is space again, and {acked} acked stay {acked}: {}", site.log()).into());
        }
        let serving_again = is_serving(&site.server.address()).await?;
        // What was acked before and after survives the process.
        service.kill();
        let service = site.start(Keeps::Data(&disk.at.join("data")))?;
        let mut tally = crew.settle(&site.server).await?;
        let status = service.stop()?;
        if !status.success() {
            return Err(format!("the service ended with {status}: {}", site.log()).into());
        }
        if serving {
            tally.violations.push("health says SERVING on a full disk".to_owned());
        }
        if !serving_again {
            tally.violations.push("it acks again, and health says NOT_SERVING".to_owned());
        }
        if let Err(error) = readable {
            tally.violations.push(format!("on a full disk the history cannot be read: {error}"));
        }
        held(format!("full after {acked} acks, {refused} refused, {tally}"), &tally)
    })
}
