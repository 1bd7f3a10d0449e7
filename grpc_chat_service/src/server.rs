//! The composition root: the only place that knows every part and puts them together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::access::{PermittedHistory, Policy};
use crate::cluster::MemoryCluster;
use crate::config::{Config, Store};
use crate::drain::Drain;
use crate::history::embedded::{Embedded, OpenError};
use crate::history::{History, Published};
use crate::limits::ConnectionLimits;
use crate::listener::{Accepted, Listener};
use crate::peers::Peers;
use crate::peers::local::LocalNetwork;
use crate::rooms::Rooms;
use crate::session::Context;
use crate::{connection, grpc};

/// Batches that the history has published and that have not reached the rooms yet.
const PUBLISHED_BATCHES: usize = 64;

/// A server that listens and does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    config: Config,
    history: Arc<dyn History>,
    published: mpsc::Receiver<Published>,
}

/// Why the server cannot serve. Displays as a sentence that says what to do.
#[derive(Debug)]
pub enum BindError {
    /// The address cannot be listened on.
    Address {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The history cannot be opened.
    History(OpenError),
}

/// Starts listening and opens the history. Connections wait in the kernel's queue until [`Server::run`].
///
/// # Errors
///
/// [`BindError`] if the address is in use, not on this machine, or not allowed, or if the history cannot be used.
pub async fn bind(config: Config) -> Result<Server, BindError> {
    let listener = Listener::bind(config.listen, &config.limits.listener)
        .map_err(|source| BindError::Address { address: config.listen, source })?;
    let (publisher, published) = mpsc::channel(PUBLISHED_BATCHES);
    let history: Arc<dyn History> = match &config.store {
        Store::Memory(cluster) => Arc::new(cluster.store.open(config.limits.history, publisher)),
        Store::Disk { dir, options } => {
            let opened = Embedded::open(dir, *options, config.limits.history, publisher);
            Arc::new(opened.map_err(BindError::History)?)
        }
    };
    Ok(Server { listener, config, history, published })
}

impl Server {
    /// Returns the address that the server listens on, including the port it was given if it asked for a free one.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` resolves, then shuts down in order: accepts no more connections, reports it to health
    /// checks, lets open calls answer what they have received and end with `UNAVAILABLE`, and closes what is still open
    /// when the grace period is over.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, config, history, published } = self;
        log_start(&config, listener.local_addr(), &*history);
        let connections = TaskTracker::new();
        let network = match &config.store {
            Store::Memory(cluster) => cluster.network.clone(),
            Store::Disk { .. } => LocalNetwork::default(),
        };
        let peers = Arc::new(network.join());
        let (chat, health) = Chat::start(&config, Arc::clone(&history), published, peers).await;

        let accepting = async {
            loop {
                let Accepted { socket, peer, slot } = listener.accept().await;
                // Replies are small and waited for, so they are sent at once. If this fails, the connection is already
                // closed.
                let _ = socket.set_nodelay(true);
                let served = chat.serve(socket, peer);
                connections.spawn(async move {
                    served.await;
                    drop(slot);
                });
            }
        };
        let reporting_health = health.follow(history.healthy());
        tokio::select! {
            () = accepting => {}
            () = reporting_health => {}
            () = shutdown => {}
        }

        tracing::info!(connections = connections.len(), "shutting down");
        drop(listener);
        health.shut_down().await;
        chat.drain.begin();
        connections.close();
        if tokio::time::timeout(config.grace, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "the grace period is over: closing what is still open");
            chat.drain.give_up();
            connections.wait().await;
        }
        // Nobody appends any more. What was accepted is stored before the process ends.
        history.close().await;
        drop(history);
        chat.stop().await;
        tracing::info!("shut down");
    }
}

fn log_start(config: &Config, address: SocketAddr, history: &dyn History) {
    let data = match &config.store {
        Store::Memory(_) => "memory".to_owned(),
        Store::Disk { dir, .. } => dir.display().to_string(),
    };
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, %address, data, durability = ?history.durability(), "serving");
}

/// Serves connections, wherever they come from.
struct Chat {
    service: Arc<grpc::Service>,
    limits: Arc<ConnectionLimits>,
    drain: Drain,
    publishing: JoinHandle<()>,
    announcing: JoinHandle<()>,
}

impl Chat {
    async fn start(
        config: &Config,
        history: Arc<dyn History>,
        published: mpsc::Receiver<Published>,
        peers: Arc<dyn Peers>,
    ) -> (Self, grpc::Health) {
        let drain = Drain::default();
        let history = PermittedHistory::new(history);
        let rooms = Rooms::new(history.clone(), peers, grpc::ENCODE.event, config.limits.room);
        let publishing = tokio::spawn(Arc::clone(&rooms).publish(published));
        let announcing = tokio::spawn(Arc::clone(&rooms).announce());
        let context = Context {
            rooms,
            history,
            policy: Policy,
            limits: config.limits,
            encode: grpc::ENCODE,
            drain: drain.clone(),
            grace: config.grace,
        };
        let (service, health) = grpc::service(Arc::new(context)).await;
        let limits = Arc::new(config.limits.connection);
        (Self { service: Arc::new(service), limits, drain, publishing, announcing }, health)
    }

    fn serve<S>(&self, socket: S, peer: SocketAddr) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (service, limits, drain) = (Arc::clone(&self.service), Arc::clone(&self.limits), self.drain.clone());
        async move {
            let service = |calls| service.for_connection(peer, calls);
            connection::serve(socket, peer, service, &limits, &drain).await;
        }
    }

    /// To be called when no connection is served any more and the history is closed.
    async fn stop(self) {
        self.announcing.abort();
        drop(self.service);
        let _ended = self.publishing.await;
    }
}

/// Serves, for ever, the connections of a network that is not the operating system's, as a node of a cluster in memory. For
/// tests on a simulated network.
#[doc(hidden)]
pub async fn simulate<S>(cluster: MemoryCluster, config: Config, mut accept: impl AsyncFnMut() -> (S, SocketAddr))
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (publisher, published) = mpsc::channel(PUBLISHED_BATCHES);
    let history = Arc::new(cluster.store.open(config.limits.history, publisher));
    let (chat, _health) = Chat::start(&config, history, published, Arc::new(cluster.network.join())).await;
    loop {
        let (socket, peer) = accept().await;
        tokio::spawn(chat.serve(socket, peer));
    }
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (address, source) = match self {
            Self::Address { address, source } => (address, source),
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
            Self::History(error) => Some(error),
        }
    }
}
