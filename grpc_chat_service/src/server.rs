//! The composition root: the only place that knows every part and puts them together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::task::TaskTracker;

use crate::access::{PermittedHistory, Policy};
use crate::address::Peer;
use crate::admin::{self, Shown};
use crate::budgets::Budgets;
use crate::cluster::MemoryCluster;
use crate::config::{Admin, Config, Store};
use crate::drain::Drain;
use crate::history::embedded::{Embedded, OpenError};
use crate::history::{Admission, History, Published};
use crate::limits::RateLimits;
use crate::listener::{Accepted, Listener};
use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::peers::local::LocalNetwork;
use crate::rates::Rates;
use crate::rooms::Rooms;
use crate::session::{Context, Sessions};
use crate::{connection, grpc, rates};

/// Batches that the history has published and that have not reached the rooms yet.
const PUBLISHED_BATCHES: usize = 64;

/// A server that listens and does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    admin: Option<admin::Admin>,
    config: Config,
    history: Arc<dyn History>,
    published: mpsc::Receiver<Published>,
    rates: Arc<Rates>,
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
    /// The address for figures and probes cannot be listened on.
    Admin {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// Starts listening and opens the history. Connections wait in the kernel's queue until [`Server::run`].
///
/// # Errors
///
/// [`BindError`] if the address is in use, not on this machine, or not allowed, or if the history cannot be used.
pub async fn bind(mut config: Config) -> Result<Server, BindError> {
    if !config.rates {
        config.limits.rates = RateLimits::none();
    }
    let rates = Arc::new(Rates::new(&config.limits.rates));
    let listener = Listener::bind(config.listen, &config.limits, Arc::clone(&rates), config.log_addresses)
        .map_err(|source| BindError::Address { address: config.listen, source })?;
    let admin = bind_admin(config.admin)?;
    let (publisher, published) = mpsc::channel(PUBLISHED_BATCHES);
    let admission = Admission::new(&config.limits, Arc::clone(&rates));
    let history: Arc<dyn History> = match &config.store {
        Store::Memory(cluster) => Arc::new(cluster.store.open(admission, publisher)),
        Store::Disk { dir, options } => {
            let opened = Embedded::open(dir, *options, admission, publisher);
            Arc::new(opened.map_err(BindError::History)?)
        }
    };
    Ok(Server { listener, admin, config, history, published, rates })
}

/// Starts listening for the admin's requests, if that is wanted.
fn bind_admin(admin: Admin) -> Result<Option<admin::Admin>, BindError> {
    let (address, is_required) = match admin {
        Admin::Off => return Ok(None),
        Admin::IfFree(address) => (address, false),
        Admin::At(address) => (address, true),
    };
    match admin::Admin::bind(address) {
        Ok(admin) => Ok(Some(admin)),
        // A second service on a machine is no reason to fail, as long as nobody has asked for this address.
        Err(source) if !is_required && source.kind() == io::ErrorKind::AddrInUse => {
            tracing::warn!(%address, "no metrics and probes: another process listens there; choose an address with --admin");
            Ok(None)
        }
        Err(source) => Err(BindError::Admin { address, source }),
    }
}

impl Server {
    /// Returns the address that the server listens on, including the port it was given if it asked for a free one.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Returns the address of the admin listener, if there is one.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(admin::Admin::local_addr)
    }

    /// Serves until `shutdown` resolves, then shuts down in order: accepts no more connections, reports it to health
    /// checks, lets open calls answer what they have received and end with `UNAVAILABLE`, and closes what is still open
    /// when the grace period is over.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        log_start(&self.config, self.local_addr(), self.admin_addr(), &*self.history);
        let Self { listener, admin, config, history, published, rates } = self;
        let connections = TaskTracker::new();
        let network = match &config.store {
            Store::Memory(cluster) => cluster.network.clone(),
            Store::Disk { .. } => LocalNetwork::default(),
        };
        let peers = Arc::new(network.join());
        let (chat, health) = Chat::start(&config, Arc::clone(&history), published, peers, rates).await;
        let metrics = Arc::clone(&chat.connections.metrics);
        // Served to the very end, and until this future is dropped.
        let mut admin_task = JoinSet::new();
        if let Some(admin) = admin {
            admin_task.spawn(admin.serve(Shown { metrics: Arc::clone(&metrics), ready: health.ready() }));
        }

        let limits = config.limits.connection;
        let accepting = async {
            loop {
                let Accepted { socket, peer, slot } = listener.accept(&metrics).await;
                // Replies are small and waited for, so they are sent at once. If this fails, the connection is already
                // closed.
                let _ = socket.set_nodelay(true);
                set_user_timeout(&socket, limits.ping_after + limits.ping_timeout);
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
        chat.connections.drain.begin();
        connections.close();
        if tokio::time::timeout(config.grace, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "the grace period is over: closing what is still open");
            chat.connections.drain.give_up();
            connections.wait().await;
        }
        // Nobody appends any more. What was accepted is stored before the process ends.
        history.close().await;
        drop(history);
        chat.stop().await;
        admin_task.shutdown().await;
        tracing::info!("shut down");
    }
}

