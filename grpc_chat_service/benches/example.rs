//! What the example costs: our service against a bare tonic server, end to end over loopback.
//!
//! `cargo bench -p grpc_chat_service` runs each server as a process of its own (this program again, with an
//! argument), loads them in turn, and divides the CPU time the server took by the messages it answered. CPU
//! time is steadier than a rate on a shared machine, but not steady: only the ratio is worth comparing.
//!
//! The load is written by hand on plain sockets, because a real client takes more CPU than the server does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use grpc_chat_service::config::Config;
use stubs::ChatMessage;
use stubs::chat_server::{Chat, ChatServer};
use tokio_stream::StreamExt;
use tonic::codegen::BoxStream;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

const CONNECTIONS: usize = 4;
const STREAMS: usize = 4;
/// Messages of one stream that are under way at once.
const IN_FLIGHT: usize = 64;
/// Bytes of text in a message.
const TEXT: usize = 200;

fn main() -> io::Result<()> {
    match env::args().nth(1).as_deref() {
        Some("serve-ours") => serve(ours),
        Some("serve-bare") => serve(bare),
        // `cargo bench` says so; anything else, such as `cargo test --benches`, wants to see that it works.
        Some("--bench") => measure(&Plan { rounds: 10, round: Duration::from_millis(1_500), ping_pongs: 5_000 }),
        _ => measure(&Plan { rounds: 1, round: Duration::from_millis(20), ping_pongs: 20 }),
    }
}

// The two servers.

fn serve<F: Future<Output = io::Result<()>>>(server: fn() -> F) -> io::Result<()> {
    thread::spawn(|| {
        // The pipe ends when the process that started this one does, however that happens.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    // Logs as the binary's, since they are part of the cost, but to nowhere.
    tracing_subscriber::fmt().with_env_filter("info").with_writer(io::sink).init();
    tokio::runtime::Runtime::new()?.block_on(server())
}

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

/// A server in a process of its own; it ends when this is dropped.
struct Server {
    name: &'static str,
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(name: &'static str) -> io::Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .arg(format!("serve-{name}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.as_mut() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.trim().parse().map_err(io::Error::other)?;
        Ok(Self { name, process, address })
    }

    /// CPU time taken so far by all threads, in user and kernel mode.
    fn cpu(&self) -> io::Result<Duration> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let schedstat = fs::read_to_string(thread?.path().join("schedstat"))?;
            let on_cpu = schedstat.split(' ').next().unwrap_or_default();
            nanoseconds += on_cpu.parse::<u64>().map_err(io::Error::other)?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
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

// The load: as much of HTTP/2 (RFC 9113) as it takes to call the example and to count its answers.

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const FRAME_HEAD: usize = 9;

/// How far the server may send ahead on one stream; a quarter of what it may on the connection.
const WINDOW: usize = 1 << 20;

/// A request's header block. Names are indices into HPACK's static table where they have one (RFC 7541).
const CALL: &[u8] = b"\x83\x86\
\x04\x0a/Chat/chat\
\x01\x09localhost\
\x0f\x10\x10application/grpc\
\x00\x02te\x08trailers";

/// One connection, with calls open on it.
struct Caller {
    socket: TcpStream,
    /// A message as it goes into a DATA frame.
    message: Vec<u8>,
    /// Bytes of one answer as it comes in DATA frames.
    answer: usize,
    /// Bytes received on each call.
    received: Vec<usize>,
    /// Read and not yet understood.
    unread: Vec<u8>,
    /// To be sent with the next messages.
    unsent: Vec<u8>,
}

impl Caller {
    fn connect(address: SocketAddr, calls: usize) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        // A server that stops answering is an error, not a wait.
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;

        let mut unsent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let mut settings = vec![0, 4]; // INITIAL_WINDOW_SIZE
        settings.extend((WINDOW as u32).to_be_bytes());
        frame(&mut unsent, SETTINGS, 0, 0, &settings);
        frame(&mut unsent, WINDOW_UPDATE, 0, 0, &(4 * WINDOW as u32).to_be_bytes());
        for call in 0..calls {
            frame(&mut unsent, HEADERS, END_HEADERS, stream(call), CALL);
        }

        let (name, text) = ("Sam", "x".repeat(TEXT));
        let message = grpc(&[field(1, name), field(2, &text)].concat());
        let answer = grpc(&field(1, &format!("{name}: {text}"))).len();
        Ok(Self { socket, message, answer, received: vec![0; calls], unread: Vec::new(), unsent })
    }

    /// Sends so many messages on each call, each message in a frame of its own, all in one write.
    fn send(&mut self, due: &[usize]) -> io::Result<()> {
        for (call, due) in due.iter().enumerate() {
            for _ in 0..*due {
                frame(&mut self.unsent, DATA, 0, stream(call), &self.message);
            }
        }
        self.socket.write_all(&self.unsent)?;
        self.unsent.clear();
        Ok(())
    }

    /// Waits for something to arrive; how many answers that completed on each call.
    fn receive(&mut self) -> io::Result<Vec<usize>> {
        let old = self.unread.len();
        self.unread.resize(old + 64 * 1024, 0);
        let new = self.socket.read(&mut self.unread[old..])?;
        if new == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.unread.truncate(old + new);

        let mut answers = vec![0; self.received.len()];
        let mut rest = &self.unread[..];
        while let Some((&[a, b, c, kind, flags, d, e, f, g], after)) = rest.split_first_chunk::<FRAME_HEAD>() {
            let Some((payload, after)) = after.split_at_checked(u32::from_be_bytes([0, a, b, c]) as usize) else {
                break;
            };
            rest = after;
            match kind {
                DATA => {
                    let stream = u32::from_be_bytes([d, e, f, g]);
                    let received = &mut self.received[(stream as usize - 1) / 2];
                    let (before, now) = (*received, *received + payload.len());
                    *received = now;
                    answers[(stream as usize - 1) / 2] += now / self.answer - before / self.answer;
                    if now / (WINDOW / 2) > before / (WINDOW / 2) {
                        let consumed = (WINDOW as u32 / 2).to_be_bytes();
                        frame(&mut self.unsent, WINDOW_UPDATE, 0, stream, &consumed);
                        frame(&mut self.unsent, WINDOW_UPDATE, 0, 0, &consumed);
                    }
                }
                SETTINGS if flags & ACK == 0 => frame(&mut self.unsent, SETTINGS, ACK, 0, &[]),
                PING if flags & ACK == 0 => frame(&mut self.unsent, PING, ACK, 0, payload),
                // Our messages in flight are always far fewer than fit the server's window.
                WINDOW_UPDATE | SETTINGS | PING | HEADERS => {}
                _ => return Err(io::Error::other(format!("the server sent a frame of type {kind}"))),
            }
        }
        let understood = self.unread.len() - rest.len();
        self.unread.drain(..understood);
        Ok(answers)
    }
}

/// The identifier of a connection's nth call.
fn stream(call: usize) -> u32 {
    call as u32 * 2 + 1
}

fn frame(to: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    to.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    to.extend_from_slice(&[kind, flags]);
    to.extend_from_slice(&stream.to_be_bytes());
    to.extend_from_slice(payload);
}

/// A message with gRPC's head: not compressed, and its length.
fn grpc(message: &[u8]) -> Vec<u8> {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

/// A protobuf field of text; its length is a varint of two bytes at most here.
fn field(number: u8, text: &str) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    match text.len() {
        short @ 0..128 => field.push(short as u8),
        long => field.extend([long as u8 | 0x80, (long >> 7) as u8]),
    }
    field.extend(text.as_bytes());
    field
}
