//! How much users and networks may do in the time: token buckets, one for each of them and each kind of request.

use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::limits::RateLimits;
use crate::model::{Account, UserId};

/// The shortest time that somebody is asked to wait. Meanwhile the bucket fills, so that what comes next is not refused one by
/// one.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);

/// How often [`Rates::forget`] is worth its while.
pub(crate) const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Kinds of requests that have a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sends, edits, deletes, reactions and read marks.
    Changes,
    /// Bytes of changes.
    Bytes,
    /// Joins of rooms.
    Joins,
    /// Pages of messages and of rooms.
    Pages,
    /// Typing.
    Typing,
    /// Rooms that did not exist.
    NewRooms,
    /// Sessions at once.
    Sessions,
    /// Sessions that are opened.
    Hellos,
    /// Connections that are opened.
    Connections,
}

/// A rate has been exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// Of what.
    pub kind: Kind,
    /// When the next such request will be accepted, if nobody else of the same network takes its place.
    pub retry_after: Duration,
}

/// How much users and networks have done lately. What a user does counts for the network that it does it from, too, which may
/// do [`RateLimits::network_share`] times as much.
#[derive(Debug)]
pub struct Rates {
    changes: Rate,
    bytes: Rate,
    joins: Rate,
    pages: Rate,
    typing: Rate,
    new_rooms: Rate,
    hellos: Rate,
    connections: Rate,
}

/// One kind of request. `None` if it is not limited.
struct Rate(Option<Limiters>);

struct Limiters {
    users: Limiter<UserId>,
    networks: Limiter<IpAddr>,
}

type Limiter<K> = RateLimiter<K, HashMapStateStore<K>, Clock, NoOpMiddleware<std::time::Instant>>;

/// tokio's clock, which tests can pause.
#[derive(Clone, Debug)]
struct Clock;

impl Rates {
    /// Returns the rates of these limits.
    #[must_use]
    pub fn new(limits: &RateLimits) -> Self {
        let in_seconds =
            |period, count, burst| Rate::new(count, Duration::from_secs(period), burst, limits.network_share);
        let rate = |per_second, burst| in_seconds(1, per_second, burst);
        Self {
            changes: rate(limits.changes_per_second, limits.change_burst),
            bytes: rate(limits.bytes_per_second, limits.burst_bytes),
            joins: rate(limits.joins_per_second, limits.join_burst),
            pages: rate(limits.pages_per_second, limits.page_burst),
            typing: rate(limits.typing_per_second, limits.typing_burst),
            new_rooms: in_seconds(60 * 60, limits.new_rooms_per_hour, limits.new_room_burst),
            hellos: rate(limits.hellos_per_second, limits.hello_burst),
            connections: rate(limits.connections_per_second, limits.connection_burst),
        }
    }

    /// Notes a change with a text of so many bytes, or refuses it.
    pub(crate) fn change(&self, account: &Account, text_bytes: usize) -> Result<(), Limited> {
        self.changes.check(Kind::Changes, account, 1)?;
        self.bytes.check(Kind::Bytes, account, u32::try_from(text_bytes).unwrap_or(u32::MAX))
    }

    /// Notes a request of this kind, or refuses it.
    pub(crate) fn check(&self, kind: Kind, account: &Account) -> Result<(), Limited> {
        let rate = match kind {
            Kind::Changes => &self.changes,
            Kind::Bytes => &self.bytes,
            Kind::Joins => &self.joins,
            Kind::Pages => &self.pages,
            Kind::Typing => &self.typing,
            Kind::NewRooms => &self.new_rooms,
            Kind::Hellos => &self.hellos,
            Kind::Connections => &self.connections,
            // Counted, and not a rate.
            Kind::Sessions => return Ok(()),
        };
        rate.check(kind, account, 1)
    }

    /// Forgets those who may do as much as if they had never done anything.
    pub(crate) fn forget(&self) {
        let Self { changes, bytes, joins, pages, typing, new_rooms, hellos, connections } = self;
        for rate in [changes, bytes, joins, pages, typing, new_rooms, hellos, connections] {
            if let Some(Limiters { users, networks }) = &rate.0 {
                users.retain_recent();
                networks.retain_recent();
            }
        }
    }
}

impl Rate {
    /// Returns a rate of so many in each period, after a burst. 0 is no limit.
    fn new(count: u32, period: Duration, burst: u32, network_share: u32) -> Self {
        let limiters = || {
            let one = period.checked_div(count)?;
            let burst = NonZeroU32::new(burst.max(1))?;
            let share = NonZeroU32::new(network_share.max(1))?;
            let users = Quota::with_period(one)?.allow_burst(burst);
            let networks = Quota::with_period(one / share.get())?.allow_burst(burst.saturating_mul(share));
            Some(Limiters { users: limiter(users), networks: limiter(networks) })
        };
        Self(limiters())
    }

