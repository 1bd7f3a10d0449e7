//! The disk is full for a while: sends are refused, no acked message is lost, and with space the service recovers.

use std::fs;
use std::time::Duration;

use super::fault::{Ending, FaultResult, Size, block_on, passed};
use super::load::clients::Clients;
use super::load::is_serving;
use super::load::sender::Workload;
use super::route::Route;
use super::site::{Mount, Site, Store};

/// The size of another file on the disk, which is removed to make space.
const BALLAST_BYTES: usize = 24 * 1024 * 1024;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(size: Size) -> FaultResult {
    let site = Site::new()?;
    let disk = match Mount::new(&["-t", "tmpfs", "-o", "size=40m", "tmpfs"], site.path("disk")) {
        Ok(disk) => disk,
        Err(why) => return Ok(Ending::Skipped(format!("a small disk cannot be mounted here: {why}"))),
    };
    block_on(async {
        let ballast = disk.at.join("ballast");
        fs::write(&ballast, vec![0; BALLAST_BYTES])?;
        let service = site.start(Store::Disk(&disk.at.join("data")))?;
        let mut clients = Clients::new(&["north"], size.seed);
        for _ in 0..3 {
            let workload = Workload { window: 16, text_bytes: 4_000, ..Workload::STEADY };
            clients.add_sender(Route::Direct(site.server.clone()), workload);
        }
        for _ in 0..3 {
            clients.add_reader(Route::Direct(site.server.clone()), true);
        }
        let counters = clients.counters.clone();
        if !counters.refused.reaches(100, PATIENCE).await {
            return Err(format!("the disk should be full: {} acked, {}", counters.acked.get(), site.log()).into());
        }
        let (acked, refused) = (counters.acked.get(), counters.refused.get());
        let serving = is_serving(&site.server.address()).await?;
        let readable = clients.history(&site.server).await;
        fs::remove_file(ballast)?;
        if !counters.acked.reaches(acked + 100, PATIENCE).await {
            return Err(format!("there is space again, and acks do not resume after {acked}: {}", site.log()).into());
        }
        let serving_again = is_serving(&site.server.address()).await?;
        // What was acked before and after must survive the process.
        service.kill();
        let service = site.start(Store::Disk(&disk.at.join("data")))?;
        let mut tally = clients.finish(&site.server).await?;
        let status = service.stop()?;
        if !status.success() {
            return Err(format!("the service ended with {status}: {}", site.log()).into());
        }
        if serving {
            tally.violations.push("health is SERVING on a full disk".to_owned());
        }
        if !serving_again {
            tally.violations.push("acks have resumed, and health is NOT_SERVING".to_owned());
        }
        if let Err(error) = readable {
            tally.violations.push(format!("the history cannot be read on a full disk: {error}"));
        }
        passed(format!("full after {acked} acks, {refused} refused, {tally}"), &tally)
    })
}
