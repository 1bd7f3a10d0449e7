//! The service as a child process on a free port, stopped or killed before this process ends.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::{Outcome, cargo, root};

/// How long the service may take to print its address. It does nothing slow before that.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the service may take to exit: its grace of 10 s, and some.
const EXIT_TIMEOUT: Duration = Duration::from_secs(15);

/// The result of starting the service.
pub enum Start {
    /// It is listening.
    Listening(Service),
    /// It ended before that. Its log on standard error says why.
    Ended(ExitStatus),
}

/// A running service, killed when dropped.
pub struct Service {
    process: Child,
    address: String,
}

/// The packages of the service and the client.
pub const PACKAGES: [&str; 2] = ["grpc_chat_service", "grpc_chat_client"];

/// Builds the service and the client.
pub fn build() -> Outcome {
    build_with(&[])
}

/// Builds the service, the client and other packages, all at once.
pub fn build_with(packages: &[&str]) -> Outcome {
    let packages = PACKAGES.iter().chain(packages).flat_map(|name| ["--package", name]);
    let status = cargo().arg("build").args(packages).status()?;
    if status.success() { Ok(()) } else { Err("the service and the client do not build; see above".into()) }
}

/// Returns the path of a built program of this workspace: beside this one, or one folder up from that of a test.
pub fn program(name: &str) -> std::io::Result<PathBuf> {
    let mut beside = std::env::current_exe()?;
    if beside.parent().is_some_and(|folder| folder.ends_with("deps")) {
        beside.pop();
    }
    Ok(beside.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// Starts the built service with its history in memory and waits until it listens. It logs to standard error.
pub fn start() -> Result<Service, Box<dyn Error>> {
    start_with(&["--memory"])
}

/// Starts the built service with these flags and waits until it listens. It logs to standard error.
pub fn start_with(flags: &[&str]) -> Result<Service, Box<dyn Error>> {
    let program = program("grpc_chat_service")?;
    match start_as(Command::new(program).args(FREE_PORT).args(flags).current_dir(root()))? {
        Start::Listening(service) => Ok(service),
        Start::Ended(status) => Err(format!("the service did not start ({status}); its log is above").into()),
    }
}

/// The flags that make the service listen on a free port.
pub const FREE_PORT: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// Starts the service by this command, and waits until it listens or has ended.
pub fn start_as(command: &mut Command) -> Result<Start, Box<dyn Error>> {
    let mut process = command
        // Several services may run at once, and only one could have the default address.
        .env("CHAT_ADMIN", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
    let stdout = process.stdout.take();
    // An early return from here on drops the service, which kills the process.
    let mut service = Service { process, address: String::new() };
    let Some(line) = stdout.and_then(first_line) else {
        return service.wait().map(Start::Ended);
    };
    service.address = line
        .trim_end()
        .strip_prefix("listening on http://")
        .ok_or_else(|| format!("the service's first line should be its address, and is: {line}"))?
        .to_owned();
    Ok(Start::Listening(service))
}

impl Service {
    /// Returns the address that it listens on, as `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the id of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Suspends the process with SIGSTOP, leaving all its files and connections open.
    pub fn freeze(&self) -> Outcome {
        let frozen = Command::new("kill").args(["-STOP", &self.process.id().to_string()]).status()?;
        if frozen.success() { Ok(()) } else { Err("the service could not be suspended: was it still running?".into()) }
    }

    /// Kills it as `kill -9` does.
    pub fn kill(self) {
        drop(self);
    }

    /// Sends SIGTERM, as an operator would, and waits until it has ended.
    pub fn stop(mut self) -> Result<ExitStatus, Box<dyn Error>> {
        // The standard library sends no SIGTERM, and calling `kill(2)` would need `unsafe`.
        let signalled = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status()?;
        if !signalled.success() {
            return Err("the service could not be told to stop: was it still running?".into());
        }
        self.wait()
    }

    /// Waits until it has ended.
    fn wait(&mut self) -> Result<ExitStatus, Box<dyn Error>> {
        let deadline = Instant::now() + EXIT_TIMEOUT;
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(format!("the service had not ended after {} s", EXIT_TIMEOUT.as_secs()).into());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the first line, or `None` if the stream ends before one or [`START_TIMEOUT`] is over.
fn first_line(stdout: ChildStdout) -> Option<String> {
    let (sender, receiver) = mpsc::channel();
    // Reading from a pipe has no timeout, so it gets a thread. The thread reads to the end, because the service must not
    // find its standard output closed.
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver.recv_timeout(START_TIMEOUT).ok()
}
