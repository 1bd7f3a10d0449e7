//! `screen`: the client's screen in a real terminal, with real keys, against the real service.

mod client;
mod conversation;
mod hostile;
mod load;
mod picture;
mod restored;
mod seen;
mod svg;
mod tmux;

use std::process::ExitCode;
use std::time::Instant;

use xtask::{Outcome, service};

struct Part {
    name: &'static str,
    run: fn() -> Outcome,
}

/// What `screen` checks.
const PARTS: [Part; 3] = [
    Part { name: "conversation", run: conversation::run },
    Part { name: "restored", run: restored::run },
    Part { name: "hostile", run: hostile::run },
];

fn main() -> ExitCode {
    xtask::command("screen", run)
}

/// Runs the named parts, or all; with `accept`, captures are written instead of compared.
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
        println!("{name}: passed in {:.1} s", started.elapsed().as_secs_f32());
    }
    Ok(())
}
