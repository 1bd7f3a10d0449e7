//! `cargo xtask bench peers`: measures the service beside tonic, grpc-go, NATS and Redis.
//!
//! Every server has a process and a core of its own, and the load generator has another core. A round opens new connections,
//! warms the server up, and divides the CPU time that the server used by the messages that arrived, each of which is checked.
//! The rounds of all servers take turns, so that what disturbs the machine disturbs all of them; ratios are those of rounds
//! next to each other.
//!
//! The generator is one thread with hand-written protocols (`protocol.rs`). A generator that is slow is not only measured
//! with the server: a server that waits for it sends and receives fewer messages at a time, which costs it more for each. So
//! the generator's own CPU time is shown, and a result is marked where it is more than a third of the server's.

#![cfg(target_os = "linux")]

mod args;
mod load;
mod machine;
mod measure;
pub mod process;
mod protocol;
mod report;
mod run;
mod servers;
mod target;
mod workload;

use std::time::Instant;

use xtask::Outcome;

/// What others send and receive that speak HTTP/2 byte by byte.
pub mod http2 {
    pub use crate::protocol::http2::{frame, prefixed};
}

use args::Args;
use process::Cores;
use report::{Results, json, picture, table};
use servers::{Servers, tonic};

/// Runs the command with these arguments.
///
/// # Errors
///
/// If the arguments are wrong, nothing can be measured, or a server did not deliver what it should.
pub fn run(words: &[&str]) -> Outcome {
    if let [tonic::COMMAND, address] = words {
        return Ok(tonic::serve(address)?);
    }
    let args = match Args::parse(words)? {
        Some(args) => args,
        None => {
            print!("{}", args::usage());
            return Ok(());
        }
    };
    let (folder, started) = (target::folder()?, Instant::now());
    // Each connection needs a descriptor here, and one in the server, which inherits the limit.
    rlimit::increase_nofile_limit(u64::MAX)?;
    let servers = Servers::build(&args.ours)?;
    let cores = Cores::choose()?;

    let mut results = Results::new(args.plan, servers.missing);
    for workload in args.workloads {
        eprintln!("==> {}", workload.name);
        results.works.push(run::measure(workload, &servers.found, args.plan, cores));
    }
    let seconds = started.elapsed().as_secs();

    let table = table::render(&results);
    print!("{table}");
    let pieces =
        [("table.md", table), ("results.json", json::render(&results)), ("picture.svg", picture::render(&results))];
    for (name, content) in pieces {
        std::fs::write(folder.join(name), content)?;
    }
    eprintln!("==> {seconds} s; table.md, results.json and picture.svg are in {}", folder.display());
    match results.failures()[..] {
        [] => Ok(()),
        ref failures => Err(failures.join("\n       ").into()),
    }
}
