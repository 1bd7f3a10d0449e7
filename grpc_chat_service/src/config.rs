//! What the server needs to know to run.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::address::LogAddresses;
use crate::cluster::MemoryCluster;
use crate::history::embedded;
use crate::limits::Limits;

/// What the server needs to know to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the history is kept.
    pub store: Store,
    /// How long open calls get to end when the server is asked to stop.
    pub grace: Duration,
    /// Where figures and probes are served.
    pub admin: Admin,
    /// Limits on what peers may use.
    pub limits: Limits,
    /// Whether the rates of users and addresses are limited. Without rates the other limits stay.
    pub rates: bool,
    /// How the addresses of peers are logged.
    pub log_addresses: LogAddresses,
    /// How many log lines were not written, for the figures. Whoever limits the log counts here.
    pub suppressed_log_lines: Arc<AtomicU64>,
}

/// Where figures and probes are served: `/metrics`, `/live` and `/ready`, over HTTP and without authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    /// Nowhere.
    Off,
    /// At this address, or nowhere if it is taken: the log says so then.
    IfFree(SocketAddr),
    /// At this address; port 0 takes a free one.
    At(SocketAddr),
}

/// Where the history is kept.
#[derive(Clone, Debug)]
pub enum Store {
    /// In memory: it is lost when the process ends.
    Memory(MemoryCluster),
    /// In a directory on disk, which is created if it does not exist.
    Disk {
        /// The directory.
        dir: PathBuf,
        /// How it is opened.
        options: embedded::Options,
    },
}

impl Store {
    /// A directory on disk, with every message synced before it is acknowledged.
    #[must_use]
    pub fn disk(dir: impl Into<PathBuf>) -> Self {
        Self::Disk { dir: dir.into(), options: embedded::Options::default() }
    }
}

impl Default for Config {
    /// A server for tests and embedders: on a free port of the loopback interface, with its history in memory.
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            store: Store::Memory(MemoryCluster::default()),
            grace: Duration::from_secs(10),
            admin: Admin::Off,
            limits: Limits::default(),
            rates: true,
            log_addresses: LogAddresses::Full,
            suppressed_log_lines: Arc::default(),
        }
    }
}
