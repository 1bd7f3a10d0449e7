//! The service on a simulated network that loses, holds and delays: what is acked is stored once, and every reader
//! sees all of it in one order.
//!
//! A failing run prints its seed. `SIMULATION_SEED=<seed> cargo test -p grpc_chat_service simulation` runs it again,
//! with the same faults at the same times; the order in which a hash map gives its entries is not part of the seed.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use grpc_chat_service::config::Config;
use grpc_chat_service::server;
use hyper_util::rt::TokioIo;
use stubs::chat::v1::chat_service_client::ChatServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

use crate::support::session::{Happened, Said, Say, after, hello, join, pb, ping, send_as};

const SEEDS: u64 = 200;
const SENDERS: usize = 2;
const READERS: usize = 2;
const MESSAGES: usize = 15;
const PORT: u16 = 9090;

/// Far shorter than in the field, so that lost connections are found within a short run.
const PATIENCE: Duration = Duration::from_millis(500);

#[test]
fn on_a_bad_network_everything_acked_is_stored_once_and_read_by_all_in_one_order() {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        run(seed.parse().expect("SIMULATION_SEED is a number"));
        return;
    }
    let half = |odd: u64| move || (0..SEEDS).filter(|seed| seed % 2 == odd).map(run).sum::<usize>();
    let other = std::thread::spawn(half(1));
    let connected = half(0)() + other.join().unwrap();
    // Or the network was not bad.
    assert!(connected > 3 * (SENDERS + READERS) / 2 * SEEDS as usize, "{connected}");
}

/// What the clients of one run have to show.
#[derive(Default)]
struct Shown {
    /// The place that was acked, for each message.
    acked: HashMap<Bytes, u64>,
    /// What each reader has seen, from the room's beginning.
    seen: Vec<Vec<(u64, Bytes, String)>>,
    connected: usize,
}

type Shared = Arc<Mutex<Shown>>;

/// How often a client connected.
fn run(seed: u64) -> usize {
    let failing = Failing(seed);
    let shown = Shared::default();
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
        config.limits.connection.ping_after = PATIENCE;
        config.limits.connection.ping_timeout = PATIENCE;
        config.limits.session.heartbeat = PATIENCE;
        // Small, so that readers who come back find that the tail does not reach back to their cursor.
        config.limits.room.tail_bytes = 600;
        let listener = turmoil::net::TcpListener::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), PORT)).await?;
        server::simulate(config, async || listener.accept().await.unwrap()).await;
        Ok(())
    });
    let mut clients = Vec::new();
    for n in 0..SENDERS {
        let (name, shown) = (format!("sender-{n}"), Arc::clone(&shown));
        clients.push(name.clone());
        sim.client(name.clone(), async move {
            Sender::new(&name, seed, shown).send_all().await;
            Ok(())
        });
    }
    for n in 0..READERS {
        let (name, shown) = (format!("reader-{n}"), Arc::clone(&shown));
        clients.push(name.clone());
        sim.client(name.clone(), async move {
            read_all(&name, shown).await;
            Ok(())
        });
    }

    let mut faults = Faults { rng: fastrand::Rng::with_seed(seed), bad: HashMap::new(), clients };
    while !sim.step().unwrap() {
        faults.step(&sim);
    }

    let shown = shown.lock().unwrap();
    assert_eq!(shown.acked.len(), SENDERS * MESSAGES);
    let first = &shown.seen[0];
    for seen in &shown.seen {
        assert_eq!(seen, first, "every reader sees the same");
    }
    assert_eq!(first.len(), SENDERS * MESSAGES, "nothing is stored twice");
    for (seq, id, _) in first {
        assert_eq!(shown.acked.get(id), Some(seq), "an ack tells the place");
    }
    for sender in 0..SENDERS {
        let name = format!("sender-{sender} ");
        let texts: Vec<&String> =
            first.iter().map(|(_, _, text)| text).filter(|text| text.starts_with(&name)).collect();
        assert_eq!(texts.len(), MESSAGES);
    }
    std::mem::forget(failing);
    shown.connected
}

/// Says which run it was that failed.
struct Failing(u64);

impl Drop for Failing {
    fn drop(&mut self) {
        eprintln!("this run failed: SIMULATION_SEED={}", self.0);
    }
}

/// Cuts and holds links to the server, and mends them.
struct Faults {
    rng: fastrand::Rng,
    /// Steps until it is mended, and whether the link is held or cut.
    bad: HashMap<String, (u32, bool)>,
    clients: Vec<String>,
}

impl Faults {
    fn step(&mut self, sim: &turmoil::Sim<'_>) {
        self.bad.retain(|client, (left, held)| {
            *left -= 1;
            if *left == 0 {
                if *held {
                    sim.release(client.as_str(), "server");
                } else {
                    sim.repair(client.as_str(), "server");
                }
            }
            *left > 0
        });
        // About three a second in all.
        if self.rng.u32(..15) == 0 {
            let client = self.clients[self.rng.usize(..self.clients.len())].clone();
            if !self.bad.contains_key(&client) {
                let held = self.rng.bool();
                if held {
                    sim.hold(client.as_str(), "server");
                } else {
                    sim.partition(client.as_str(), "server");
                }
                self.bad.insert(client, (self.rng.u32(1..100), held));
            }
        }
    }
}

/// A stream to the server, after Welcome.
struct Link {
    say: mpsc::UnboundedSender<pb::ClientFrame>,
    hear: Streaming<pb::ServerFrame>,
    id: u64,
}

