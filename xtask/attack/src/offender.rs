//! Attackers as a process of their own, with a low priority: the service and the honest clients go first.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use xtask::Outcome;

use crate::attacks::{self, presence};
use crate::overload::load::{self, Load};
use crate::progress::Progress;

/// The first word of the command that runs attackers.
pub(crate) const COMMAND: &str = "offender";

/// The name of [`Offence::Load`] on its command line.
const LOAD: &str = "load";

/// What a process does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Offence {
    /// Nothing, on a whole core.
    Spin,
    /// A crowd that does no harm.
    Crowd,
    /// This attack, from so many connections.
    Attack(&'static str, usize),
    /// Many users who send this much.
    Load(Load),
}

/// A process of attackers, killed when dropped.
pub(crate) struct Offender {
    process: Child,
    last_line: Arc<Mutex<String>>,
}

impl Offender {
    /// Starts a process.
    pub(crate) fn start(offence: Offence, target: SocketAddr) -> io::Result<Self> {
        let (name, much) = match offence {
            Offence::Spin => ("spin", String::new()),
            Offence::Crowd => ("crowd", String::new()),
            Offence::Attack(name, connections) => (name, connections.to_string()),
            Offence::Load(load) => (LOAD, load.to_string()),
        };
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(std::env::current_exe()?).arg(COMMAND);
        command.args([name, &target.to_string(), &much]);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let last_line = Arc::<Mutex<String>>::default();
        if let Some(stdout) = process.stdout.take() {
            let last_line = Arc::clone(&last_line);
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    *last_line.lock().unwrap_or_else(PoisonError::into_inner) = line;
                }
            });
        }
        Ok(Self { process, last_line })
    }

    /// Returns what the attackers have done so far.
    pub(crate) fn progress(&self) -> Progress {
        Progress::parse(&self.last_line()).unwrap_or_default()
    }

    /// Returns the last line that the process has written.
    pub(crate) fn last_line(&self) -> String {
        self.last_line.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Offender {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the attackers that a command line describes, in their process.
pub(crate) fn run(name: &str, target: &str, much: &str) -> Outcome {
    // Some attacks need a descriptor for each of thousands of connections.
    rlimit::increase_nofile_limit(u64::MAX)?;
    let target: SocketAddr = target.parse()?;
    match name {
        "spin" => loop {
            std::hint::spin_loop();
        },
        "crowd" => Ok(presence::crowd(target)?),
        LOAD => Ok(load::run(target, much.parse()?)?),
        name => {
            let attack = attacks::find(name).ok_or_else(|| format!("there is no attack named {name}"))?;
            Ok(attacks::run(attack, target, much.parse()?)?)
        }
    }
}
