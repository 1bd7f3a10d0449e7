//! What the project's own commands share: where the workspace is, and how to run cargo, other programs and the service.

pub mod service;
pub mod shell;
pub mod tools;

use std::path::Path;
use std::process::{Command, ExitCode};

/// The result of a command: nothing, or a sentence for a person.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Runs a command with the arguments of this program. An error goes to standard error, and the exit code is 1.
pub fn command(name: &str, run: impl FnOnce(&[&str]) -> Outcome) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the workspace's top folder.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Returns a command that runs this cargo in the workspace's top folder.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}
