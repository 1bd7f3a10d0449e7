//! The free space on the disk of a store. Below a floor nothing new is stored: a full disk fails in the middle of a commit, and
//! what is left is needed to delete messages, to empty the WAL, and by everything else on the disk.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::limits::StorageLimits;

/// How often the space is looked at, at most. What can be written meanwhile is little compared with the floor.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The space on a disk, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Space {
    pub(super) free: u64,
    pub(super) size: u64,
}

/// Looks at the space on a disk, in a way that tests can replace.
pub(super) type Look = Box<dyn Fn() -> io::Result<Space> + Send>;

/// The free space on a disk, and whether it is below the floor.
pub(super) struct FreeSpace {
    look: Look,
    limits: StorageLimits,
    looked: Option<Instant>,
    low: bool,
}

impl FreeSpace {
    pub(super) fn new(look: Look, limits: StorageLimits) -> Self {
        Self { look, limits, looked: None, low: false }
    }

    /// Whether less was free than the floor at the last look.
    pub(super) fn is_low(&self) -> bool {
        self.low
    }

    /// Looks again, unless that was done just now. Returns the free space if it has fallen below the floor, or risen above it.
    pub(super) fn look(&mut self, now: Instant) -> Option<Space> {
        if self.looked.is_some_and(|looked| now < looked + LOOK_EVERY) {
            return None;
        }
        self.looked = Some(now);
        // Whether the disk works at all is found out by writing to it.
        let space = (self.look)().ok()?;
        let was_low = self.low;
        self.low = space.free < self.floor(space.size);
        (self.low != was_low).then_some(space)
    }

    /// The bytes that have to be free. An eighth more once they were not, so that the service does not go back and forth.
    fn floor(&self, size: u64) -> u64 {
        let share = size / 100 * u64::from(self.limits.free_floor_percent);
        let floor = share.min(self.limits.free_floor_bytes);
        if self.low { floor.saturating_add(floor / 8) } else { floor }
    }
}

impl fmt::Debug for FreeSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FreeSpace").field("low", &self.low).finish_non_exhaustive()
    }
}

/// Returns the space on the disk of a directory, as far as this process may use it.
#[cfg(unix)]
pub(super) fn of(dir: &Path) -> io::Result<Space> {
    let found = nix::sys::statvfs::statvfs(dir)?;
    let bytes = |blocks: u64| blocks.saturating_mul(wide(found.fragment_size()));
    Ok(Space { free: bytes(wide(found.blocks_available())), size: bytes(wide(found.blocks())) })
}

/// Some systems count in 32 bits.
#[cfg(unix)]
fn wide(number: impl Into<u64>) -> u64 {
    number.into()
}

#[cfg(not(unix))]
pub(super) fn of(_: &Path) -> io::Result<Space> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn space_is_low_below_the_floor_until_there_is_an_eighth_more() {
        for (size, floor) in [(1_000 * MIB, 50 * MIB), (1 << 40, 1024 * MIB)] {
            let free = Arc::new(AtomicU64::new(0));
            let now_free = Arc::clone(&free);
            let look = Box::new(move || Ok(Space { free: now_free.load(Ordering::Relaxed), size }));
            let mut space = FreeSpace::new(look, StorageLimits::default());
            let mut now = Instant::now();
            for (bytes, low, changed) in [
                (floor, false, false),
                (floor - MIB, true, true),
                (floor, true, false),
                (floor + floor / 8, false, true),
                (floor, false, false),
                (0, true, true),
            ] {
                free.store(bytes, Ordering::Relaxed);
                assert!(space.look(now).is_none() || now > Instant::now(), "too soon");
                now += LOOK_EVERY;
                assert_eq!((space.look(now).is_some(), space.is_low()), (changed, low), "{bytes} of {size}");
            }
        }
    }

    #[test]
    fn with_a_floor_of_nothing_space_is_never_low() {
        let limits = StorageLimits { free_floor_percent: 0, ..StorageLimits::default() };
        let mut space = FreeSpace::new(Box::new(|| Ok(Space { free: 0, size: 1 << 40 })), limits);
        assert!(space.look(Instant::now()).is_none() && !space.is_low());
    }

    #[cfg(unix)]
    #[test]
    fn the_space_of_a_directory_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let space = of(dir.path()).unwrap();
        assert!(space.size > 0 && space.free <= space.size, "{space:?}");
    }
}
