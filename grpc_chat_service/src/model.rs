//! The vocabulary of the chat: values that are validated where they are made. Independent of wire, disk and time.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::SystemTime;

use uuid::{NoContext, Timestamp, Uuid};

/// The sequence number of an event in its room: 1 for the first event, then strictly increasing. 0 means "before the
/// first event".
pub type Seq = u64;

/// Identifies one unbroken history. When a history is restored or loses events it starts a new epoch, and sequence
/// numbers of different epochs are not comparable. Never 0.
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

/// A user's id: 1 to 64 of `A-Z a-z 0-9 . _ -`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

/// The id of one of a user's devices, in the form of a user's id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(Arc<str>);

/// The idempotency key of a draft: the same for every attempt to send it. 16 bytes, by convention a UUIDv7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientMsgId(pub [u8; 16]);

/// Who uses what all share. Whoever waits for it is served in turn with the others, by account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// The user; `None` for whoever calls without being one.
    pub user: Option<UserId>,
    /// Where the calls come from, see [`network`].
    pub network: IpAddr,
}

/// Returns what stands for an address where addresses are counted: an IPv4 address itself, and of an IPv6 address the network,
/// of 64 bits, within which every machine chooses its own.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// A change to a room that a user asks to have stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The room to change.
    pub room: RoomId,
    /// The user who asks.
    pub sender: UserId,
    /// The device it is sent from, if the client named one.
    pub device: Option<DeviceId>,
    /// Unique per room and sender.
    pub client_msg_id: ClientMsgId,
    /// The change itself.
    pub change: Change,
}

/// What a draft does to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Posts a message, possibly as a reply to an earlier one.
    Post {
        /// The message. Empty only if it has been erased since.
        text: Arc<str>,
        /// The message this replies to.
        reply_to: Option<Seq>,
    },
    /// Replaces the text of one of the sender's own messages.
    Edit {
        /// The message.
        seq: Seq,
        /// The new text. Empty only if it has been erased since.
        text: Arc<str>,
    },
    /// Erases one of the sender's own messages.
    Delete {
        /// The message.
        seq: Seq,
    },
    /// Adds a reaction to any message, or removes it.
    React {
        /// The message.
        seq: Seq,
        /// 1 to 64 bytes.
        reaction: String,
        /// Removes the reaction instead of adding it.
        remove: bool,
    },
}

/// A draft that has been stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its sequence number in the room.
    pub seq: Seq,
    /// The sequence number of the room's previous event, 0 for the first.
    pub prev_seq: Seq,
    /// When it was stored; never earlier than the room's previous event.
    pub time: UnixMillis,
    /// The draft as it was asked for.
    pub draft: Draft,
    /// The message that it posted or edited has been deleted since, so its text is gone.
    pub erased: bool,
}

/// How safe an event is when it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// In this process's memory.
    Memory,
    /// Handed to the operating system: survives a crash of this process, not of the machine.
    Written,
    /// Synced to disk: survives a power cut.
    Synced,
    /// Synced to the disks of more than one machine: survives the loss of any one of them.
    Replicated,
}

/// Why a text is not acceptable, phrased to follow the name of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid(pub &'static str);

impl RoomId {
    /// Validates `text`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if it does not have the form described at [`RoomId`].
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let slash_at_end = text.starts_with('/') || text.ends_with('/');
        if text.is_empty() || slash_at_end || text.as_bytes().windows(2).any(|two| two == b"//") {
            return Err(Invalid("must not be empty, and must not begin or end with / or have it doubled"));
        }
        check_id(text, |b| b == b'/')?;
        Ok(Self(text.into()))
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl UserId {
    /// Validates `text`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if it does not have the form described at [`UserId`].
    pub fn new(text: &str) -> Result<Self, Invalid> {
        check_name(text)?;
        Ok(Self(text.into()))
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl DeviceId {
    /// Validates `text`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if it does not have the form described at [`UserId`].
    pub fn new(text: &str) -> Result<Self, Invalid> {
        check_name(text)?;
        Ok(Self(text.into()))
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ClientMsgId {
    /// Converts from bytes.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if there are not exactly 16.
    pub fn new(bytes: &[u8]) -> Result<Self, Invalid> {
        bytes.try_into().map(Self).map_err(|_| Invalid("must be 16 bytes, a UUID made once for this message"))
    }

    /// Makes a new one, for a draft that its client cannot repeat.
    #[must_use]
    pub fn random() -> Self {
        Self(new_uuid().into_bytes())
    }
}

impl Change {
    /// Returns the earlier message that the change refers to, if any.
    #[must_use]
    pub fn target(&self) -> Option<Seq> {
        match self {
            Self::Post { reply_to, .. } => *reply_to,
            Self::Edit { seq, .. } | Self::Delete { seq } | Self::React { seq, .. } => Some(*seq),
        }
    }

    /// Returns the length in bytes of the text that users wrote: a message's, an edit's or a reaction's.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::Post { text, .. } | Self::Edit { text, .. } => text.len(),
            Self::React { reaction, .. } => reaction.len(),
            Self::Delete { .. } => 0,
        }
    }
}

impl Event {
    /// Removes the text, as when the message that this event posted or edited is deleted.
    pub fn erase(&mut self) {
        self.erased = true;
        if let Change::Post { text, .. } | Change::Edit { text, .. } = &mut self.draft.change {
            *text = Arc::default();
        }
    }
}

/// Checks a text that users write: not empty, at most `max_bytes` long, and without control characters other than
/// newline and tab, so that it cannot control a terminal on which it is shown.
///
/// # Errors
///
/// [`Invalid`] with the rule that is broken.
pub fn check_text(text: &str, max_bytes: usize) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid("must not be empty"));
    }
    if text.len() > max_bytes {
        return Err(Invalid("is longer than Welcome.limits.max_text_bytes"));
    }
    if may_have_controls(text) && text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(Invalid("must not have control characters other than newline and tab"));
    }
    Ok(())
}

/// Looks at the bytes, which is much faster than to decode them: the controls are the bytes below 0x20, 0x7f, and some of the
/// characters that begin with 0xc2.
fn may_have_controls(text: &str) -> bool {
    // No early return, so that the compiler can compare many at once.
    text.bytes().fold(false, |any, byte| any | matches!(byte, ..b'\t' | 0x0b..0x20 | 0x7f | 0xc2))
}

/// Returns a new UUIDv7.
pub(crate) fn new_uuid() -> Uuid {
    uuid_at(SystemTime::now())
}

/// A clock before 1970, for which there is no UUIDv7, counts as 1970.
fn uuid_at(now: SystemTime) -> Uuid {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos()))
}

fn check_name(text: &str) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid("must not be empty"));
    }
    check_id(text, |_| false)
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

impl fmt::Display for DeviceId {
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
    fn there_are_ids_whatever_the_clock_says() {
        let before = SystemTime::UNIX_EPOCH - std::time::Duration::from_secs(1);
        assert_ne!(uuid_at(before), uuid_at(before));
        assert!(uuid_at(before) < new_uuid());
    }

    #[test]
    fn a_client_msg_id_is_sixteen_bytes() {
        ClientMsgId::new(&[7; 16]).unwrap();
        assert_ne!(ClientMsgId::random(), ClientMsgId::random());
        for bad in [0, 15, 17] {
            ClientMsgId::new(&vec![7; bad]).unwrap_err();
        }
    }
}
