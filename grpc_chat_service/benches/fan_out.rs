//! What a room costs: our service against a good broadcast-channel server, end to end over loopback.
//!
//! `cargo bench -p grpc_chat_service --bench fan_out` runs each server as a process of its own (this program again,
//! with an argument), puts 1 to 1,000 receivers with a connection each into a room, says things in it, and divides the
//! CPU time the server took by the messages that arrived. Rounds of the servers take turns, because CPU time is
//! steadier than a rate on a shared machine, but not steady: compare ratios.
//!
//! *Paced* is a room as rooms are, with pauses between messages. *Saturated* is all that a server can do: the
//! publisher goes on as soon as fewer than [`WINDOW`] messages are on their way to the slowest receiver, so that no
//! server is driven into a lag it would have to answer for.
//!
//! Ours is measured with its history in memory (`ours`) and on disk (`on-disk`); the other keeps nothing.
//!
//! Arguments: `--quick` for a short run, `fan-out` or `sends` for one of the two tables, and numbers of receivers.

mod process;
mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use std::{env, io, thread};

use grpc_chat_service::config::{Config, Store};
use prost::Message;
use stubs::chat::v1 as pb;
use stubs::chat::v1::chat_service_server::{ChatService, ChatServiceServer};
use stubs::chat::v1::{client_frame, event, server_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use process::Server;
use wire::Http2;

/// Bytes of text in a message. Whatever is longer than this on the wire is an event.
const TEXT: usize = 200;
/// Messages on their way to the slowest receiver, at most.
const WINDOW: u64 = 1_000;
/// In a paced round, how many messages a second; fewer in a room so large that they would fill the machine.
const PACE: [(usize, u32); 4] = [(1, 500), (10, 500), (100, 200), (1_000, 30)];

const SESSION: &str = "/chat.v1.ChatService/Session";

fn main() -> io::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let given = |arg: &str| args.iter().any(|given| given == arg);
    match args.first().map(String::as_str) {
        Some("serve-ours") => return process::serve(ours),
        Some("serve-on-disk") => return process::serve(on_disk),
        Some("serve-broadcast") => return process::serve(broadcast),
        _ => {}
    }
    let receivers: Vec<usize> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    let receivers = |default: &[usize]| if receivers.is_empty() { default.to_vec() } else { receivers };
    // `cargo bench` says so; anything else, such as `cargo test --benches`, wants to see that it works.
    let plan = match (given("--bench"), given("--quick")) {
        (true, false) => {
            Plan { rounds: 5, round: Duration::from_millis(1_000), receivers: receivers(&[1, 10, 100, 1_000]) }
        }
        (true, true) => {
            Plan { rounds: 2, round: Duration::from_millis(400), receivers: receivers(&[1, 10, 100, 1_000]) }
        }
        (false, _) => Plan { rounds: 1, round: Duration::from_millis(20), receivers: receivers(&[1, 2]) },
    };
    println!("{} cores; {TEXT}-byte messages; {} rounds of {:?}", cores()?, plan.rounds, plan.round);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if given("fan-out") || !given("sends") {
        runtime.block_on(fan_out(&plan))?;
    }
    if given("sends") || !given("fan-out") {
        runtime.block_on(sends(&plan))?;
    }
    Ok(())
}

fn cores() -> io::Result<usize> {
    Ok(thread::available_parallelism()?.get())
}

// The servers.

/// Ours, with its history in memory.
async fn ours() -> io::Result<()> {
    serve(Config::default()).await
}

/// Ours, with its history on disk, synced before it is acked or shown.
async fn on_disk() -> io::Result<()> {
    let dir = env::var_os(process::DATA).ok_or_else(|| io::Error::other("no data directory"))?;
    serve(Config { store: Store::disk(dir), ..Config::default() }).await
}

async fn serve(config: Config) -> io::Result<()> {
    let server = grpc_chat_service::server::bind(config).await.map_err(io::Error::other)?;
    println!("{}", server.local_addr());
    server.run(std::future::pending()).await;
    Ok(())
}

