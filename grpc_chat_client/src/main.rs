//! The client's command: the example, or lines from standard input.

mod bench;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use grpc_chat_client::{Ended, ServerUrl, connect_once, converse, example, pipe, sanitize};
use tracing_subscriber::EnvFilter;

/// Talks to a chat service.
///
/// Without --name it runs the example: sends three messages, prints the three replies.
/// With --name it sends each line of standard input and prints each reply as it comes.
///
/// Exit codes: 0 when all was sent and answered (or the reader of the output left), 1 when the service could not
/// be reached, failed, or the input could not be sent; 2 when the command line cannot be used.
#[derive(Debug, Parser)]
#[command(name = "grpc_chat_client", version)]
struct Cli {
    /// Where the service listens
    #[arg(long, value_name = "URL", env = "CHAT_SERVER", global = true, default_value = "http://127.0.0.1:9090")]
    server: ServerUrl,

    /// Send lines from standard input under this name
    #[arg(long)]
    name: Option<String>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Puts load on a service and measures what comes of it
    Bench(bench::BenchArgs),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => {
            // Help goes to standard output, mistakes to standard error; a closed pipe is no problem of ours.
            let _ = answer.print();
            return ExitCode::from(if answer.use_stderr() { 2 } else { 0 });
        }
    };
    // Quiet unless asked: standard error belongs to the person, not to the log.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();

    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let code = runtime.block_on(run(cli));
    // A read of a terminal cannot be called off; do not wait for the person to press return.
    runtime.shutdown_background();
    code
}

async fn run(cli: Cli) -> ExitCode {
    if let Some(Command::Bench(args)) = &cli.command {
        let user = cli.name.unwrap_or_else(|| "sam".to_owned());
        return match bench::run(args, grpc_chat_client::Config::new(cli.server, user)).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(sentence) => fail(&sentence),
        };
    }
    let service = match connect_once(&cli.server, &grpc_chat_client::Tls::default()).await {
        Ok(service) => service,
        Err(error) => {
            tracing::info!(why = &error as &dyn std::error::Error, "not connected");
            return fail(&error.to_string());
        }
    };
    let (ended, unsent) = match cli.name {
        None => (converse(service, tokio_stream::iter(example::messages()), print).await, None),
        Some(name) => {
            let (lines, problem) = pipe::lines(tokio::io::stdin(), name);
            (converse(service, lines, print).await, problem.try_recv().ok())
        }
    };
    match (ended, unsent) {
        (Ok(()), None) => ExitCode::SUCCESS,
        (Ok(()), Some(problem)) => fail(&problem),
        // Whoever read the output has had enough of it.
        (Err(Ended::Output(error)), _) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        (Err(Ended::Output(error)), _) => fail(&format!("cannot write: {error}")),
        (Err(Ended::ByService(status)), _) => {
            let why = if status.message().is_empty() { status.code().description() } else { status.message() };
            fail(&format!("the service ended the conversation: {}", sanitize(why)))
        }
    }
}

/// One reply, one line, at once. A terminal is shown only what cannot steer it; a program gets every byte.
fn print(reply: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        writeln!(out, "{}", sanitize(reply))?;
    } else {
        writeln!(out, "{reply}")?;
    }
    out.flush()
}

fn fail(sentence: &str) -> ExitCode {
    // With standard error closed there is nobody left to tell.
    let _ = writeln!(io::stderr(), "grpc_chat_client: {sentence}");
    ExitCode::FAILURE
}
