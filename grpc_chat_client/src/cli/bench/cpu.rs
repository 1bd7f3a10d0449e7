//! The service's processes on this machine, and the CPU time that processes take. Known on Linux only.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use grpc_chat_client::ServerUrl;
use serde::Serialize;

/// How often it is looked again which of several processes listen, and how long after each time.
const LOOKS: u32 = 25;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// A process.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// The name of its program.
    pub(super) name: String,
}

impl Process {
    /// Returns this process.
    pub(super) fn own() -> Self {
        Self { pid: std::process::id(), name: env!("CARGO_BIN_NAME").to_owned() }
    }
}

/// Nanoseconds that each thread of some processes has run so far, in user and kernel mode.
#[derive(Debug, Default)]
pub(super) struct CpuTime(BTreeMap<i32, u64>);

impl CpuTime {
    /// Returns the time since `earlier`, without that of threads that have ended since.
    pub(super) fn since(&self, earlier: &Self) -> Duration {
        let taken = |(thread, now): (&i32, &u64)| now.saturating_sub(earlier.0.get(thread).copied().unwrap_or(0));
        Duration::from_nanos(self.0.iter().map(taken).sum())
    }
}

/// Returns the processes that listen at a URL, at least one, or in a few words why they are not known.
pub(super) async fn listening_at(server: &ServerUrl) -> Result<Vec<Process>, String> {
    let mut address = server.authority().to_owned();
    if address.rsplit(':').next().is_none_or(|port| port.parse::<u16>().is_err()) {
        // Only https:// has a default port that is not in the URL.
        address += ":443";
    }
    let resolved = tokio::net::lookup_host(&address).await;
    let addresses = resolved.map_err(|error| format!("{address} is not resolved: {error}"))?;
    // Only an address of this machine can be bound.
    let is_here = |ip: IpAddr| ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok();
    let here: Vec<SocketAddr> = addresses.filter(|address| is_here(address.ip())).collect();
    if here.is_empty() {
        return Err("the service is on another machine".to_owned());
    }
    let mut found = system::listening_at(&here)?;
    // A child that is about to run another program has its parent's files until then, and is not the service.
    for _ in 0..LOOKS {
        if found.len() == 1 {
            break;
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
        let again = system::listening_at(&here)?;
        found.retain(|process| again.iter().any(|other| other.pid == process.pid));
    }
    if found.is_empty() { Err("the service has ended".to_owned()) } else { Ok(found) }
}

/// Returns the CPU time of processes until now, or in a few words why it is not known.
pub(super) fn time_of(processes: &[Process]) -> Result<CpuTime, String> {
    system::time_of(processes)
}

#[cfg(target_os = "linux")]
mod system {
    use std::collections::{BTreeMap, HashSet};
    use std::net::SocketAddr;

    use procfs::ProcError;
    use procfs::net::{TcpState, tcp, tcp6};
    use procfs::process::{self, FDTarget, all_processes};

    use super::{CpuTime, Process};

    pub(super) fn listening_at(here: &[SocketAddr]) -> Result<Vec<Process>, String> {
        // Without IPv6 there is no second table.
        let sockets = [tcp(), tcp6()].into_iter().flatten().flatten();
        let reached = |at: SocketAddr| {
            let ip = at.ip().to_canonical();
            here.iter().any(|to| to.port() == at.port() && (ip.is_unspecified() || ip == to.ip().to_canonical()))
        };
        let listening = sockets.filter(|socket| socket.state == TcpState::Listen && reached(socket.local_address));
        let sockets: HashSet<u64> = listening.map(|socket| socket.inode).collect();
        let listens = |process: &process::Process| {
            // The files of other users' processes are not shown.
            let mut files = process.fd().into_iter().flatten().flatten();
            files.any(|file| matches!(file.target, FDTarget::Socket(inode) if sockets.contains(&inode)))
        };
        let mut found = Vec::new();
        for process in all_processes().into_iter().flatten().flatten() {
            if listens(&process) {
                let program = process.exe().unwrap_or_default();
                let name = program.file_name().unwrap_or_default().to_string_lossy();
                // The kernel adds this to the path of a program that was replaced since it was started.
                let name = name.trim_end_matches(" (deleted)").to_owned();
                found.push(Process { pid: process.pid.cast_unsigned(), name });
            }
        }
        if found.is_empty() {
            return Err("no process that this user may look at listens on its port".to_owned());
        }
        Ok(found)
    }

    pub(super) fn time_of(processes: &[Process]) -> Result<CpuTime, String> {
        let mut times = BTreeMap::new();
        for Process { pid, .. } in processes {
            let why = |error| match error {
                ProcError::NotFound(_) => format!("process {pid}, which was the service, has ended"),
                error => format!("process {pid} does not show its threads: {error}"),
            };
            let process = process::Process::new(pid.cast_signed());
            for thread in process.and_then(|process| process.tasks()).map_err(why)?.flatten() {
                // A thread that has ended meanwhile is not missed.
                if let Ok(stat) = thread.schedstat() {
                    times.insert(thread.tid, stat.sum_exec_runtime);
                }
            }
        }
        if times.is_empty() {
            return Err("the kernel does not report how long threads have run".to_owned());
        }
        Ok(CpuTime(times))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{CpuTime, Process, SocketAddr};

    pub(super) fn listening_at(_: &[SocketAddr]) -> Result<Vec<Process>, String> {
        Err("this system does not report who listens".to_owned())
    }

    pub(super) fn time_of(_: &[Process]) -> Result<CpuTime, String> {
        Err("this system does not report how long threads have run".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_may_come_and_go() {
        let before = CpuTime([(1, 100), (2, 5_000)].into());
        let after = CpuTime([(1, 150), (3, 30)].into());
        assert_eq!(after.since(&before), Duration::from_nanos(80));
        assert_eq!(after.since(&after), Duration::ZERO);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_process_that_listens_is_found_and_has_taken_time() {
        use std::os::fd::OwnedFd;
        use std::process::{Command, Stdio};

        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server: ServerUrl = format!("http://{}", socket.local_addr().unwrap()).parse().unwrap();
        let found = listening_at(&server).await.unwrap();
        let own = [Process::own()];
        assert!(found.iter().any(|process| process.pid == own[0].pid && !process.name.is_empty()), "{found:?}");
        let before = time_of(&own).unwrap();
        let mut sum = 0_u64;
        while time_of(&own).unwrap().since(&before).is_zero() {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        // A process that has the socket only for a moment is not the service.
        let inherited = Stdio::from(OwnedFd::from(socket.try_clone().unwrap()));
        let mut child = Command::new("sleep").arg("0.1").stdin(inherited).spawn().unwrap();
        let found = listening_at(&server).await.unwrap();
        assert!(found.iter().all(|process| process.pid != child.id()), "{found:?}");
        child.wait().unwrap();
        drop(socket);
        let why = listening_at(&server).await.unwrap_err();
        assert!(why.contains("on its port"), "{why}");
        // An address for documentation, which no machine has.
        let why = listening_at(&"http://192.0.2.1:9090".parse().unwrap()).await.unwrap_err();
        assert_eq!(why, "the service is on another machine");
    }
}
