//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use peers::process::Cores;

use crate::attacks::{self, ATTACKS, Attack, Kind};

/// The name of the overload, which is not an attack.
pub(crate) const OVERLOAD: &str = "overload";

const USAGE: &str = "\
usage: cargo xtask attack [--quick] [--service PATH] [--connections N]
                          [--no-rates] [--except NAME].. [--only NAME]..
                          [NAME]..

Attacks the service, limited to 1 GiB of memory, and shows for each attack
whether it survived, how much memory it used, whether it was idle within 5 s,
and how much longer honest clients had to wait than beside a process that only
spins.

  --quick          short attacks from 8 connections: survival, memory and idling
  --service PATH   attacks this build of the service instead of the sources
  --connections N  attacks from so many connections, instead of from 1 and 8
  --no-rates       only the attacks that are also run with rates off, with
                   rates off
  --except NAME    not this one
  NAME             only these:
";

/// How an attack is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) is_quick: bool,
    pub(crate) rounds: u32,
    /// How long an attack takes in each round, and the control before it.
    pub(crate) attack: Duration,
    pub(crate) control: Duration,
    /// Where the service and the others run, unless they run anywhere.
    pub(crate) cores: Option<Cores>,
}

const FULL: Plan = Plan {
    is_quick: false,
    rounds: 3,
    attack: Duration::from_millis(2_500),
    control: Duration::from_millis(2_000),
    cores: None,
};

const QUICK: Plan =
    Plan { is_quick: true, rounds: 1, attack: Duration::from_millis(700), control: Duration::ZERO, cores: None };

/// What is to be done.
pub(crate) struct Args {
    pub(crate) plan: Plan,
    /// A build of the service, or the sources.
    pub(crate) service: Option<PathBuf>,
    /// How many connections attack.
    pub(crate) connections: Vec<usize>,
    /// Whether only attacks are run that are run with rates off, too, and only so.
    no_rates: bool,
    pub(crate) attacks: Vec<&'static Attack>,
    pub(crate) overload: bool,
}

impl Args {
    /// Returns `None` if help was asked for.
    pub(crate) fn parse(words: &[&str]) -> Result<Option<Self>, String> {
        let (mut plan, mut service, mut connections) = (FULL, None, None);
        let (mut no_rates, mut names, mut excepted) = (false, Vec::new(), Vec::new());
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            match word {
                "--help" | "-h" => return Ok(None),
                "--quick" => plan = QUICK,
                "--service" => service = Some(words.next().ok_or("--service takes the path of a program")?.into()),
                "--connections" => {
                    let given = words.next().and_then(|number| number.parse().ok()).filter(|&number| number > 0);
                    connections = Some(given.ok_or("--connections takes a number from 1 on")?);
                }
                "--no-rates" => no_rates = true,
                "--only" => names.push(words.next().ok_or("--only takes the name of an attack")?),
                "--except" => {
                    let attack = words.next().and_then(attacks::find);
                    excepted.push(attack.ok_or("--except takes the name of an attack")?.name);
                }
                name => names.push(name),
            }
        }
        let default = if plan.is_quick { vec![8] } else { vec![1, 8] };
        let connections = connections.map_or(default, |number| vec![number]);
        // The overload takes longer than all short attacks together.
        let overload = (names.is_empty() && !plan.is_quick) || names.contains(&OVERLOAD);
        let mut chosen = Vec::new();
        for &name in names.iter().filter(|&&name| name != OVERLOAD) {
            chosen.push(attacks::find(name).ok_or_else(|| format!("there is no attack named {name}; see --help"))?);
        }
        if names.is_empty() {
            chosen = ATTACKS.iter().collect();
        }
        chosen.retain(|attack| !excepted.contains(&attack.name));
        if no_rates {
            chosen.retain(|attack| attack.kind == Kind::Budget);
        }
        Ok(Some(Self { plan, service, connections, no_rates, attacks: chosen, overload }))
    }

    /// Returns whether the service has its rates in the runs of an attack of this kind, if they can be switched off.
    pub(crate) fn rates(&self, kind: Kind, can_be_off: bool) -> Vec<bool> {
        match kind {
            // What budgets bear alone, they bear with rates.
            Kind::Budget if can_be_off && (self.no_rates || self.plan.is_quick) => vec![false],
            Kind::Budget if can_be_off => vec![true, false],
            _ => vec![true],
        }
    }
}

pub(crate) fn usage() -> String {
    let overload = (OVERLOAD, "1,000 users who send three times as much as the service can store");
    let names = ATTACKS.iter().map(|attack| (attack.name, attack.title)).chain([overload]);
    let lines = names.map(|(name, title)| format!("                   {name:15} {title}\n"));
    std::iter::once(USAGE.to_owned()).chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Args {
        Args::parse(words).unwrap().unwrap()
    }

    #[test]
    fn without_arguments_everything_is_done() {
        let args = parse(&[]);
        assert_eq!((args.attacks.len(), args.overload), (ATTACKS.len(), true));
        assert_eq!(args.connections, [1, 8]);
        assert_eq!(args.rates(Kind::Budget, true), [true, false]);
        assert_eq!(args.rates(Kind::Plain, true), [true]);
    }

    #[test]
    fn rates_are_off_only_where_budgets_are_attacked() {
        let args = parse(&["--no-rates"]);
        assert!(args.attacks.iter().all(|attack| attack.kind == Kind::Budget));
        assert_eq!(args.rates(Kind::Budget, true), [false]);
        assert_eq!(args.rates(Kind::Budget, false), [true]);
        assert_eq!(parse(&["--quick"]).rates(Kind::Budget, true), [false]);
    }

    #[test]
    fn names_come_with_and_without_only() {
        let args = parse(&["--quick", "ping", "--only", "tails", "--connections", "3"]);
        assert_eq!(args.attacks.iter().map(|attack| attack.name).collect::<Vec<_>>(), ["ping", "tails"]);
        assert_eq!((args.plan.is_quick, args.connections, args.overload), (true, vec![3], false));
        assert!(Args::parse(&["--help"]).unwrap().is_none());
    }

    #[test]
    fn anything_else_is_an_error() {
        for words in
            [&["--only"][..], &["--except", "pong"], &["pong"], &["--service"], &["--connections", "0"], &["--slow"]]
        {
            assert!(Args::parse(words).is_err(), "{words:?}");
        }
    }
}
