//! A network that breaks: a TCP proxy in front of one client or many, which cuts connections without a word, and which can
//! be a black hole for a while.

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

/// How many connections to cut, shared by all proxies that are given it.
#[derive(Debug)]
pub struct Cuts {
    wanted: AtomicUsize,
    made: AtomicUsize,
}

/// A network. Gone, with its connections, when dropped.
#[derive(Debug)]
pub struct Cutter {
    address: SocketAddr,
    cuts: Arc<Cuts>,
    now: Arc<Notify>,
    hole: watch::Sender<Hole>,
    connections: Connections,
    accepting: JoinHandle<()>,
}

/// What does not go over now, not even the end of a connection. Nothing is lost: it goes over later, or the connection is
/// cut before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hole {
    /// From the client to the server.
    pub up: bool,
    /// And back.
    pub down: bool,
    /// New connections are closed at once. Otherwise they are taken, and nothing more happens to them.
    pub shut: bool,
}

/// When each connection was made. Short lock, no await under it.
type Connections = Arc<Mutex<Vec<Instant>>>;

/// When a connection ends, whichever comes first.
#[derive(Clone, Copy, Debug)]
struct Fate {
    up: u64,
    down: u64,
    after: Duration,
    reset: bool,
}

/// What a connection has to know of its network.
#[derive(Clone)]
struct Way {
    server: Server,
    cuts: Arc<Cuts>,
    now: Arc<Notify>,
    hole: watch::Receiver<Hole>,
}

impl Cuts {
    /// Returns a budget of so many cuts, none of them made.
    pub fn new(wanted: usize) -> Arc<Self> {
        Arc::new(Self { wanted: AtomicUsize::new(wanted), made: AtomicUsize::new(0) })
    }

    /// Returns how many cuts have been made.
    pub fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// Returns whether there are no cuts left to make.
    pub fn all_made(&self) -> bool {
        self.made() >= self.wanted.load(Ordering::Relaxed)
    }

    /// So many from now on, whatever was wanted before.
    pub fn want(&self, more: usize) {
        self.wanted.store(self.made() + more, Ordering::Relaxed);
    }

    fn make(&self) -> bool {
        let one_more = |made| (made < self.wanted.load(Ordering::Relaxed)).then_some(made + 1);
        self.made.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }
}

impl Hole {
    fn is_there(self) -> bool {
        self.up || self.down
    }
}

impl Cutter {
    /// Starts a network in front of `server`; `seed` decides when its connections are cut.
    pub async fn start(server: Server, cuts: Arc<Cuts>, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (now, hole, connections) = (Arc::new(Notify::new()), watch::Sender::default(), Connections::default());
        let way = Way { server, cuts: Arc::clone(&cuts), now: Arc::clone(&now), hole: hole.subscribe() };
        let accepting = tokio::spawn(accept(listener, way, Arc::clone(&connections), seed));
        Ok(Self { address, cuts, now, hole, connections, accepting })
    }

    /// Returns where clients connect to, as `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Cuts what is open now, if there are cuts left to make.
    pub fn cut(&self) {
        self.now.notify_waiters();
    }

    /// Returns the budget that the network was given.
    pub fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    /// From now on this does not go over.
    pub fn swallow(&self, hole: Hole) {
        self.hole.send_replace(hole);
    }

    /// From now on everything goes over, and nothing is cut.
    pub fn heal(&self) {
        self.cuts.want(0);
        self.swallow(Hole::default());
    }

    /// When each connection was made so far, whatever became of it.
    pub fn connections(&self) -> Vec<Instant> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, way: Way, connections: Connections, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    // With the proxy its connections go, too.
    let mut carried = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        let hole = *way.hole.borrow();
        if !(hole.is_there() && hole.shut) {
            let fate = (!way.cuts.all_made()).then(|| Fate::random(&mut random));
            carried.spawn(carry(client, way.clone(), fate));
        }
        // A network that lives long has had many.
        while carried.try_join_next().is_some() {}
    }
}

