//! The words of the chat, validated where they are made. Knows nothing of wire, disk or time.

use std::fmt;
use std::sync::Arc;

/// A place in a room's history: 1 for the first event, then strictly increasing. 0 is the place before the first.
pub type Seq = u64;

/// One life of a history: seqs of different epochs have nothing to do with each other. Never 0.
pub type Epoch = u64;

/// Milliseconds since 1970-01-01 UTC.
pub type UnixMillis = u64;

/// The longest id of a room, a user or a device, in bytes.
pub const MAX_ID_BYTES: usize = 64;

/// The longest reaction, in bytes.
pub const MAX_REACTION_BYTES: usize = 64;

/// A room's id: 1 to 64 of `A-Z a-z 0-9 . _ - /`, with `/` neither at the ends nor doubled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(Arc<str>);

/// A user's or a device's id: 1 to 64 of `A-Z a-z 0-9 . _ -`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

/// Names one attempt to say something, however often it is sent. 16 bytes, by convention a UUIDv7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientMsgId(pub [u8; 16]);

/// What a user asks to have stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Where.
    pub room: RoomId,
    /// Who asks.
    pub sender: UserId,
    /// On which of their devices, if they tell.
    pub device: Option<UserId>,
    /// Unique per room and sender.
    pub client_msg_id: ClientMsgId,
    /// What.
    pub change: Change,
    /// The life of the history that `change` is about a place in, where the sender tells; 0 if not. Not stored.
    pub epoch: Epoch,
}

/// What a draft does to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Says something, perhaps in answer to an earlier message.
    Post {
        /// Not empty, unless erased since.
        text: String,
        /// The message this answers.
        reply_to: Option<Seq>,
    },
    /// Replaces the text of the sender's own message.
    Edit {
        /// The message.
        seq: Seq,
        /// Not empty, unless erased since.
        text: String,
    },
    /// Erases the sender's own message.
    Delete {
        /// The message.
        seq: Seq,
    },
    /// Adds a reaction to anybody's message, or takes it back.
    React {
        /// The message.
        seq: Seq,
        /// 1 to 64 bytes.
        reaction: String,
        /// Takes it back.
        remove: bool,
    },
}

/// A draft that has been stored and has its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place.
    pub seq: Seq,
    /// The place of the event before it in the room.
    pub prev_seq: Seq,
    /// When it was stored; never before the event before it.
    pub time: UnixMillis,
    /// What was asked.
    pub draft: Draft,
    /// The message it posted or edited has been deleted since, and its text with it.
    pub erased: bool,
}

/// How safe an event is when it is acked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// In this process's memory.
    Memory,
    /// Given to the operating system: survives this process, not the machine.
    Written,
    /// Synced to disk: survives a power cut.
    Synced,
}

/// Text that cannot be taken, and why, in words that follow the name of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid(pub &'static str);

impl RoomId {
    /// # Errors
    ///
    /// [`Invalid`] if it is not as the type says.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        if text.split('/').any(str::is_empty) {
            return Err(Invalid("must not be empty, and must not begin or end with / or have it doubled"));
        }
        check_id(text, |b| b == b'/')?;
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl UserId {
    /// # Errors
    ///
    /// [`Invalid`] if it is not as the type says.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid("must not be empty"));
        }
        check_id(text, |_| false)?;
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ClientMsgId {
    /// # Errors
    ///
    /// [`Invalid`] if it is not 16 bytes long.
    pub fn new(bytes: &[u8]) -> Result<Self, Invalid> {
        bytes.try_into().map(Self).map_err(|_| Invalid("must be 16 bytes, a UUIDv7 made once for this message"))
    }
}

impl Change {
    /// The earlier message this is about, if any.
    #[must_use]
    pub fn about(&self) -> Option<Seq> {
        match self {
            Self::Post { reply_to, .. } => *reply_to,
            Self::Edit { seq, .. } | Self::Delete { seq } | Self::React { seq, .. } => Some(*seq),
        }
    }
}

impl Event {
    /// Takes its text away, as when the message it posted or edited is deleted.
    pub fn erase(&mut self) {
        self.erased = true;
        if let Change::Post { text, .. } | Change::Edit { text, .. } = &mut self.draft.change {
            *text = String::new();
        }
    }
}

/// Text that people say: not empty, at most `max_bytes` long, and without control characters other than newline
/// and tab, so that it cannot steer a terminal it is shown on.
///
/// # Errors
///
/// [`Invalid`] if it is not.
pub fn check_text(text: &str, max_bytes: usize) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid("must not be empty"));
    }
    if text.len() > max_bytes {
        return Err(Invalid("is longer than Welcome.limits.max_text_bytes"));
    }
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(Invalid("must not have control characters other than newline and tab"));
    }
    Ok(())
}

fn check_id(text: &str, also: fn(u8) -> bool) -> Result<(), Invalid> {
    if text.len() > MAX_ID_BYTES {
        return Err(Invalid("must be at most 64 bytes long"));
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-') || also(b)) {
        return Err(Invalid("may have only ASCII letters, digits, '.', '_' and '-' (a room also '/')"));
    }
    Ok(())
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_plain_ascii_and_only_rooms_have_slashes() {
        for good in ["a", "A-1_b.c", &"x".repeat(64)] {
            assert_eq!(UserId::new(good).unwrap().as_str(), good);
            assert_eq!(RoomId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", " ", "a b", "é", "a\n", "a\u{0}", "漢", "a@b", &"x".repeat(65)] {
            UserId::new(bad).unwrap_err();
            RoomId::new(bad).unwrap_err();
        }
        RoomId::new("team/eu/general").unwrap();
        UserId::new("team/eu").unwrap_err();
        for bad in ["/", "/a", "a/", "a//b", "//"] {
            RoomId::new(bad).unwrap_err();
        }
    }

    #[test]
    fn text_may_have_lines_and_every_script_but_no_controls() {
        for good in ["Hi", "a\nb\tc", "漢字 👩‍👩‍👧‍👦 \u{202e}", &"x".repeat(8192)] {
            check_text(good, 8192).unwrap();
        }
        for bad in ["", "\u{1b}[2J", "a\r", "\u{0}", "\u{7f}", "\u{9b}", &"x".repeat(8193)] {
            check_text(bad, 8192).unwrap_err();
        }
    }

    #[test]
    fn a_client_msg_id_is_sixteen_bytes() {
        ClientMsgId::new(&[7; 16]).unwrap();
        for bad in [0, 15, 17] {
            ClientMsgId::new(&vec![7; bad]).unwrap_err();
        }
    }
}
