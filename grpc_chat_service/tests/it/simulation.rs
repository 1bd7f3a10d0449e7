//! The service on a simulated network that cuts, holds and delays: every acked message is stored once, and every reader
//! receives all messages in the same order.
//!
//! A failing run prints its seed. `SIMULATION_SEED=<seed> cargo test -p grpc_chat_service simulation` repeats it with the
//! same faults at the same times, although not with the same iteration order of hash maps.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use grpc_chat_service::cluster::MemoryCluster;
use grpc_chat_service::config::Config;
use grpc_chat_service::history::memory::MemoryStore;
use grpc_chat_service::limits::RateLimits;
use grpc_chat_service::model::RoomId;
use grpc_chat_service::server;
use hyper_util::rt::TokioIo;
use stubs::chat::v1::chat_service_client::ChatServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

use crate::support::frames::{ClientBody, EventBody, ServerBody, hello, join, pb, ping, send_with_msg_id};

const SEEDS: u64 = 200;
const SENDERS: usize = 2;
const READERS: usize = 2;
/// Messages of each sender.
const MESSAGES: usize = 15;
const PORT: u16 = 9090;

/// The most steps that a link stays broken.
const BROKEN_STEPS: u32 = 100;

/// How many steps an event is kept after everybody knows it: more than a frame can be held.
const RETAINED_STEPS: usize = 2 * BROKEN_STEPS as usize;

/// How long a peer may be silent. Far shorter than in operation, so that a short run notices broken connections.
const SILENCE: Duration = Duration::from_millis(500);

#[test]
fn on_a_faulty_network_acked_messages_are_stored_once_and_read_in_one_order() {
    let counts = run_all(1);
    // With fewer, the faults would hardly have broken a connection.
    assert!(counts.connections > 3 * (SENDERS + READERS) / 2 * SEEDS as usize, "{counts:?}");
}

/// Clients move between three nodes over one store. The nodes crash, and what one stores reaches the others late or only as
/// the news that they are behind; what all have read is removed.
#[test]
fn a_cluster_on_a_faulty_network_keeps_the_same_promises() {
    let counts = run_all(3);
    assert!(counts.connections > 3 * (SENDERS + READERS) / 2 * SEEDS as usize, "{counts:?}");
    assert!(counts.crashes > SEEDS as usize, "{counts:?}");
    assert!(counts.skips > 5 * SEEDS, "{counts:?}");
    assert!(counts.expirations > SEEDS as usize / 2, "{counts:?}");
}

/// Runs every seed, or the one in the environment, with so many nodes.
fn run_all(nodes: usize) -> Counts {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        run(seed.parse().expect("SIMULATION_SEED is a number"), nodes);
        return Counts { connections: usize::MAX, crashes: usize::MAX, skips: u64::MAX, expirations: usize::MAX };
    }
    let half = |odd: u64| {
        move || {
            let mut counts = Counts::default();
            (0..SEEDS).filter(|seed| seed % 2 == odd).for_each(|seed| counts += run(seed, nodes));
            counts
        }
    };
    let other = std::thread::spawn(half(1));
    let mut counts = half(0)();
    counts += other.join().unwrap();
    counts
}

/// What the clients of one run have observed.
#[derive(Default)]
struct Observed {
    /// The sequence number in the ack of each message.
    acked: HashMap<Bytes, u64>,
    /// What each reader has received, from the beginning of the room.
    read: Vec<Vec<Message>>,
    /// How far each reader has received the room.
    cursors: HashMap<String, u64>,
    /// The ids of the events that readers have received.
    delivered: BTreeMap<u64, Bytes>,
    /// How often a client has connected.
    connections: usize,
}

type SharedObserved = Arc<Mutex<Observed>>;

#[derive(Debug, PartialEq, Eq)]
struct Message {
    seq: u64,
    client_msg_id: Bytes,
    text: String,
}

impl Observed {
    /// Returns the newest event up to which all readers have received everything, and senders know that it is stored: what is
    /// not needed any more.
    fn expendable(&self) -> u64 {
        let received = self.cursors.values().copied().min().unwrap_or_default();
        let needed =
            self.delivered.iter().find(|(_, id)| !self.acked.contains_key(*id)).map_or(u64::MAX, |(seq, _)| *seq);
        received.min(needed.saturating_sub(1))
    }
}

/// How often things happened.
#[derive(Debug, Default)]
struct Counts {
    /// A client connected.
    connections: usize,
    /// A node crashed.
    crashes: usize,
    /// A node was told only that it is behind.
    skips: u64,
    /// Old events were removed.
    expirations: usize,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.crashes += other.crashes;
        self.skips += other.skips;
        self.expirations += other.expirations;
    }
}

