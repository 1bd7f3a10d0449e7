//! What every fault takes and returns.

use std::error::Error;

use crate::checker::Tally;

/// How much of a fault to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// The number of rounds, instead of the fault's own.
    pub(crate) rounds: Option<usize>,
    /// Whether to run the short form, which takes seconds instead of minutes, for `cargo test`.
    pub(crate) small: bool,
    /// The seed of everything random except for the scheduling of tasks and processes.
    pub(crate) seed: u64,
}

/// The end of a fault that did not fail.
pub(crate) enum Ending {
    /// The service kept its promises. The text sums up the run in numbers.
    Passed(String),
    /// The fault cannot be run on this machine. The text says why.
    Skipped(String),
}

/// The result of a fault. An error describes the violations, or what kept the fault from proving anything.
pub(crate) type FaultResult = Result<Ending, Box<dyn Error>>;

/// Passes with this summary if the tally has no violations, and fails with it otherwise.
pub(crate) fn passed(summary: String, tally: &Tally) -> FaultResult {
    if tally.violations.is_empty() { Ok(Ending::Passed(summary)) } else { Err(summary.into()) }
}

/// Runs the future to completion on a runtime with several threads.
pub fn block_on<T>(work: impl Future<Output = Result<T, Box<dyn Error>>>) -> Result<T, Box<dyn Error>> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
