//! The service on a simulated network that cuts, holds and delays: every acked message is stored once, and every reader
//! receives all messages in the same order.
//!
//! A failing run prints its seed. `SIMULATION_SEED=<seed> cargo test -p grpc_chat_service simulation` repeats it with the
//! same faults at the same times, although not with the same iteration order of hash maps.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use grpc_chat_service::config::Config;
use grpc_chat_service::history::memory::MemoryStore;
use grpc_chat_service::server::SimulatedCluster;
use hyper_util::rt::TokioIo;
use stubs::chat::v1::chat_service_client::ChatServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

use crate::support::frames::{ClientBody, EventBody, ServerBody, after, hello, join, pb, ping, send_with_msg_id};

const SEEDS: u64 = 200;
const SENDERS: usize = 2;
const READERS: usize = 2;
/// Messages of each sender.
const MESSAGES: usize = 15;
const PORT: u16 = 9090;

/// How long a peer may be silent. Far shorter than in operation, so that a short run notices broken connections.
const SILENCE: Duration = Duration::from_millis(500);

#[test]
fn on_a_faulty_network_acked_messages_are_stored_once_and_read_in_one_order() {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        run(seed.parse().expect("SIMULATION_SEED is a number"));
        return;
    }
    let half = |odd: u64| move || (0..SEEDS).filter(|seed| seed % 2 == odd).map(run).sum::<usize>();
    let other = std::thread::spawn(half(1));
    let connections = half(0)() + other.join().unwrap();
    // With fewer, the faults would hardly have broken a connection.
    assert!(connections > 3 * (SENDERS + READERS) / 2 * SEEDS as usize, "{connections}");
}

/// What the clients of one run have observed.
#[derive(Default)]
struct Observed {
    /// The sequence number in the ack of each message.
    acked: HashMap<Bytes, u64>,
    /// What each reader has received, from the beginning of the room.
    read: Vec<Vec<Message>>,
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

/// Runs the simulation and checks what the clients observed. Returns how often a client connected.
fn run(seed: u64) -> usize {
    let print_seed = PrintSeedOnPanic(seed);
    let observed = SharedObserved::default();
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(Duration::from_millis(20))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(60))
        .simulation_duration(Duration::from_secs(300))
        .tcp_capacity(10_000)
        .build();
    sim.host("server", || async {
        let mut config = Config::default();
        config.limits.connection.ping_after = SILENCE;
        config.limits.connection.ping_timeout = SILENCE;
        config.limits.session.heartbeat = SILENCE;
        // Small, so that a reader that reconnects finds its cursor before the beginning of the tail.
        config.limits.room.tail_bytes = 600;
        let listener = turmoil::net::TcpListener::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), PORT)).await?;
        SimulatedCluster::new(MemoryStore::new()).serve(config, async || listener.accept().await.unwrap()).await;
        Ok(())
    });
    let mut clients = Vec::new();
    for n in 0..SENDERS {
        let (name, observed) = (format!("sender-{n}"), Arc::clone(&observed));
        clients.push(name.clone());
        sim.client(name.clone(), async move {
            Sender::new(&name, seed, observed).send_all().await;
            Ok(())
        });
    }
    for n in 0..READERS {
        let (name, observed) = (format!("reader-{n}"), Arc::clone(&observed));
        clients.push(name.clone());
        sim.client(name.clone(), async move {
            read_all(&name, observed).await;
            Ok(())
        });
    }

    let mut faults = Faults { rng: fastrand::Rng::with_seed(seed), active: HashMap::new(), clients };
    while !sim.step().unwrap() {
        faults.step(&sim);
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
    observed.connections
}

/// Prints the seed of a run when dropped. Forgotten when the run succeeds.
struct PrintSeedOnPanic(u64);

impl Drop for PrintSeedOnPanic {
    fn drop(&mut self) {
        eprintln!("this run failed: SIMULATION_SEED={}", self.0);
    }
}

/// Breaks links between clients and the server, and repairs them.
struct Faults {
    rng: fastrand::Rng,
    /// The fault of each client's link, if it has one.
    active: HashMap<String, Fault>,
    clients: Vec<String>,
}

struct Fault {
    steps_left: u32,
    /// Whether messages are held until the fault ends, instead of lost.
    hold: bool,
}

