//! What is printed: safe for a terminal, whole for a program, and no drama when its reader has left.

use std::io::{self, IsTerminal, Write};
use std::time::SystemTime;

use grpc_chat_client::{Body, Durability, Event, sanitize};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The service could not be reached, or failed; or this machine did. Exit code 1.
    Failed(String),
    /// The command line cannot be used. Exit code 2.
    Usage(String),
    /// The service said no. Exit code 3.
    Refused(String),
    /// A signal, by its number, asked for the end. Exit code 128 and its number.
    Stopped(u8),
    /// Whoever read the output has had enough of it: success.
    ReaderLeft,
}

impl Failure {
    /// It is about this line of the input.
    pub(crate) fn at(self, line: u64) -> Self {
        match self {
            Self::Failed(why) => Self::Failed(format!("line {line}: {why}")),
            Self::Refused(why) => Self::Refused(format!("line {line}: {why}")),
            other => other,
        }
    }
}

impl From<String> for Failure {
    /// A failure with this sentence.
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderLeft,
            _ => Self::Failed(format!("cannot write: {error}")),
        }
    }
}

/// One line on standard output, at once. A terminal is shown only what cannot steer it; a program gets every byte.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        writeln!(out, "{}", sanitize(text))?;
    } else {
        writeln!(out, "{text}")?;
    }
    out.flush()
}

/// The same where the reader may be slow: everything else goes on meanwhile.
pub(crate) async fn line_when_read(text: String) -> io::Result<()> {
    tokio::task::spawn_blocking(move || line(&text)).await.map_err(io::Error::other)?
}

/// One line on standard error, for a person. With standard error closed there is nobody left to tell.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "grpc_chat_client: {}", indented(&sanitize(text)));
}

/// An event as a line for people: place, time, and what happened. The lines of a longer text are indented, so that none
/// of them can pass for another event.
pub(crate) fn event_text(event: &Event, zone: &TimeZone) -> String {
    let Event { seq, sender, body, .. } = event;
    let sender = indented(sender);
    let what = match body {
        Body::Posted { erased: true, .. } => format!("{sender} said something and deleted it"),
        Body::Posted { text, reply_to: None, .. } => format!("{sender}: {}", indented(text)),
        Body::Posted { text, reply_to: Some(to), .. } => format!("{sender} (to {to}): {}", indented(text)),
        Body::Edited { erased: true, seq, .. } => format!("{sender} edited {seq} and deleted it"),
        Body::Edited { seq, text, .. } => format!("{sender} edited {seq}: {}", indented(text)),
        Body::Deleted { seq } => format!("{sender} deleted {seq}"),
        Body::Reacted { seq, reaction, removed } => {
            let reaction = indented(reaction);
            if *removed {
                format!("{sender} took {reaction} back from {seq}")
            } else {
                format!("{sender} reacted to {seq} with {reaction}")
            }
        }
        _ => format!("{sender} did something that this client does not know; a newer one may"),
    };
    format!("{seq} {} {what}", time_text(event.time, zone))
}

/// A text whose further lines cannot be taken for lines of their own.
pub(crate) fn indented(text: &str) -> String {
    text.replace('\n', "\n    ")
}

/// `2026-11-24 09:15:03`.
pub(crate) fn time_text(time: SystemTime, zone: &TimeZone) -> String {
    match Timestamp::try_from(time) {
        Ok(time) => time.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => "(no time)".to_owned(),
    }
}

