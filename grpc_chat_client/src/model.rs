//! The words of the chat, as an application sees them.

use std::fmt;
use std::time::{Duration, SystemTime};

use tonic::Code;
use uuid::Uuid;

/// A place in a room's history: 1 for the first event, then strictly increasing. 0 is the place before the first.
pub type Seq = u64;

/// A place in one life of a room's history. Two cursors of different epochs have nothing to do with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The life of the history, as told in [`Joined`]; 0 only together with seq 0.
    pub epoch: u64,
    /// The last event seen.
    pub seq: Seq,
}

impl Cursor {
    /// Before the first event of any history.
    pub const BEGINNING: Self = Self { epoch: 0, seq: 0 };
}

/// Names a draft for good, however often it has to be sent: the service stores what is sent under one id once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MsgId(pub [u8; 16]);

impl MsgId {
    /// A new one: a UUIDv7.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7().into_bytes())
    }
}

impl Default for MsgId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for MsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).fmt(f)
    }
}

impl fmt::Debug for MsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).fmt(f)
    }
}

/// What a user asks to have stored in a room.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// Says something.
    Post {
        /// What; not empty, and without control characters other than newline and tab.
        text: String,
        /// The message this answers.
        reply_to: Option<Seq>,
    },
    /// Replaces the text of the user's own message.
    Edit {
        /// The message.
        seq: Seq,
        /// Its new text.
        text: String,
    },
    /// Erases the user's own message.
    Delete {
        /// The message.
        seq: Seq,
    },
    /// Reacts to a message, or takes a reaction back.
    React {
        /// The message.
        seq: Seq,
        /// Usually one emoji.
        reaction: String,
        /// Takes it back.
        remove: bool,
    },
}

impl Change {
    /// Something said, in answer to nothing.
    pub fn post(text: impl Into<String>) -> Self {
        Self::Post { text: text.into(), reply_to: None }
    }

    /// Whether it is about a place in the history.
    pub(crate) fn is_about_a_place(&self) -> bool {
        !matches!(self, Self::Post { reply_to: None, .. })
    }
}

/// Says what kind of change, and not what it says: texts of messages do not belong in logs.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Post { text, reply_to } => write!(f, "Post({} bytes, reply to {reply_to:?})", text.len()),
            Self::Edit { seq, text } => write!(f, "Edit({seq}, {} bytes)", text.len()),
            Self::Delete { seq } => write!(f, "Delete({seq})"),
            Self::React { seq, remove, .. } => write!(f, "React({seq}, remove: {remove})"),
        }
    }
}

/// A change on its way to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Made once, kept for every attempt.
    pub id: MsgId,
    /// Where.
    pub room: String,
    /// What.
    pub change: Change,
    /// The life of the history that the seqs in `change` belong to, as in [`Joined`]. In another one the draft is refused,
    /// since the same seq is another message there. `None`: the one that the application was last told for this room, if
    /// any.
    pub epoch: Option<u64>,
}

impl Draft {
    /// A draft with a new id.
    pub fn new(room: impl Into<String>, change: Change) -> Self {
        Self { id: MsgId::new(), room: room.into(), change, epoch: None }
    }
}

/// A draft has been stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The draft's id.
    pub id: MsgId,
    /// Its place in the room.
    pub seq: Seq,
    /// When it was stored, by the service's clock.
    pub time: SystemTime,
    /// It had been stored by an earlier attempt.
    pub duplicate: bool,
    /// How safe it is.
    pub durability: Durability,
}

/// How safe a stored message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// The service did not say, or in a word that this client does not know.
    Unknown,
    /// In the service's memory.
    Memory,
    /// Given to the operating system: survives the service, not its machine.
    Written,
    /// On disk, synced: survives a power cut.
    Synced,
}

/// Something in a room's history.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// The room's id.
    pub room: String,
    /// Its place.
    pub seq: Seq,
    /// The place of the event before it in the room.
    pub prev_seq: Seq,
    /// When it was stored, by the service's clock.
    pub time: SystemTime,
    /// Who caused it.
    pub sender: String,
    /// On which of their devices; empty if they did not tell.
    pub device: String,
    /// The draft's id.
    pub id: MsgId,
    /// What happened.
    pub body: Body,
}

