//! `send`: one message.

use std::io::{IsTerminal, Read};
use std::time::Duration;

use grpc_chat_client::{Ack, Change, Config, ConnectionState, Draft, RoomId};
use serde_json::json;

use super::{GRACE, open};
use crate::output::{Failure, durability_word, line, note, time_json};

/// The longest input that is read as one message: more than a service takes, so that it is told as too long.
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
    let text = if text.is_empty() { from_standard_input()? } else { text.join(" ") };
    if text.is_empty() {
        return Err(Failure::Usage("there is nothing to send".to_owned()));
    }
    let sending = async {
        let (client, _) = open(config).await?;
        if let ConnectionState::Online { max_text_bytes, .. } = client.connection_state()
            && text.len() > max_text_bytes
        {
            let why = format!("the message has {} bytes, and the service takes at most {max_text_bytes}", text.len());
            return Err(Failure::Refused(why));
        }
        let draft = Draft::new(room.clone(), Change::Post { text, reply_to });
        let ack = client.post(draft).await?;
        // It is stored; nothing is kept.
        let _ = client.close(GRACE).await;
        Ok(ack)
    };
    match tokio::time::timeout(timeout, sending).await {
        Ok(Ok(ack)) if json => Ok(line(&ack_json(&room, &ack))?),
        Ok(acked) => acked.map(drop),
        Err(_) => Err(Failure::Failed(format!(
            "the service did not say within {} s that the message is stored; it may be",
            timeout.as_secs()
        ))),
    }
}

fn from_standard_input() -> Result<String, Failure> {
    if std::io::stdin().is_terminal() {
        note("what you write now is the message; Ctrl-D at the beginning of a line ends it");
    }
    let mut text = Vec::new();
    let read = std::io::stdin().take(MAX_INPUT).read_to_end(&mut text);
    read.map_err(|error| Failure::Failed(format!("cannot read standard input: {error}")))?;
    let mut text = String::from_utf8(text)
        .map_err(|_| Failure::Failed("standard input is not UTF-8; nothing was sent".to_owned()))?;
    // The end of its last line is not part of what somebody says.
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

fn ack_json(room: &str, ack: &Ack) -> String {
    let Ack { id, seq, time, duplicate, durability } = ack;
    json!({
        "room": room, "seq": seq, "time": time_json(*time), "client_msg_id": id.to_string(),
        "duplicate": duplicate, "durability": durability_word(*durability),
    })
    .to_string()
}
