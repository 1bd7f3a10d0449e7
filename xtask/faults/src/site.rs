//! A temporary folder for one fault, with the data and the log of the service that runs in it.

use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use xtask::service::{self, FREE_PORT, Service, Start};

use crate::server::Server;

/// How many of the last lines of the log an error shows.
const LOG_LINES: usize = 5;

/// A temporary folder, removed when dropped.
pub struct Site {
    folder: PathBuf,
    /// The address of the service that was started last.
    pub server: Server,
}

/// Where the service keeps its history.
#[derive(Clone, Copy, Debug)]
pub enum Store<'a> {
    /// In memory.
    Memory,
    /// In this folder.
    Disk(&'a Path),
}

impl Site {
    /// Creates a fresh folder.
    pub fn new() -> Result<Self, Box<dyn Error>> {
        static SITES: AtomicUsize = AtomicUsize::new(0);
        let name = format!("grpc-chat-faults-{}-{}", std::process::id(), SITES.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, server: Server::unreachable() })
    }

    /// Returns the path of that name in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts the service, logging to a file in the folder, and publishes its address to the clients.
    pub fn start(&self, store: Store<'_>) -> Result<Service, Box<dyn Error>> {
        self.start_under(&[], store)
    }

    /// Starts the service under another program, such as a tracer, given by its command line.
    pub fn start_under(&self, runner: &[&OsStr], store: Store<'_>) -> Result<Service, Box<dyn Error>> {
        match self.try_start(runner, store)? {
            Start::Listening(service) => {
                self.server.set_address(service.address());
                Ok(service)
            }
            Start::Ended(status) => Err(format!("the service does not start ({status}): {}", self.log()).into()),
        }
    }

    /// Starts the service, which may refuse to start.
    pub fn try_start(&self, runner: &[&OsStr], store: Store<'_>) -> Result<Start, Box<dyn Error>> {
        let program = service::program("grpc_chat_service")?;
        let mut words = runner.iter().copied().chain([program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command
            .args(words)
            .args(FREE_PORT)
            .arg("--no-rates")
            .current_dir(&self.folder)
            .env("RUST_LOG", "warn")
            .env("NO_COLOR", "1");
        match store {
            Store::Memory => {
                command.arg("--memory");
            }
            Store::Disk(folder) => {
                command.arg("--data").arg(folder);
            }
        }
        service::start_as(command.stderr(File::create(self.path("log"))?))
    }

    /// Starts a service that is expected to refuse. Returns its exit status and log, or `None` if it listens.
    pub fn refusal(&self, store: Store<'_>) -> Result<Option<(ExitStatus, String)>, Box<dyn Error>> {
        match self.try_start(&[], store)? {
            Start::Ended(status) => Ok(Some((status, self.log()))),
            Start::Listening(_) => Ok(None),
        }
    }

    /// Returns the last lines of the log of the service that was started last.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join(" / ")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // What cannot be removed is in the system's temporary folder, and the system removes it.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A mounted file system, unmounted when dropped.
pub(crate) struct Mount {
    pub(crate) at: PathBuf,
}

impl Mount {
    /// Calls `mount` with these arguments. An error says why this machine does not allow it.
    pub(crate) fn new(words: &[&str], at: PathBuf) -> Result<Self, String> {
        fs::create_dir_all(&at).map_err(|error| error.to_string())?;
        run_tool(Command::new("mount").args(words).arg(&at))?;
        Ok(Self { at })
    }

    pub(crate) fn unmount(self) -> Result<(), String> {
        let unmounted = run_tool(Command::new("umount").arg(&self.at));
        if unmounted.is_ok() {
            std::mem::forget(self);
        }
        unmounted
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, because a process that is still running may have files open.
        let _ = run_tool(Command::new("umount").arg("--lazy").arg(&self.at));
    }
}

/// Runs a program of the system. An error says why it failed.
pub(crate) fn run_tool(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("cannot run {name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name} failed ({}): {}", output.status, stderr.trim().lines().next().unwrap_or_default()))
}