async fn broadcast() -> io::Result<()> {
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?.with_nodelay(Some(true));
    println!("{}", incoming.local_addr()?);
    let server = tonic::transport::Server::builder().add_service(ChatServiceServer::new(Broadcast::default()));
    server.serve_with_incoming(incoming).await.map_err(io::Error::other)
}

/// What one writes after reading tonic's examples and thinking about it: a broadcast channel per room, and for each
/// receiver a task that forwards what it hears into a channel with room for many messages, which is the response.
/// Without a history, limits, or anything else that a chat needs.
#[derive(Clone, Default)]
struct Broadcast {
    rooms: Arc<Mutex<HashMap<String, Room>>>,
}

struct Room {
    seq: u64,
    events: broadcast::Sender<pb::Event>,
}

impl Broadcast {
    fn open<T>(&self, id: &str, then: impl FnOnce(&mut Room) -> T) -> T {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Room { seq: 0, events: broadcast::channel(4 * WINDOW as usize).0 };
        then(rooms.entry(id.to_owned()).or_insert_with(new))
    }

    async fn converse(self, mut frames: Streaming<pb::ClientFrame>, answers: Answers) {
        let say = async |reply_to, body| answers.send(Ok(pb::ServerFrame { reply_to, body: Some(body) })).await.is_ok();
        while let Some(Ok(pb::ClientFrame { id, body: Some(body) })) = frames.next().await {
            let said = match body {
                client_frame::Body::Hello(_) => say(id, server_frame::Body::Welcome(pb::Welcome::default())).await,
                client_frame::Body::Join(pb::Join { room, .. }) => {
                    let events = self.open(&room, |room| room.events.subscribe());
                    let joined = pb::Joined { room: room.clone(), ..pb::Joined::default() };
                    let caught_up = pb::CaughtUp { room, seq: 0 };
                    let said = say(id, server_frame::Body::Joined(joined)).await
                        && say(0, server_frame::Body::CaughtUp(caught_up)).await;
                    tokio::spawn(forward(events, answers.clone()));
                    said
                }
                client_frame::Body::Send(pb::Send { room, text, client_msg_id, .. }) => {
                    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                    let time = prost_types::Timestamp {
                        seconds: since.as_secs() as i64,
                        nanos: since.subsec_millis() as i32 * 1_000_000,
                    };
                    let seq = self.open(&room, |open| {
                        open.seq += 1;
                        // An error says that nobody listens.
                        let _ = open.events.send(pb::Event {
                            room: room.clone(),
                            seq: open.seq,
                            prev_seq: open.seq - 1,
                            time: Some(time),
                            sender: "publisher".to_owned(),
                            device: String::new(),
                            client_msg_id: client_msg_id.clone(),
                            body: Some(event::Body::Posted(pb::Posted { text, ..pb::Posted::default() })),
                        });
                        open.seq
                    });
                    let ack = pb::Ack { room, seq, time: Some(time), client_msg_id, ..pb::Ack::default() };
                    say(id, server_frame::Body::Ack(ack)).await
                }
                _ => true,
            };
            if !said {
                return;
            }
        }
    }
}

type Answers = mpsc::Sender<Result<pb::ServerFrame, Status>>;

async fn forward(mut events: broadcast::Receiver<pb::Event>, answers: Answers) {
    while let Ok(event) = events.recv().await {
        let frame = pb::ServerFrame { reply_to: 0, body: Some(server_frame::Body::Event(event)) };
        if answers.send(Ok(frame)).await.is_err() {
            return;
        }
    }
}

#[tonic::async_trait]
impl ChatService for Broadcast {
    async fn session(
        &self,
        request: Request<Streaming<pb::ClientFrame>>,
    ) -> Result<Response<BoxStream<pb::ServerFrame>>, Status> {
        let (answers, answered) = mpsc::channel(128);
        tokio::spawn(self.clone().converse(request.into_inner(), answers));
        Ok(Response::new(Box::pin(ReceiverStream::new(answered))))
    }
}

// What is measured.

