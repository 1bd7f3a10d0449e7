//! What every fault is given, and how it ends.

use std::error::Error;

use crate::checker::Tally;

/// How much of a fault to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Instead of the fault's own number.
    pub(crate) rounds: Option<usize>,
    /// The form for `cargo test`: seconds instead of minutes.
    pub(crate) small: bool,
    /// Of everything random. The rest is the scheduler's.
    pub(crate) seed: u64,
}

/// How a fault ended, unless it failed.
pub(crate) enum Ending {
    /// The service kept its promises; a line of numbers.
    Held(String),
    /// It cannot be run here; why.
    Skipped(String),
}

pub(crate) type Ended = Result<Ending, Box<dyn Error>>;

/// The numbers, if nothing was violated; otherwise what was.
pub(crate) fn held(numbers: String, tally: &Tally) -> Ended {
    if tally.violations.is_empty() { Ok(Ending::Held(numbers)) } else { Err(numbers.into()) }
}

/// Runs the future to its end on a runtime of several threads.
pub fn block_on<T>(work: impl Future<Output = Result<T, Box<dyn Error>>>) -> Result<T, Box<dyn Error>> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