/// Runs the simulation and checks what the clients observed.
fn run(seed: u64, nodes: usize) -> Counts {
    let print_seed = PrintSeedOnPanic { seed, nodes };
    let observed = SharedObserved::default();
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(Duration::from_millis(20))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(60))
        .simulation_duration(Duration::from_secs(300))
        .tcp_capacity(10_000)
        .build();
    // With several nodes, some of what one of them stores is not published to the others, who have to catch up.
    let store = if nodes == 1 { MemoryStore::new() } else { MemoryStore::lagging(0.3, seed) };
    let cluster = MemoryCluster::new(store.clone());
    let node_names: Vec<String> = (0..nodes).map(|n| format!("node-{n}")).collect();
    for name in &node_names {
        let cluster = cluster.clone();
        sim.host(name.as_str(), move || serve(cluster.clone()));
    }
    let mut clients = Vec::new();
    for n in 0..SENDERS {
        let (name, observed) = (format!("sender-{n}"), Arc::clone(&observed));
        clients.push(name.clone());
        sim.client(name.clone(), async move {
            Sender::new(&name, seed, Network::new(&name, seed, nodes, observed)).send_all().await;
            Ok(())
        });
    }
    for n in 0..READERS {
        let (name, observed) = (format!("reader-{n}"), Arc::clone(&observed));
        clients.push(name.clone());
        sim.client(name.clone(), async move {
            read_all(&name, Network::new(&name, seed, nodes, observed)).await;
            Ok(())
        });
    }

    let mut faults = Faults::new(seed, clients, node_names);
    let mut expirations = 0;
    // An id goes with its event, so events stay until no held frame can be a late repeat of theirs.
    let mut expendable = VecDeque::from(vec![0; RETAINED_STEPS]);
    while !sim.step().unwrap() {
        faults.step(&mut sim);
        expendable.push_back(observed.lock().unwrap().expendable());
        let expired = expendable.pop_front().unwrap_or_default();
        if nodes > 1 && faults.rng.u32(..10) == 0 {
            expirations += usize::from(store.expire(&RoomId::new("r").unwrap(), expired + 1));
        }
    }

    let observed = observed.lock().unwrap();
    assert_eq!(observed.acked.len(), SENDERS * MESSAGES);
    let first = &observed.read[0];
    for read in &observed.read {
        assert_eq!(read, first, "readers received different events");
    }
    assert_eq!(first.len(), SENDERS * MESSAGES, "a message was stored twice");
    for Message { seq, client_msg_id, .. } in first {
        assert_eq!(observed.acked.get(client_msg_id), Some(seq), "an ack has another sequence number than its event");
    }
    for sender in 0..SENDERS {
        let name = format!("sender-{sender} ");
        assert_eq!(first.iter().filter(|message| message.text.starts_with(&name)).count(), MESSAGES);
    }
    std::mem::forget(print_seed);
    Counts { connections: observed.connections, crashes: faults.crashes, skips: store.skips(), expirations }
}

/// Runs a node until it is crashed.
async fn serve(cluster: MemoryCluster) -> turmoil::Result {
    let mut config = Config::default();
    config.limits.connection.ping_after = SILENCE;
    config.limits.connection.ping_timeout = SILENCE;
    config.limits.session.heartbeat = SILENCE;
    // Small, so that a reader that reconnects finds its cursor before the beginning of the tail.
    config.limits.room.tail_bytes = 600;
    config.limits.rates = RateLimits::none();
    let listener = turmoil::net::TcpListener::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), PORT)).await?;
    server::simulate(cluster, config, async || listener.accept().await.unwrap()).await;
    Ok(())
}

/// Prints the seed of a run when dropped. Forgotten when the run succeeds.
struct PrintSeedOnPanic {
    seed: u64,
    nodes: usize,
}

impl Drop for PrintSeedOnPanic {
    fn drop(&mut self) {
        eprintln!("this run with {} nodes failed: SIMULATION_SEED={}", self.nodes, self.seed);
    }
}

/// Breaks links between clients and nodes, and crashes nodes, and repairs them.
struct Faults {
    rng: fastrand::Rng,
    /// The links that are broken, from a client to a node.
    broken: HashMap<(String, String), Fault>,
    /// The nodes that have crashed, and how many steps they stay so.
    crashed: HashMap<String, u32>,
    crashes: usize,
    clients: Vec<String>,
    nodes: Vec<String>,
}

struct Fault {
    steps_left: u32,
    /// Whether messages are held until the fault ends, instead of lost.
    hold: bool,
}

