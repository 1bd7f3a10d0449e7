//! What a user asks to have stored, and the service's confirmation.

use std::fmt;
use std::time::SystemTime;

use super::event::{Event, Seq};
use super::id::{MsgId, RoomId};

/// A change to a room that a user asks for.
///
/// Its `Debug` output has no text of the message: such text does not belong in logs.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Posts a message.
    Post {
        /// The text; not empty, and without control characters other than newline and tab.
        text: String,
        /// The message that this is a reply to.
        reply_to: Option<Target>,
    },
    /// Replaces the text of the user's own message.
    Edit {
        /// The message.
        target: Target,
        /// Its new text.
        text: String,
    },
    /// Erases the user's own message.
    Delete {
        /// The message.
        target: Target,
    },
    /// Reacts to a message, or takes a reaction back.
    React {
        /// The message.
        target: Target,
        /// Usually one emoji.
        reaction: String,
        /// Whether the reaction is taken back.
        remove: bool,
    },
}

impl Change {
    /// Returns a new message that is no reply.
    pub fn post(text: impl Into<String>) -> Self {
        Self::Post { text: text.into(), reply_to: None }
    }

    /// Returns a reply to a message.
    pub fn reply(target: impl Into<Target>, text: impl Into<String>) -> Self {
        Self::Post { text: text.into(), reply_to: Some(target.into()) }
    }

    /// Returns the message that it is about, if it is about one.
    pub(crate) fn target(&self) -> Option<Target> {
        match self {
            Self::Post { reply_to, .. } => *reply_to,
            Self::Edit { target, .. } | Self::Delete { target } | Self::React { target, .. } => Some(*target),
        }
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Post { text, reply_to } => write!(f, "Post({} bytes, reply to {reply_to:?})", text.len()),
            Self::Edit { target, text } => write!(f, "Edit({target:?}, {} bytes)", text.len()),
            Self::Delete { target } => write!(f, "Delete({target:?})"),
            Self::React { target, remove, .. } => write!(f, "React({target:?}, remove: {remove})"),
        }
    }
}

/// The message that a change is about.
///
/// It is made from an [`Event`] or the [`Ack`] of the user's own message, or from a seq alone. An event and an ack also name
/// the message's id: if another message has that seq, because the history was restored from a copy and has gone on
/// differently, the service refuses the change (`FORKED`). The library does not look up the id for a seq alone.
///
/// ```no_run
/// # async fn example(client: grpc_chat_client::Client, event: grpc_chat_client::Event) -> Result<(), grpc_chat_client::SendError> {
/// client.react(&event.room, &event, "👍").await?;
/// client.react(&event.room, event.seq, "👍").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The message's seq.
    pub seq: Seq,
    /// The message's id, if it is known.
    pub id: Option<MsgId>,
}

impl From<Seq> for Target {
    fn from(seq: Seq) -> Self {
        Self { seq, id: None }
    }
}

impl From<&Event> for Target {
    fn from(event: &Event) -> Self {
        Self { seq: event.seq, id: event.id.known() }
    }
}

impl From<&Ack> for Target {
    fn from(ack: &Ack) -> Self {
        Self { seq: ack.seq, id: Some(ack.id) }
    }
}

/// A change that is not stored yet, with the id under which it is stored once, however often it is sent.
///
/// [`Client::send`](crate::Client::send) and its like make drafts by themselves. A program makes its own where it has to
/// send the same one again, or to find its event:
///
/// ```no_run
/// # async fn example(client: grpc_chat_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use grpc_chat_client::{Change, Draft, RoomId};
///
/// let room: RoomId = "general".parse()?;
/// let draft = Draft::new(room, Change::post("Hi"));
/// // However often it is posted, it is stored once.
/// let first = client.post(draft.clone()).await?;
/// let again = client.post(draft).await?;
/// assert!(again.duplicate && first.seq == again.seq);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Made once, and the same for every attempt.
    pub id: MsgId,
    /// The room.
    pub room: RoomId,
    /// The change.
    pub change: Change,
    /// The epoch that the seq in `change` belongs to, as in [`Joined`](crate::Joined). In another epoch the same seq is
    /// another message, and the service refuses the draft. `None`: the epoch that was last delivered to the application for
    /// this room, if any.
    pub epoch: Option<u64>,
}

impl Draft {
    /// Returns a draft with a new id.
    pub fn new(room: impl Into<RoomId>, change: Change) -> Self {
        Self { id: MsgId::new(), room: room.into(), change, epoch: None }
    }
}

/// The service's confirmation that a draft is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The draft's id.
    pub id: MsgId,
    /// The seq of its event.
    pub seq: Seq,
    /// When it was stored, by the service's clock.
    pub time: SystemTime,
    /// Nothing was stored now: an earlier attempt had stored it, or a reaction was as asked already. Then there is no event
    /// with this id, and `seq` and `time` are those of the event since which it is so.
    pub duplicate: bool,
    /// How safely it is stored.
    pub durability: Durability,
}

/// How safely a message is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Durability {
    /// The service did not say, or named a level that this client does not know.
    Unknown,
    /// In the service's memory.
    Memory,
    /// Written to the operating system: survives the service, but not its machine.
    Written,
    /// Synced to disk: survives a power cut.
    Synced,
    /// Synced to the disks of more than one machine: survives the loss of any one of them.
    Replicated,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_has_no_text_of_messages() {
        let room: RoomId = "general".parse().unwrap();
        let draft = Draft::new(room, Change::post("a secret"));
        assert!(!format!("{draft:?}").contains("secret"));
    }
}
