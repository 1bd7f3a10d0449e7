//! CPU time of processes, as Linux tells it in `/proc`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

/// Nanoseconds that each thread of a process has run so far, in user and kernel mode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Threads(BTreeMap<String, u64>);

impl Threads {
    /// Those of the process with this folder.
    ///
    /// # Errors
    ///
    /// If there is no such process, or this is not Linux.
    pub(super) fn of(process: &Path) -> io::Result<Self> {
        let mut threads = BTreeMap::new();
        for thread in fs::read_dir(process.join("task"))? {
            let thread = thread?;
            // One that has ended meanwhile is not missed.
            let Ok(schedstat) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
            if let Some(run) = on_cpu(&schedstat) {
                threads.insert(thread.file_name().to_string_lossy().into_owned(), run);
            }
        }
        if threads.is_empty() {
            return Err(io::Error::other("the kernel does not tell how long threads have run"));
        }
        Ok(Self(threads))
    }

    /// What they have taken since then. What a thread took that has ended meanwhile is not known, and left out.
    pub(super) fn since(&self, earlier: &Self) -> Duration {
        let taken = |(thread, now): (&String, &u64)| now.saturating_sub(earlier.0.get(thread).copied().unwrap_or(0));
        Duration::from_nanos(self.0.iter().map(taken).sum())
    }
}

/// The first number of a schedstat: nanoseconds on a CPU.
fn on_cpu(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(of: &[(&str, u64)]) -> Threads {
        Threads(of.iter().map(|(thread, run)| ((*thread).to_owned(), *run)).collect())
    }

    #[test]
    fn the_first_number_is_the_time_on_a_cpu() {
        assert_eq!(on_cpu("123456789 42 7\n"), Some(123_456_789));
        assert_eq!([on_cpu(""), on_cpu("x 1 2")], [None, None]);
    }

    #[test]
    fn threads_may_come_and_go() {
        let before = threads(&[("1", 100), ("2", 5_000)]);
        let after = threads(&[("1", 150), ("3", 30)]);
        assert_eq!(after.since(&before), Duration::from_nanos(80));
        assert_eq!(after.since(&after), Duration::ZERO);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_taken_some() {
        let own = Path::new("/proc/self");
        let before = Threads::of(own).unwrap();
        let mut sum = 0_u64;
        while Threads::of(own).unwrap().since(&before).is_zero() {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        Threads::of(Path::new("/proc/none")).unwrap_err();
    }
}
