//! The service as a process with little memory and a core of its own, and what it uses.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use peers::process::{Cores, pin};
use xtask::service::{self, FREE_PORT, Start};

/// The memory that the service may use, in bytes.
///
/// It is a limit on data (RLIMIT_DATA): all private memory that is written to, so heap, stacks and SQLite's caches. Unlike a
/// limit on the address space it does not count what is only reserved, as glibc does for every thread; and unlike a control
/// group it needs no rights. At the limit an allocation fails, and the process aborts.
pub(crate) const MEMORY: u64 = 1 << 30;

/// The flag for the address of figures and probes.
const ADMIN: &str = "--admin";

/// The flag that switches rates off.
pub(crate) const NO_RATES: &str = "--no-rates";

/// The history's folder in the service's folder.
pub(crate) const DATA: &str = "data";

/// How the service is started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) cores: Option<Cores>,
    pub(crate) has_rates: bool,
    pub(crate) descriptors: Option<u32>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { cores: None, has_rates: true, descriptors: None }
    }
}

/// A running service, which is killed when this is dropped.
pub(crate) struct Service {
    process: service::Service,
    address: SocketAddr,
    log: PathBuf,
}

impl Service {
    /// Starts a service with its history in this folder.
    pub(crate) fn start(program: &Path, folder: &Path, setup: Setup) -> Result<Self, Box<dyn std::error::Error>> {
        let log = folder.join("log");
        let mut limits = format!("ulimit -d {}", MEMORY / 1024);
        if let Some(descriptors) = setup.descriptors {
            limits += &format!(" && ulimit -n {descriptors}");
        }
        // The shell sets the limits and becomes the service.
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{limits} && exec \"$@\""), "sh"]).arg(program).args(FREE_PORT);
        command.arg("--data").arg(folder.join(DATA)).stderr(File::create(&log)?).env("NO_COLOR", "1");
        command.env_remove("RUST_LOG");
        // Older builds do not have these flags.
        if has_flag(program, ADMIN)? {
            command.args([ADMIN, "off"]);
        }
        if !setup.has_rates && has_flag(program, NO_RATES)? {
            command.arg(NO_RATES);
        }
        // A child inherits the cores of the thread that starts it.
        let started = match setup.cores {
            Some(cores) => pin(cores.server)
                .map_err(Into::into)
                .and_then(|()| service::start_as(&mut command))
                .and_then(|started| pin(cores.generator).map(|()| started).map_err(Into::into)),
            None => service::start_as(&mut command),
        };
        match started? {
            Start::Listening(process) => {
                let address = process.address().parse()?;
                Ok(Self { process, address, log })
            }
            Start::Ended(status) => {
                Err(format!("the service did not start ({status}): {}", fs::read_to_string(log)?.trim()).into())
            }
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the CPU time that the process has used so far, or `None` if it has ended.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let clock = clock_getcpuclockid(Pid::from_raw(self.process.id().cast_signed())).ok()?;
        clock.now().ok().map(Into::into).filter(|_| self.status("VmRSS").is_some())
    }

    /// Returns the resident memory of the process, in bytes, or `None` if it has ended.
    pub(crate) fn memory(&self) -> Option<u64> {
        self.status("VmRSS")
    }

    /// Returns the most resident memory that the process has had.
    pub(crate) fn peak(&self) -> Option<u64> {
        self.status("VmHWM")
    }

    fn status(&self, field: &str) -> Option<u64> {
        // A process that has ended, but has not been waited for, has no memory.
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        value.trim().strip_suffix(" kB")?.parse().ok().map(|kilobytes: u64| kilobytes * 1024)
    }

    /// Returns how many bytes it has logged.
    pub(crate) fn logged(&self) -> io::Result<u64> {
        Ok(fs::metadata(&self.log)?.len())
    }

    /// Returns the line of its log that says why it has ended.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let of_allocator = log.lines().rev().find(|line| line.contains("allocat"));
        of_allocator.or(log.lines().next_back()).unwrap_or_default().to_owned()
    }

    /// Stops it in order.
    pub(crate) fn stop(self) -> xtask::Outcome {
        let status = self.process.stop()?;
        if status.success() { Ok(()) } else { Err(format!("the service ended with {status}").into()) }
    }
}

/// Returns whether a build of the service has this flag.
pub(crate) fn has_flag(program: &Path, flag: &str) -> io::Result<bool> {
    let help = Command::new(program).arg("--help").output()?;
    Ok(String::from_utf8_lossy(&help.stdout).contains(flag))
}