/// What happened.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// A message.
    Posted {
        /// What was said, as first posted; empty if it has been erased since.
        text: String,
        /// The message it answers.
        reply_to: Option<Seq>,
        /// It has been erased since.
        erased: bool,
    },
    /// A message's text was replaced.
    Edited {
        /// The message.
        seq: Seq,
        /// Its new text; empty if it has been erased since.
        text: String,
        /// The message has been erased since.
        erased: bool,
    },
    /// A message was erased.
    Deleted {
        /// The message.
        seq: Seq,
    },
    /// A reaction came or went.
    Reacted {
        /// The message.
        seq: Seq,
        /// The reaction.
        reaction: String,
        /// It was taken back.
        removed: bool,
    },
    /// Something that this version of the client does not know.
    Unknown,
}

/// Says where and what kind, and not what was said: texts of messages do not belong in logs.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({} {} after {} by {}: {:?})", self.room, self.seq, self.prev_seq, self.sender, self.body)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Posted { text, erased, .. } => write!(f, "Posted({} bytes, erased: {erased})", text.len()),
            Self::Edited { seq, text, .. } => write!(f, "Edited({seq}, {} bytes)", text.len()),
            Self::Deleted { seq } => write!(f, "Deleted({seq})"),
            Self::Reacted { seq, removed, .. } => write!(f, "Reacted({seq}, removed: {removed})"),
            Self::Unknown => f.write_str("Unknown"),
        }
    }
}

/// Where to begin in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Only what is new.
    Live,
    /// The last so many events, at most 1,000, then what is new.
    Last(u32),
    /// Everything after this place.
    After(Cursor),
    /// Everything after the last event that the application has seen, if [`Config::state`](crate::Config::state) knows
    /// it; otherwise the last so many.
    Resume {
        /// How many, where nothing is known.
        or_last: u32,
    },
}

/// Whether a reader will miss something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There was no cursor: what is new, or the last so many.
    Live,
    /// Everything after the cursor follows.
    Recovered,
    /// The cursor does not belong to this history. What follows begins at the head: throw away what is kept of the
    /// room, and page the history for as much of it as is wanted.
    Reset(ResetReason),
}

/// Why a cursor could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetReason {
    /// The history has begun anew since (restored from a backup, or lost).
    Epoch,
    /// The cursor is ahead of the newest event.
    Ahead,
    /// What followed the cursor is no longer kept.
    Expired,
    /// In a word that this client does not know.
    Unknown,
}

impl fmt::Display for ResetReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Epoch => "the service's history has begun anew",
            Self::Ahead => "the service's history ends before what was already seen",
            Self::Expired => "the service no longer keeps what was missed",
            Self::Unknown => "the service cannot continue from what was seen",
        })
    }
}

/// A room is joined, for the first time or again after a lost connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The room's id.
    pub room: String,
    /// Whether something is missed.
    pub verdict: Verdict,
    /// The life of the history.
    pub epoch: u64,
    /// The next event is the first one after this seq.
    pub start: Seq,
    /// The newest event, 0 in an empty room.
    pub head: Seq,
    /// The oldest event that is kept, 0 in an empty room.
    pub oldest: Seq,
    /// How far this user has read.
    pub read: Seq,
}

/// The service's no, or an end that it gave to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What kind of no.
    pub code: Code,
    /// The service's word for it, where it has one, such as `NOT_THE_AUTHOR` or `OTHER_EPOCH` (`chat.v1`, "Errors"); empty
    /// otherwise. For programs: sentences may change.
    pub reason: String,
    /// A sentence, as the service said it. Comes from outside: see [`sanitize`](crate::sanitize()) before showing it.
    pub message: String,
}

impl Refused {
    /// One with no word of a service for it.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, reason: String::new(), message: message.into() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() { f.write_str(self.code.description()) } else { f.write_str(&self.message) }
    }
}

impl std::error::Error for Refused {}

/// How the client stands with the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Being made.
    Connecting,
    /// There is a session.
    Online {
        /// Who the service takes the user for.
        user: String,
        /// The longest text that it takes, in bytes of UTF-8.
        max_text_bytes: usize,
    },
    /// The service is about to end the session; drafts are kept for the next one.
    Draining,
    /// There is none; another attempt will be made.
    Waiting {
        /// What went wrong, in a sentence. May be the service's own words: see [`sanitize`](crate::sanitize()).
        why: String,
        /// Until the next attempt.
        retry_in: Duration,
    },
    /// Over: there will be no other attempt.
    Lost(Refused),
    /// Over: closed by the application.
    Closed,
}

