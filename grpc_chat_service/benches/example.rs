//! What the example costs: our service against a bare tonic server, end to end over loopback.
//!
//! `cargo bench -p grpc_chat_service` runs each server as a process of its own (this program again, with an
//! argument), loads them in turn, and divides the CPU time the server took by the messages it answered. CPU
//! time is steadier than a rate on a shared machine, but not steady: only the ratio is worth comparing.
//!
mod process;
mod wire;

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
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use process::Server;
use wire::Http2;

const CONNECTIONS: usize = 4;
const STREAMS: usize = 4;
/// Messages of one stream that are under way at once: half of what our server takes ahead on one.
const IN_FLIGHT: usize = 32;
/// Bytes of text in a message.
const TEXT: usize = 200;

fn main() -> io::Result<()> {
    match env::args().nth(1).as_deref() {
        Some("serve-ours") => process::serve(ours),
        Some("serve-bare") => process::serve(bare),
        // `cargo bench` says so; anything else, such as `cargo test --benches`, wants to see that it works.
        Some("--bench") => measure(&Plan { rounds: 10, round: Duration::from_millis(1_500), ping_pongs: 5_000 }),
        _ => measure(&Plan { rounds: 1, round: Duration::from_millis(20), ping_pongs: 20 }),
    }
}

// The two servers.

async fn ours() -> io::Result<()> {
    let server = grpc_chat_service::server::bind(Config::default()).await.map_err(io::Error::other)?;
    println!("{}", server.local_addr());
    server.run(std::future::pending()).await;
    Ok(())
}

async fn bare() -> io::Result<()> {
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?.with_nodelay(Some(true));
    println!("{}", incoming.local_addr()?);
    let server = tonic::transport::Server::builder().add_service(ChatServer::new(Bare));
    server.serve_with_incoming(incoming).await.map_err(io::Error::other)
}

/// The least that answers: the shortest handler under tonic's own server, with tonic's defaults.
struct Bare;

#[tonic::async_trait]
impl Chat for Bare {
    type chatStream = BoxStream<String>;

    async fn chat(&self, request: Request<Streaming<ChatMessage>>) -> Result<Response<BoxStream<String>>, Status> {
        let messages = request.into_inner();
        let answers =
            messages.map(|received| received.map(|ChatMessage { name, message }| format!("{name}: {message}")));
        Ok(Response::new(Box::pin(answers)))
    }
}

// What is measured.

struct Plan {
    rounds: usize,
    round: Duration,
    ping_pongs: usize,
}

struct Round {
    per_second: f64,
    cpu_microseconds: f64,
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
    for ((server, rounds), latencies) in servers.iter().zip(&rounds).zip(&mut latencies) {
        latencies.sort_unstable();
        let rate = sorted(rounds.iter().map(|round| round.per_second));
        let cpu = sorted(rounds.iter().map(|round| round.cpu_microseconds));
        println!(
            "{:6} {:12.0}   {:18.3} ({:.3}..{:.3}) {:12.0} µs {:5.0} µs",
            server.name,
            at(&rate, 0.5),
            at(&cpu, 0.5),
            at(&cpu, 0.0),
            at(&cpu, 1.0),
            at(latencies, 0.5).as_secs_f64() * 1e6,
            at(latencies, 0.99).as_secs_f64() * 1e6,
        );
    }
    // Rounds next to each other had the same neighbours on the machine.
    let [ours, bare] = &rounds;
    let ratios = sorted(ours.iter().zip(bare).map(|(ours, bare)| ours.cpu_microseconds / bare.cpu_microseconds));
    println!("CPU, ours / bare: {:.2} ({:.2}..{:.2})", at(&ratios, 0.5), at(&ratios, 0.0), at(&ratios, 1.0));
    Ok(())
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// The value that the given share of the sorted values lies below.
fn at<T: Copy>(sorted: &[T], share: f64) -> T {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

/// Keeps every stream's messages in flight for a while, and compares CPU time and answers.
fn saturate(server: &Server, round: Duration) -> io::Result<Round> {
    let enough = AtomicBool::new(false);
    let answered = AtomicU64::new(0);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| -> io::Result<()> {
                    let mut caller = Caller::connect(server.address, STREAMS)?;
                    let mut due = [IN_FLIGHT; STREAMS].to_vec();
                    while !enough.load(Ordering::Relaxed) {
                        caller.send(&due)?;
                        due = caller.receive()?;
                        answered.fetch_add(due.iter().sum::<usize>() as u64, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        thread::sleep(round / 4);
        let (start, answers, cpu) = (Instant::now(), answered.load(Ordering::Relaxed), server.cpu()?);
        thread::sleep(round);
        let (elapsed, cpu) = (start.elapsed(), server.cpu()?.saturating_sub(cpu));
        let answers = (answered.load(Ordering::Relaxed) - answers) as f64;
        enough.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.join().map_err(|_| io::Error::other("a caller panicked"))??;
        }
        Ok(Round { per_second: answers / elapsed.as_secs_f64(), cpu_microseconds: cpu.as_secs_f64() * 1e6 / answers })
    })
}

/// One stream, one message at a time: how long each answer takes.
fn ping_pong(server: &Server, times: usize) -> io::Result<Vec<Duration>> {
    let mut caller = Caller::connect(server.address, 1)?;
    let mut latencies = Vec::new();
    for _ in 0..times {
        let start = Instant::now();
        caller.send(&[1])?;
        while caller.receive()? == [0] {}
        latencies.push(start.elapsed());
    }
    // The first one pays for the connection.
    Ok(latencies.split_off(1))
}

// The load.

/// One connection, with calls open on it.
struct Caller {
    socket: TcpStream,
    http2: Http2,
    message: Vec<u8>,
    /// Bytes of one answer.
    answer: usize,
    /// Bytes received on each call.
    received: Vec<usize>,
}

impl Caller {
    fn connect(address: SocketAddr, calls: usize) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        // A server that stops answering is an error, not a wait.
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut http2 = Http2::new();
        for _ in 0..calls {
            http2.call("/Chat/chat");
        }
        let message = ChatMessage { name: "Sam".to_owned(), message: "x".repeat(TEXT) };
        let answer = wire::grpc(&format!("{}: {}", message.name, message.message).encode_to_vec()).len();
        let message = wire::grpc(&message.encode_to_vec());
        Ok(Self { socket, http2, message, answer, received: vec![0; calls] })
    }

    /// Sends so many messages on each call, each message in a frame of its own, all in one write.
    fn send(&mut self, due: &[usize]) -> io::Result<()> {
        for (call, due) in due.iter().enumerate() {
            for _ in 0..*due {
                self.http2.send(call, &self.message);
            }
        }
        if !self.http2.may_send() {
            return Err(io::Error::other("more is in flight than the server takes ahead"));
        }
        self.socket.write_all(&self.http2.unsent)?;
        self.http2.unsent.clear();
        Ok(())
    }

    /// Waits for something to arrive; how many answers that completed on each call.
    fn receive(&mut self) -> io::Result<Vec<usize>> {
        let new = self.socket.read(self.http2.read_into())?;
        let mut answers = vec![0; self.received.len()];
        self.http2.received(new, |call, data| {
            let (before, now) = (self.received[call], self.received[call] + data.len());
            self.received[call] = now;
            answers[call] += now / self.answer - before / self.answer;
        })?;
        Ok(answers)
    }
}
