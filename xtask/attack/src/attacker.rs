//! One of the attackers.

use std::net::SocketAddr;

/// Which of the attackers this is, and whom it attacks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attacker {
    pub(crate) target: SocketAddr,
    /// Counted from 0.
    pub(crate) number: usize,
    /// How often it has begun, counted from 0.
    pub(crate) attempt: usize,
}

impl Attacker {
    /// Returns a name that no other attacker uses, not even in another phase.
    pub(crate) fn name(&self, nth: usize) -> String {
        format!("attacker-{}-{}-{}-{nth}", std::process::id(), self.number, self.attempt)
    }
}
