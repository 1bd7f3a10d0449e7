//! `cargo xtask`: the project's own commands. Those that have dependencies are packages beneath this one, so that each
//! command builds only what it needs.

mod ci;
mod foreign;
mod readme;

use std::process::{Command, ExitCode};

use xtask::{Outcome, service, shell};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  gen                     generate stubs/src/generated from proto/
  gen --check             fail if stubs/src/generated does not match proto/
  demo                    run the client against the service and show both
  faults [--rounds N] [NAME]..
                          break networks, processes and disks around the
                          service, and check that it keeps its promises
  attack [--quick] [NAME]..
                          attack the service, limited to 1 GiB of memory, and
                          check that it stays small, quick and fair
  screen [PART]..         check the client's screen in a real terminal (needs
                          tmux)
  screen accept [PART]..  record the screens instead of comparing them
  screen load             measure what watching a busy room costs
  screen picture          draw the picture of the screen in the README
  bench peers [--quick] [--rounds N] [--ours PATH].. [NAME]..
                          measure the service beside tonic, grpc-go, NATS and
                          Redis (Go and Redis have to be installed)
  ci                      run all checks, as CI does
  ci --quick              run those that need no Python, Node, Java or tmux
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["gen", ref words @ ..] => shell::run_package("codegen", words),
        ["demo"] => demo(),
        ["ci"] => ci::run(ci::Extent::Whole),
        ["ci", "--quick"] => ci::run(ci::Extent::Quick),
        ["faults", ref words @ ..] => shell::run_package("faults", words),
        ["attack", ref words @ ..] if words.contains(&"--quick") => shell::run_package("attack", words),
        ["attack", ref words @ ..] => shell::run_package_optimized("attack", words),
        ["screen", ref words @ ..] => shell::run_package("screen", words),
        ["bench", "peers", ref words @ ..] => shell::run_package_optimized("peers", words),
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

/// Builds the demo together with the service and the client, and runs it.
fn demo() -> Outcome {
    service::build_with(&["demo"])?;
    let status = Command::new(service::program("demo")?).status()?;
    if status.success() { Ok(()) } else { Err(format!("the demo failed ({status})").into()) }
}
