//! The composition root: the only place that knows every part and puts them together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::config::{Config, DiskDurability};
use crate::drain::Drain;
use crate::history::History;
use crate::history::embedded::{Embedded, OpenError, Options};
use crate::history::memory::Memory;
use crate::listener::{Accepted, Listener};
use crate::model::{Durability, Event};
use crate::rooms::Rooms;
use crate::session::Shared;
use crate::{connection, grpc};

/// Batches that the history has stored and that have not gone out to the rooms yet. When it is full the history waits.
const COMMITTED: usize = 64;

/// A server that listens and does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    config: Config,
    history: Arc<dyn History>,
    committed: mpsc::Receiver<Vec<Event>>,
}

/// Why the server cannot serve. Its text is a sentence that says what to do.
#[derive(Debug)]
pub enum BindError {
    /// It cannot listen on the address.
    Address {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// It has nowhere to keep the history.
    NoDataDir(String),
    /// The history cannot be opened.
    History(OpenError),
}

/// Starts listening and opens the history. Connections wait in the kernel's queue until [`Server::run`].
///
/// # Errors
///
/// [`BindError`] if the address is taken, not this machine's, or not allowed, or if the history cannot be used.
pub async fn bind(config: Config) -> Result<Server, BindError> {
    let listener = Listener::bind(config.listen, &config.limits)
        .map_err(|source| BindError::Address { address: config.listen, source })?;
    let (committing, committed) = mpsc::channel(COMMITTED);
    let history: Arc<dyn History> = match config.data_dir().map_err(BindError::NoDataDir)? {
        None => Arc::new(Memory::open(committing)),
        Some(dir) => {
            let durability = match config.durability {
                DiskDurability::Synced => Durability::Synced,
                DiskDurability::Written => Durability::Written,
            };
            let options = Options { durability, accept_loss: config.accept_loss };
            Arc::new(Embedded::open(&dir, options, committing).map_err(BindError::History)?)
        }
    };
    Ok(Server { listener, config, history, committed })
}

impl Server {
    /// Where the server listens, with the port it was given if it asked for a free one.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` resolves, then leaves in order: accepts nothing more, says so to health
    /// checks, lets open calls answer what they have received and end with `UNAVAILABLE`, and closes what
    /// is still open when the grace is over.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, config, history, committed } = self;
        let drain = Drain::default();
        let cut = CancellationToken::new();
        let connections = TaskTracker::new();
        let rooms = Rooms::new(grpc::ENCODE.event, config.limits.tail_bytes);
        let publishing = tokio::spawn(Arc::clone(&rooms).publish(committed));
        let announcing = tokio::spawn(Arc::clone(&rooms).announce());
        let shared = Shared {
            rooms,
            history: Arc::clone(&history),
            limits: config.limits,
            encode: grpc::ENCODE,
            drain: drain.clone(),
            grace: config.grace,
        };
        let (service, health) = grpc::service(shared).await;
        let service = Arc::new(service);
        let limits = Arc::new(config.limits);

        let accepting = async {
            loop {
                let Accepted { socket, peer, place } = listener.accept().await;
                let (service, local) = (Arc::clone(&service), listener.local_addr());
                let (limits, drain, cut) = (Arc::clone(&limits), drain.clone(), cut.clone());
                let serving = async move {
                    let service = |calls| service.called_by(peer, local, calls);
                    let served = connection::serve(socket, service, &limits, &drain);
                    let _uncut = cut.run_until_cancelled(served).await;
                    drop(place);
                };
                connections.spawn(serving.instrument(tracing::info_span!("connection", %peer)));
            }
        };
        let unhealthy = health.follow(history.healthy());
        tokio::select! {
            () = accepting => {}
            () = unhealthy => {}
            () = shutdown => {}
        }

        tracing::info!(connections = connections.len(), "leaving");
        drop(listener);
        health.leaving().await;
        drain.begin();
        connections.close();
        if tokio::time::timeout(config.grace, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "the grace is over: closing what is still open");
            cut.cancel();
            connections.wait().await;
        }
        // Nobody appends any more. What was accepted is stored before the process ends.
        history.close().await;
        drop(history);
        announcing.abort();
        drop(service);
        let _ended = publishing.await;
        tracing::info!("left");
    }
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (address, source) = match self {
            Self::Address { address, source } => (address, source),
            Self::NoDataDir(sentence) => return f.write_str(sentence),
            Self::History(error) => return error.fmt(f),
        };
        match source.kind() {
            io::ErrorKind::AddrInUse => write!(
                f,
                "cannot listen on {address}: another process does; stop it, or choose another address with --listen"
            ),
            io::ErrorKind::AddrNotAvailable => {
                write!(f, "cannot listen on {address}: this machine does not have that address")
            }
            io::ErrorKind::PermissionDenied => {
                write!(f, "cannot listen on {address}: not allowed; choose a port above 1023 with --listen")
            }
            _ => write!(f, "cannot listen on {address}: {source}"),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Address { source, .. } => Some(source),
            Self::NoDataDir(_) => None,
            Self::History(error) => Some(error),
        }
    }
}
