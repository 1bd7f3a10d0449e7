//! A TCP proxy in front of the server that breaks connections: it cuts them without warning, and can be a black hole for a
//! while.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::server::Server;

/// The number of connections to cut, shared by all proxies that are given it.
#[derive(Debug)]
pub struct CutBudget {
    allowed: AtomicUsize,
    made: AtomicUsize,
}

/// A proxy. It and its connections end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    cuts: Arc<CutBudget>,
    cut_now: Arc<Notify>,
    black_hole: watch::Sender<BlackHole>,
    connections: Connections,
    accepting: JoinHandle<()>,
}

/// Which directions are blocked, including the end of a connection. Nothing is lost: what is blocked is delivered later, or
/// the connection is cut before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlackHole {
    /// From the client to the server.
    pub up: bool,
    /// From the server to the client.
    pub down: bool,
    /// Closes new connections at once. Otherwise they are accepted, and nothing happens on them.
    pub refuse: bool,
}

/// The time at which each connection was made. The lock is held briefly, and never across an await.
type Connections = Arc<Mutex<Vec<Instant>>>;

/// The limits of a connection. It is cut when it reaches the first of them.
#[derive(Clone, Copy, Debug)]
struct Fate {
    up: u64,
    down: u64,
    after: Duration,
    reset: bool,
}

/// What a connection shares with its proxy.
#[derive(Clone)]
struct Context {
    server: Server,
    cuts: Arc<CutBudget>,
    cut_now: Arc<Notify>,
    black_hole: watch::Receiver<BlackHole>,
}

impl CutBudget {
    /// Returns a budget of so many cuts.
    pub fn new(allowed: usize) -> Arc<Self> {
        Arc::new(Self { allowed: AtomicUsize::new(allowed), made: AtomicUsize::new(0) })
    }

    /// Returns how many cuts have been made.
    pub fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// Returns whether all cuts of the budget have been made.
    pub fn is_spent(&self) -> bool {
        self.made() >= self.allowed.load(Ordering::Relaxed)
    }

    /// Allows so many cuts from now on, replacing what was left of the budget.
    pub fn allow(&self, more: usize) {
        self.allowed.store(self.made() + more, Ordering::Relaxed);
    }

    /// Counts one more cut. Returns whether the budget allowed it.
    fn spend(&self) -> bool {
        let one_more = |made| (made < self.allowed.load(Ordering::Relaxed)).then_some(made + 1);
        self.made.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }
}

impl BlackHole {
    fn is_active(self) -> bool {
        self.up || self.down
    }
}

impl Proxy {
    /// Starts a proxy in front of `server`. The seed decides when its connections are cut.
    pub async fn start(server: Server, cuts: Arc<CutBudget>, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (cut_now, black_hole) = (Arc::new(Notify::new()), watch::Sender::default());
        let connections = Connections::default();
        let context = Context {
            server,
            cuts: Arc::clone(&cuts),
            cut_now: Arc::clone(&cut_now),
            black_hole: black_hole.subscribe(),
        };
        let accepting = tokio::spawn(accept(listener, context, Arc::clone(&connections), seed));
        Ok(Self { address, cuts, cut_now, black_hole, connections, accepting })
    }

    /// Returns the address that clients connect to, as `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Cuts the open connections, as far as the budget allows.
    pub fn cut(&self) {
        self.cut_now.notify_waiters();
    }

    /// Returns the budget that the proxy was given.
    pub fn cuts(&self) -> &CutBudget {
        &self.cuts
    }

    /// Sets which directions are blocked from now on.
    pub fn set_black_hole(&self, black_hole: BlackHole) {
        self.black_hole.send_replace(black_hole);
    }

    /// Stops breaking connections: nothing is blocked and nothing is cut from now on.
    pub fn heal(&self) {
        self.cuts.allow(0);
        self.set_black_hole(BlackHole::default());
    }

    /// Returns the time at which each connection was made so far, including those that have ended.
    pub fn connections(&self) -> Vec<Instant> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, context: Context, connections: Connections, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    // Dropped with this task, so that the connections end with the proxy.
    let mut carried = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        let black_hole = *context.black_hole.borrow();
        if !(black_hole.is_active() && black_hole.refuse) {
            let fate = (!context.cuts.is_spent()).then(|| Fate::random(&mut random));
            carried.spawn(carry(client, context.clone(), fate));
        }
        // A long-lived proxy would otherwise keep a result for each of its connections.
        while carried.try_join_next().is_some() {}
    }
}

