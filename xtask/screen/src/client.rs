//! The client's commands, in a terminal and beside it.

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use xtask::{Outcome, service};

fn client() -> std::io::Result<PathBuf> {
    service::program("grpc_chat_client")
}

/// Sends lines to a room as another user.
pub(crate) fn say(address: &str, user: &str, room: &str, lines: &str) -> Outcome {
    let mut client = Command::new(client()?);
    client.args(["--server", address, "--user", user, "chat", room]);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let written = client.stdin.take().map(|mut stdin| std::io::Write::write_all(&mut stdin, lines.as_bytes()));
    let status = client.wait()?;
    match (written, status.success()) {
        (Some(Ok(())), true) => Ok(()),
        (written, _) => Err(format!("{user} could not send them: {status}, {written:?}").into()),
    }
}

/// Runs a command of the client that ends by itself.
pub(crate) fn run_client(address: &str, words: &[&str]) -> Outcome {
    let status = Command::new(client()?).args(["--server", address]).args(words).stdin(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", words.join(" ")).into()) }
}

/// Returns the client's command line for a shell. `words` are quoted already.
pub(crate) fn command(address: &str, words: &str) -> Result<String, Box<dyn Error>> {
    Ok(format!("'{}' --server {address} {words}", client()?.display()))
}
