//! What the commands print: text that is safe for any terminal, and JSON that keeps every character.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::SystemTime;

use grpc_chat_client::{Body, Durability, Event, sanitize};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The service could not be reached, or the service or this machine failed. Exit code 1.
    Failed(String),
    /// The command line, a variable or the configuration file cannot be used. Exit code 2.
    Usage(String),
    /// The service refused. Exit code 3.
    Refused(String),
    /// The signal of this number came. Exit code 128 and the number.
    Stopped(u8),
    /// The reader of the output has closed it. Exit code 0.
    ReaderLeft,
}

impl Failure {
    /// Returns the failure with the number of the input's line that it is about.
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

/// Prints a line on standard output, at once. Control characters are replaced, also in a pipe: it may end at a terminal.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", sanitize(text))?;
    out.flush()
}

/// Like [`line`], for a reader that may be slow: everything else goes on meanwhile.
pub(crate) async fn line_when_read(text: String) -> io::Result<()> {
    tokio::task::spawn_blocking(move || line(&text)).await.map_err(io::Error::other)?
}

/// Prints a line on standard error. If that is closed, nobody is left to read it.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "grpc_chat_client: {}", indented(&sanitize(text)));
}

/// Returns JSON on one line. What [`sanitize`] would replace is escaped, so that the text stays exact.
pub(crate) fn json_text(value: &Value) -> String {
    let json = value.to_string();
    if let Cow::Borrowed(_) = sanitize(&json) {
        return json;
    }
    let mut escaped = String::new();
    for c in json.chars() {
        // Such characters are in strings only, and all are below U+10000.
        match sanitize(c.encode_utf8(&mut [0; 4])) {
            Cow::Borrowed(_) => escaped.push(c),
            Cow::Owned(_) => drop(write!(escaped, "\\u{:04x}", u32::from(c))),
        }
    }
    escaped
}

/// Returns an event as a line for people: its seq, its time, and what happened. Further lines of a text are indented, so that
/// none can pass for another event.
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
        _ => format!("{sender} did something that this client does not know; a newer client may"),
    };
    format!("{seq} {} {what}", time_text(event.time, zone))
}

/// Returns a text with its further lines indented.
pub(crate) fn indented(text: &str) -> String {
    text.replace('\n', "\n    ")
}

/// Returns a time as text: `2026-11-24 09:15:03`.
pub(crate) fn time_text(time: SystemTime, zone: &TimeZone) -> String {
    match Timestamp::try_from(time) {
        Ok(time) => time.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => "(no time)".to_owned(),
    }
}

/// Returns an event as a line for programs. `epoch:seq:client_msg_id` is what `tail --after` takes. The epoch is text, as a
/// uint64 is in protobuf's JSON: many programs read a number as a double, which has 53 bits.
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
    json_text(&object)
}

/// Returns the word for a durability, in JSON.
pub(crate) fn durability_word(durability: Durability) -> &'static str {
    match durability {
        Durability::Memory => "memory",
        Durability::Written => "written",
        Durability::Synced => "synced",
        Durability::Replicated => "replicated",
        _ => "unknown",
    }
}

/// Returns a time for JSON: RFC 3339, in UTC.
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