async fn carry(mut client: TcpStream, context: Context, fate: Option<Fate>) {
    let Context { server, cuts, cut_now, mut black_hole } = context;
    // The handshake needs both directions.
    if black_hole.wait_for(|black_hole| !black_hole.is_active()).await.is_err() {
        return;
    }
    // To a client, a server that is down is a connection that ends at once.
    let Ok(mut server) = TcpStream::connect(server.address()).await else { return };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let cut = {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let fate = fate.unwrap_or(Fate { up: u64::MAX, down: u64::MAX, after: Duration::MAX, reset: false });
        let up = copy(&mut from_client, &mut to_server, fate.up, &cuts, black_hole.clone(), |hole| !hole.up);
        let down = copy(&mut from_server, &mut to_client, fate.down, &cuts, black_hole, |hole| !hole.down);
        // Where several are ready the choice is random, as in a network.
        tokio::select! {
            cut = up => cut,
            cut = down => cut,
            () = cut_on_request(&cut_now, &cuts) => true,
            () = cut_after(fate.after, &cuts) => true,
        }
    };
    if cut && fate.is_some_and(|fate| fate.reset) {
        // Closes with a RST, so that both sides discard what is still in their buffers.
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

/// Copies until the source ends (returns `false`) or the connection is cut after `left` bytes (returns `true`). Waits while
/// the direction is blocked.
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut left: u64,
    cuts: &CutBudget,
    mut black_hole: watch::Receiver<BlackHole>,
    is_open: fn(&BlackHole) -> bool,
) -> bool {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await;
        if black_hole.wait_for(is_open).await.is_err() {
            return false;
        }
        let read = match read {
            Ok(0) | Err(_) => return false,
            Ok(read) => read,
        };
        let allowed = usize::try_from(left).unwrap_or(usize::MAX).min(read);
        if allowed < read && cuts.spend() {
            let _ = to.write_all(&buffer[..allowed]).await;
            return true;
        }
        left = if allowed < read { u64::MAX } else { left - read as u64 };
        if to.write_all(&buffer[..read]).await.is_err() {
            return false;
        }
    }
}

/// Returns when [`Proxy::cut`] is called and the budget allows the cut.
async fn cut_on_request(cut_now: &Notify, cuts: &CutBudget) {
    loop {
        cut_now.notified().await;
        if cuts.spend() {
            return;
        }
    }
}

/// Returns after this time if the budget allows a cut then, and never otherwise.
async fn cut_after(after: Duration, cuts: &CutBudget) {
    tokio::time::sleep(after).await;
    if !cuts.spend() {
        std::future::pending::<()>().await;
    }
}

impl Fate {
    /// Returns random limits. Each order of magnitude is equally likely, from the first bytes, while the session opens, on.
    fn random(random: &mut fastrand::Rng) -> Self {
        let mut bytes = |largest: f64| 10_f64.powf(1.5 + random.f64() * (largest - 1.5)) as u64;
        let (up, down) = (bytes(5.5), bytes(6.5));
        Self { up, down, after: Duration::from_millis(random.u64(1..3_000)), reset: random.bool() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a proxy in front of an echo server, and a connection through it.
    async fn open() -> (Proxy, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::at(&listener.local_addr().unwrap().to_string());
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = socket.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let proxy = Proxy::start(server, CutBudget::new(0), 0).await.unwrap();
        let client = TcpStream::connect(proxy.address()).await.unwrap();
        (proxy, client)
    }

    async fn receive(client: &mut TcpStream) -> io::Result<u8> {
        tokio::time::timeout(Duration::from_secs(10), client.read_u8()).await.expect("nothing was received")
    }

    async fn receives_nothing(client: &mut TcpStream) -> bool {
        tokio::time::timeout(Duration::from_millis(100), client.read_u8()).await.is_err()
    }

    #[tokio::test]
    async fn what_a_black_hole_blocks_is_delivered_after_it() {
        for hole in [BlackHole { up: true, ..BlackHole::default() }, BlackHole { down: true, ..BlackHole::default() }] {
            let (proxy, mut client) = open().await;
            client.write_u8(1).await.unwrap();
            assert_eq!(receive(&mut client).await.unwrap(), 1);
            proxy.set_black_hole(hole);
            client.write_u8(2).await.unwrap();
            let mut newcomer = TcpStream::connect(proxy.address()).await.unwrap();
            newcomer.write_u8(3).await.unwrap();
            assert!(receives_nothing(&mut client).await);
            assert!(receives_nothing(&mut newcomer).await);
            proxy.heal();
            assert_eq!(receive(&mut client).await.unwrap(), 2);
            assert_eq!(receive(&mut newcomer).await.unwrap(), 3);
            assert_eq!(proxy.connections().len(), 2);
        }
    }

    #[tokio::test]
    async fn a_black_hole_can_refuse_connections_and_a_cut_ends_one() {
        let (proxy, mut client) = open().await;
        client.write_u8(1).await.unwrap();
        assert_eq!(receive(&mut client).await.unwrap(), 1);
        proxy.set_black_hole(BlackHole { up: true, down: true, refuse: true });
        let mut newcomer = TcpStream::connect(proxy.address()).await.unwrap();
        receive(&mut newcomer).await.unwrap_err();
        proxy.cut();
        assert!(receives_nothing(&mut client).await, "the budget allowed no cut");
        proxy.cuts().allow(1);
        proxy.cut();
        receive(&mut client).await.unwrap_err();
        assert_eq!(proxy.cuts().made(), 1);
    }
}
