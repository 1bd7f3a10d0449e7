//! `tail`: what happens in a room, for as long as it runs.

use std::pin::pin;

use grpc_chat_client::{Client, Config, ConnectionState, Cursor, Events, PageAt, Start, Update, Verdict};
use jiff::tz::TimeZone;
use serde_json::json;

use super::{GRACE, open, stopped};
use crate::output::{Failure, event_json, event_text, line_when_read, note};
use crate::values::After;

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

/// Ends only when the service says no for good, a signal comes, or nobody reads any more. However it ends, how far it
/// came is kept.
pub(crate) async fn run(config: Config, room: &str, from: From, json: bool) -> Result<(), Failure> {
    let (client, mut events) = open(config).await?;
    let outcome = {
        let mut stopped = pin!(stopped());
        tokio::select! {
            outcome = follow(&client, &mut events, room, from, json) => outcome,
            signal = &mut stopped => Err(Failure::Stopped(signal)),
        }
    };
    drop(events);
    if let Err(why) = client.close(GRACE).await {
        note(&why.to_string());
    }
    outcome
}

async fn follow(client: &Client, events: &mut Events, room: &str, from: From, json: bool) -> Result<(), Failure> {
    let start = match from {
        From::Last(last) => Start::Last(last),
        From::Resume(or_last) => Start::Resume { or_last },
        From::After(After { seq: 0, epoch: None }) => Start::After(Cursor::BEGINNING),
        From::After(After { seq, epoch: Some(epoch) }) => Start::After(Cursor { epoch, seq }),
        // In the history as it is now.
        From::After(After { seq, epoch: None }) => {
            let epoch = client.history(room, PageAt::Newest, 1).await?.epoch;
            Start::After(Cursor { epoch, seq })
        }
    };
    client.join(room, start).await?;
    let zone = TimeZone::system();
    let (mut epoch, mut lost) = (0, false);
    while let Some(update) = events.next().await {
        match update {
            Update::Event(event) => {
                let text = if json { event_json(&event, epoch) } else { event_text(&event, &zone) };
                line_when_read(text).await?;
            }
            Update::Joined(joined) => {
                epoch = joined.epoch;
                if let Verdict::Reset(why) = joined.verdict {
                    note(&format!("{why}: going on from {}; see `history` for what there is", joined.start));
                    if json {
                        let (seq, reason) = (joined.start, why.to_string());
                        let reset = json!({"type": "reset", "room": room, "epoch": epoch.to_string(), "seq": seq, "reason": reason});
                        line_when_read(reset.to_string()).await?;
                    }
                }
            }
            Update::Connection(ConnectionState::Reconnecting { why, .. }) if !lost => {
                lost = true;
                note(&format!("the connection is lost ({why}); trying again"));
            }
            Update::Connection(ConnectionState::Online { .. }) if lost => {
                lost = false;
                note("connected again");
            }
            Update::Connection(ConnectionState::Failed(why)) | Update::JoinRefused { why, .. } => {
                return Err(why.into());
            }
            Update::SaveFailed(why) => note(&format!("where this ends cannot be kept: {why}")),
            _ => {}
        }
    }
    Ok(())
}
