//! `tail`: prints the events of a room as they happen.

use std::pin::pin;
use std::time::Duration;

use grpc_chat_client::{
    Client, Config, ConnectionState, Cursor, Events, Joined, PageAt, RoomId, Start, Update, Verdict,
};
use jiff::tz::TimeZone;
use serde_json::json;
use tokio::time::timeout;

use super::{GRACE, Notes, open, stopped};
use crate::output::{Failure, event_json, event_text, json_text, line_when_read, note};
use crate::values::After;

/// How long a line that is being printed may take when a signal comes.
const LAST_LINE: Duration = Duration::from_millis(100);

/// Where to begin.
#[derive(Clone, Copy, Debug)]
pub(crate) enum From {
    /// With this many of the latest events.
    Last(u32),
    /// After this event.
    After(After),
    /// Where the last run ended; the first run with this many of the latest events.
    Resume(u32),
}

/// Ends when the service refuses, a signal comes, or the reader closes the output. However it ends, the cursor is kept.
pub(crate) async fn run(config: Config, room: &RoomId, from: From, json: bool) -> Result<(), Failure> {
    let (client, mut events) = open(config).await?;
    let outcome = {
        let mut following = pin!(follow(&client, &mut events, room, from, json));
        tokio::select! {
            outcome = &mut following => outcome,
            signal = stopped() => {
                // An event counts as seen when the next one is asked for, after its line is printed. A reader that does not
                // read is not waited for.
                let _ = timeout(LAST_LINE, following).await;
                Err(Failure::Stopped(signal))
            }
        }
    };
    drop(events);
    if let Err(why) = client.close(GRACE).await {
        note(&why.to_string());
    }
    outcome
}

async fn follow(client: &Client, events: &mut Events, room: &RoomId, from: From, json: bool) -> Result<(), Failure> {
    let start = match from {
        From::Last(last) => Start::Last(last),
        From::Resume(or_last) => Start::Resume { or_last },
        From::After(After { seq: 0, epoch: None, .. }) => Start::After(Cursor::BEGINNING),
        From::After(After { seq, epoch: Some(epoch), id }) => Start::After(Cursor { epoch, seq, id }),
        // Of the current epoch.
        From::After(After { seq, epoch: None, id }) => {
            let epoch = client.history(room, PageAt::Newest, 1).await?.epoch;
            Start::After(Cursor { epoch, seq, id })
        }
    };
    if client.join(room, start).await?.head == 0 {
        note(&format!("the room {room} has no history; waiting for its first message"));
    }
    let zone = TimeZone::system();
    let (mut epoch, mut notes) = (0, Notes::default());
    while let Some(update) = events.next().await {
        match update {
            Update::Event(event) => {
                let text = if json { event_json(&event, epoch) } else { event_text(&event, &zone) };
                line_when_read(text).await?;
            }
            Update::Joined(joined) => {
                epoch = joined.epoch;
                report_reset(&joined, json).await?;
            }
            Update::Connection(ConnectionState::Failed(why)) | Update::JoinRefused { why, .. } => {
                return Err(why.into());
            }
            Update::SaveFailed(why) => note(&format!("where this ends cannot be kept: {why}")),
            update => notes.update(&update),
        }
    }
    Ok(())
}

/// Reports that events may be missing, if they may.
async fn report_reset(joined: &Joined, json: bool) -> Result<(), Failure> {
    let Joined { room, verdict: Verdict::Reset(reason), epoch, start, .. } = joined else { return Ok(()) };
    note(&format!("{reason}; what follows begins after event {start}, and `history` has what is before"));
    if json {
        let reset = json!({
            "type": "reset", "room": room.as_str(), "epoch": epoch.to_string(), "seq": start,
            "reason": reason.to_string(),
        });
        line_when_read(json_text(&reset)).await?;
    }
    Ok(())
}