fn log_start(config: &Config, address: SocketAddr, admin: Option<SocketAddr>, history: &dyn History) {
    let data = match &config.store {
        Store::Memory(_) => "memory".to_owned(),
        Store::Disk { dir, .. } => dir.display().to_string(),
    };
    let version = env!("CARGO_PKG_VERSION");
    let admin = admin.map_or_else(|| "off".to_owned(), |admin| admin.to_string());
    tracing::info!(version, %address, admin, data, durability = ?history.durability(), "serving");
    if !config.rates {
        tracing::warn!("rates are not limited (--no-rates): users and addresses may ask as often as they want");
    }
}

/// Serves connections, wherever they come from.
struct Chat {
    service: Arc<grpc::Service>,
    connections: Arc<connection::Shared>,
    publishing: JoinHandle<()>,
    announcing: JoinHandle<()>,
    forgetting: JoinHandle<()>,
}

impl Chat {
    async fn start(
        config: &Config,
        history: Arc<dyn History>,
        published: mpsc::Receiver<Published>,
        peers: Arc<dyn Peers>,
        rates: Arc<Rates>,
    ) -> (Self, grpc::Health) {
        let drain = Drain::default();
        let budgets = Budgets::new(&config.limits.memory);
        let suppressed = Arc::clone(&config.suppressed_log_lines);
        let metrics = Arc::new(Metrics::new(&history.metrics(), history.healthy(), suppressed, budgets.clone()));
        let history = PermittedHistory::new(history);
        let rooms = Rooms::new(
            history.clone(),
            peers,
            grpc::ENCODE.event,
            config.limits.room,
            budgets.tails.clone(),
            Arc::clone(&metrics),
        );
        let publishing = tokio::spawn(Arc::clone(&rooms).publish(published));
        let announcing = tokio::spawn(Arc::clone(&rooms).announce());
        let forgetting = tokio::spawn(forget(Arc::clone(&rates)));
        let context = Context {
            rooms,
            history,
            rates,
            sessions: Sessions::default(),
            budgets: budgets.clone(),
            policy: Policy,
            limits: config.limits,
            encode: grpc::ENCODE,
            drain: drain.clone(),
            grace: config.grace,
            metrics: Arc::clone(&metrics),
        };
        let (service, health) = grpc::service(Arc::new(context)).await;
        let limits = config.limits.connection;
        let connections = Arc::new(connection::Shared { limits, drain, budget: budgets.requests, metrics });
        (Self { service: Arc::new(service), connections, publishing, announcing, forgetting }, health)
    }

    fn serve<S>(&self, socket: S, peer: Peer) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (service, shared) = (Arc::clone(&self.service), Arc::clone(&self.connections));
        async move {
            let _open = shared.metrics.connections.open();
            let service = |calls| service.for_connection(peer, calls);
            connection::serve(socket, peer, service, &shared).await;
        }
    }

    /// To be called when no connection is served any more and the history is closed.
    async fn stop(self) {
        self.announcing.abort();
        self.forgetting.abort();
        drop(self.service);
        let _ended = self.publishing.await;
    }
}

/// Has the operating system close a connection whose peer acknowledges nothing for so long, which may be far less than it would
/// wait by itself.
fn set_user_timeout(socket: &tokio::net::TcpStream, timeout: Duration) {
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(socket).set_tcp_user_timeout(Some(timeout)) {
        tracing::debug!(%error, "no timeout for what is not acknowledged");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, timeout);
}

/// Forgets, now and then, those who may do as much as anybody. Runs for ever.
async fn forget(rates: Arc<Rates>) {
    loop {
        tokio::time::sleep(rates::FORGET_EVERY).await;
        rates.forget();
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
    let rates = Arc::new(Rates::new(&config.limits.rates));
    let admission = Admission::new(&config.limits, Arc::clone(&rates));
    let history = Arc::new(cluster.store.open(admission, publisher));
    let peers = Arc::new(cluster.network.join());
    let (chat, _health) = Chat::start(&config, history, published, peers, rates).await;
    loop {
        let (socket, address) = accept().await;
        tokio::spawn(chat.serve(socket, Peer::new(address, config.log_addresses)));
    }
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (address, source, flag) = match self {
            Self::Address { address, source } => (address, source, "--listen"),
            Self::Admin { address, source } => (address, source, "--admin"),
            Self::History(error) => return error.fmt(f),
        };
        match source.kind() {
            io::ErrorKind::AddrInUse => write!(
                f,
                "cannot listen on {address}: another process does; stop it, or choose another address with {flag}"
            ),
            io::ErrorKind::AddrNotAvailable => {
                write!(f, "cannot listen on {address}: this machine does not have that address")
            }
            io::ErrorKind::PermissionDenied => {
                write!(f, "cannot listen on {address}: not allowed; choose a port above 1023 with {flag}")
            }
            _ => write!(f, "cannot listen on {address}: {source}"),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Address { source, .. } | Self::Admin { source, .. } => Some(source),
            Self::History(error) => Some(error),
        }
    }
}