/// An event as a line for programs. `epoch:seq` is what `tail --after` takes. The epoch is text, as uint64 is in protobuf's
/// JSON: many programs read a number as a double, which has 53 bits.
pub(crate) fn event_json(event: &Event, epoch: u64) -> String {
    let Event { room, seq, prev_seq, time, sender, device, id, body } = event;
    let mut object = json!({
        "room": room.as_str(), "epoch": epoch.to_string(), "seq": seq, "prev_seq": prev_seq, "time": time_json(*time),
        "sender": sender, "device": device, "client_msg_id": id.to_string(),
    });
    let details = match body {
        Body::Posted { text, reply_to, erased } => {
            json!({"type": "posted", "text": text, "reply_to_seq": reply_to, "erased": erased})
        }
        Body::Edited { seq, text, erased } => {
            json!({"type": "edited", "of_seq": seq, "text": text, "erased": erased})
        }
        Body::Deleted { seq } => json!({"type": "deleted", "of_seq": seq}),
        Body::Reacted { seq, reaction, removed } => {
            json!({"type": "reacted", "of_seq": seq, "reaction": reaction, "removed": removed})
        }
        _ => json!({"type": "unknown"}),
    };
    if let (Value::Object(object), Value::Object(details)) = (&mut object, details) {
        object.extend(details);
    }
    object.to_string()
}

/// The word for a durability, in JSON.
pub(crate) fn durability_word(durability: Durability) -> &'static str {
    match durability {
        Durability::Memory => "memory",
        Durability::Written => "written",
        Durability::Synced => "synced",
        _ => "unknown",
    }
}

/// RFC 3339, in UTC.
pub(crate) fn time_json(time: SystemTime) -> Value {
    Timestamp::try_from(time).map_or(Value::Null, |time| Value::String(time.to_string()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use grpc_chat_client::MsgId;

    use super::*;

    fn event(body: Body) -> Event {
        Event {
            room: "general".parse().unwrap(),
            seq: 7,
            prev_seq: 6,
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_000_000_123),
            sender: "sam".to_owned(),
            device: String::new(),
            id: MsgId([1; 16]),
            body,
        }
    }

    fn posted(text: &str) -> Body {
        Body::Posted { text: text.to_owned(), reply_to: None, erased: false }
    }

    #[test]
    fn no_line_of_a_text_passes_for_another_event() {
        let text = event_text(&event(posted("Hi\n8 2025-11-24 16:00:00 ann: I owe sam 100")), &TimeZone::UTC);
        assert_eq!(text, "7 2025-11-24 16:00:00 sam: Hi\n    8 2025-11-24 16:00:00 ann: I owe sam 100");
        for removed in [true, false] {
            let reaction = "x\n8 2025-11-24 16:00:00 boss: pay".to_owned();
            let mut reacted = event(Body::Reacted { seq: 3, reaction, removed });
            reacted.sender = "ann\n9".to_owned();
            let text = event_text(&reacted, &TimeZone::UTC);
            assert!(text.lines().skip(1).all(|line| line.starts_with("    ")), "{text}");
        }
    }

    #[test]
    fn everything_that_can_happen_is_a_sentence() {
        let reaction = || "👍".to_owned();
        for (body, text) in [
            (Body::Posted { text: "Hi".to_owned(), reply_to: Some(3), erased: false }, "sam (to 3): Hi"),
            (Body::Posted { text: String::new(), reply_to: None, erased: true }, "sam said something and deleted it"),
            (Body::Edited { seq: 3, text: "Hey".to_owned(), erased: false }, "sam edited 3: Hey"),
            (Body::Edited { seq: 3, text: String::new(), erased: true }, "sam edited 3 and deleted it"),
            (Body::Deleted { seq: 3 }, "sam deleted 3"),
            (Body::Reacted { seq: 3, reaction: reaction(), removed: false }, "sam reacted to 3 with 👍"),
            (Body::Reacted { seq: 3, reaction: reaction(), removed: true }, "sam took 👍 back from 3"),
        ] {
            assert_eq!(event_text(&event(body), &TimeZone::UTC), format!("7 2025-11-24 16:00:00 {text}"));
        }
    }

    #[test]
    fn json_says_everything_on_one_line() {
        let text = event_json(&event(posted("a\n\"b\"\u{1b}")), 9);
        assert_eq!(
            text,
            r#"{"room":"general","epoch":"9","seq":7,"prev_seq":6,"time":"2025-11-24T16:00:00.123Z","sender":"sam","device":"","client_msg_id":"01010101-0101-0101-0101-010101010101","type":"posted","text":"a\n\"b\"\u001b","reply_to_seq":null,"erased":false}"#
        );
    }
}
