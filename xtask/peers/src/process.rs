//! A server in a process of its own, on a core of its own, and what it uses.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// How long a server may take until it accepts connections.
const START: Duration = Duration::from_secs(20);

/// The cores that are used, which are different.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    /// The one of the load.
    pub generator: usize,
    /// The one of the server.
    pub server: usize,
}

impl Cores {
    /// Chooses two of the cores that this process may use, and pins this thread to one of them.
    pub fn choose() -> io::Result<Self> {
        let allowed = sched_getaffinity(this_thread())?;
        let mut allowed = (0..CpuSet::count()).filter(|&core| allowed.is_set(core).is_ok_and(|is_set| is_set));
        let (Some(generator), Some(server)) = (allowed.next(), allowed.next()) else {
            return Err(io::Error::other("two cores are needed: one for the server and one for the load"));
        };
        pin(generator)?;
        Ok(Self { generator, server })
    }
}

/// Pins this thread, and those and the processes that it starts from now on, to a core.
pub fn pin(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    Ok(sched_setaffinity(this_thread(), &cores)?)
}

fn this_thread() -> Pid {
    Pid::from_raw(0)
}

/// A running server, which is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Process {
    /// Starts the server that `command` returns for an address of this machine, on the server's core. Waits until it accepts
    /// connections. What it prints goes to the file `log`.
    pub(crate) fn start(cores: Cores, log: &Path, command: impl FnOnce(SocketAddr) -> Command) -> io::Result<Self> {
        // A port that is free at this moment. Not every server can say which port it has chosen itself.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let output = File::create(log)?;
        let mut command = command(address);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // A child inherits the cores of the thread that starts it.
        pin(cores.server)?;
        let child = command.spawn();
        pin(cores.generator)?;
        let cannot_run = |error: io::Error| {
            let program = command.get_program().display();
            io::Error::new(error.kind(), format!("cannot run {program}: {error}"))
        };
        let mut process = Self { child: child.map_err(cannot_run)?, address, log: log.to_owned() };
        process.wait_until_it_accepts()?;
        Ok(process)
    }

    fn wait_until_it_accepts(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + START;
        // While nobody listens, a socket may be given this very port and connect to itself.
        let accepts = |socket: TcpStream| socket.local_addr().is_ok_and(|own| own != self.address);
        while !TcpStream::connect(self.address).is_ok_and(accepts) {
            let log = self.log.display();
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("the server did not start ({status}); its log is {log}")));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("the server does not accept connections; its log is {log}")));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the CPU time that the process has used so far, in user and kernel mode, in nanoseconds' precision. Threads that
    /// have ended are included.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        now(clock_getcpuclockid(Pid::from_raw(self.child.id().cast_signed()))?)
    }

    /// Returns the resident memory of the process, in bytes.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        // Unlike the figure in `status`, this one is exact.
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let kilobytes =
            rollup.lines().find_map(|line| line.strip_prefix("Rss:")?.strip_suffix("kB")?.trim().parse().ok());
        kilobytes.map(|kilobytes: u64| kilobytes * 1024).ok_or_else(|| io::Error::other("smaps_rollup has no Rss"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the CPU time that this thread has used so far.
pub(crate) fn thread_cpu() -> io::Result<Duration> {
    now(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn now(clock: ClockId) -> io::Result<Duration> {
    Ok(clock.now()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_is_reported_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let cores = Cores { generator: 0, server: 0 };
        let log = folder.path().join("log");
        let error = Process::start(cores, &log, |_| Command::new("false")).map(drop).unwrap_err();
        assert!(error.to_string().contains(&log.display().to_string()), "{error}");
    }
}
