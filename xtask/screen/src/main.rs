//! `screen`: the client's screen in a real terminal, with real keys, against the real service.

mod conversation;
mod hostile;
mod load;
mod picture;
mod restored;
mod seen;
mod tmux;

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use xtask::{Outcome, service};

struct Part {
    name: &'static str,
    run: fn() -> Outcome,
}

/// What `screen` holds the client to.
const PARTS: [Part; 3] = [
    Part { name: "conversation", run: conversation::run },
    Part { name: "restored", run: restored::run },
    Part { name: "hostile", run: hostile::run },
];

fn main() -> ExitCode {
    xtask::command("screen", run)
}

/// Runs the parts that are named, or all; after `accept`, what is on the screen is taken for right.
fn run(words: &[&str]) -> Outcome {
    let names = match words {
        ["load"] => return load::run(),
        ["picture"] => {
            service::build()?;
            return picture::run();
        }
        ["accept", names @ ..] => {
            seen::accept();
            names
        }
        names => names,
    };
    if let Some(unknown) = names.iter().find(|name| PARTS.iter().all(|part| part.name != **name)) {
        let parts = PARTS.map(|part| part.name).join(", ");
        return Err(format!("screen takes accept, load, picture, or some of {parts}; not {unknown}").into());
    }
    service::build()?;
    for Part { name, run } in PARTS.iter().filter(|part| names.is_empty() || names.contains(&part.name)) {
        let started = Instant::now();
        run().map_err(|error| format!("{name}: {error}"))?;
        println!("{name}: held in {:.1} s", started.elapsed().as_secs_f32());
    }
    Ok(())
}

fn client() -> std::io::Result<PathBuf> {
    service::program("grpc_chat_client")
}

/// What another user says: lines into a room.
fn say(address: &str, user: &str, room: &str, lines: &str) -> Outcome {
    let mut client = Command::new(client()?);
    client.args(["--server", address, "--user", user, "chat", room]);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let written = client.stdin.take().map(|mut stdin| std::io::Write::write_all(&mut stdin, lines.as_bytes()));
    let status = client.wait()?;
    match (written, status.success()) {
        (Some(Ok(())), true) => Ok(()),
        (written, _) => Err(format!("{user} could not say it: {status}, {written:?}").into()),
    }
}

/// A command of the client that ends by itself.
fn tell(address: &str, words: &[&str]) -> Outcome {
    let status = Command::new(client()?).args(["--server", address]).args(words).stdin(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", words.join(" ")).into()) }
}

/// The client's command line for a terminal. `words` are quoted for the shell already.
fn command(address: &str, words: &str) -> Result<String, Box<dyn Error>> {
    Ok(format!("'{}' --server {address} {words}", client()?.display()))
}
