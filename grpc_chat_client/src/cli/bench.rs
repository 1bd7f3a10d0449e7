//! `bench`: puts load on a service, and measures what comes of it.

mod args;
mod check;
mod clients;
mod cpu;
mod echo;
mod measure;
mod pace;
mod report;
mod rooms;
mod run;

use std::io::{self, Write};

use grpc_chat_client::Config;

use crate::output::Failure;
pub(crate) use args::BenchArgs;
use args::Load;
use report::Report;

/// Runs a bench and writes the result to standard output. `config` is the template for every client. Fails if the
/// bench cannot run to its end, or the service does not do what it promises.
pub(crate) async fn run(BenchArgs { load }: BenchArgs, config: Config) -> Result<(), Failure> {
    let (threads, json) = (load.common().threads as usize, load.common().json);
    // The caller's runtime has one thread. On two cores, one of them the service's, a second thread delivers 1.4 times as much
    // in fan-out, and makes echo and sends a little slower.
    let report = if threads == 1 {
        run_load(load, config).await?
    } else {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start {threads} threads: {error}"))?;
        let finished = runtime.spawn(run_load(load, config)).await;
        runtime.shutdown_background();
        finished.map_err(|error| format!("the load generator has failed: {error}"))??
    };
    let text = if json {
        serde_json::to_string(&report).map_err(|error| format!("cannot write the result: {error}"))?
    } else {
        report.text()
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush())?;
    if report.interrupted { Err(Failure::Stopped(measure::INTERRUPTED)) } else { Ok(()) }
}

async fn run_load(load: Load, config: Config) -> Result<Report, Failure> {
    match load {
        Load::Echo(args) => echo::echo(args, config).await,
        Load::FanOut(args) => rooms::fan_out(args, config).await,
        Load::Sends(args) => rooms::sends(args, config).await,
    }
}
