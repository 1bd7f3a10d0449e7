//! The project's own commands. Run `cargo xtask` to list them.

mod ci;
mod foreign;
mod readme;

use std::process::{Command, ExitCode};

use xtask::{Outcome, service, shell};

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

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["gen", ref words @ ..] => shell::run_crate("codegen", words),
        ["demo"] => demo(),
        ["ci"] => ci::run(ci::Extent::Whole),
        ["ci", "--quick"] => ci::run(ci::Extent::Quick),
        ["faults", ref words @ ..] => shell::run_crate("faults", words),
        ["screen", ref words @ ..] => shell::run_crate("screen", words),
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

/// Builds the demo together with the programs that it shows, and runs it.
fn demo() -> Outcome {
    service::build_with(&["demo"])?;
    let status = Command::new(service::program("demo")?).status()?;
    if status.success() { Ok(()) } else { Err(format!("the demo failed ({status})").into()) }
}
