//! History and rooms, page by page, for callers without a session.

use std::net::IpAddr;
use std::sync::Arc;

use crate::access::{Caller, PermittedHistory, Policy, ReadPermit};
use crate::budgets::{Budget, Lease};
use crate::counts::{Counts, Held};
use crate::history::{Page, ReadError, RoomHead};
use crate::model::{Epoch, Event, Invalid, RoomId, Seq};
use crate::rates::{Kind, Rates};
use crate::refusal::Refusal;

/// The most events or rooms of a page.
const MAX_LENGTH: u32 = 1000;

/// How many there are if the caller does not say.
const DEFAULT_LENGTH: usize = 100;

/// About what an event or a room takes on a page besides its text.
const ITEM_BYTES: usize = 256;

/// The share of the budget for pages that one network may take.
const NETWORK_SHARE: usize = 8;

/// Higher than any sequence number: stores count in signed integers.
const LAST_SEQ: Seq = i64::MAX.cast_unsigned();

/// Serves pages of the history.
#[derive(Debug)]
pub(crate) struct Pages {
    history: PermittedHistory,
    policy: Policy,
    rates: Arc<Rates>,
    /// Bytes of text.
    page_bytes: usize,
    budget: Budget,
    networks: Counts<IpAddr>,
}

/// What a page takes of the budget until it has been sent.
#[derive(Debug)]
pub(crate) struct PageLease {
    _of_all: Lease,
    _of_network: Held<IpAddr>,
}

/// Which events of a room to return.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) after: Option<Seq>,
    pub(crate) before: Option<Seq>,
    /// 0 for the default.
    pub(crate) length: u32,
}

/// A page of a room's history.
#[derive(Debug)]
pub(crate) struct MessagesPage {
    /// Oldest first.
    pub(crate) events: Vec<Event>,
    pub(crate) epoch: Epoch,
    pub(crate) head: Seq,
    pub(crate) lease: PageLease,
    /// There are more events in the direction asked for.
    pub(crate) more: bool,
}

/// A page of the rooms.
#[derive(Debug)]
pub(crate) struct RoomsPage {
    pub(crate) rooms: Vec<RoomHead>,
    pub(crate) lease: PageLease,
    /// There are more rooms after these.
    pub(crate) more: bool,
}

impl Pages {
    pub(crate) fn new(
        history: PermittedHistory,
        policy: Policy,
        rates: Arc<Rates>,
        page_bytes: usize,
        budget: Budget,
    ) -> Self {
        Self { history, policy, rates, page_bytes, budget, networks: Counts::default() }
    }

    /// Returns the events after a sequence number, before one, or the newest.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the range is not valid, the caller may not read the room, or the history cannot be read.
    pub(crate) async fn messages(&self, caller: &Caller, room: RoomId, range: Range) -> Result<MessagesPage, Refusal> {
        let page = Page { events: length(range.length)?, bytes: self.page_bytes };
        let permit = self.policy.read(caller, room)?;
        self.rates.check(Kind::Pages, permit.account())?;
        let lease = self.lease(caller, self.page_bytes + page.events * ITEM_BYTES)?;
        let failed = |error| Refusal::from_read(error, permit.room());
        let events = match (range.after, range.before) {
            (Some(_), Some(_)) => return Err(invalid("before_seq", "must not be set together with after_seq")),
            (Some(after), None) => self.read_after(&permit, after.min(LAST_SEQ), page).await.map_err(failed)?,
            (None, before) => {
                let before = before.unwrap_or(LAST_SEQ).min(LAST_SEQ);
                self.history.read_before(&permit, before, page).await.map_err(failed)?
            }
        };
        let state = self.history.room_state(&permit, None, 0, 0).await.map_err(failed)?;
        let more = match range.after {
            Some(_) => events.last().is_some_and(|last| last.seq < state.head),
            None => events.first().is_some_and(|first| first.seq > state.oldest),
        };
        Ok(MessagesPage { events, epoch: *self.history.epoch().borrow(), head: state.head, lease, more })
    }

    /// Returns the rooms that have a history, by id, after `after`. A length of 0 stands for the default.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the length is not valid or the history cannot be read.
    pub(crate) async fn rooms(&self, caller: &Caller, after: Option<RoomId>, asked: u32) -> Result<RoomsPage, Refusal> {
        let length = length(asked)?;
        self.rates.check(Kind::Pages, caller.account())?;
        let lease = self.lease(caller, length * ITEM_BYTES)?;
        let rooms = self.history.rooms(&self.policy, caller, after, length + 1).await;
        let mut rooms = rooms.map_err(|_| Refusal::HistoryUnavailable)?;
        let more = rooms.len() > length;
        rooms.truncate(length);
        Ok(RoomsPage { rooms, lease, more })
    }

    /// Takes room for a page of so many bytes, twice: what has been read is encoded, and what is encoded is sent.
    fn lease(&self, caller: &Caller, bytes: usize) -> Result<PageLease, Refusal> {
        let (bytes, network) = (2 * bytes, caller.account().network);
        let of_network = self.networks.take(&network, bytes, self.budget.max() / NETWORK_SHARE);
        let of_network = of_network.ok_or(Refusal::PagesUnread)?;
        let of_all = self.budget.take(bytes).ok_or(Refusal::PagesUnread)?;
        Ok(PageLease { _of_all: of_all, _of_network: of_network })
    }

    /// Reads after a sequence number, where 0 stands for the beginning of what is kept.
    async fn read_after(&self, permit: &ReadPermit, after: Seq, page: Page) -> Result<Vec<Event>, ReadError> {
        match self.history.read_after(permit, after, page).await {
            Err(ReadError::Expired { oldest }) if after == 0 => {
                self.history.read_after(permit, oldest.saturating_sub(1), page).await
            }
            read => read,
        }
    }
}

fn length(asked: u32) -> Result<usize, Refusal> {
    match asked {
        0 => Ok(DEFAULT_LENGTH),
        1..=MAX_LENGTH => Ok(asked as usize),
        _ => Err(invalid("page_size", "must be at most 1,000")),
    }
}

fn invalid(name: &'static str, why: &'static str) -> Refusal {
    Refusal::Field { name, why: Invalid(why) }
}