struct Plan {
    rounds: usize,
    round: Duration,
    receivers: Vec<usize>,
}

/// What a publisher does in a round.
#[derive(Clone, Copy)]
enum Pace {
    PerSecond(u32),
    /// So many on their way.
    Window(u64),
}

struct Round {
    per_second: f64,
    cpu_microseconds: f64,
}

async fn fan_out(plan: &Plan) -> io::Result<()> {
    println!("\nreceivers            server      deliveries/s   µs CPU per delivery (min..max)   beside broadcast");
    let mut saturated = Vec::new();
    for &receivers in &plan.receivers {
        let servers = [Server::start("ours")?, Server::start("on-disk")?, Server::start("broadcast")?];
        let mut halls = Vec::new();
        for server in &servers {
            halls.push(Hall::open(server.address, receivers).await?);
        }
        let pace = PACE.iter().find(|(most, _)| receivers <= *most).map_or(1, |(_, pace)| *pace);
        for (name, pace) in [("paced", Pace::PerSecond(pace)), ("saturated", Pace::Window(WINDOW))] {
            let mut rounds: Vec<Vec<Round>> = servers.iter().map(|_| Vec::new()).collect();
            for _ in 0..plan.rounds {
                for ((server, hall), rounds) in servers.iter().zip(&mut halls).zip(&mut rounds) {
                    rounds.push(hall.round(server, pace, plan.round, Hall::delivered).await?);
                }
            }
            for (server, ours) in servers.iter().zip(&rounds) {
                let (rate, cpu) = summary(ours);
                // Rounds next to each other had the same neighbours on the machine.
                let beside = ours.iter().zip(&rounds[rounds.len() - 1]);
                let ratios = sorted(beside.map(|(ours, other)| ours.cpu_microseconds / other.cpu_microseconds));
                println!(
                    "{receivers:9} {name:10} {:10} {rate:12.0}   {:15.3} ({:.3}..{:.3}) {:22.2}",
                    server.name,
                    at(&cpu, 0.5),
                    at(&cpu, 0.0),
                    at(&cpu, 1.0),
                    at(&ratios, 0.5),
                );
                if server.name == "ours" && name == "saturated" {
                    saturated.push((receivers, at(&cpu, 0.5)));
                }
            }
        }
    }
    let of = |receivers| saturated.iter().find(|(n, _)| *n == receivers).map(|(_, cpu)| cpu);
    if let (Some(ten), Some(thousand)) = (of(10), of(1_000)) {
        println!("CPU per delivery, 1,000 receivers beside 10: {:.2}", thousand / ten);
    }
    Ok(())
}

/// One session that sends and nobody who reads.
async fn sends(plan: &Plan) -> io::Result<()> {
    println!("\nin flight   server      acked sends/s   µs CPU per send (min..max)");
    for in_flight in [1, 64, 1_024] {
        let servers = [Server::start("ours")?, Server::start("on-disk")?];
        for server in &servers {
            let mut hall = Hall::open(server.address, 0).await?;
            let mut rounds = Vec::new();
            for _ in 0..plan.rounds {
                rounds.push(hall.round(server, Pace::Window(in_flight), plan.round, Hall::acked).await?);
            }
            let (rate, cpu) = summary(&rounds);
            println!(
                "{in_flight:9}   {:10} {rate:14.0}   {:15.3} ({:.3}..{:.3})",
                server.name,
                at(&cpu, 0.5),
                at(&cpu, 0.0),
                at(&cpu, 1.0)
            );
        }
    }
    Ok(())
}

