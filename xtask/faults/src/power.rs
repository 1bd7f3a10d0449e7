//! The power fails: the file system stops between two writes, and what was only in memory is gone.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::door::Door;
use super::fault::{Ended, Ending, Size, block_on, held};
use super::load::crew::{Crew, Pace};
use super::site::{Keeps, Mounted, Site, tool};

/// The smallest that mkfs.xfs makes, and some.
const IMAGE_BYTES: u64 = 512 * 1024 * 1024;

pub(crate) fn run(size: Size) -> Ended {
    let rounds = size.rounds.unwrap_or(5);
    let site = Site::new()?;
    let image = site.path("image");
    File::create(&image)?.set_len(IMAGE_BYTES)?;
    let image = image.to_string_lossy().into_owned();
    let made = tool(Command::new("mkfs.xfs").args(["-q", &image]));
    if let Err(why) = made.or_else(|_| tool(Command::new("mkfs.ext4").args(["-q", &image]))) {
        return Ok(Ending::Skipped(format!("no file system to cut the power of: {why}")));
    }
    let mount = || Mounted::new(&["-o", "loop", &image], site.path("disk"));
    let disk = match mount() {
        Ok(disk) => disk,
        Err(why) => return Ok(Ending::Skipped(format!("a file system in a file cannot be mounted here: {why}"))),
    };
    // Tried on the empty one, so that a tool that is missing is not taken for a failure.
    if let Err(why) = power_off(&disk.at) {
        return Ok(Ending::Skipped(format!("the power of a file system cannot be cut here: {why}")));
    }
    let mut disk = again(disk, mount)?;

    block_on(async {
        let mut random = fastrand::Rng::with_seed(size.seed);
        let mut crew = Crew::new(&["north", "south/east"], random.u64(..));
        for _ in 0..4 {
            crew.sender(Door::Straight(site.server.clone()), Pace::STEADY);
        }
        for _ in 0..2 {
            crew.reader(Door::Straight(site.server.clone()), true);
        }
        for _ in 0..rounds {
            let service = site.start(Keeps::Data(&disk.at.join("data")))?;
            let acked = crew.counts.acked.get();
            if !crew.counts.acked.reaches(acked + 1, Duration::from_secs(30)).await {
                return Err(format!("nothing was acked: {}", site.log()).into());
            }
            tokio::time::sleep(Duration::from_millis(random.u64(1..1_500))).await;
            // The process stops with the disk, as it would. ext4 now and then reports success for a sync that its shutdown
            // overtakes: no disk without power gets to say that, and no process to pass it on.
            service.freeze()?;
            power_off(&disk.at)?;
            service.kill();
            disk = again(disk, mount)?;
        }
        let service = site.start(Keeps::Data(&disk.at.join("data")))?;
        let tally = crew.settle(&site.server).await?;
        let status = service.stop()?;
        if !status.success() {
            return Err(format!("the service ended with {status}: {}", site.log()).into());
        }
        held(format!("{rounds} power cuts, {tally}"), &tally)
    })
}

/// Without flushing anything, not even the file system's own journal.
fn power_off(disk: &Path) -> Result<(), String> {
    /// What xfs_io does, where it is not installed: EXT4_IOC_SHUTDOWN, which is also XFS's, without flushing the log.
    const SHUTDOWN: &str = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";
    tool(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(disk))
        .or_else(|_| tool(Command::new("python3").args(["-c", SHUTDOWN]).arg(disk)))
}

fn again(disk: Mounted, mount: impl Fn() -> Result<Mounted, String>) -> Result<Mounted, String> {
    disk.unmount()?;
    mount()
}
