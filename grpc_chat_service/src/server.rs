//! The composition root: the only place that knows every part and puts them together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::config::{Config, DiskDurability};
use crate::drain::Drain;
use crate::history::History;
use crate::history::embedded::{Embedded, OpenError, Options};
use crate::history::memory::Memory;
use crate::limits::Limits;
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
        let cut = CancellationToken::new();
        let connections = TaskTracker::new();
        let (chat, health) = Chat::begin(&config, Arc::clone(&history), committed).await;

        let accepting = async {
            loop {
                let Accepted { socket, peer, place } = listener.accept().await;
                // Answers are small and awaited: send them at once. If it fails, the connection is already gone.
                let _ = socket.set_nodelay(true);
                let (served, cut) = (chat.serve(socket, peer, listener.local_addr()), cut.clone());
                let serving = async move {
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
        chat.drain.begin();
        connections.close();
        if tokio::time::timeout(config.grace, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "the grace is over: closing what is still open");
            cut.cancel();
            connections.wait().await;
        }
        // Nobody appends any more. What was accepted is stored before the process ends.
        history.close().await;
        drop(history);
        chat.end().await;
        tracing::info!("left");
    }
}

/// What serves connections, wherever they come from.
struct Chat {
    service: Arc<grpc::Service>,
    limits: Arc<Limits>,
    drain: Drain,
    publishing: JoinHandle<()>,
    announcing: JoinHandle<()>,
}

impl Chat {
    async fn begin(
        config: &Config,
        history: Arc<dyn History>,
        committed: mpsc::Receiver<Vec<Event>>,
    ) -> (Self, grpc::Health) {
        let drain = Drain::default();
        let rooms = Rooms::new(grpc::ENCODE.event, config.limits.tail_bytes);
        let publishing = tokio::spawn(Arc::clone(&rooms).publish(committed));
        let announcing = tokio::spawn(Arc::clone(&rooms).announce());
        let shared = Shared {
            rooms,
            history,
            limits: config.limits,
            encode: grpc::ENCODE,
            drain: drain.clone(),
            grace: config.grace,
        };
        let (service, health) = grpc::service(shared).await;
        let chat = Self { service: Arc::new(service), limits: Arc::new(config.limits), drain, publishing, announcing };
        (chat, health)
    }

    fn serve<S>(&self, socket: S, peer: SocketAddr, local: SocketAddr) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (service, limits, drain) = (Arc::clone(&self.service), Arc::clone(&self.limits), self.drain.clone());
        async move {
            let service = |calls| service.called_by(peer, local, calls);
            connection::serve(socket, service, &limits, &drain).await;
        }
    }

    /// To be called when no connection is served any more and the history is closed.
    async fn end(self) {
        self.announcing.abort();
        drop(self.service);
        let _ended = self.publishing.await;
    }
}

/// Serves, for ever, the connections of a network that is not the operating system's, with a history in memory. For
/// tests on a simulated network.
#[doc(hidden)]
pub async fn simulate<S>(limits: Limits, mut accept: impl AsyncFnMut() -> (S, SocketAddr))
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = Config { limits, ..Config::default() };
    let (committing, committed) = mpsc::channel(COMMITTED);
    let (chat, _health) = Chat::begin(&config, Arc::new(Memory::open(committing)), committed).await;
    loop {
        let (socket, peer) = accept().await;
        tokio::spawn(chat.serve(socket, peer, config.listen));
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