/// What the application is told, in this order for each room: [`Joined`](Update::Joined), events, and in between
/// [`CaughtUp`](Update::CaughtUp) when all that was missed has come; and so again after each lost connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// How the client stands with the service.
    Connection(Connection),
    /// A room is joined.
    Joined(Joined),
    /// A room could not be joined, or its history is damaged where the next events are. It will not be tried again.
    JoinRefused {
        /// The room's id.
        room: String,
        /// Why not.
        why: Refused,
    },
    /// Something in a room's history. Each comes once, in order.
    Event(Event),
    /// All that was missed in a room has come.
    CaughtUp {
        /// The room's id.
        room: String,
        /// The newest event at that moment.
        seq: Seq,
    },
    /// Who is in a room now. Replaces what was told before.
    Present {
        /// The room's id.
        room: String,
        /// Users, by id; in a large room not all of them.
        users: Vec<String>,
        /// How many there are in all.
        count: u32,
    },
    /// Who is typing in a room, apart from this user. Replaces what was told before.
    Typing {
        /// The room's id.
        room: String,
        /// Users, by id.
        users: Vec<String>,
    },
    /// This user has read further, here or elsewhere.
    Read {
        /// The room's id.
        room: String,
        /// The last event read.
        seq: Seq,
    },
    /// How many drafts are not acked yet.
    Unsent(usize),
    /// A draft that an earlier run of the program left, and that is sent now. What comes of it is an event with its id, unless
    /// that came to the earlier run already, or [`Refused`](Update::Refused); at [`Unsent(0)`](Update::Unsent) it is stored.
    Kept(Draft),
    /// The service said no to a draft for whose answer nobody waits.
    Refused {
        /// The draft.
        draft: Draft,
        /// Why.
        why: Refused,
    },
    /// What is unsent, or seen, can not be kept on disk now, in a sentence; it is tried again. Told once until it succeeds.
    NotKept(String),
}

/// A page of a room's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Oldest first.
    pub events: Vec<Event>,
    /// The life of the history: with a seq it makes a [`Cursor`].
    pub epoch: u64,
    /// The newest event's seq, 0 in an empty room.
    pub head: Seq,
    /// There is more in the direction asked for.
    pub more: bool,
}

/// Which page of a room's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The newest events.
    Newest,
    /// The events right before this one.
    Before(Seq),
    /// The events right after this one.
    After(Seq),
}

/// A room that has a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Its id.
    pub room: String,
    /// Its newest event.
    pub head: Seq,
    /// When that was stored.
    pub time: SystemTime,
}

/// Text that cannot be used, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid(pub(crate) &'static str);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Invalid {}

/// Whether this can be a room's id: 1 to 64 of `A-Z a-z 0-9 . _ - /`, with `/` neither at the ends nor doubled
/// (`chat.v1`, "Limits not told in Welcome").
///
/// # Errors
///
/// [`Invalid`], in a sentence.
pub fn check_room(room: &str) -> Result<(), Invalid> {
    if room.split('/').any(str::is_empty) {
        return Err(Invalid("a room's name must not be empty, begin or end with /, or have // in it"));
    }
    check_id(room, |byte| byte == b'/')
}

/// Whether this can be a user's id, or a device's: 1 to 64 of `A-Z a-z 0-9 . _ -`.
///
/// # Errors
///
/// [`Invalid`], in a sentence.
pub fn check_user(user: &str) -> Result<(), Invalid> {
    if user.is_empty() {
        return Err(Invalid("a user's name must not be empty"));
    }
    check_id(user, |_| false)
}

fn check_id(id: &str, also: fn(u8) -> bool) -> Result<(), Invalid> {
    if id.len() > 64 {
        return Err(Invalid("a name has at most 64 characters"));
    }
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') || also(byte)) {
        return Err(Invalid("a name has only ASCII letters, digits, '.', '_' and '-' (a room's also '/')"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_service_takes() {
        for room in ["general", "a/b/c", "A.b_c-9", &"x".repeat(64)] {
            check_room(room).unwrap();
        }
        for room in ["", "/", "/a", "a/", "a//b", "a b", "ä", &"x".repeat(65), "a\u{1b}"] {
            check_room(room).unwrap_err();
        }
        check_user("sam").unwrap();
        for user in ["", "a/b", "sam smith", &"x".repeat(65)] {
            check_user(user).unwrap_err();
        }
    }

    #[test]
    fn what_is_logged_does_not_say_what_was_said() {
        let draft = Draft::new("general", Change::post("a secret"));
        assert!(!format!("{draft:?}").contains("secret"));
    }
}
