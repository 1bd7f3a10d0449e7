//! `rooms`: which there are.

use grpc_chat_client::{Config, Room};
use jiff::tz::TimeZone;
use serde_json::json;

use super::open;
use crate::output::{Failure, indented, line, time_json, time_text};

pub(crate) async fn run(config: Config, as_json: bool) -> Result<(), Failure> {
    let (client, _) = open(config).await?;
    let zone = TimeZone::system();
    for Room { id: room, head, time } in client.rooms().await? {
        if as_json {
            line(&json!({"room": room.as_str(), "head_seq": head, "head_time": time_json(time)}).to_string())?;
        } else {
            line(&format!("{} {head} {}", indented(&room), time_text(time, &zone)))?;
        }
    }
    Ok(())
}
