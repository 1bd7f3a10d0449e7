//! The power fails: the file system stops between two writes, and what was only in memory is lost.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::fault::{Ending, FaultResult, Size, block_on, passed};
use super::load::clients::Clients;
use super::load::sender::Workload;
use super::route::Route;
use super::site::{Mount, Site, Store, run_tool};

/// A little more than the smallest size that mkfs.xfs accepts.
const IMAGE_BYTES: u64 = 512 * 1024 * 1024;

pub(crate) fn run(size: Size) -> FaultResult {
    let rounds = size.rounds.unwrap_or(5);
    let site = Site::new()?;
    let image = site.path("image");
    File::create(&image)?.set_len(IMAGE_BYTES)?;
    let image = image.to_string_lossy().into_owned();
    let made = run_tool(Command::new("mkfs.xfs").args(["-q", &image]));
    if let Err(why) = made.or_else(|_| run_tool(Command::new("mkfs.ext4").args(["-q", &image]))) {
        return Ok(Ending::Skipped(format!("a file system cannot be made here: {why}")));
    }
    let mount = || Mount::new(&["-o", "loop", &image], site.path("disk"));
    let disk = match mount() {
        Ok(disk) => disk,
        Err(why) => return Ok(Ending::Skipped(format!("a file system in a file cannot be mounted here: {why}"))),
    };
    // Tried on the empty file system first, so that a missing tool is not taken for a failure of the service.
    if let Err(why) = power_off(&disk.at) {
        return Ok(Ending::Skipped(format!("a file system cannot be shut down here: {why}")));
    }
    let mut disk = remount(disk, mount)?;

    block_on(async {
        let mut random = fastrand::Rng::with_seed(size.seed);
        let mut clients = Clients::new(&["north", "south/east"], random.u64(..));
        for _ in 0..4 {
            clients.add_sender(Route::Direct(site.server.clone()), Workload::STEADY);
        }
        for _ in 0..2 {
            clients.add_reader(Route::Direct(site.server.clone()), true);
        }
        for _ in 0..rounds {
            let service = site.start(Store::Disk(&disk.at.join("data")))?;
            let acked = clients.counters.acked.get();
            if !clients.counters.acked.reaches(acked + 1, Duration::from_secs(30)).await {
                return Err(format!("nothing was acked: {}", site.log()).into());
            }
            tokio::time::sleep(Duration::from_millis(random.u64(1..1_500))).await;
            // The process stops together with the disk. Otherwise it could ack a sync that ext4 sometimes reports as
            // successful although its shutdown came first, which a machine without power cannot do.
            service.freeze()?;
            power_off(&disk.at)?;
            service.kill();
            disk = remount(disk, mount)?;
        }
        let service = site.start(Store::Disk(&disk.at.join("data")))?;
        let tally = clients.finish(&site.server).await?;
        let status = service.stop()?;
        if !status.success() {
            return Err(format!("the service ended with {status}: {}", site.log()).into());
        }
        passed(format!("{rounds} power cuts, {tally}"), &tally)
    })
}

/// Shuts the file system down without flushing anything, its own journal included.
fn power_off(disk: &Path) -> Result<(), String> {
    /// What xfs_io does, for machines without it: EXT4_IOC_SHUTDOWN, which XFS has too, without flushing the log.
    const SHUTDOWN: &str = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";
    run_tool(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(disk))
        .or_else(|_| run_tool(Command::new("python3").args(["-c", SHUTDOWN]).arg(disk)))
}

fn remount(disk: Mount, mount: impl Fn() -> Result<Mount, String>) -> Result<Mount, String> {
    disk.unmount()?;
    mount()
}
