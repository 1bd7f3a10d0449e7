//! `tail`: what happens in a room, for as long as it runs.

use std::pin::pin;

use grpc_chat_client::{Config, Connection, Cursor, Place, Start, Update, Verdict};
use jiff::tz::TimeZone;
use serde_json::json;

use super::{GRACE, open, stopped};
use crate::args::After;
use crate::output::{Failure, event_json, event_text, line, note};

/// Where it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum From {
    /// With the last so many events.
    Last(u32),
    /// After this one.
    After(After),
    /// Where the last one ended; the first one with the last so many.
    Resume(u32),
}

/// Ends only when the service says no for good, or nobody reads any more.
pub(crate) async fn run(config: Config, room: &str, from: From, json: bool) -> Result<(), Failure> {
    let (client, mut events) = open(config).await?;
    let start = match from {
        From::Last(last) => Start::Last(last),
        From::Resume(or_last) => Start::Resume { or_last },
        From::After(After { seq: 0, epoch: None }) => Start::After(Cursor::BEGINNING),
        From::After(After { seq, epoch: Some(epoch) }) => Start::After(Cursor { epoch, seq }),
        // In the history as it is now.
        From::After(After { seq, epoch: None }) => {
            let epoch = client.history(room, Place::Newest, 1).await?.epoch;
            Start::After(Cursor { epoch, seq })
        }
    };
    client.join(room, start).await?;
    let zone = TimeZone::system();
    let (mut epoch, mut lost) = (0, false);
    let mut stopped = pin!(stopped());
    loop {
        let update = tokio::select! {
            update = events.next() => update,
            signal = &mut stopped => {
                // How far it came is kept.
                drop(events);
                client.close(GRACE).await;
                return Err(Failure::Stopped(signal));
            }
        };
        let Some(update) = update else { return Ok(()) };
        match update {
            Update::Event(event) => {
                line(&if json { event_json(&event, epoch) } else { event_text(&event, &zone) })?;
            }
            Update::Joined(joined) => {
                epoch = joined.epoch;
                if let Verdict::Reset(why) = joined.verdict {
                    note(&format!("{why}: going on from {}; see `history` for what there is", joined.start));
                    if json {
                        let reason = why.to_string();
                        line(&json!({"type": "reset", "room": room, "epoch": epoch, "seq": joined.start, "reason": reason}).to_string())?;
                    }
                }
            }
            Update::Connection(Connection::Waiting { why, .. }) if !lost => {
                lost = true;
                note(&format!("the connection is lost ({why}); trying again"));
            }
            Update::Connection(Connection::Online { .. }) if lost => {
                lost = false;
                note("connected again");
            }
            Update::Connection(Connection::Lost(why)) => return Err(why.into()),
            Update::NotKept(why) => note(&format!("where this ends cannot be kept: {why}")),
            _ => {}
        }
    }
}
