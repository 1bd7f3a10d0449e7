//! The servers that are measured: how each is built or found, and how it is started.

mod go;
pub(crate) mod tonic;

use std::error::Error;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Cores, Process};
use crate::target::{self, folder};

/// A server that can be measured.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// What it is called in the results.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    program: PathBuf,
}

/// What a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A build of this project's service. The first one has index 0.
    Ours {
        build: usize,
        store: Store,
    },
    Peer(Peer),
}

/// Where our service keeps its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Memory,
    Disk,
}

/// What our service is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Tonic,
    GrpcGo,
    Nats,
    Redis,
}

/// How clients of a room talk to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoomProtocol {
    /// A session of `chat.v1`.
    Session,
    Nats,
    Redis,
}

impl Peer {
    pub(crate) const ALL: [Self; 4] = [Self::Tonic, Self::GrpcGo, Self::Nats, Self::Redis];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tonic => "bare tonic",
            Self::GrpcGo => "grpc-go",
            Self::Nats => "NATS",
            Self::Redis => "Redis",
        }
    }
}

impl Kind {
    /// Returns whether the server serves the example. With the history on disk it is the same, so it is measured once.
    pub(crate) fn has_example(self) -> bool {
        matches!(self, Self::Ours { store: Store::Memory, .. } | Self::Peer(Peer::Tonic | Peer::GrpcGo))
    }

    /// Returns how to talk to the server in a room, if it has rooms.
    pub(crate) fn rooms(self) -> Option<RoomProtocol> {
        match self {
            Self::Ours { .. } | Self::Peer(Peer::GrpcGo) => Some(RoomProtocol::Session),
            Self::Peer(Peer::Nats) => Some(RoomProtocol::Nats),
            Self::Peer(Peer::Redis) => Some(RoomProtocol::Redis),
            Self::Peer(Peer::Tonic) => None,
        }
    }
}

/// All servers.
pub(crate) struct Servers {
    /// In the order in which they are measured and shown.
    pub(crate) found: Vec<Server>,
    /// Those that cannot be measured here, and why.
    pub(crate) missing: Vec<(Peer, String)>,
}

impl Servers {
    /// Builds or finds all servers. `ours` are builds of our service; without any, the sources are built.
    pub(crate) fn build(ours: &[PathBuf]) -> Result<Self, Box<dyn Error>> {
        let mut found = Vec::new();
        for (build, (name, program)) in our_builds(ours)?.into_iter().enumerate() {
            for (store, place) in [(Store::Memory, "memory"), (Store::Disk, "disk")] {
                let (name, program) = (format!("{name}, {place}"), program.clone());
                found.push(Server { name, kind: Kind::Ours { build, store }, program });
            }
        }
        let mut missing = Vec::new();
        for peer in Peer::ALL {
            eprintln!("==> looking for {}", peer.name());
            let program = match peer {
                Peer::Tonic => std::env::current_exe().map(|program| (program, String::new())).map_err(Into::into),
                Peer::GrpcGo => go::build_grpc_go(),
                Peer::Nats => go::build_nats(),
                Peer::Redis => find_redis(),
            };
            match program {
                Ok((program, version)) => {
                    let name = format!("{} {version}", peer.name()).trim_end().to_owned();
                    found.push(Server { name, kind: Kind::Peer(peer), program });
                }
                Err(reason) => {
                    eprintln!("==> {} is left out: {reason}", peer.name());
                    missing.push((peer, reason.to_string()));
                }
            }
        }
        Ok(Self { found, missing })
    }
}

/// Returns the name and the program of each build of our service.
fn our_builds(given: &[PathBuf]) -> Result<Vec<(String, PathBuf)>, Box<dyn Error>> {
    if given.is_empty() {
        // Alone, as a user builds it.
        let status = xtask::cargo().args(["build", "--release", "--package", "grpc_chat_service"]).status()?;
        if !status.success() {
            return Err("our service does not build; see above".into());
        }
        return Ok(vec![("ours".to_owned(), target::root()?.join("release/grpc_chat_service"))]);
    }
    let named = given.iter().map(|path| {
        let program = path.canonicalize().map_err(|error| format!("--ours {}: {error}", path.display()))?;
        let same_name = |other: &&PathBuf| other.file_name() == path.file_name();
        let name = match path.file_name() {
            Some(name) if given.iter().filter(same_name).count() == 1 => name.to_string_lossy().into_owned(),
            _ => path.display().to_string(),
        };
        Ok((name, program))
    });
    named.collect()
}

/// Returns Debian's Redis, or any other in the path, and its version.
fn find_redis() -> Result<(PathBuf, String), Box<dyn Error>> {
    let version = Command::new("redis-server").arg("--version").output();
    let version = version.map_err(|_| "not installed (Debian's package is redis-server)")?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let version = version.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or_default();
    Ok(("redis-server".into(), version.to_owned()))
}

/// A running server, with its data.
pub(crate) struct Running {
    pub(crate) process: Process,
    /// Removed after the process has ended.
    _data: TempDir,
}

impl Server {
    /// Starts the server in a new, empty folder.
    pub(crate) fn start(&self, cores: Cores) -> io::Result<Running> {
        let data = tempfile::tempdir_in(folder()?)?;
        let logs = folder()?.join("logs");
        fs::create_dir_all(&logs)?;
        let log = logs.join(format!("{}.log", self.name.replace(['/', ' ', ','], "-")));
        let process = Process::start(cores, &log, |address| self.command(address, data.path()))?;
        Ok(Running { process, _data: data })
    }

    fn command(&self, address: SocketAddr, data: &Path) -> Command {
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        // setpriv, of util-linux, becomes the server. The kernel kills it when this process ends, however it ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&self.program).current_dir(data);
        match self.kind {
            Kind::Ours { store, .. } => {
                command.args(["--listen", &address.to_string(), "--admin", "off", "--no-rates"]);
                match store {
                    // Room for everything that is measured.
                    Store::Memory => command.arg("--memory").env("CHAT_LIMITS_STORAGE_MEMORY_BYTES", "1 TiB"),
                    Store::Disk => command.arg("--data").arg(data),
                }
            }
            Kind::Peer(Peer::Tonic) => command.args([tonic::COMMAND, &address.to_string()]),
            Kind::Peer(Peer::GrpcGo) => command.args(["-listen", &address.to_string()]),
            Kind::Peer(Peer::Nats) => command.args(["--addr", &host, "--port", &port]),
            Kind::Peer(Peer::Redis) => {
                command.args(["--bind", &host, "--port", &port, "--save", "", "--appendonly", "no"])
            }
        };
        command
    }
}