    /// Takes so many, or refuses. More than a burst at once counts as a burst.
    fn check(&self, kind: Kind, account: &Account, count: u32) -> Result<(), Limited> {
        let (Some(Limiters { users, networks }), Some(count)) = (&self.0, NonZeroU32::new(count)) else {
            return Ok(());
        };
        if let Some(user) = &account.user {
            take(users, user, count, kind)?;
        }
        take(networks, &account.network, count, kind)
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "limited" } else { "not limited" })
    }
}

impl Kind {
    /// The name in the metadata of a refusal.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Changes => "changes",
            Self::Bytes => "bytes",
            Self::Joins => "joins",
            Self::Pages => "pages",
            Self::Typing => "typing",
            Self::NewRooms => "new_rooms",
            Self::Sessions => "sessions",
            Self::Hellos => "hellos",
            Self::Connections => "connections",
        }
    }

    /// What there is too much of, for people.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Changes => "changes",
            Self::Bytes => "bytes",
            Self::Joins => "joins",
            Self::Pages => "pages",
            Self::Typing => "typing announcements",
            Self::NewRooms => "new rooms",
            Self::Sessions => "sessions",
            Self::Hellos => "new sessions",
            Self::Connections => "new connections",
        }
    }
}

impl governor::clock::Clock for Clock {
    type Instant = std::time::Instant;

    fn now(&self) -> Self::Instant {
        tokio::time::Instant::now().into_std()
    }
}

fn limiter<K: Clone + Eq + Hash>(quota: Quota) -> Limiter<K> {
    RateLimiter::hashmap_with_clock(quota, Clock)
}

fn take<K: Clone + Eq + Hash>(limiter: &Limiter<K>, key: &K, count: NonZeroU32, kind: Kind) -> Result<(), Limited> {
    let taken = limiter.check_key_n(key, count).or_else(|capacity| {
        // More than the bucket holds.
        let all = NonZeroU32::new(capacity.0).unwrap_or(NonZeroU32::MIN);
        limiter.check_key_n(key, all)
    });
    match taken {
        Ok(Err(refused)) => {
            let retry_after = refused.wait_time_from(Clock.now()).max(SHORTEST_WAIT);
            Err(Limited { kind, retry_after })
        }
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str, last: u8) -> Account {
        Account { user: Some(UserId::new(name).unwrap()), network: [10, 0, 0, last].into() }
    }

    fn rates() -> Rates {
        let limits = RateLimits {
            changes_per_second: 10,
            change_burst: 20,
            bytes_per_second: 1_000,
            burst_bytes: 2_000,
            network_share: 3,
            ..RateLimits::none()
        };
        Rates::new(&limits)
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_has_a_burst_and_then_a_rate() {
        let (rates, ann) = (rates(), account("ann", 1));
        assert!((0..20).all(|_| rates.change(&ann, 1).is_ok()));
        let Err(Limited { kind: Kind::Changes, retry_after }) = rates.change(&ann, 1) else { panic!("not refused") };
        assert!((SHORTEST_WAIT..Duration::from_secs(1)).contains(&retry_after), "{retry_after:?}");
        assert!(rates.change(&account("bob", 1), 1).is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((0..20).filter(|_| rates.change(&ann, 1).is_ok()).count(), 10);
        // Not limited.
        assert!((0..1_000).all(|_| rates.check(Kind::Joins, &ann).is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_users_of_a_network_share_what_it_may_do() {
        let rates = rates();
        let accepted = (0..10).map(|n| account(&format!("user-{n}"), 1));
        let accepted: usize = accepted.map(|user| (0..20).filter(|_| rates.change(&user, 0).is_ok()).count()).sum();
        assert_eq!(accepted, 60);
        assert!(rates.change(&account("elsewhere", 2), 0).is_ok());
        assert!(rates.change(&Account { user: None, network: [10, 0, 0, 1].into() }, 0).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_have_a_rate_and_a_text_over_the_burst_waits_for_a_full_bucket() {
        let (rates, ann) = (rates(), account("ann", 1));
        assert!(rates.change(&ann, 5_000).is_ok());
        let refused = rates.change(&ann, 1_000).unwrap_err();
        assert_eq!(refused, Limited { kind: Kind::Bytes, retry_after: Duration::from_secs(1) });
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(rates.change(&ann, 1_000).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_do_nothing_are_forgotten() {
        let rates = rates();
        for n in 0..100 {
            rates.change(&account(&format!("user-{n}"), n), 100).unwrap();
        }
        let users = |rates: &Rates| rates.changes.0.as_ref().unwrap().users.len();
        rates.forget();
        assert_eq!(users(&rates), 100);
        tokio::time::advance(Duration::from_secs(60)).await;
        rates.forget();
        assert_eq!(users(&rates), 0);
    }
}
