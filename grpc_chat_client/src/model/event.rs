//! What a room's history consists of.

use std::fmt;
use std::time::SystemTime;

use super::id::{MsgId, RoomId};

/// The number of an event in its room: 1 for the first, then strictly increasing. 0 stands for "before the first".
pub type Seq = u64;

/// A position in a room's history. Cursors of different epochs cannot be compared.
///
/// Clients keep their own cursors and join rooms again at them. A program that keeps cursors itself gets them from
/// [`Event::cursor`] and [`Joined::cursor`](crate::Joined::cursor).
///
/// ```no_run
/// # async fn example(client: grpc_chat_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use grpc_chat_client::{Cursor, Start};
///
/// // Everything that was ever stored in the room, then what is new.
/// client.join("general", Start::After(Cursor::BEGINNING)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The epoch of the history, from [`Joined`](crate::Joined) or [`Page`](crate::Page). 0 only together with seq 0.
    pub epoch: u64,
    /// The last event seen.
    pub seq: Seq,
    /// That event's id. If another event has this seq, because the history was restored from a copy and has gone on
    /// differently, the room is [reset](crate::ResetReason::Forked). `None`: not checked.
    pub id: Option<MsgId>,
}

impl Cursor {
    /// The position before the first event, in any epoch.
    pub const BEGINNING: Self = Self { epoch: 0, seq: 0, id: None };
}

/// An event in a room's history.
///
/// Its `Debug` output has no text of the message: such text does not belong in logs.
///
/// ```
/// use grpc_chat_client::{Body, Event, sanitize};
///
/// fn show(event: &Event) {
///     if let Body::Posted { text, erased: false, .. } = &event.body {
///         println!("{} {}: {}", event.seq, sanitize(&event.sender), sanitize(text));
///     }
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// The room's id.
    pub room: RoomId,
    /// The event's seq.
    pub seq: Seq,
    /// The seq of the event before it in the room.
    pub prev_seq: Seq,
    /// When it was stored, by the service's clock.
    pub time: SystemTime,
    /// The user who caused it, as the service names them.
    pub sender: String,
    /// The device it came from; empty if the sender named none.
    pub device: String,
    /// The draft's id.
    pub id: MsgId,
    /// What happened.
    pub body: Body,
}

impl Event {
    /// Returns the position right after this event. The epoch is that of the [`Joined`](crate::Joined) or
    /// [`Page`](crate::Page) that the event came with.
    ///
    /// ```
    /// use grpc_chat_client::{Event, Start};
    ///
    /// fn go_on(epoch: u64, last: &Event) -> Start {
    ///     Start::After(last.cursor(epoch))
    /// }
    /// ```
    #[must_use]
    pub fn cursor(&self, epoch: u64) -> Cursor {
        Cursor { epoch, seq: self.seq, id: self.id.known() }
    }
}

/// What happened in an event.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body {
    /// A message was posted.
    Posted {
        /// The text as first posted; empty if the message has been erased since.
        text: String,
        /// The message that this is a reply to.
        reply_to: Option<Seq>,
        /// Whether the message has been erased since.
        erased: bool,
    },
    /// A message's text was replaced.
    Edited {
        /// The message.
        seq: Seq,
        /// The new text; empty if the message has been erased since.
        text: String,
        /// Whether the message has been erased since.
        erased: bool,
    },
    /// A message was erased.
    Deleted {
        /// The message.
        seq: Seq,
    },
    /// A reaction was added or removed.
    Reacted {
        /// The message.
        seq: Seq,
        /// The reaction.
        reaction: String,
        /// Whether it was removed.
        removed: bool,
    },
    /// Something that this version of the client does not know.
    Unknown,
}

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
