//! The client's command: read the command line, run, say how it went.

mod args;
mod bench;
mod commands;
mod output;
mod settings;
mod tui;
mod values;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};
use grpc_chat_client::sanitize;
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
            if answer.use_stderr() {
                // It repeats words that may come from anywhere.
                let _ = write!(io::stderr(), "{}", sanitize(&answer.render().to_string()));
                return ExitCode::from(2);
            }
            let _ = answer.print();
            return ExitCode::SUCCESS;
        }
    };
    // Quiet unless asked: standard error belongs to the person, not to the log.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    let on_a_terminal = io::stderr().is_terminal();
    let drawn_over = on_a_terminal && matches!(args.command, Some(Command::Chat { .. })) && has_screen();
    if !drawn_over {
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(on_a_terminal).with_writer(io::stderr).init();
    }

    // The flags of a command stand below its name, the environment's on any level.
    let mut matches = &matches;
    while let Some((_, below)) = matches.subcommand() {
        matches = below;
    }
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
        return Ok(io::stdout().write_all(&script)?);
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
            if !has_screen() {
                let unsaid = || Failure::Usage("say which room: `chat ROOM`".to_owned());
                return lines::run(config, &room.ok_or_else(unsaid)?).await;
            }
            let files = || {
                let rooms = settings.state_file("rooms")?.with_extension("txt");
                Some(tui::Kept { state: settings.state_file("chat")?, rooms })
            };
            tui::run(config, room.map(|room| room.to_string()), if no_state { None } else { files() }).await
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
                    config.state_file = Some(file.ok_or_else(nowhere)?);
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
        (Some(Command::Bench(args)), _) => bench::run(args, config).await,
        (Some(Command::Completions { .. }), _) => Ok(()),
    }
}

/// Whether there is somebody at a terminal.
fn has_screen() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
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
