//! The machine that results are from.

use std::time::Duration;
use std::{fs, io};

/// The length of a tick in /proc/stat.
const TICK: Duration = Duration::from_millis(10);

/// What a result depends on.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
}

impl Machine {
    /// Returns this machine.
    pub(crate) fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let value = |line: &str| {
                line.split_once(':').filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
            };
            text.lines().find_map(value)
        };
        let cpuinfo = read("/proc/cpuinfo");
        let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
        Self {
            processor: field(&cpuinfo, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: cpuinfo.lines().filter(|line| line.starts_with("processor")).count().max(1),
            kernel: format!("Linux {kernel}"),
        }
    }
}

/// Returns the CPU time that everything on this machine has used so far, on all cores together.
pub(crate) fn busy() -> io::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let ticks = stat.lines().find_map(|line| line.strip_prefix("cpu ")).and_then(busy_ticks);
    let ticks = ticks.ok_or_else(|| io::Error::other("/proc/stat has no times of the processors"))?;
    Ok(TICK.mul_f64(ticks as f64))
}

/// Adds up the times of the processors but for those of idling and of waiting for a disk, which are the fourth and fifth.
/// Behind the eighth, times of guests are repeated.
fn busy_ticks(times: &str) -> Option<u64> {
    let ticks: Vec<u64> = times.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(ticks.get(..8)?.iter().sum::<u64>() - ticks[3] - ticks[4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idling_and_waiting_are_not_busy() {
        assert_eq!(busy_ticks(" 1 20 300 4000 50000 600000 7000000 80000000 9 9"), Some(87_600_321));
        assert_eq!(busy_ticks(" 1 2 3"), None);
        assert!(busy().unwrap() > Duration::ZERO);
    }
}
