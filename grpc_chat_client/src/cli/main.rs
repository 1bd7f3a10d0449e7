//! The client's command: reads the command line, runs the command, and reports how it ended.

mod args;
mod bench;
mod commands;
mod output;
mod settings;
mod tui;
mod values;

use std::env::{self, VarError};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory;
use grpc_chat_client::sanitize;
use tracing_subscriber::EnvFilter;

use args::{Args, Command};
use commands::{example, history, lines, rooms, send, tail};
use output::{Failure, note};
use settings::Settings;

fn main() -> ExitCode {
    let (args, matches) = match Args::from_process() {
        Ok(parsed) => parsed,
        Err(error) if error.use_stderr() => {
            // The error repeats words of the command line, which may come from anywhere.
            let _ = write!(io::stderr(), "{}", sanitize(&error.render().to_string()));
            return ExitCode::from(2);
        }
        Err(help) => {
            // Whoever closed the pipe has read enough.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    let filter = match log_filter() {
        Ok(filter) => filter,
        Err(failure) => return ended(Err(failure)),
    };
    let on_a_terminal = io::stderr().is_terminal();
    let drawn_over = on_a_terminal && matches!(args.command, Some(Command::Chat { .. })) && has_screen();
    if !drawn_over {
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(on_a_terminal).with_writer(io::stderr).init();
    }

    // A flag is in the matches of the last subcommand, wherever it stands.
    let mut matches = &matches;
    while let Some((_, below)) = matches.subcommand() {
        matches = below;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ended(Err(Failure::Failed(format!("cannot start: {error}")))),
    };
    let outcome = runtime.block_on(run(args, matches));
    // A read of a terminal cannot be cancelled; do not wait until the person presses return.
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
    if command.is_some() && name.is_some() {
        return Err(Failure::Usage("--name is for the example only; pass --user to a command".to_owned()));
    }
    // In these the user is present in the room, or is the author of a message.
    let needs_user = matches!(command, Some(Command::Chat { .. } | Command::Send { .. } | Command::Tail { .. }));
    let settings = Settings::new(connect, matches, needs_user).map_err(Failure::Usage)?;
    let mut config = settings.config.clone();
    match (command, name) {
        (None, None) => example::run(&config.server, &config.tls).await,
        (None, Some(name)) => example::lines(&config.server, &config.tls, name).await,
        (Some(Command::Chat { room, no_state, theme }), _) => {
            if !has_screen() {
                let no_room = || Failure::Usage("no room is named; pass one, as in `chat lobby`".to_owned());
                return lines::run(config, &room.ok_or_else(no_room)?).await;
            }
            let files = || {
                let rooms = settings.state_file("rooms")?.with_extension("txt");
                Some(tui::Files { state: settings.state_file("chat")?, rooms })
            };
            tui::run(config, room, if no_state { None } else { files() }, theme).await
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
                    let no_place = || {
                        let why =
                            "this machine has no directory for state files, which --resume needs; pass --state DIR";
                        Failure::Usage(why.to_owned())
                    };
                    config.state_file = Some(file.ok_or_else(no_place)?);
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

/// Whether somebody is at a terminal that a screen can be drawn on.
fn has_screen() -> bool {
    // Terminals that can do more than print lines say what they are; on Windows all can, and none says so.
    let can_draw = cfg!(not(unix)) || std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    io::stdin().is_terminal() && io::stdout().is_terminal() && can_draw
}

/// Returns the filter in RUST_LOG. Without one nothing is logged: standard error belongs to the person.
fn log_filter() -> Result<EnvFilter, Failure> {
    let filter = match env::var(EnvFilter::DEFAULT_ENV) {
        Ok(filter) if !filter.is_empty() => filter,
        Err(VarError::NotUnicode(_)) => return Err(Failure::Usage("the value of RUST_LOG is not UTF-8".to_owned())),
        _ => return Ok(EnvFilter::new("off")),
    };
    EnvFilter::try_new(&filter).map_err(|error| {
        let filter = filter.escape_debug();
        Failure::Usage(format!(
            "RUST_LOG is \"{filter}\", which is not a log filter ({error}); set it to `debug`, for example"
        ))
    })
}

fn ended(outcome: Result<(), Failure>) -> ExitCode {
    let (code, sentence) = match outcome {
        Ok(()) | Err(Failure::ReaderLeft) => return ExitCode::SUCCESS,
        Err(Failure::Failed(sentence)) => (1, sentence),
        Err(Failure::Usage(sentence)) => (2, sentence),
        Err(Failure::Refused(sentence)) => (3, sentence),
        // As shells report a program that a signal ended.
        Err(Failure::Stopped(signal)) => return ExitCode::from(128 + signal),
    };
    note(&sentence);
    ExitCode::from(code)
}
