//! The cost of a room: our service beside a good broadcast-channel server, end to end over loopback.
//!
//! `cargo bench -p grpc_chat_service --bench fan_out` runs each server in a process of its own (this program again, with an
//! argument), opens a room with 1 to 1,000 receivers, each on a connection of its own, publishes messages, and divides the
//! CPU time that a server used by the messages that were delivered. Rounds of the servers take turns: on a shared machine,
//! CPU time varies less than a rate does, but it varies, so compare ratios.
//!
//! *Paced* rounds have pauses between messages, as rooms usually do. *Saturated* rounds measure how much a server can do:
//! the publisher sends whenever fewer than [`WINDOW`] messages are on their way to the slowest receiver, so that no
//! receiver lags so far behind that a server would drop messages.
//!
//! Ours is measured with its history in memory (`ours`) and on disk (`on-disk`); the other server has no history.
//!
//! Arguments: `--quick` for a short run, `fan-out` or `sends` for one of the two tables, and numbers of receivers.

mod broadcast;
mod http2;
mod measure;
mod process;
mod room_load;
mod session;

use std::time::Duration;
use std::{env, io, thread};

use grpc_chat_service::config::{Config, Store};

use measure::Sample;
use process::Server;
use room_load::{Pace, RoomLoad, TEXT};

/// The most messages on their way to the slowest receiver.
const WINDOW: u64 = 1_000;
/// Messages per second in a paced round, by the number of receivers: fewer in a room so large that more would saturate the
/// machine.
const PACE: [(usize, u32); 4] = [(1, 500), (10, 500), (100, 200), (1_000, 30)];

fn main() -> io::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let given = |arg: &str| args.iter().any(|given| given == arg);
    match args.first().map(String::as_str) {
        Some("serve-ours") => return process::serve(|| process::serve_chat(Config::default())),
        Some("serve-on-disk") => return process::serve(on_disk),
        // A multiple of the window, so that no receiver misses an event.
        Some("serve-broadcast") => return process::serve(|| broadcast::serve(4 * WINDOW as usize)),
        _ => {}
    }
    let receivers: Vec<usize> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    let receivers = |default: &[usize]| if receivers.is_empty() { default.to_vec() } else { receivers };
    // `cargo bench` passes `--bench`; anything else, such as `cargo test --benches`, only checks that the benchmark runs.
    let plan = match (given("--bench"), given("--quick")) {
        (true, false) => {
            Plan { rounds: 5, round: Duration::from_millis(1_000), receivers: receivers(&[1, 10, 100, 1_000]) }
        }
        (true, true) => {
            Plan { rounds: 2, round: Duration::from_millis(400), receivers: receivers(&[1, 10, 100, 1_000]) }
        }
        (false, _) => Plan { rounds: 1, round: Duration::from_millis(20), receivers: receivers(&[1, 2]) },
    };
    let cores = thread::available_parallelism()?;
    println!("{cores} cores; {TEXT}-byte messages; {} rounds of {:?}", plan.rounds, plan.round);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if given("fan-out") || !given("sends") {
        runtime.block_on(fan_out(&plan))?;
    }
    if given("sends") || !given("fan-out") {
        runtime.block_on(sends(&plan))?;
    }
    Ok(())
}

/// Serves the chat with its history on disk, where an event is synced before it is acked and published.
async fn on_disk() -> io::Result<()> {
    let dir = env::var_os(process::DATA).ok_or_else(|| io::Error::other("no data directory"))?;
    process::serve_chat(Config { store: Store::disk(dir), ..Config::default() }).await
}

struct Plan {
    rounds: usize,
    round: Duration,
    receivers: Vec<usize>,
}

/// Measures the cost of a delivery, by the number of receivers.
async fn fan_out(plan: &Plan) -> io::Result<()> {
    println!("\nreceivers            server      deliveries/s   µs CPU per delivery (min..max)   beside broadcast");
    let mut saturated = Vec::new();
    for &receivers in &plan.receivers {
        let servers = [Server::start("ours")?, Server::start("on-disk")?, Server::start("broadcast")?];
        let mut loads = Vec::new();
        for server in &servers {
            loads.push(RoomLoad::open(server.address, receivers).await?);
        }
        let pace = PACE.iter().find(|(most, _)| receivers <= *most).map_or(1, |(_, pace)| *pace);
        for (name, pace) in [("paced", Pace::PerSecond(pace)), ("saturated", Pace::Window(WINDOW))] {
            let mut rounds = [const { Vec::new() }; 3];
            for _ in 0..plan.rounds {
                for ((server, load), rounds) in servers.iter().zip(&mut loads).zip(&mut rounds) {
                    rounds.push(load.round(server, pace, plan.round, RoomLoad::delivered).await?);
                }
            }
            let [.., broadcast] = &rounds;
            for (server, rounds) in servers.iter().zip(&rounds) {
                let cpu = Sample::cpu(rounds);
                println!(
                    "{receivers:9} {name:10} {:10} {:12.0} {:>32} {:18.2}",
                    server.name,
                    Sample::rates(rounds).median(),
                    cpu.summary(3),
                    Sample::cpu_ratios(rounds, broadcast).median(),
                );
                if server.name == "ours" && name == "saturated" {
                    saturated.push((receivers, cpu.median()));
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

/// Measures the cost of a send in a room without receivers, by the number of sends in flight.
async fn sends(plan: &Plan) -> io::Result<()> {
    println!("\nin flight   server      acked sends/s   µs CPU per send (min..max)");
    for in_flight in [1, 64, 1_024] {
        let servers = [Server::start("ours")?, Server::start("on-disk")?];
        for server in &servers {
            let mut load = RoomLoad::open(server.address, 0).await?;
            let mut rounds = Vec::new();
            for _ in 0..plan.rounds {
                rounds.push(load.round(server, Pace::Window(in_flight), plan.round, RoomLoad::acked).await?);
            }
            println!(
                "{in_flight:9}   {:10} {:14.0} {:>28}",
                server.name,
                Sample::rates(&rounds).median(),
                Sample::cpu(&rounds).summary(3),
            );
        }
    }
    Ok(())
}
