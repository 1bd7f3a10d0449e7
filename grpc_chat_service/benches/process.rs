//! A server in a process of its own, and what it takes.

use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{self, Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use tempfile::TempDir;

/// Names, for a server that keeps something, an empty directory that goes when it ends.
pub(crate) const DATA: &str = "BENCH_DATA";

/// Runs this program as a server that says on standard output where it listens, until the one that started it ends.
pub(crate) fn serve<F: Future<Output = io::Result<()>>>(server: fn() -> F) -> io::Result<()> {
    thread::spawn(|| {
        // The pipe ends when the process that started this one does, however that happens.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    // Logs as the binary's, since they are part of the cost, but to nowhere.
    tracing_subscriber::fmt().with_env_filter("info").with_writer(io::sink).init();
    tokio::runtime::Runtime::new()?.block_on(server())
}

/// It ends when this is dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    process: Child,
    /// Removed after the process has ended.
    _data: TempDir,
}

impl Server {
    /// Starts this program with `serve-` and the name.
    pub(crate) fn start(name: &'static str) -> io::Result<Self> {
        let data = tempfile::tempdir()?;
        let mut process = Command::new(env::current_exe()?)
            .arg(format!("serve-{name}"))
            .env(DATA, data.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.as_mut() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.trim().parse().map_err(io::Error::other)?;
        Ok(Self { name, address, process, _data: data })
    }

    /// CPU time taken so far by all threads, in user and kernel mode.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let schedstat = fs::read_to_string(thread?.path().join("schedstat"))?;
            let on_cpu = schedstat.split(' ').next().unwrap_or_default();
            nanoseconds += on_cpu.parse::<u64>().map_err(io::Error::other)?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
