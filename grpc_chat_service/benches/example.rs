//! The cost of the example: our service beside a bare tonic server, end to end over loopback.
//!
//! `cargo bench -p grpc_chat_service --bench example` runs each server in a process of its own (this program again, with an
//! argument), puts load on them in turn, and divides the CPU time that a server used by the messages that it answered. On
//! a shared machine, CPU time varies less than a rate does, but it varies: only the ratio is worth comparing.

mod http2;
mod measure;
mod process;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};

use grpc_chat_service::config::Config;
use prost::Message;
use stubs::ChatMessage;
use stubs::chat_server::{Chat, ChatServer};
use tokio_stream::StreamExt;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use http2::Http2;
use measure::{Meter, Round, Sample};
use process::Server;

const CONNECTIONS: usize = 4;
const STREAMS: usize = 4;
/// Messages in flight on each stream: half of what our server accepts ahead of answering.
const IN_FLIGHT: usize = 32;
/// The length of a message's text, in bytes.
const TEXT: usize = 200;

fn main() -> io::Result<()> {
    match env::args().nth(1).as_deref() {
        Some("serve-ours") => process::serve(|| process::serve_chat(Config::default())),
        Some("serve-bare") => process::serve(bare),
        // `cargo bench` passes this; anything else, such as `cargo test --benches`, only checks that the benchmark runs.
        Some("--bench") => measure(&Plan { rounds: 10, round: Duration::from_millis(1_500), ping_pongs: 5_000 }),
        _ => measure(&Plan { rounds: 1, round: Duration::from_millis(20), ping_pongs: 20 }),
    }
}

async fn bare() -> io::Result<()> {
    process::serve_tonic(tonic::transport::Server::builder().add_service(ChatServer::new(Bare))).await
}

/// The shortest handler that implements the example, for tonic's own server with its defaults.
struct Bare;

#[tonic::async_trait]
impl Chat for Bare {
    type chatStream = BoxStream<String>;

    async fn chat(&self, request: Request<Streaming<ChatMessage>>) -> Result<Response<BoxStream<String>>, Status> {
        let messages = request.into_inner();
        let replies =
            messages.map(|received| received.map(|ChatMessage { name, message }| format!("{name}: {message}")));
        Ok(Response::new(Box::pin(replies)))
    }
}

struct Plan {
    rounds: usize,
    round: Duration,
    ping_pongs: usize,
}

fn measure(plan: &Plan) -> io::Result<()> {
    println!(
        "{} cores; {TEXT}-byte messages, {CONNECTIONS} connections x {STREAMS} streams, {IN_FLIGHT} in flight on each; \
         {} rounds of {:?} in turn",
        thread::available_parallelism()?,
        plan.rounds,
        plan.round
    );
    let servers = [Server::start("ours")?, Server::start("bare")?];
    let mut rounds = [const { Vec::new() }; 2];
    for server in &servers {
        saturate(server, plan.round)?;
    }
    for _ in 0..plan.rounds {
        for (server, rounds) in servers.iter().zip(&mut rounds) {
            rounds.push(saturate(server, plan.round)?);
        }
    }
    let mut latencies = [const { Vec::new() }; 2];
    for _ in 0..2 {
        for (server, latencies) in servers.iter().zip(&mut latencies) {
            latencies.extend(ping_pong(server, plan.ping_pongs / 2)?);
        }
    }

    println!("server   messages/s   µs CPU per message (min..max)   ping-pong p50      p99");
    for ((server, rounds), latencies) in servers.iter().zip(&rounds).zip(latencies) {
        let latencies = Sample::new(latencies.iter().map(|latency| latency.as_secs_f64() * 1e6));
        println!(
            "{:6} {:12.0} {:>31} {:12.0} µs {:5.0} µs",
            server.name,
            Sample::rates(rounds).median(),
            Sample::cpu(rounds).summary(3),
            latencies.median(),
            latencies.quantile(0.99),
        );
    }
    let [ours, bare] = &rounds;
    println!("CPU, ours / bare: {}", Sample::cpu_ratios(ours, bare).summary(2));
    Ok(())
}

/// Measures a round in which every stream has its messages in flight all the time.
fn saturate(server: &Server, round: Duration) -> io::Result<Round> {
    let stop = AtomicBool::new(false);
    let answered = AtomicU64::new(0);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| -> io::Result<()> {
                    let mut client = Client::connect(server.address, STREAMS)?;
                    let mut due = [IN_FLIGHT; STREAMS].to_vec();
                    while !stop.load(Ordering::Relaxed) {
                        client.send(&due)?;
                        due = client.receive()?;
                        answered.fetch_add(due.iter().sum::<usize>() as u64, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        thread::sleep(round / 4);
        let meter = Meter::start(server, answered.load(Ordering::Relaxed))?;
        thread::sleep(round);
        let measured = meter.stop(server, answered.load(Ordering::Relaxed))?;
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().map_err(|_| io::Error::other("a client panicked"))??;
        }
        Ok(measured)
    })
}

/// Measures how long each reply takes on one stream, with one message in flight.
fn ping_pong(server: &Server, times: usize) -> io::Result<Vec<Duration>> {
    let mut client = Client::connect(server.address, 1)?;
    let mut latencies = Vec::new();
    for _ in 0..times {
        let start = Instant::now();
        client.send(&[1])?;
        while client.receive()? == [0] {}
        latencies.push(start.elapsed());
    }
    // The first one includes opening the connection.
    Ok(latencies.split_off(1))
}

/// One connection, with calls open on it.
struct Client {
    socket: TcpStream,
    http2: Http2,
    message: Vec<u8>,
    /// The length of a reply on the wire, in bytes.
    reply: usize,
    /// Bytes received on each call.
    received: Vec<usize>,
}

impl Client {
    fn connect(address: SocketAddr, calls: usize) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        // A server that stops replying makes the benchmark fail instead of blocking it.
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut http2 = Http2::new();
        for _ in 0..calls {
            http2.call("/Chat/chat");
        }
        let message = ChatMessage { name: "Sam".to_owned(), message: "x".repeat(TEXT) };
        let reply = http2::length_prefixed(&format!("{}: {}", message.name, message.message).encode_to_vec()).len();
        let message = http2::length_prefixed(&message.encode_to_vec());
        Ok(Self { socket, http2, message, reply, received: vec![0; calls] })
    }

    /// Sends `due[n]` messages on the nth call, each in a frame of its own, all in one write.
    fn send(&mut self, due: &[usize]) -> io::Result<()> {
        for (call, due) in due.iter().enumerate() {
            for _ in 0..*due {
                self.http2.send(call, &self.message);
            }
        }
        if !self.http2.may_send() {
            return Err(io::Error::other("more messages are in flight than flow control allows"));
        }
        self.socket.write_all(&self.http2.unsent)?;
        self.http2.unsent.clear();
        Ok(())
    }

    /// Waits until something arrives. Returns how many replies that completed on each call.
    fn receive(&mut self) -> io::Result<Vec<usize>> {
        let bytes = self.socket.read(self.http2.read_buffer())?;
        let mut replies = vec![0; self.received.len()];
        self.http2.received(bytes, |call, data| {
            let (before, now) = (self.received[call], self.received[call] + data.len());
            self.received[call] = now;
            replies[call] += now / self.reply - before / self.reply;
        })?;
        Ok(replies)
    }
}