impl Faults {
    fn new(seed: u64, clients: Vec<String>, nodes: Vec<String>) -> Self {
        let (broken, crashed) = (HashMap::new(), HashMap::new());
        Self { rng: fastrand::Rng::with_seed(seed), broken, crashed, crashes: 0, clients, nodes }
    }

    fn step(&mut self, sim: &mut turmoil::Sim<'_>) {
        self.broken.retain(|(client, node), fault| {
            fault.steps_left -= 1;
            if fault.steps_left == 0 {
                if fault.hold {
                    sim.release(client.as_str(), node.as_str());
                } else {
                    sim.repair(client.as_str(), node.as_str());
                }
            }
            fault.steps_left > 0
        });
        self.crashed.retain(|node, steps_left| {
            *steps_left -= 1;
            if *steps_left == 0 {
                sim.bounce(node.as_str());
            }
            *steps_left > 0
        });
        // About three broken links a second, for each node.
        if self.rng.u32(..15) < u32::try_from(self.nodes.len()).unwrap() {
            let link = (self.choose(&self.clients.clone()), self.choose(&self.nodes.clone()));
            if !self.broken.contains_key(&link) {
                let hold = self.rng.bool();
                if hold {
                    sim.hold(link.0.as_str(), link.1.as_str());
                } else {
                    sim.partition(link.0.as_str(), link.1.as_str());
                }
                self.broken.insert(link, Fault { steps_left: self.rng.u32(1..BROKEN_STEPS), hold });
            }
        }
        if self.nodes.len() > 1 && self.rng.u32(..60) == 0 {
            let node = self.choose(&self.nodes.clone());
            if !self.crashed.contains_key(&node) {
                sim.crash(node.as_str());
                self.crashes += 1;
                self.crashed.insert(node, self.rng.u32(1..60));
            }
        }
    }

    fn choose(&mut self, from: &[String]) -> String {
        from[self.rng.usize(..from.len())].clone()
    }
}

/// How one client reaches the service.
struct Network {
    user: String,
    nodes: usize,
    rng: fastrand::Rng,
    observed: SharedObserved,
}

impl Network {
    fn new(user: &str, seed: u64, nodes: usize, observed: SharedObserved) -> Self {
        let rng = fastrand::Rng::with_seed(seed ^ user.bytes().map(u64::from).sum::<u64>());
        Self { user: user.to_owned(), nodes, rng, observed }
    }

    /// Opens a session on any node, or returns `None` if the network prevents it.
    async fn connect(&mut self) -> Option<Connection> {
        let node = format!("node-{}", self.rng.usize(..self.nodes));
        let connection = tokio::time::timeout(4 * SILENCE, Connection::open(&self.user, &node)).await.ok()??;
        self.observed.lock().unwrap().connections += 1;
        Some(connection)
    }
}

/// A session, after Welcome.
struct Connection {
    frames: mpsc::UnboundedSender<pb::ClientFrame>,
    stream: Streaming<pb::ServerFrame>,
    last_id: u64,
}

impl Connection {
    async fn open(user: &str, node: &str) -> Option<Self> {
        let node = node.to_owned();
        let connector = tower::service_fn(move |_| {
            let node = node.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(turmoil::net::TcpStream::connect((node, PORT)).await?)) }
        });
        let endpoint = Endpoint::from_static("http://server")
            .http2_keep_alive_interval(SILENCE)
            .keep_alive_timeout(SILENCE)
            .keep_alive_while_idle(true);
        let channel = endpoint.connect_with_connector(connector).await.ok()?;
        let (frames, outgoing) = mpsc::unbounded_channel();
        let call = ChatServiceClient::new(channel).session(UnboundedReceiverStream::new(outgoing)).await;
        let mut connection = Self { frames, stream: call.ok()?.into_inner(), last_id: 0 };
        connection.send(hello(user));
        matches!(connection.receive().await?, ServerBody::Welcome(_)).then_some(connection)
    }

    fn send(&mut self, body: ClientBody) {
        self.last_id += 1;
        // The stream may have ended, which is found when reading.
        let _ = self.frames.send(pb::ClientFrame { id: self.last_id, body: Some(body) });
    }

    /// Returns the next frame, or `None` if the stream has ended, or stays silent after a Ping.
    async fn receive(&mut self) -> Option<ServerBody> {
        for _ in 0..2 {
            match tokio::time::timeout(SILENCE, self.stream.message()).await {
                Ok(frame) => return frame.ok()??.body,
                Err(_) => self.send(ping()),
            }
        }
        None
    }
}

