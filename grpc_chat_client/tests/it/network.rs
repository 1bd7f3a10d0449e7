//! A network between a client and a service, which tests can cut, silence and redirect.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

#[derive(Clone, Copy, Debug)]
struct State {
    service: SocketAddr,
    /// Whether bytes are held back. They are forwarded later.
    silent: bool,
    /// Whether connections are closed as soon as they are made.
    down: bool,
    /// Connections end when this changes.
    cuts: usize,
    /// Connections made so far.
    connected: usize,
}

/// A network that ends, with its connections, when dropped.
pub(crate) struct Network {
    address: SocketAddr,
    state: watch::Sender<State>,
    /// Bytes in both directions.
    forwarded: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Network {
    pub(crate) async fn before(service: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = watch::Sender::new(State { service, silent: false, down: false, cuts: 0, connected: 0 });
        let forwarded = Arc::new(AtomicUsize::new(0));
        let accepting = tokio::spawn(accept(listener, state.clone(), Arc::clone(&forwarded)));
        Self { address, state, forwarded, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Closes the open connections.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Closes the open connections, and new ones until [`Network::up`] is called.
    pub(crate) fn down(&self) {
        self.state.send_modify(|state| (state.down, state.cuts) = (true, state.cuts + 1));
    }

    pub(crate) fn up(&self) {
        self.state.send_modify(|state| state.down = false);
    }

    pub(crate) fn silent(&self, silent: bool) {
        self.state.send_modify(|state| state.silent = silent);
    }

    /// Forwards new connections to another service.
    pub(crate) fn redirect(&self, service: SocketAddr) {
        self.state.send_modify(|state| state.service = service);
    }

    /// Returns the number of connections made so far.
    pub(crate) fn connected(&self) -> usize {
        self.state.borrow().connected
    }

    /// Returns how many bytes were forwarded, in both directions.
    pub(crate) fn forwarded(&self) -> usize {
        self.forwarded.load(Ordering::Relaxed)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, state: watch::Sender<State>, forwarded: Arc<AtomicUsize>) {
    let mut forwarding = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        state.send_modify(|state| state.connected += 1);
        forwarding.spawn(forward(client, state.subscribe(), Arc::clone(&forwarded)));
    }
}

async fn forward(mut client: TcpStream, mut state: watch::Receiver<State>, forwarded: Arc<AtomicUsize>) {
    let State { service, down, cuts, .. } = *state.borrow_and_update();
    if down {
        return;
    }
    let Ok(mut service) = TcpStream::connect(service).await else { return };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_service, mut to_service) = service.split();
    tokio::select! {
        () = copy(&mut from_client, &mut to_service, state.clone(), &forwarded) => {}
        () = copy(&mut from_service, &mut to_client, state.clone(), &forwarded) => {}
        _ = state.wait_for(|state| state.cuts != cuts) => {}
    }
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut state: watch::Receiver<State>,
    forwarded: &AtomicUsize,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let open = state.wait_for(|state| !state.silent).await.is_ok();
        if !open || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
        forwarded.fetch_add(read, Ordering::Relaxed);
    }
}
