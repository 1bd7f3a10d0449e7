//! `history`: what has happened in a room, page by page.

use std::collections::VecDeque;

use grpc_chat_client::{Client, Config, Page, PageAt, Refused};
use jiff::tz::TimeZone;

use super::open;
use crate::output::{Failure, event_json, event_text, line};

/// Events asked for at once: as many as the service gives.
const PAGE: u32 = 1000;

/// What of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extent {
    /// Everything after this event.
    After(u64),
    /// The last so many.
    Last(u32),
}

pub(crate) async fn run(config: Config, room: &str, extent: Extent, json: bool) -> Result<(), Failure> {
    let (client, _) = open(config).await?;
    let zone = TimeZone::system();
    let print = |page: &Page| -> Result<(), Failure> {
        for event in &page.events {
            line(&if json { event_json(event, page.epoch) } else { event_text(event, &zone) })?;
        }
        Ok(())
    };
    match extent {
        Extent::After(mut after) => loop {
            let page = client.history(room, PageAt::After(after), PAGE).await?;
            print(&page)?;
            match page.events.last() {
                Some(last) if page.more => after = last.seq,
                _ => return Ok(()),
            }
        },
        Extent::Last(count) => {
            for page in last(&client, room, count).await? {
                print(&page)?;
            }
            Ok(())
        }
    }
}

/// The last so many events, oldest page first.
async fn last(client: &Client, room: &str, count: u32) -> Result<VecDeque<Page>, Refused> {
    let (mut left, mut place) = (count, PageAt::Newest);
    let mut pages = VecDeque::new();
    while left > 0 {
        let page = client.history(room, place, left.min(PAGE)).await?;
        let more = page.more;
        left -= u32::try_from(page.events.len()).unwrap_or(left).min(left);
        let Some(first) = page.events.first() else { break };
        place = PageAt::Before(first.seq);
        pages.push_front(page);
        if !more {
            break;
        }
    }
    Ok(pages)
}
