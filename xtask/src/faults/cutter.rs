//! A network that breaks: a TCP proxy in front of one client, which cuts the connection without a word.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::door::Server;

/// How many connections to cut, shared by all proxies of a run.
#[derive(Debug)]
pub(crate) struct Cuts {
    wanted: usize,
    made: AtomicUsize,
}

/// One client's network. Gone, with its connections, when dropped.
#[derive(Debug)]
pub(crate) struct Cutter {
    address: SocketAddr,
    cuts: Arc<Cuts>,
    now: Arc<Notify>,
    accepting: JoinHandle<()>,
}

/// When a connection ends, whichever comes first.
#[derive(Clone, Copy, Debug)]
struct Fate {
    up: u64,
    down: u64,
    after: Duration,
    reset: bool,
}

impl Cuts {
    pub(crate) fn new(wanted: usize) -> Arc<Self> {
        Arc::new(Self { wanted, made: AtomicUsize::new(0) })
    }

    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    pub(crate) fn all_made(&self) -> bool {
        self.made() >= self.wanted
    }

    fn make(&self) -> bool {
        let one_more = |made| (made < self.wanted).then_some(made + 1);
        self.made.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }
}

impl Cutter {
    pub(crate) async fn start(server: Server, cuts: Arc<Cuts>, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let now = Arc::new(Notify::new());
        let accepting = tokio::spawn(accept(listener, server, Arc::clone(&cuts), Arc::clone(&now), seed));
        Ok(Self { address, cuts, now, accepting })
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Cuts what is open now, if there are cuts left to make.
    pub(crate) fn cut(&self) {
        if self.cuts.make() {
            self.now.notify_waiters();
        }
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: Server, cuts: Arc<Cuts>, now: Arc<Notify>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    // With the proxy its connections go, too.
    let mut carried = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let fate = (!cuts.all_made()).then(|| Fate::random(&mut random));
        let (server, cuts, now) = (server.clone(), Arc::clone(&cuts), Arc::clone(&now));
        carried.spawn(async move {
            // A server that is down is, to a client, a connection that ends at once.
            if let Ok(server) = TcpStream::connect(server.address()).await {
                carry(client, server, fate, &cuts, &now).await;
            }
        });
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, fate: Option<Fate>, cuts: &Cuts, now: &Notify) {
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let cut = {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let fate = fate.unwrap_or(Fate { up: u64::MAX, down: u64::MAX, after: Duration::MAX, reset: false });
        // Between two things that are due the choice is random, as in a network.
        tokio::select! {
            cut = copy(&mut from_client, &mut to_server, fate.up, cuts) => cut,
            cut = copy(&mut from_server, &mut to_client, fate.down, cuts) => cut,
            () = now.notified() => true,
            () = late(fate.after, cuts) => true,
        }
    };
    if cut && fate.is_some_and(|fate| fate.reset) {
        // Closed with a RST: what is still in the buffers is thrown away on both sides.
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

/// Copies until the source ends (`false`), or until so many bytes and not one more have gone over (`true`).
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut left: u64,
    cuts: &Cuts,
) -> bool {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = match from.read(&mut buffer).await {
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
