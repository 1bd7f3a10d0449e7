//! The project's own commands. Run `cargo xtask` to list them.

mod boundaries;
mod ci;
mod codegen;
mod demo;
mod faults;
mod foreign;
mod readme;
mod screen;
mod service;
mod shell;
mod tools;

use std::path::Path;
use std::process::{Command, ExitCode};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  gen          write stubs/src/generated from proto/
  gen --check  compare it with proto/ and write nothing
  demo         start the service, run the client against it, show both, stop
  faults       break what can break, and hold the service to its promises
               (--rounds N for more or fewer of them, names for some only)
  screen       the client's screen in a real terminal (needs tmux); then
               accept: what is on it is right; load: what a busy room costs;
               picture: make the README's anew
  ci           everything that guards the project, as CI runs it
  ci --quick   the same as far as it needs no Python, Node, Go or tmux
";

/// What a command answers: nothing, or a sentence for a person.
type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["gen"] => codegen::write(),
        ["gen", "--check"] => codegen::check(),
        ["demo"] => demo::run(),
        ["ci"] => ci::run(ci::Extent::Whole),
        ["ci", "--quick"] => ci::run(ci::Extent::Quick),
        ["faults", ref words @ ..] => faults::run(words),
        ["screen", ref words @ ..] => screen::run(words),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("xtask: no such command: {}\n\n{USAGE}", args.join(" "));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's top folder.
fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// The cargo that runs this, in the workspace's top folder.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}
