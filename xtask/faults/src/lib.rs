//! `cargo xtask faults`: breaks what can break around the real service, and checks that it keeps its promises.
//!
//! A fault runs clients against the service (`load`, or `client` for the client library) while it breaks something:
//! connections (`proxy`), the process, the disk. The clients log what they sent and received, and `checker` compares the logs
//! with the history at the end.

mod checker;
mod client;
mod convert;
mod drain;
mod fault;
mod full;
mod kill;
mod load;
mod power;
pub mod proxy;
mod reconnects;
mod restore;
mod rot;
mod route;
mod second;
pub mod server;
pub mod site;
mod slow;
mod stampede;
mod sync;

use std::time::Instant;

use xtask::{Outcome, service};

pub use fault::block_on;
use fault::{Ending, FaultResult, Size};

struct Fault {
    name: &'static str,
    what: &'static str,
    run: fn(Size) -> FaultResult,
}

const FAULTS: &[Fault] = &[
    Fault { name: "reconnects", what: "connections cut at any byte, under load", run: reconnects::run },
    Fault { name: "kill", what: "kill -9 at any moment, under load", run: kill::run },
    Fault { name: "drain", what: "SIGTERM under load, with many streams open", run: drain::run },
    Fault { name: "sync", what: "syncs that fail", run: sync::run },
    Fault { name: "full", what: "a disk that is full for a while", run: full::run },
    Fault { name: "second", what: "a second process on the same data", run: second::run },
    Fault { name: "rot", what: "bytes on disk that change, vanish or appear", run: rot::run },
    Fault { name: "restore", what: "a copy of the data that is restored, and goes on differently", run: restore::run },
    Fault { name: "power", what: "power cuts, under load", run: power::run },
    Fault { name: "client", what: "the client library, under all of that at once, a minute a round", run: client::run },
    Fault {
        name: "stampede",
        what: "a service that all clients lose at once, and that comes back",
        run: stampede::run,
    },
    Fault { name: "slow", what: "readers that stop reading", run: slow::run },
];

/// Runs the named faults, or all of them, and sums up at the end which of them passed.
pub fn run(words: &[&str]) -> Outcome {
    let (rounds, names) = match words {
        ["--rounds", rounds, names @ ..] => {
            (Some(rounds.parse().map_err(|_| format!("--rounds takes a number, not \"{rounds}\""))?), names)
        }
        names => (None, names),
    };
    if let Some(unknown) = names.iter().find(|name| FAULTS.iter().all(|fault| fault.name != **name)) {
        let known: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
        return Err(format!("there is no fault named {unknown}; the faults are {}", known.join(", ")).into());
    }
    service::build()?;
    let seed = fastrand::u64(..);
    let (mut passed, mut skipped, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for Fault { name, what, run } in FAULTS.iter().filter(|fault| names.is_empty() || names.contains(&fault.name)) {
        println!("\n==> {name}: {what}");
        let started = Instant::now();
        let result = run(Size { rounds, small: false, seed });
        let took = started.elapsed().as_secs_f32();
        match result {
            Ok(Ending::Passed(summary)) => {
                println!("==> {name}: passed in {took:.1} s: {summary}");
                passed.push(*name);
            }
            Ok(Ending::Skipped(why)) => {
                println!("==> {name}: SKIPPED, not checked: {why}");
                skipped.push(*name);
            }
            Err(error) => {
                println!("==> {name}: FAILED after {took:.1} s (seed {seed}): {error}");
                failed.push(*name);
            }
        }
    }
    let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    println!("\n==> passed: {}; skipped: {}; failed: {}", list(&passed), list(&skipped), list(&failed));
    if failed.is_empty() { Ok(()) } else { Err(format!("these faults failed: {}", failed.join(", ")).into()) }
}

/// The short forms, which leave the machine as it is: nothing is mounted.
#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// Serializes the faults, each of which loads the whole machine. Its value says whether the service is built.
    static BUILT: Mutex<bool> = Mutex::new(false);

    fn check(name: &str) {
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        if !*built {
            service::build().unwrap();
            *built = true;
        }
        let fault = FAULTS.iter().find(|fault| fault.name == name).unwrap();
        let size = Size { rounds: None, small: true, seed: fastrand::u64(..) };
        match (fault.run)(size) {
            Ok(Ending::Passed(summary)) => eprintln!("{name}: passed: {summary}"),
            Ok(Ending::Skipped(why)) => {
                // Written directly, because the test harness hides what a passing test prints.
                let _ = writeln!(io::stderr(), "\n{name}: SKIPPED, not checked: {why}");
            }
            Err(error) => panic!("{name} (seed {}): {error}", size.seed),
        }
    }

    #[test]
    fn connections_that_break_lose_repeat_and_reorder_nothing() {
        check("reconnects");
    }

    #[test]
    fn what_was_acked_survives_kill_9() {
        check("kill");
    }

    #[test]
    fn a_second_process_on_the_same_data_is_refused() {
        check("second");
    }

    #[test]
    fn a_draining_service_notifies_every_session_and_loses_nothing() {
        check("drain");
    }

    #[test]
    fn a_failed_sync_stops_the_acks_and_loses_nothing_acked() {
        check("sync");
    }

    #[test]
    fn bytes_that_change_on_disk_are_found() {
        check("rot");
    }

    #[test]
    fn a_history_that_is_restored_from_a_copy_is_noticed() {
        check("restore");
    }

    #[test]
    fn an_application_receives_every_event_once_and_every_send_resolves_whatever_happens() {
        check("client");
    }

    #[test]
    fn all_clients_are_back_soon_after_a_restart_and_not_all_at_once() {
        check("stampede");
    }

    #[test]
    fn stalled_readers_miss_nothing_and_cost_little() {
        check("slow");
    }
}
