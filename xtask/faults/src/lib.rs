//! `faults`: breaks what can break around the real service, and holds it to its promises.

mod checker;
mod client;
pub mod cutter;
mod door;
mod drain;
mod fault;
mod full;
mod kill;
mod library;
mod load;
mod power;
mod reconnects;
mod rot;
mod second;
pub mod server;
pub mod site;
mod slow;
mod stampede;
mod sync;

use std::time::Instant;

use xtask::{Outcome, service};

pub use fault::block_on;
use fault::{Ended, Ending, Size};

struct Fault {
    name: &'static str,
    what: &'static str,
    run: fn(Size) -> Ended,
}

const FAULTS: &[Fault] = &[
    Fault { name: "reconnects", what: "connections cut at any byte, under load", run: reconnects::run },
    Fault { name: "kill", what: "kill -9 at any moment, under load", run: kill::run },
    Fault { name: "drain", what: "SIGTERM under load, with many streams open", run: drain::run },
    Fault { name: "sync", what: "syncs that fail", run: sync::run },
    Fault { name: "full", what: "a full disk, for a while", run: full::run },
    Fault { name: "second", what: "a second process on the same data", run: second::run },
    Fault { name: "rot", what: "bytes on disk that change, vanish or appear", run: rot::run },
    Fault { name: "power", what: "power cuts, under load", run: power::run },
    Fault { name: "client", what: "the client library, under all of that at once, a minute a round", run: client::run },
    Fault { name: "stampede", what: "everyone loses the service at once, and it comes back", run: stampede::run },
    Fault { name: "slow", what: "readers that stop reading", run: slow::run },
];

/// Runs the named faults, or all of them, and says at the end what is not known to hold.
pub fn run(words: &[&str]) -> Outcome {
    let (rounds, names) = match words {
        ["--rounds", rounds, names @ ..] => {
            (Some(rounds.parse().map_err(|_| format!("--rounds takes a number, not \"{rounds}\""))?), names)
        }
        names => (None, names),
    };
    if let Some(unknown) = names.iter().find(|name| FAULTS.iter().all(|fault| fault.name != **name)) {
        let known: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
        return Err(format!("no such fault: {unknown}; there are {}", known.join(", ")).into());
    }
    service::build()?;
    let seed = fastrand::u64(..);
    let (mut held, mut skipped, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for Fault { name, what, run } in FAULTS.iter().filter(|fault| names.is_empty() || names.contains(&fault.name)) {
        println!("\n==> {name}: {what}");
        let started = Instant::now();
        let ending = run(Size { rounds, small: false, seed });
        let took = started.elapsed().as_secs_f32();
        match ending {
            Ok(Ending::Held(numbers)) => {
                println!("==> {name}: held in {took:.1} s: {numbers}");
                held.push(*name);
            }
            Ok(Ending::Skipped(why)) => {
                println!("==> {name}: SKIPPED, AND NOT KNOWN TO HOLD: {why}");
                skipped.push(*name);
            }
            Err(error) => {
                println!("==> {name}: FAILED after {took:.1} s (seed {seed}): {error}");
                failed.push(*name);
            }
        }
    }
    let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    println!("\n==> held: {}; skipped: {}; failed: {}", list(&held), list(&skipped), list(&failed));
    if failed.is_empty() { Ok(()) } else { Err(format!("faults that did not hold: {}", failed.join(", ")).into()) }
}

/// The forms that are short enough for every day, and leave the machine as it is: nothing is mounted.
#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// One at a time: each of them is enough for the machine.
    static TURN: Mutex<bool> = Mutex::new(false);

    fn holds(name: &str) {
        let mut built = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        if !*built {
            service::build().unwrap();
            *built = true;
        }
        let fault = FAULTS.iter().find(|fault| fault.name == name).unwrap();
        let size = Size { rounds: None, small: true, seed: fastrand::u64(..) };
        match (fault.run)(size) {
            Ok(Ending::Held(numbers)) => eprintln!("{name}: held: {numbers}"),
            Ok(Ending::Skipped(why)) => {
                // Past the harness, which shows nothing of a test that passes.
                let _ = writeln!(io::stderr(), "\n{name}: SKIPPED, AND NOT KNOWN TO HOLD: {why}");
            }
            Err(error) => panic!("{name} (seed {}): {error}", size.seed),
        }
    }

    #[test]
    fn connections_that_break_lose_repeat_and_reorder_nothing() {
        holds("reconnects");
    }

    #[test]
    fn what_was_acked_survives_kill_9() {
        holds("kill");
    }

    #[test]
    fn a_second_process_on_the_same_data_is_refused() {
        holds("second");
    }

    #[test]
    fn a_service_that_is_asked_to_leave_tells_everyone_and_loses_nothing() {
        holds("drain");
    }

    #[test]
    fn a_sync_that_fails_ends_the_acks_and_not_what_was_acked() {
        holds("sync");
    }

    #[test]
    fn bytes_that_change_on_disk_are_found() {
        holds("rot");
    }

    #[test]
    fn an_application_receives_every_event_once_and_every_send_resolves_whatever_happens() {
        holds("client");
    }

    #[test]
    fn everyone_is_back_soon_after_a_restart_and_not_all_at_once() {
        holds("stampede");
    }

    #[test]
    fn readers_that_stall_miss_nothing_and_cost_little() {
        holds("slow");
    }
}
