//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::load::Times;
use crate::workload::{Plan, WORKLOADS, Workload};

const USAGE: &str = "\
usage: cargo xtask bench peers [--quick] [--rounds N] [--ours PATH].. [NAME]..

  --quick      one short round of each: shows that everything works, and
               measures little
  --rounds N   how many rounds of each are measured (5)
  --ours PATH  measures this build of the service instead of the sources; given
               several times, each is measured, and compared with the first
  NAME         measures these only:
";

/// A full run.
const FULL: Plan = Plan {
    rounds: 5,
    discards_first_round: true,
    times: Times { warm_up: Duration::from_millis(500), measured: Duration::from_millis(1_500) },
    idle_sessions: 2_000,
    idle_settling: Duration::from_secs(2),
};

/// A run that only shows that everything works.
const QUICK: Plan = Plan {
    rounds: 1,
    discards_first_round: false,
    times: Times { warm_up: Duration::from_millis(100), measured: Duration::from_millis(250) },
    idle_sessions: 200,
    idle_settling: Duration::from_millis(500),
};

/// What is to be measured.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) plan: Plan,
    /// Builds of the service. Empty: the sources.
    pub(crate) ours: Vec<PathBuf>,
    pub(crate) workloads: Vec<&'static Workload>,
}

impl Args {
    /// Returns `None` if help was asked for.
    pub(crate) fn parse(words: &[&str]) -> Result<Option<Self>, String> {
        let mut args = Self { plan: FULL, ours: Vec::new(), workloads: Vec::new() };
        let mut rounds = None;
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            match word {
                "--help" | "-h" => return Ok(None),
                "--quick" => args.plan = QUICK,
                "--rounds" => {
                    let given = words.next().and_then(|number| number.parse().ok()).filter(|&number| number > 0);
                    rounds = Some(given.ok_or("--rounds takes a number from 1 on")?);
                }
                "--ours" => args.ours.push(words.next().ok_or("--ours takes the path of a program")?.into()),
                name => {
                    let workload = WORKLOADS.iter().find(|workload| workload.name == name);
                    args.workloads.push(workload.ok_or_else(|| format!("`{name}` is unknown; see --help"))?);
                }
            }
        }
        if args.workloads.is_empty() {
            args.workloads = WORKLOADS.iter().collect();
        }
        args.plan.rounds = rounds.unwrap_or(args.plan.rounds);
        Ok(Some(args))
    }
}

pub(crate) fn usage() -> String {
    let names = WORKLOADS.iter().map(|workload| format!("                 {:13} {}\n", workload.name, workload.title));
    std::iter::once(USAGE.to_owned()).chain(names).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Args {
        Args::parse(words).unwrap().unwrap()
    }

    #[test]
    fn without_arguments_everything_is_measured() {
        let args = parse(&[]);
        assert_eq!((args.workloads.len(), args.plan.rounds), (WORKLOADS.len(), 5));
        assert!(args.ours.is_empty());
    }

    #[test]
    fn arguments_come_in_any_order() {
        let args = parse(&["paced", "--rounds", "3", "--ours", "a", "--quick", "--ours", "b", "idle"]);
        assert_eq!(args.ours, [PathBuf::from("a"), PathBuf::from("b")]);
        assert_eq!(args.workloads.iter().map(|workload| workload.name).collect::<Vec<_>>(), ["paced", "idle"]);
        assert_eq!((args.plan.rounds, args.plan.times.measured), (3, QUICK.times.measured));
        assert!(Args::parse(&["--quick", "--help"]).unwrap().is_none());
    }

    #[test]
    fn anything_else_is_an_error() {
        for words in [&["fast"][..], &["--rounds"], &["--rounds", "0"], &["--rounds", "many"], &["--ours"], &["--slow"]]
        {
            Args::parse(words).unwrap_err();
        }
    }
}