fn summary(rounds: &[Round]) -> (f64, Vec<f64>) {
    let rates = sorted(rounds.iter().map(|round| round.per_second));
    (at(&rates, 0.5), sorted(rounds.iter().map(|round| round.cpu_microseconds)))
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// The value that the given share of the sorted values lies below.
fn at(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

// The load.

/// A room with its receivers, and someone who speaks in it.
struct Hall {
    receivers: u64,
    heard: Arc<Heard>,
    publisher: Peer,
    sent: u64,
    acked: u64,
}

/// What all receivers have heard.
#[derive(Default)]
struct Heard {
    /// Receivers that have joined and caught up.
    ready: AtomicU64,
    delivered: AtomicU64,
    /// For each block of messages that not everyone has heard: how many receivers have.
    blocks: Mutex<HashMap<u64, u64>>,
    /// Every receiver has heard so many messages, in whole blocks.
    by_all: AtomicU64,
    moved: Notify,
}

/// Messages after which a receiver says how far it is.
const BLOCK: u64 = 50;

impl Hall {
    async fn open(address: SocketAddr, receivers: usize) -> io::Result<Self> {
        let heard = Arc::new(Heard::default());
        for _ in 0..receivers {
            let mut receiver = Peer::connect(address, "reader").await?;
            receiver.frame(client_frame::Body::Join(pb::Join { room: "hall".to_owned(), start: None }));
            tokio::spawn(listen(receiver, Arc::clone(&heard), receivers as u64));
        }
        let mut publisher = Peer::connect(address, "publisher").await?;
        publisher.flush().await?;
        let asked = Instant::now();
        while heard.ready.load(Ordering::Relaxed) < receivers as u64 {
            if asked.elapsed() > Duration::from_secs(20) {
                return Err(io::Error::other("not all receivers could join"));
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(Self { receivers: receivers as u64, heard, publisher, sent: 0, acked: 0 })
    }

    fn delivered(&self) -> u64 {
        self.heard.delivered.load(Ordering::Relaxed)
    }

    fn acked(&self) -> u64 {
        self.acked
    }

    /// Speaks for a while and compares CPU time and what was counted; then waits until all have heard all.
    async fn round(
        &mut self,
        server: &Server,
        pace: Pace,
        length: Duration,
        count: fn(&Self) -> u64,
    ) -> io::Result<Round> {
        self.speak(pace, length / 4).await?;
        let (start, counted, cpu) = (Instant::now(), count(self), server.cpu()?);
        self.speak(pace, length).await?;
        let (elapsed, cpu) = (start.elapsed(), server.cpu()?.saturating_sub(cpu));
        let counted = (count(self) - counted) as f64;
        let quiet = Instant::now();
        while self.acked < self.sent || self.delivered() < self.sent * self.receivers {
            if quiet.elapsed() > Duration::from_secs(5) {
                let (sent, acked, delivered) = (self.sent, self.acked, self.delivered());
                let lost = format!("{}: {sent} sent, {acked} acked, {delivered} delivered", server.name);
                return Err(io::Error::other(lost));
            }
            self.speak(Pace::Window(0), Duration::from_millis(2)).await?;
        }
        Ok(Round { per_second: counted / elapsed.as_secs_f64(), cpu_microseconds: cpu.as_secs_f64() * 1e6 / counted })
    }

    async fn speak(&mut self, pace: Pace, length: Duration) -> io::Result<()> {
        let heard = Arc::clone(&self.heard);
        let mut over = pin!(sleep(length));
        let mut ticks = match pace {
            Pace::PerSecond(pace) => interval(Duration::from_secs(1) / pace),
            Pace::Window(_) => interval(length),
        };
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Pace::Window(window) = pace {
                let reached = if self.receivers == 0 { u64::MAX } else { heard.by_all.load(Ordering::Relaxed) };
                let upto = reached.min(self.acked) + window;
                while self.sent < upto && self.publisher.http2.may_send() {
                    self.say();
                }
            }
            self.publisher.flush().await?;
            let heard = tokio::select! {
                () = &mut over => return Ok(()),
                answers = self.publisher.hear() => answers?,
                () = heard.moved.notified() => Counted::default(),
                _ = ticks.tick() => {
                    if matches!(pace, Pace::PerSecond(_)) {
                        self.say();
                    }
                    Counted::default()
                }
            };
            self.acked += heard.small;
        }
    }

    fn say(&mut self) {
        self.sent += 1;
        let mut client_msg_id = [0; 16];
        client_msg_id[8..].copy_from_slice(&self.sent.to_be_bytes());
        self.publisher.frame(client_frame::Body::Send(pb::Send {
            room: "hall".to_owned(),
            text: "x".repeat(TEXT),
            client_msg_id: client_msg_id.to_vec().into(),
            reply_to_seq: 0,
            epoch: 0,
        }));
    }
}

async fn listen(mut peer: Peer, heard: Arc<Heard>, receivers: u64) {
    let (mut small, mut events) = (0, 0);
    loop {
        if peer.flush().await.is_err() {
            return;
        }
        let Ok(counted) = peer.hear().await else { return };
        // Welcome, Joined, CaughtUp.
        if small < 3 && small + counted.small >= 3 {
            heard.ready.fetch_add(1, Ordering::Relaxed);
        }
        small += counted.small;
        heard.delivered.fetch_add(counted.events, Ordering::Relaxed);
        let blocks = events / BLOCK..(events + counted.events) / BLOCK;
        events += counted.events;
        for block in blocks {
            let mut of = heard.blocks.lock().unwrap_or_else(PoisonError::into_inner);
            let by = of.entry(block).or_default();
            *by += 1;
            if *by == receivers {
                of.remove(&block);
                heard.by_all.store((block + 1) * BLOCK, Ordering::Relaxed);
                heard.moved.notify_one();
            }
        }
    }
}

/// A client's side of one session, on a connection of its own. Counts what it hears instead of decoding it.
struct Peer {
    socket: TcpStream,
    http2: Http2,
    last_id: u64,
    /// Of the message that is being received: bytes of its head, and how many bytes of it are to come.
    head: [u8; 5],
    head_read: usize,
    to_come: usize,
}

#[derive(Default)]
struct Counted {
    /// Messages that are longer than a text.
    events: u64,
    /// All others, except Ping.
    small: u64,
}

impl Peer {
    async fn connect(address: SocketAddr, user: &str) -> io::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let mut http2 = Http2::new();
        http2.call(SESSION);
        let mut peer = Self { socket, http2, last_id: 0, head: [0; 5], head_read: 0, to_come: 0 };
        peer.frame(client_frame::Body::Hello(pb::Hello { user: user.to_owned(), ..pb::Hello::default() }));
        Ok(peer)
    }

    /// To be sent with the next flush.
    fn frame(&mut self, body: client_frame::Body) {
        self.last_id += 1;
        let frame = pb::ClientFrame { id: self.last_id, body: Some(body) };
        self.http2.send(0, &wire::grpc(&frame.encode_to_vec()));
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.http2.unsent.is_empty() {
            self.socket.write_all(&self.http2.unsent).await?;
            self.http2.unsent.clear();
        }
        Ok(())
    }

    /// Waits until something comes.
    async fn hear(&mut self) -> io::Result<Counted> {
        let old = self.http2.read_into();
        let new = self.socket.read(old).await?;
        let mut counted = Counted::default();
        let mut pings = 0;
        let (head, head_read, to_come) = (&mut self.head, &mut self.head_read, &mut self.to_come);
        self.http2.received(new, |_, mut data| {
            while !data.is_empty() {
                let skipped = data.len().min(*to_come);
                *to_come -= skipped;
                data = &data[skipped..];
                let more = data.len().min(head.len() - *head_read);
                head[*head_read..*head_read + more].copy_from_slice(&data[..more]);
                *head_read += more;
                data = &data[more..];
                if *head_read == head.len() {
                    *head_read = 0;
                    let [_, a, b, c, d] = *head;
                    *to_come = u32::from_be_bytes([a, b, c, d]) as usize;
                    match *to_come {
                        // The only one of two bytes.
                        2 => pings += 1,
                        long if long > TEXT => counted.events += 1,
                        _ => counted.small += 1,
                    }
                }
            }
        })?;
        for _ in 0..pings {
            let pong = pb::ClientFrame { id: 0, body: Some(client_frame::Body::Pong(pb::Pong {})) };
            self.http2.send(0, &wire::grpc(&pong.encode_to_vec()));
        }
        Ok(counted)
    }
}
