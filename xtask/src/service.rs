//! The service as a child process: on a free port, stopped in order, never left behind.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::{Outcome, cargo, root};

/// How long the service may take to say where it listens. It does nothing slow before that.
const START: Duration = Duration::from_secs(30);

/// How long it may take to leave: its own grace (10 s by default), and some.
const LEAVE: Duration = Duration::from_secs(15);

/// What became of an attempt to start the service.
pub enum Start {
    /// It listens.
    Listening(Service),
    /// It ended before that, and says why on standard error.
    Ended(ExitStatus),
}

/// A running service. Dropped without [`Service::stop`], it is killed.
pub struct Service {
    process: Child,
    address: String,
}

/// Builds the service and the client, in the profile and the target folder that they are started from.
pub fn build() -> Outcome {
    build_with(&[])
}

/// The same with other packages, all at once.
pub fn build_with(packages: &[&str]) -> Outcome {
    let packages =
        ["grpc_chat_service", "grpc_chat_client"].iter().chain(packages).flat_map(|name| ["--package", name]);
    let status = cargo().arg("build").args(packages).status()?;
    if status.success() { Ok(()) } else { Err("the service and the client do not build; see above".into()) }
}

/// Where cargo has put a program of this workspace: beside this one, or one up from where it puts tests.
pub fn program(name: &str) -> std::io::Result<PathBuf> {
    let mut beside = std::env::current_exe()?;
    if beside.parent().is_some_and(|folder| folder.ends_with("deps")) {
        beside.pop();
    }
    Ok(beside.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// Starts the service that [`build`] built and waits until it listens. Its log goes to standard error.
///
/// It keeps its history in memory, so that it meets nobody else's.
pub fn start() -> Result<Service, Box<dyn Error>> {
    start_with(&["--memory"])
}

/// The same with other flags; what it keeps is up to them.
pub fn start_with(flags: &[&str]) -> Result<Service, Box<dyn Error>> {
    let program = program("grpc_chat_service")?;
    match start_as(Command::new(program).args(FREE_PORT).args(flags).current_dir(root()))? {
        Start::Listening(service) => Ok(service),
        Start::Ended(status) => {
            Err(format!("the service did not say where it listens ({status}); its log is above").into())
        }
    }
}

/// The flags that let any number of services run beside each other.
pub const FREE_PORT: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// Starts the service by a command of one's own, and waits until it listens or has ended.
pub fn start_as(command: &mut Command) -> Result<Start, Box<dyn Error>> {
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
    let stdout = process.stdout.take();
    // From here on an early return drops it, and that kills the process.
    let mut service = Service { process, address: String::new() };
    let Some(line) = stdout.and_then(first_line) else {
        return service.leave().map(Start::Ended);
    };
    service.address = line
        .trim_end()
        .strip_prefix("listening on http://")
        .ok_or_else(|| format!("the service's first line should say where it listens, and is: {line}"))?
        .to_owned();
    Ok(Start::Listening(service))
}

impl Service {
    /// Where it listens, as `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Stops it where it is, with all it has open: it does nothing more until it is killed.
    pub fn freeze(&self) -> Outcome {
        let frozen = Command::new("kill").args(["-STOP", &self.process.id().to_string()]).status()?;
        if frozen.success() { Ok(()) } else { Err("the service could not be frozen: was it still running?".into()) }
    }

    /// Ends it as `kill -9` does: it has no say in it.
    pub fn kill(self) {
        drop(self);
    }

    /// Asks it to leave, as an operator would, and waits until it has.
    pub fn stop(mut self) -> Result<ExitStatus, Box<dyn Error>> {
        // The standard library can kill but not ask, and `unsafe` is not worth a signal.
        let asked = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status()?;
        if !asked.success() {
            return Err("the service could not be asked to stop: was it still running?".into());
        }
        self.leave()
    }

    /// Waits until it has ended.
    fn leave(&mut self) -> Result<ExitStatus, Box<dyn Error>> {
        let deadline = Instant::now() + LEAVE;
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(format!("the service was still there {} s after it should leave", LEAVE.as_secs()).into());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail only if it has ended already, which is what they are for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The first line, or nothing if the stream ends or [`START`] is over before there is one.
fn first_line(stdout: ChildStdout) -> Option<String> {
    let (sender, receiver) = mpsc::channel();
    // A read from a pipe has no timeout, so it gets a thread. The thread reads on to the end, because a
    // service that prints to a closed pipe would be a different one.
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver.recv_timeout(START).ok()
}