async fn carry(mut client: TcpStream, way: Way, fate: Option<Fate>) {
    let Way { server, cuts, now, mut hole } = way;
    // What opens a connection does not go over a hole, whichever way that is.
    if hole.wait_for(|hole| !hole.is_there()).await.is_err() {
        return;
    }
    // A server that is down is, to a client, a connection that ends at once.
    let Ok(mut server) = TcpStream::connect(server.address()).await else { return };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let cut = {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let fate = fate.unwrap_or(Fate { up: u64::MAX, down: u64::MAX, after: Duration::MAX, reset: false });
        let up = copy(&mut from_client, &mut to_server, fate.up, &cuts, hole.clone(), |hole| !hole.up);
        let down = copy(&mut from_server, &mut to_client, fate.down, &cuts, hole, |hole| !hole.down);
        // Between two things that are due the choice is random, as in a network.
        tokio::select! {
            cut = up => cut,
            cut = down => cut,
            () = told(&now, &cuts) => true,
            () = late(fate.after, &cuts) => true,
        }
    };
    if cut && fate.is_some_and(|fate| fate.reset) {
        // Closed with a RST: what is still in the buffers is thrown away on both sides.
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

/// Copies until the source ends (`false`), or until so many bytes and not one more have gone over (`true`); waits while it
/// is not to go over.
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut left: u64,
    cuts: &Cuts,
    mut hole: watch::Receiver<Hole>,
    goes_over: fn(&Hole) -> bool,
) -> bool {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await;
        if hole.wait_for(goes_over).await.is_err() {
            return false;
        }
        let read = match read {
            Ok(0) | Err(_) => return false,
            Ok(read) => read,
        };
        let allowed = usize::try_from(left).unwrap_or(usize::MAX).min(read);
        if allowed < read && cuts.make() {
            let _ = to.write_all(&buffer[..allowed]).await;
            return true;
        }
        left = if allowed < read { u64::MAX } else { left - read as u64 };
        if to.write_all(&buffer[..read]).await.is_err() {
            return false;
        }
    }
}

async fn told(now: &Notify, cuts: &Cuts) {
    loop {
        now.notified().await;
        if cuts.make() {
            return;
        }
    }
}

async fn late(after: Duration, cuts: &Cuts) {
    tokio::time::sleep(after).await;
    if !cuts.make() {
        std::future::pending::<()>().await;
    }
}

impl Fate {
    /// From the first bytes (while the session opens) to some way into it, as likely in each order of magnitude.
    fn random(random: &mut fastrand::Rng) -> Self {
        let mut bytes = |largest: f64| 10_f64.powf(1.5 + random.f64() * (largest - 1.5)) as u64;
        let (up, down) = (bytes(5.5), bytes(6.5));
        Self { up, down, after: Duration::from_millis(random.u64(1..3_000)), reset: random.bool() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network before an echo, and a connection over it.
    async fn open() -> (Cutter, TcpStream) {
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
        let network = Cutter::start(server, Cuts::new(0), 0).await.unwrap();
        let client = TcpStream::connect(network.address()).await.unwrap();
        (network, client)
    }

    /// What comes back.
    async fn hears(client: &mut TcpStream) -> io::Result<u8> {
        tokio::time::timeout(Duration::from_secs(10), client.read_u8()).await.expect("silence")
    }

    async fn hears_nothing(client: &mut TcpStream) -> bool {
        tokio::time::timeout(Duration::from_millis(100), client.read_u8()).await.is_err()
    }

    #[tokio::test]
    async fn what_a_hole_swallows_comes_when_it_is_over() {
        for hole in [Hole { up: true, ..Hole::default() }, Hole { down: true, ..Hole::default() }] {
            let (network, mut client) = open().await;
            client.write_u8(1).await.unwrap();
            assert_eq!(hears(&mut client).await.unwrap(), 1);
            network.swallow(hole);
            client.write_u8(2).await.unwrap();
            let mut newcomer = TcpStream::connect(network.address()).await.unwrap();
            newcomer.write_u8(3).await.unwrap();
            assert!(hears_nothing(&mut client).await);
            assert!(hears_nothing(&mut newcomer).await);
            network.heal();
            assert_eq!(hears(&mut client).await.unwrap(), 2);
            assert_eq!(hears(&mut newcomer).await.unwrap(), 3);
            assert_eq!(network.connections().len(), 2);
        }
    }

    #[tokio::test]
    async fn a_hole_that_is_shut_takes_nobody_and_a_cut_ends_one() {
        let (network, mut client) = open().await;
        client.write_u8(1).await.unwrap();
        assert_eq!(hears(&mut client).await.unwrap(), 1);
        network.swallow(Hole { up: true, down: true, shut: true });
        let mut newcomer = TcpStream::connect(network.address()).await.unwrap();
        hears(&mut newcomer).await.unwrap_err();
        network.cut();
        assert!(hears_nothing(&mut client).await, "no cut was wanted");
        network.cuts().want(1);
        network.cut();
        hears(&mut client).await.unwrap_err();
        assert_eq!(network.cuts().made(), 1);
    }
}
