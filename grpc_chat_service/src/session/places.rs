//! How many sessions are open, by user and by network.

use std::net::IpAddr;
use std::time::Duration;

use crate::counts::{Counts, Held};
use crate::limits::RateLimits;
use crate::model::{Account, UserId};
use crate::rates::{Kind, Limited};

/// When to try again to open one session more than there may be.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The sessions that are open.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    users: Counts<UserId>,
    networks: Counts<IpAddr>,
}

/// The place of one session, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _of_user: Option<Held<UserId>>,
    _of_network: Held<IpAddr>,
}

impl Sessions {
    /// Takes a place for a session of this account.
    pub(super) fn take(&self, account: &Account, limits: &RateLimits) -> Result<Place, Limited> {
        let none = Limited { kind: Kind::Sessions, retry_after: RETRY_AFTER };
        // 0 is no limit.
        let max = |limit: usize| if limit == 0 { usize::MAX } else { limit };
        let of_user = account.user.as_ref().map(|user| self.users.take(user, 1, max(limits.sessions)).ok_or(none));
        let of_network = self.networks.take(&account.network, 1, max(limits.sessions_per_network));
        Ok(Place { _of_user: of_user.transpose()?, _of_network: of_network.ok_or(none)? })
    }
}
