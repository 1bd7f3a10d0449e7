//! `bench`: load against a service, and what came of it.

mod clients;
mod cpu;
mod drive;
mod echo;
mod fan_out;
mod hall;
mod heard;
mod listener;
mod pace;
mod progress;
mod report;
mod run;
mod sends;
mod speaker;
mod stamp;
mod tally;
mod terms;
mod units;

use std::io::{self, Write};

use grpc_chat_client::Config;

use crate::output::Failure;
use report::Report;

// What is asked for on the command line. Not a doc comment, which would be shown in its help.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = report::FIELDS)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    load: Load,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Load {
    /// The example: messages on some calls, each matched to its reply
    Echo(echo::Args),
    /// One room: messages to many receivers, each checked to have heard all that was acked, once and in order
    FanOut(fan_out::Args),
    /// Messages that are stored: how long it takes until they are acked
    Sends(sends::Args),
}

/// Runs a bench and writes what came of it on standard output. `config` is the template for every client.
///
/// # Errors
///
/// [`Failure`], if it could not be run to its end, or the service has not kept what it promises.
pub(crate) async fn run(args: &BenchArgs, config: Config) -> Result<(), Failure> {
    let report = args.load.clone().on(config).await.map_err(Failure::Failed)?;
    let text = if args.load.terms().json {
        let cannot = |error| Failure::Failed(format!("cannot write the result: {error}"));
        serde_json::to_string(&report).map_err(cannot)?
    } else {
        report.text()
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush())?;
    if report.interrupted { Err(Failure::Stopped(drive::INTERRUPTED)) } else { Ok(()) }
}

impl Load {
    /// Runs it on as many threads as it was asked for.
    async fn on(self, config: Config) -> Result<Report, String> {
        let threads = self.terms().threads as usize;
        // The caller's runtime has one. More are for machines that have cores to spare. On two cores, one of them the
        // service's, a second thread delivers 1.4 times as much in fan-out, and makes echo and sends a little slower.
        if threads == 1 {
            return self.run(&config).await;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start {threads} threads: {error}"))?;
        let ran = runtime.spawn(async move { self.run(&config).await }).await;
        runtime.shutdown_background();
        ran.map_err(|error| format!("the load generator has failed: {error}"))?
    }

    async fn run(&self, config: &Config) -> Result<Report, String> {
        match self {
            Self::Echo(args) => echo::run(args, config).await,
            Self::FanOut(args) => fan_out::run(args, config).await,
            Self::Sends(args) => sends::run(args, config).await,
        }
    }

    fn terms(&self) -> &terms::Terms {
        match self {
            Self::Echo(args) => &args.terms,
            Self::FanOut(args) => &args.terms,
            Self::Sends(args) => &args.terms,
        }
    }
}
