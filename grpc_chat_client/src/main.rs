//! The client's command: read the command line, run, say how it went.

mod args;
mod commands;
mod output;
mod settings;
mod tui;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};
use tracing_subscriber::EnvFilter;

use args::{Args, Command};
use commands::{example, history, lines, rooms, send, tail};
use output::{Failure, note};
use settings::Settings;

fn main() -> ExitCode {
    let parsed = Args::command()
        .try_get_matches()
        .and_then(|matches| Args::from_arg_matches(&matches).map(|args| (args, matches)));
    let (args, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(answer) => {
            // Help goes to standard output, mistakes to standard error; a closed pipe is no problem of ours.
            let _ = answer.print();
            return ExitCode::from(if answer.use_stderr() { 2 } else { 0 });
        }
    };
    // Quiet unless asked: standard error belongs to the person, not to the log.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();

    // The flags of a command stand below its name, the environment's on any level.
    let matches = matches.subcommand().map_or(&matches, |(_, below)| below);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ended(Err(Failure::Failed(format!("cannot start: {error}")))),
    };
    let outcome = runtime.block_on(run(args, matches));
    // A read of a terminal cannot be called off; do not wait for the person to press return.
    runtime.shutdown_background();
    ended(outcome)
}

async fn run(args: Args, matches: &clap::ArgMatches) -> Result<(), Failure> {
    let Args { connect, name, command } = args;
    if let Some(Command::Completions { shell }) = command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Args::command(), "grpc_chat_client", &mut script);
        return Ok(io::Write::write_all(&mut io::stdout(), &script)?);
    }
    if let (Some(_), Some(_)) = (&command, &name) {
        return Err(Failure::Usage("--name is for the example; a command takes --user".to_owned()));
    }
    let seen = matches!(command, Some(Command::Chat { .. } | Command::Send { .. } | Command::Tail { .. }));
    let settings = Settings::new(connect, matches, seen).map_err(Failure::Usage)?;
    let mut config = settings.config.clone();
    match (command, name) {
        (None, None) => example::run(&config.server, &config.tls).await,
        (None, Some(name)) => example::lines(&config.server, &config.tls, name).await,
        (Some(Command::Chat { room, no_state }), _) => {
            if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
                return lines::run(config, &room).await;
            }
            let files =
                || Some(tui::Kept { state: settings.state_file("chat")?, rooms: settings.state_file("rooms")? });
            tui::run(config, &room, if no_state { None } else { files() }).await
        }
        (Some(Command::Send { room, text, reply_to, timeout, json }), _) => {
            let timeout = Duration::from_secs(timeout.into());
            send::run(config, send::Send { room, text, reply_to, timeout, json }).await
        }
        (Some(Command::Tail { room, after, last, resume, json }), _) => {
            let from = match after {
                Some(after) => tail::From::After(after),
                None if resume => {
                    let file = settings.state_file(&format!("tail.{room}"));
                    let nowhere = || Failure::Usage("say where to keep how far it came, with --state DIR".to_owned());
                    config.state = Some(file.ok_or_else(nowhere)?);
                    tail::From::Resume(last)
                }
                None => tail::From::Last(last),
            };
            tail::run(config, &room, from, json).await
        }
        (Some(Command::History { room, last, after, json }), _) => {
            let extent = last.map_or(history::Extent::After(after.unwrap_or(0)), history::Extent::Last);
            history::run(config, &room, extent, json).await
        }
        (Some(Command::Rooms { json }), _) => rooms::run(config, json).await,
        (Some(Command::Completions { .. }), _) => Ok(()),
    }
}

fn ended(outcome: Result<(), Failure>) -> ExitCode {
    let (code, sentence) = match outcome {
        Ok(()) | Err(Failure::ReaderLeft) => return ExitCode::SUCCESS,
        Err(Failure::Failed(sentence)) => (1, sentence),
        Err(Failure::Usage(sentence)) => (2, sentence),
        Err(Failure::Refused(sentence)) => (3, sentence),
        // As a shell tells it of a program that a signal ended.
        Err(Failure::Stopped(signal)) => return ExitCode::from(128 + signal),
    };
    note(&sentence);
    ExitCode::from(code)
}