impl Link {
    /// `None` if the network does not let it through.
    async fn open(user: &str, shown: &Shared) -> Option<Self> {
        let connector = tower::service_fn(|_| async {
            Ok::<_, std::io::Error>(TokioIo::new(turmoil::net::TcpStream::connect(("server", PORT)).await?))
        });
        let endpoint = Endpoint::from_static("http://server")
            .http2_keep_alive_interval(PATIENCE)
            .keep_alive_timeout(PATIENCE)
            .keep_alive_while_idle(true);
        let opening = async {
            let channel = endpoint.connect_with_connector(connector).await.ok()?;
            let (say, said) = mpsc::unbounded_channel();
            let call = ChatServiceClient::new(channel).session(UnboundedReceiverStream::new(said)).await;
            let mut link = Self { say, hear: call.ok()?.into_inner(), id: 0 };
            link.say(hello(user));
            matches!(link.hear().await?, Said::Welcome(_)).then_some(link)
        };
        let link = tokio::time::timeout(4 * PATIENCE, opening).await.ok()??;
        shown.lock().unwrap().connected += 1;
        Some(link)
    }

    fn say(&mut self, body: Say) {
        self.id += 1;
        // If the stream is over, that is heard.
        let _ = self.say.send(pb::ClientFrame { id: self.id, body: Some(body) });
    }

    /// The next thing said; `None` if the stream has ended, or is silent although it was asked.
    async fn hear(&mut self) -> Option<Said> {
        for _ in 0..2 {
            match tokio::time::timeout(PATIENCE, self.hear.message()).await {
                Ok(heard) => return heard.ok()??.body,
                Err(_) => self.say(ping()),
            }
        }
        None
    }
}

/// Waits a little before the next attempt.
async fn back_off() {
    tokio::time::sleep(PATIENCE / 5).await;
}

struct Sender {
    name: String,
    /// Not acked yet, in order.
    unacked: Vec<(Bytes, String)>,
    shown: Shared,
    rng: fastrand::Rng,
}

impl Sender {
    fn new(name: &str, seed: u64, shown: Shared) -> Self {
        let number = |n: usize| u128::from(seed) << 64 | (n as u128);
        let message = |n| (Bytes::copy_from_slice(&number(n).to_be_bytes()), format!("{name} {n}"));
        let rng = fastrand::Rng::with_seed(seed ^ name.bytes().map(u64::from).sum::<u64>());
        let first = name.bytes().map(usize::from).sum::<usize>() * MESSAGES;
        Self { name: name.to_owned(), unacked: (first..first + MESSAGES).map(message).collect(), shown, rng }
    }

    /// Sends until all is acked: on every stream again what is not, under the same ids.
    async fn send_all(&mut self) {
        while !self.unacked.is_empty() {
            if let Some(mut link) = Link::open(&self.name, &self.shown).await {
                while !self.unacked.is_empty() && self.send_some(&mut link).await.is_some() {}
            }
            back_off().await;
        }
    }

    async fn send_some(&mut self, link: &mut Link) -> Option<()> {
        let some = self.rng.usize(1..8).min(self.unacked.len());
        for (id, text) in &self.unacked[..some] {
            link.say(send_as("r", text, id.clone()));
        }
        let mut waiting = some;
        while waiting > 0 {
            match link.hear().await? {
                Said::Ack(ack) => {
                    let acked = &mut self.shown.lock().unwrap().acked;
                    let place = *acked.entry(ack.client_msg_id.clone()).or_insert(ack.seq);
                    assert_eq!(place, ack.seq, "a repeat is told the first place");
                    self.unacked.retain(|(id, _)| *id != ack.client_msg_id);
                    waiting -= 1;
                }
                Said::Error(error) => panic!("{error:?}"),
                _ => {}
            }
        }
        // A person types, now and then.
        tokio::time::sleep(Duration::from_millis(self.rng.u64(..600))).await;
        Some(())
    }
}

async fn read_all(name: &str, shown: Shared) {
    let mut seen = Vec::new();
    let mut epoch = 0;
    while seen.len() < SENDERS * MESSAGES {
        if let Some(mut link) = Link::open(name, &shown).await {
            let place = seen.last().map_or(0, |(seq, _, _)| *seq);
            link.say(join("r", after(epoch, place)));
            while seen.len() < SENDERS * MESSAGES && read_some(&mut link, &mut epoch, &mut seen).await.is_some() {}
        }
        back_off().await;
    }
    shown.lock().unwrap().seen.push(seen);
}

async fn read_some(link: &mut Link, epoch: &mut u64, seen: &mut Vec<(u64, Bytes, String)>) -> Option<()> {
    let place = seen.last().map_or(0, |(seq, _, _)| *seq);
    match link.hear().await? {
        Said::Joined(joined) => {
            assert_eq!((joined.verdict(), joined.start_seq), (pb::Verdict::Recovered, place));
            assert!(*epoch == 0 || *epoch == joined.epoch);
            *epoch = joined.epoch;
        }
        Said::Event(event) => {
            assert_eq!(event.prev_seq, place, "the chain is not broken");
            let Some(Happened::Posted(posted)) = event.body else { panic!("{event:?}") };
            seen.push((event.seq, event.client_msg_id, posted.text));
        }
        Said::CaughtUp(at) => assert_eq!(at.seq, place),
        Said::Error(error) => panic!("{error:?}"),
        _ => {}
    }
    Some(())
}
