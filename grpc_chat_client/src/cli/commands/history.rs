//! `history`: prints the events in a room's history, page by page.

use std::collections::VecDeque;

use grpc_chat_client::{Client, Config, Page, PageAt, Refused, RoomId};
use jiff::tz::TimeZone;

use super::{open, with_notes};
use crate::output::{Failure, event_json, event_text, line, note};

/// Events in a page: the most that the service gives.
const PAGE: u32 = 1000;

/// Which events to print.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extent {
    /// All after this one.
    After(u64),
    /// This many of the latest.
    Last(u32),
}

pub(crate) async fn run(config: Config, room: &RoomId, extent: Extent, json: bool) -> Result<(), Failure> {
    let (client, events) = open(config).await?;
    with_notes(events, print(&client, room, extent, json)).await
}

async fn print(client: &Client, room: &RoomId, extent: Extent, json: bool) -> Result<(), Failure> {
    let zone = TimeZone::system();
    let print_page = |page: &Page| -> Result<(), Failure> {
        if page.head == 0 {
            note(&format!("the room {room} has no history"));
        }
        for event in &page.events {
            line(&if json { event_json(event, page.epoch) } else { event_text(event, &zone) })?;
        }
        Ok(())
    };
    match extent {
        Extent::After(mut after) => loop {
            let page = client.history(room, PageAt::After(after), PAGE).await?;
            print_page(&page)?;
            match page.events.last() {
                Some(last) if page.more => after = last.seq,
                _ => return Ok(()),
            }
        },
        Extent::Last(count) => last(client, room, count).await?.iter().try_for_each(print_page),
    }
}

/// Returns this many of the latest events, oldest page first.
async fn last(client: &Client, room: &RoomId, count: u32) -> Result<VecDeque<Page>, Refused> {
    let (mut left, mut at) = (count, PageAt::Newest);
    let mut pages = VecDeque::new();
    while left > 0 {
        let page = client.history(room, at, left.min(PAGE)).await?;
        left = left.saturating_sub(page.events.len().try_into().unwrap_or(left));
        let before = page.events.first().map(|first| first.seq).filter(|_| page.more);
        pages.push_front(page);
        let Some(seq) = before else { break };
        at = PageAt::Before(seq);
    }
    Ok(pages)
}
