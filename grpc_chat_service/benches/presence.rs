//! The cost of presence in a large room: one user comes and goes several times a second among thousands who are there.
//!
//! `cargo bench -p grpc_chat_service --bench presence` runs the service in a process of its own (this program again, with an
//! argument), joins a room with 250 sessions and with 4,000, each on a connection of its own, and reports the share of a core
//! that the service uses while nothing happens (heartbeats), while one user comes and goes four times a second, and while one
//! is typing; and how many frames each reader is sent.
//!
//! Arguments: numbers of sessions.

#[allow(dead_code, reason = "other benchmarks use the rest")]
mod http2;
#[allow(dead_code, reason = "other benchmarks use the rest")]
mod process;
#[allow(dead_code, reason = "other benchmarks use the rest")]
mod session;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, io};

use grpc_chat_service::config::Config;
use stubs::chat::v1 as pb;
use stubs::chat::v1::client_frame;
use tokio::time::sleep;

use process::Server;
use session::Session;

const ROOM: &str = "room";

/// How often the user comes and goes in a second.
const FLAPS: u32 = 4;

fn main() -> io::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "serve-ours") {
        let mut config = Config::default();
        config.limits.listener.connections_per_address = config.limits.listener.connections;
        return process::serve(|| process::serve_chat(config));
    }
    let given: Vec<usize> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    // `cargo bench` passes `--bench`; anything else, such as `cargo test --benches`, only checks that the benchmark runs.
    let (sizes, length) = match (args.iter().any(|arg| arg == "--bench"), given.is_empty()) {
        (true, true) => (vec![250, 4_000], Duration::from_secs(10)),
        (true, false) => (given, Duration::from_secs(10)),
        (false, _) => (vec![3], Duration::from_millis(300)),
    };
    println!("{:>10}  {:<14} {:>10}  {:>20}", "sessions", "", "of a core", "frames to each/s");
    for size in sizes {
        tokio::runtime::Runtime::new()?.block_on(run(size, length))?;
    }
    Ok(())
}

async fn run(size: usize, length: Duration) -> io::Result<()> {
    let server = Server::start("ours")?;
    let frames = Arc::new(AtomicU64::new(0));
    for n in 0..size {
        let mut session = Session::connect(server.address, &format!("user{n}"), usize::MAX).await?;
        session.send(join());
        session.flush().await?;
        let frames = Arc::clone(&frames);
        tokio::spawn(async move {
            while let Ok(received) = session.receive().await {
                frames.fetch_add(received.others, Ordering::Relaxed);
                if session.flush().await.is_err() {
                    return;
                }
            }
        });
    }
    let mut user = Session::connect(server.address, "flapping", usize::MAX).await?;
    user.flush().await?;
    sleep(length / 2).await;
    for what in ["idle", "coming, going", "typing"] {
        if what == "typing" {
            user.send(join());
        }
        let (start, cpu, before) = (Instant::now(), server.cpu()?, frames.load(Ordering::Relaxed));
        let mut here = false;
        while start.elapsed() < length {
            match what {
                "coming, going" => {
                    here = !here;
                    user.send(if here { join() } else { leave() });
                }
                "typing" => user.send(client_frame::Body::Typing(pb::Typing { room: ROOM.to_owned() })),
                _ => {}
            }
            user.flush().await?;
            // What it is sent has to be read.
            let _ = tokio::time::timeout(Duration::from_secs(1) / (2 * FLAPS), read(&mut user)).await;
        }
        let (elapsed, cpu) = (start.elapsed().as_secs_f64(), (server.cpu()? - cpu).as_secs_f64());
        let frames = (frames.load(Ordering::Relaxed) - before) as f64 / size as f64 / elapsed;
        println!("{size:>10}  {what:<14} {:>10.3}  {frames:>20.2}", cpu / elapsed);
    }
    Ok(())
}

async fn read(session: &mut Session) -> io::Result<()> {
    loop {
        session.receive().await?;
        session.flush().await?;
    }
}

fn join() -> client_frame::Body {
    client_frame::Body::Join(pb::Join { room: ROOM.to_owned(), start: None })
}

fn leave() -> client_frame::Body {
    client_frame::Body::Leave(pb::Leave { room: ROOM.to_owned() })
}
