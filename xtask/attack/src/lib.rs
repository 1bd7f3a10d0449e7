//! `cargo xtask attack`: attacks the real service, and checks that it stays small, quick and fair.
//!
//! The service has 1 GiB and a core of its own. On another core are honest clients (`honest`), who send, join and read pages
//! at a steady pace, and attackers (`attacks`), a process of low priority that writes HTTP/2 byte by byte (`link`). Phases
//! with the attack and phases with a process that only spins take turns; what honest clients have to wait for in both is
//! compared, so that a busy machine is not taken for a service that is unfair.

#![cfg(target_os = "linux")]

mod args;
mod attacker;
mod attacks;
mod frames;
mod honest;
mod link;
mod measure;
mod messages;
mod offender;
mod overload;
mod progress;
mod report;
mod seed;
mod service;
mod session;
mod sources;

use std::path::{Path, PathBuf};
use std::time::Instant;

use peers::process::Cores;
use xtask::{Outcome, service as build};

use args::Args;
use measure::Case;
use service::{NO_RATES, has_flag};

/// Runs the command with these arguments.
///
/// # Errors
///
/// If the arguments are wrong, nothing can be attacked, or the service misses a target.
pub fn run(words: &[&str]) -> Outcome {
    if let [offender::COMMAND, name, target, much] = words {
        return offender::run(name, target, much);
    }
    let mut args = match Args::parse(words)? {
        Some(args) => args,
        None => {
            print!("{}", args::usage());
            return Ok(());
        }
    };
    // The honest clients, and the services, which inherit the limit.
    rlimit::increase_nofile_limit(u64::MAX)?;
    let program = match args.service.take() {
        Some(program) => program,
        None => build_service(args.plan.is_quick)?,
    };
    if !args.plan.is_quick {
        args.plan.cores = Some(Cores::choose()?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(attack(&program, &args))
}

/// Builds the service for speed, unless it is only to be seen that it survives.
fn build_service(is_quick: bool) -> Result<PathBuf, Box<dyn std::error::Error>> {
    if is_quick {
        build::build()?;
    } else {
        xtask::shell::run(xtask::cargo().args(["build", "--release", "--package", "grpc_chat_service"]))?;
    }
    Ok(build::program("grpc_chat_service")?)
}

async fn attack(program: &Path, args: &Args) -> Outcome {
    let started = Instant::now();
    let history = seed::make(program).await?;
    let mut missed = Vec::new();
    println!("{}", report::head());
    for &attack in &args.attacks {
        for has_rates in args.rates(attack.kind, has_flag(program, NO_RATES)?) {
            for &connections in &args.connections {
                let case = Case { attack, connections, has_rates };
                let is_missed = match measure::run(program, history.path(), case, args.plan).await {
                    Ok(outcome) => {
                        println!("{}", report::row(case, &outcome));
                        !report::missed(&outcome).is_empty()
                    }
                    Err(error) => {
                        println!("{}: not measured: {error}", attack.name);
                        true
                    }
                };
                if is_missed {
                    missed.push(attack.name);
                }
            }
        }
    }
    if args.overload && !overload::run(program, history.path(), args.plan).await? {
        missed.push(args::OVERLOAD);
    }
    println!("{} s", started.elapsed().as_secs());
    missed.dedup();
    if missed.is_empty() { Ok(()) } else { Err(format!("targets were missed: {}", missed.join(", ")).into()) }
}