impl Faults {
    fn step(&mut self, sim: &turmoil::Sim<'_>) {
        self.active.retain(|client, fault| {
            fault.steps_left -= 1;
            if fault.steps_left == 0 {
                if fault.hold {
                    sim.release(client.as_str(), "server");
                } else {
                    sim.repair(client.as_str(), "server");
                }
            }
            fault.steps_left > 0
        });
        // About three faults a second.
        if self.rng.u32(..15) == 0 {
            let client = self.clients[self.rng.usize(..self.clients.len())].clone();
            if !self.active.contains_key(&client) {
                let hold = self.rng.bool();
                if hold {
                    sim.hold(client.as_str(), "server");
                } else {
                    sim.partition(client.as_str(), "server");
                }
                self.active.insert(client, Fault { steps_left: self.rng.u32(1..100), hold });
            }
        }
    }
}

/// A session, after Welcome.
struct Connection {
    frames: mpsc::UnboundedSender<pb::ClientFrame>,
    stream: Streaming<pb::ServerFrame>,
    last_id: u64,
}

impl Connection {
    /// Opens a session, or returns `None` if the network prevents it.
    async fn open(user: &str, observed: &SharedObserved) -> Option<Self> {
        let connector = tower::service_fn(|_| async {
            Ok::<_, std::io::Error>(TokioIo::new(turmoil::net::TcpStream::connect(("server", PORT)).await?))
        });
        let endpoint = Endpoint::from_static("http://server")
            .http2_keep_alive_interval(SILENCE)
            .keep_alive_timeout(SILENCE)
            .keep_alive_while_idle(true);
        let opening = async {
            let channel = endpoint.connect_with_connector(connector).await.ok()?;
            let (frames, outgoing) = mpsc::unbounded_channel();
            let call = ChatServiceClient::new(channel).session(UnboundedReceiverStream::new(outgoing)).await;
            let mut connection = Self { frames, stream: call.ok()?.into_inner(), last_id: 0 };
            connection.send(hello(user));
            matches!(connection.receive().await?, ServerBody::Welcome(_)).then_some(connection)
        };
        let connection = tokio::time::timeout(4 * SILENCE, opening).await.ok()??;
        observed.lock().unwrap().connections += 1;
        Some(connection)
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
    name: String,
    /// The ids and texts of the messages that are not acked yet, in order.
    unacked: Vec<(Bytes, String)>,
    observed: SharedObserved,
    rng: fastrand::Rng,
}

impl Sender {
    fn new(name: &str, seed: u64, observed: SharedObserved) -> Self {
        let number = |n: usize| u128::from(seed) << 64 | (n as u128);
        let message = |n| (Bytes::copy_from_slice(&number(n).to_be_bytes()), format!("{name} {n}"));
        let rng = fastrand::Rng::with_seed(seed ^ name.bytes().map(u64::from).sum::<u64>());
        let first = name.bytes().map(usize::from).sum::<usize>() * MESSAGES;
        Self { name: name.to_owned(), unacked: (first..first + MESSAGES).map(message).collect(), observed, rng }
    }

    /// Sends until every message is acked. What is not acked is sent again on the next connection, under the same id.
    async fn send_all(&mut self) {
        while !self.unacked.is_empty() {
            if let Some(mut connection) = Connection::open(&self.name, &self.observed).await {
                while !self.unacked.is_empty() && self.send_some(&mut connection).await.is_some() {}
            }
            back_off().await;
        }
    }

    /// Sends a few messages and waits for their acks. Returns `None` if the connection is lost.
    async fn send_some(&mut self, connection: &mut Connection) -> Option<()> {
        let count = self.rng.usize(1..8).min(self.unacked.len());
        for (id, text) in &self.unacked[..count] {
            connection.send(send_with_msg_id("r", text, id.clone()));
        }
        let mut awaited = count;
        while awaited > 0 {
            match connection.receive().await? {
                ServerBody::Ack(ack) => {
                    let acked = &mut self.observed.lock().unwrap().acked;
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
        tokio::time::sleep(Duration::from_millis(self.rng.u64(..600))).await;
        Some(())
    }
}

/// Reads until every message has been received, resuming at the cursor on each connection.
async fn read_all(name: &str, observed: SharedObserved) {
    let mut read = Vec::new();
    let mut epoch = 0;
    while read.len() < SENDERS * MESSAGES {
        if let Some(mut connection) = Connection::open(name, &observed).await {
            connection.send(join("r", after(epoch, cursor(&read))));
            while read.len() < SENDERS * MESSAGES && read_some(&mut connection, &mut epoch, &mut read).await.is_some() {
            }
        }
        back_off().await;
    }
    observed.lock().unwrap().read.push(read);
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
