//! `send`: sends one message.

use std::io::{IsTerminal, Read};
use std::time::Duration;

use grpc_chat_client::{Ack, Change, Config, ConnectionState, Draft, RoomId, Target};
use serde_json::json;

use super::{GRACE, open, with_notes};
use crate::output::{Failure, durability_word, json_text, line, note, time_json};

/// The longest input that is read: more than a service takes, so that a longer one is refused as too long.
const MAX_INPUT: u64 = 1024 * 1024;

pub(crate) struct Send {
    pub(crate) room: RoomId,
    pub(crate) text: Vec<String>,
    pub(crate) reply_to: Option<u64>,
    pub(crate) timeout: Duration,
    pub(crate) json: bool,
}

pub(crate) async fn run(config: Config, send: Send) -> Result<(), Failure> {
    let Send { room, text, reply_to, timeout, json } = send;
    let text = if text.is_empty() { read_standard_input()? } else { text.join(" ") };
    if text.is_empty() {
        return Err(Failure::Usage("there is nothing to send: the message is empty".to_owned()));
    }
    let draft = Draft::new(&room, Change::Post { text, reply_to: reply_to.map(Target::from) });
    let ack = tokio::time::timeout(timeout, store(config, draft)).await.map_err(|_| {
        let seconds = timeout.as_secs();
        Failure::Failed(format!("the service did not confirm within {seconds} s that the message is stored; it may be"))
    })??;
    if ack.seq == 1 {
        note(&format!("{room} is a new room; this is its first message"));
    }
    if json {
        line(&ack_json(&room, &ack))?;
    }
    Ok(())
}

/// Sends a draft and waits until it is stored.
async fn store(config: Config, draft: Draft) -> Result<Ack, Failure> {
    let (client, events) = open(config).await?;
    if let (ConnectionState::Online { max_text_bytes, .. }, Change::Post { text, .. }) =
        (client.connection_state(), &draft.change)
        && text.len() > max_text_bytes
    {
        let why = format!("the message has {} bytes, and the service takes at most {max_text_bytes}", text.len());
        return Err(Failure::Refused(why));
    }
    let ack = with_notes(events, client.post(draft)).await?;
    // There is no state file that could fail.
    let _ = client.close(GRACE).await;
    Ok(ack)
}

fn read_standard_input() -> Result<String, Failure> {
    if std::io::stdin().is_terminal() {
        note("type the message; Ctrl-D at the beginning of a line ends it");
    }
    let mut text = Vec::new();
    let read = std::io::stdin().take(MAX_INPUT).read_to_end(&mut text);
    read.map_err(|error| format!("cannot read standard input: {error}"))?;
    let mut text = String::from_utf8(text).map_err(|_| "standard input is not UTF-8; nothing was sent".to_owned())?;
    // The end of the last line is not part of the message.
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

fn ack_json(room: &RoomId, ack: &Ack) -> String {
    let Ack { id, seq, time, duplicate, durability } = ack;
    json_text(&json!({
        "room": room.as_str(), "seq": seq, "time": time_json(*time), "client_msg_id": id.to_string(),
        "duplicate": duplicate, "durability": durability_word(*durability),
    }))
}
