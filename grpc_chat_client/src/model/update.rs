//! What a client reports to its application.

use std::time::Duration;

use super::draft::Draft;
use super::event::{Event, Seq};
use super::id::RoomId;
use super::room::Joined;
use crate::error::Refused;

/// The state of the connection to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// An attempt to open a session is under way.
    Connecting,
    /// There is a session.
    Online {
        /// The user that the service takes this client for.
        user: String,
        /// The longest text that the service takes, in bytes of UTF-8.
        max_text_bytes: usize,
    },
    /// There is a session, and the service is about to end it. Drafts wait for the next one.
    Draining,
    /// The session was lost or could not be opened. Another attempt will be made.
    Reconnecting {
        /// What went wrong, in a sentence. It may contain the service's own words: pass it through
        /// [`sanitize`](crate::sanitize()) before showing it.
        why: String,
        /// The machine-readable reason, where the service gave one, as in [`Refused`]. Empty otherwise.
        reason: String,
        /// The time until the next attempt.
        retry_in: Duration,
    },
    /// The client has ended because of a permanent error. There will be no other attempt.
    Failed(Refused),
    /// The client has ended because the application closed it.
    Closed,
}

/// What a client reports to its application, through [`Events`](crate::Events).
///
/// For each room come [`Joined`](Update::Joined), its events, and among them [`CaughtUp`](Update::CaughtUp) when all that was
/// missed has been delivered; and so again after each lost connection.
///
/// ```no_run
/// # async fn example(mut events: grpc_chat_client::Events) {
/// use grpc_chat_client::{Body, ConnectionState, Update};
///
/// while let Some(update) = events.next().await {
///     match update {
///         Update::Event(event) => match event.body {
///             Body::Posted { text, .. } => println!("{}: {text}", event.sender),
///             other => println!("{}: {other:?}", event.sender),
///         },
///         Update::Connection(ConnectionState::Reconnecting { why, retry_in, .. }) => {
///             eprintln!("reconnecting in {} s: {why}", retry_in.as_secs());
///         }
///         Update::Connection(ConnectionState::Failed(why)) => eprintln!("no more attempts: {why}"),
///         _ => {}
///     }
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Update {
    /// The state of the connection has changed.
    Connection(ConnectionState),
    /// A room was joined.
    Joined(Joined),
    /// A room could not be joined, or its history is damaged where the next events are. The client does not try again.
    JoinRefused {
        /// The room's id.
        room: RoomId,
        /// Why.
        why: Refused,
    },
    /// An event in a room's history. Each is delivered once, in order.
    Event(Event),
    /// All that was missed in a room has been delivered.
    CaughtUp {
        /// The room's id.
        room: RoomId,
        /// The newest event at that moment.
        seq: Seq,
    },
    /// The users who are in a room now. Replaces the previous list.
    Present {
        /// The room's id.
        room: RoomId,
        /// The users. Empty in a room with so many that the service names nobody and only counts them.
        users: Vec<String>,
        /// How many there are in all.
        count: u32,
    },
    /// The users who are typing in a room, without this user. Replaces the previous list.
    Typing {
        /// The room's id.
        room: RoomId,
        /// The users.
        users: Vec<String>,
    },
    /// This user has read further, here or on another device.
    Read {
        /// The room's id.
        room: RoomId,
        /// The last event read.
        seq: Seq,
    },
    /// The number of drafts that have no ack yet.
    Unsent(usize),
    /// A draft that an earlier run of the program left, and that is sent now. Its event, if the earlier run has not seen
    /// it yet, has the draft's id; a refusal comes as [`Refused`](Update::Refused). At [`Unsent(0)`](Update::Unsent) it
    /// is stored.
    Restored(Draft),
    /// The service does not store drafts now, for this reason, as when its disk is full, or when more is sent than the user may
    /// send (`RATE_LIMITED`). The client sends them again, in order, as soon as the service permits. Reported once in a session
    /// until a draft is acked, and in the case of a rate until nothing is unsent.
    SendDelayed(Refused),
    /// The service asks to wait for a second or more before it is sent another Join, or asked for another page, for this reason.
    /// The client waits and asks again.
    RequestDelayed(Refused),
    /// The service refused a draft whose outcome nobody waits for.
    Refused {
        /// The draft.
        draft: Draft,
        /// Why.
        why: Refused,
    },
    /// The state file could not be written, for the reason given in a sentence. The client tries again, and reports this
    /// once until it succeeds.
    SaveFailed(String),
}
