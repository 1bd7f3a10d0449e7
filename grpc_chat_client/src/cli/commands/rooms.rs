//! `rooms`: lists the rooms that have a history.

use grpc_chat_client::{Config, Room};
use jiff::tz::TimeZone;
use serde_json::json;

use super::{open, with_notes};
use crate::output::{Failure, json_text, line, time_json, time_text};

pub(crate) async fn run(config: Config, json: bool) -> Result<(), Failure> {
    let (client, events) = open(config).await?;
    let zone = TimeZone::system();
    for Room { id, head, time } in with_notes(events, client.rooms()).await? {
        line(&if json {
            json_text(&json!({"room": id.as_str(), "head_seq": head, "head_time": time_json(time)}))
        } else {
            format!("{id} {head} {}", time_text(time, &zone))
        })?;
    }
    Ok(())
}