/// Waits a little before the next attempt to connect.
async fn back_off() {
    tokio::time::sleep(SILENCE / 5).await;
}

struct Sender {
    /// The ids and texts of the messages that are not acked yet, in order.
    unacked: Vec<(Bytes, String)>,
    network: Network,
}

impl Sender {
    fn new(name: &str, seed: u64, network: Network) -> Self {
        let number = |n: usize| u128::from(seed) << 64 | (n as u128);
        let message = |n| (Bytes::copy_from_slice(&number(n).to_be_bytes()), format!("{name} {n}"));
        let first = name.bytes().map(usize::from).sum::<usize>() * MESSAGES;
        Self { unacked: (first..first + MESSAGES).map(message).collect(), network }
    }

    /// Sends until every message is acked. What is not acked is sent again on the next connection, under the same id.
    async fn send_all(&mut self) {
        while !self.unacked.is_empty() {
            if let Some(mut connection) = self.network.connect().await {
                while !self.unacked.is_empty() && self.send_some(&mut connection).await.is_some() {}
            }
            back_off().await;
        }
    }

    /// Sends a few messages and waits for their acks. Returns `None` if the connection is lost.
    async fn send_some(&mut self, connection: &mut Connection) -> Option<()> {
        let count = self.network.rng.usize(1..8).min(self.unacked.len());
        for (id, text) in &self.unacked[..count] {
            connection.send(send_with_msg_id("r", text, id.clone()));
        }
        let mut awaited = count;
        while awaited > 0 {
            match connection.receive().await? {
                ServerBody::Ack(ack) => {
                    let acked = &mut self.network.observed.lock().unwrap().acked;
                    let seq = *acked.entry(ack.client_msg_id.clone()).or_insert(ack.seq);
                    assert_eq!(ack.seq, seq, "the ack of a repeat differs from the first");
                    self.unacked.retain(|(id, _)| *id != ack.client_msg_id);
                    awaited -= 1;
                }
                ServerBody::Error(error) => panic!("{error:?}"),
                _ => {}
            }
        }
        // Pauses, as people do between messages.
        tokio::time::sleep(Duration::from_millis(self.network.rng.u64(..600))).await;
        Some(())
    }
}

/// Reads until every message has been received, resuming at the cursor on each connection.
async fn read_all(name: &str, mut network: Network) {
    let mut read = Vec::new();
    let mut epoch = 0;
    network.observed.lock().unwrap().cursors.insert(name.to_owned(), 0);
    while read.len() < SENDERS * MESSAGES {
        if let Some(mut connection) = network.connect().await {
            connection.send(join("r", after_event(epoch, &read)));
            while read.len() < SENDERS * MESSAGES && read_some(&mut connection, &mut epoch, &mut read).await.is_some() {
                let mut observed = network.observed.lock().unwrap();
                observed.cursors.insert(name.to_owned(), cursor(&read));
                observed.delivered.extend(read.last().map(|last| (last.seq, last.client_msg_id.clone())));
            }
        }
        back_off().await;
    }
    network.observed.lock().unwrap().read.push(read);
}

/// A cursor that names the last event read.
fn after_event(epoch: u64, read: &[Message]) -> Option<pb::join::Start> {
    let client_msg_id = read.last().map(|last| last.client_msg_id.clone()).unwrap_or_default();
    Some(pb::join::Start::After(pb::Cursor { epoch, seq: cursor(read), client_msg_id }))
}

fn cursor(read: &[Message]) -> u64 {
    read.last().map_or(0, |message| message.seq)
}

/// Handles the next frame. Returns `None` if the connection is lost.
async fn read_some(connection: &mut Connection, epoch: &mut u64, read: &mut Vec<Message>) -> Option<()> {
    let cursor = cursor(read);
    match connection.receive().await? {
        ServerBody::Joined(joined) => {
            assert_eq!((joined.verdict(), joined.start_seq), (pb::Verdict::Recovered, cursor));
            assert!(*epoch == 0 || *epoch == joined.epoch);
            *epoch = joined.epoch;
        }
        ServerBody::Event(event) => {
            assert_eq!(event.prev_seq, cursor, "an event is missing");
            let Some(EventBody::Posted(posted)) = event.body else { panic!("not a post: {event:?}") };
            read.push(Message { seq: event.seq, client_msg_id: event.client_msg_id, text: posted.text });
        }
        ServerBody::CaughtUp(caught_up) => assert_eq!(caught_up.seq, cursor),
        ServerBody::Error(error) => panic!("{error:?}"),
        _ => {}
    }
    Some(())
}
