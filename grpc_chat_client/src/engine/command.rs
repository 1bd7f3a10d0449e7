//! What goes into the engine, and what comes out of it.

use std::time::Duration;

use super::outbox::Queued;
use crate::error::{JoinError, Refused};
use crate::model::{Draft, Joined, MsgId, RoomId, Seq, Start, Update};
use crate::reply::Reply;

/// What the application asks for.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send a draft until it is acked or refused.
    Post(Queued),
    /// Receive a room.
    Join { room: RoomId, start: Start, reply: Reply<Result<Joined, JoinError>> },
    /// Stop receiving a room.
    Leave { room: RoomId },
    /// Note how far the user has read.
    MarkRead { room: RoomId, seq: Seq },
    /// Note that the user is typing.
    Typing { room: RoomId },
    /// Report that a page has to wait.
    ReportDelay { why: Refused },
    /// Get another token and send it to the service.
    RefreshToken { reply: Reply<Result<(), Refused>> },
    /// Reply when nothing is unsent.
    Flush { reply: Reply<()> },
    /// End the client when nothing is unsent or unanswered, but after `grace` in any case.
    Close { grace: Duration },
}

/// What the task has to do, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Open a session, then call `session_opened` or `session_ended`.
    Connect,
    /// Drop the session, or the attempt to open one.
    Disconnect,
    /// Get another token, then call `token_received` or `token_failed`.
    GetToken,
    /// Deliver to the application, then call `pause` if too much waits for it.
    Deliver(Update),
    /// Save the draft for another run of the program.
    SaveDraft(Draft),
    /// Remove a saved draft.
    RemoveDraft(MsgId),
    /// Save that the state file belongs to this user.
    SetOwner(String),
    /// End the client.
    Finish,
}
