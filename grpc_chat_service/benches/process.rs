//! Servers in processes of their own: this program, started again with an argument.

use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{self, Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use grpc_chat_service::config::Config;
use tempfile::TempDir;
use tonic::transport::server::{Router, TcpIncoming};

/// The environment variable with a server's data directory, which is empty when the server starts.
pub(crate) const DATA: &str = "BENCH_DATA";

/// Runs a server in this process until the process that started it ends.
pub(crate) fn serve<F: Future<Output = io::Result<()>>>(server: impl FnOnce() -> F) -> io::Result<()> {
    thread::spawn(|| {
        // Standard input ends when the process that started this one does, for whatever reason.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    // Logging is part of the cost, so the lines are formatted as the binary does, and then discarded.
    tracing_subscriber::fmt().with_env_filter("info").with_writer(io::sink).init();
    tokio::runtime::Runtime::new()?.block_on(server())
}

/// Serves the chat. Prints the address on standard output.
pub(crate) async fn serve_chat(mut config: Config) -> io::Result<()> {
    config.rates = false;
    // A history in memory keeps everything that is measured.
    config.limits.storage.memory_bytes = usize::MAX;
    let server = grpc_chat_service::server::bind(config).await.map_err(io::Error::other)?;
    println!("{}", server.local_addr());
    server.run(std::future::pending()).await;
    Ok(())
}

/// Serves services with tonic's own server. Prints the address on standard output.
pub(crate) async fn serve_tonic(services: Router) -> io::Result<()> {
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?.with_nodelay(Some(true));
    println!("{}", incoming.local_addr()?);
    services.serve_with_incoming(incoming).await.map_err(io::Error::other)
}

/// A server in a process of its own. The process ends when this is dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    process: Child,
    /// Removed after the process has ended.
    _data: TempDir,
}

impl Server {
    /// Starts this program with the argument `serve-NAME`.
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

    /// Returns the CPU time that the process's threads have used so far, in user and kernel mode.
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
