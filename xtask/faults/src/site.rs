//! Where a fault happens: a folder of its own, with the service's log and data in it.

use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use xtask::service::{self, FREE_PORT, Service, Start};

use crate::server::Server;

/// The last lines of a log that a failure shows.
const SHOWN: usize = 5;

/// A folder that goes when this does.
pub struct Site {
    folder: PathBuf,
    /// Where clients find the service that was started last.
    pub server: Server,
}

/// What the service keeps.
#[derive(Clone, Copy, Debug)]
pub enum Keeps<'a> {
    /// Nothing beyond its end.
    Nothing,
    /// Its data in this folder.
    Data(&'a Path),
}

impl Site {
    /// Makes a fresh folder, without a service.
    pub fn new() -> Result<Self, Box<dyn Error>> {
        static SITES: AtomicUsize = AtomicUsize::new(0);
        let name = format!("grpc-chat-faults-{}-{}", std::process::id(), SITES.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, server: Server::nowhere() })
    }

    /// Returns the path of that name in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts the service, its log in a file here, and lets clients know where it is.
    pub fn start(&self, keeps: Keeps<'_>) -> Result<Service, Box<dyn Error>> {
        self.start_under(&[], keeps)
    }

    /// The same, run by another program.
    pub fn start_under(&self, runner: &[&OsStr], keeps: Keeps<'_>) -> Result<Service, Box<dyn Error>> {
        match self.try_start(runner, keeps)? {
            Start::Listening(service) => {
                self.server.moved(service.address());
                Ok(service)
            }
            Start::Ended(status) => Err(format!("the service does not start ({status}): {}", self.log()).into()),
        }
    }

    /// Starts the service if it does start.
    pub fn try_start(&self, runner: &[&OsStr], keeps: Keeps<'_>) -> Result<Start, Box<dyn Error>> {
        let program = service::program("grpc_chat_service")?;
        let mut words = runner.iter().copied().chain([program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).args(FREE_PORT).current_dir(&self.folder).env("RUST_LOG", "warn").env("NO_COLOR", "1");
        match keeps {
            Keeps::Nothing => {
                command.arg("--memory");
            }
            Keeps::Data(folder) => {
                command.arg("--data").arg(folder);
            }
        }
        service::start_as(command.stderr(File::create(self.path("log"))?))
    }

    /// The service must not start: answers how it ended, and what it said.
    pub fn refused(&self, keeps: Keeps<'_>) -> Result<Option<(ExitStatus, String)>, Box<dyn Error>> {
        match self.try_start(&[], keeps)? {
            Start::Ended(status) => Ok(Some((status, self.log()))),
            Start::Listening(_) => Ok(None),
        }
    }

    /// The end of the log of the service that was started last.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(SHOWN)..].join(" / ")
    }
}

/// A file system that is there as long as this is.
pub(crate) struct Mounted {
    pub(crate) at: PathBuf,
}

impl Mounted {
    /// Calls `mount` with these words; why not, where that is not allowed.
    pub(crate) fn new(words: &[&str], at: PathBuf) -> Result<Self, String> {
        fs::create_dir_all(&at).map_err(|error| error.to_string())?;
        tool(Command::new("mount").args(words).arg(&at))?;
        Ok(Self { at })
    }

    pub(crate) fn unmount(self) -> Result<(), String> {
        let unmounted = tool(Command::new("umount").arg(&self.at));
        if unmounted.is_ok() {
            std::mem::forget(self);
        }
        unmounted
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: whoever still has files there keeps them until it ends.
        let _ = tool(Command::new("umount").arg("--lazy").arg(&self.at));
    }
}

/// Runs a program of the system; an error says why it did not work.
pub(crate) fn tool(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("cannot run {name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name} failed ({}): {}", output.status, said.trim().lines().next().unwrap_or_default()))
}

impl Drop for Site {
    fn drop(&mut self) {
        // What cannot be removed from the temporary folder is the system's to remove.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
