//! What a session waits for apart from its client: results of the history.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;

use crate::history::{AppendError, Appended, Appending, Marking, ReadError, RoomState};
use crate::model::{ClientMsgId, RoomId, Seq};
use crate::refusal::Refusal;
use crate::rooms::Room;

/// An append whose result is awaited.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) id: u64,
    pub(super) room: RoomId,
    pub(super) client_msg_id: ClientMsgId,
    pub(super) result: Appending,
}

/// Anything else whose result is awaited.
pub(super) enum Lookup {
    /// The state of a room that is to be joined. Keeps the room open.
    State { id: u64, room: Arc<Room>, result: BoxFuture<'static, Result<RoomState, ReadError>> },
    /// A read mark.
    Mark { id: u64, room: RoomId, result: Marking },
    /// The heads of all rooms, up to which they are delivered before the session ends.
    Heads { result: BoxFuture<'static, Result<HashMap<RoomId, Seq>, Refusal>> },
}

/// A result.
pub(super) enum Completion {
    Append { id: u64, room: RoomId, client_msg_id: ClientMsgId, result: Result<Appended, AppendError> },
    State { id: u64, room: Arc<Room>, result: Result<RoomState, ReadError> },
    Mark { id: u64, room: RoomId, result: Result<Seq, AppendError> },
    Heads { result: Result<HashMap<RoomId, Seq>, Refusal> },
}

/// Returns the oldest append, once it is completed.
pub(super) fn next_append(appends: &mut VecDeque<Append>, cx: &mut Context<'_>) -> Poll<Completion> {
    let Some(oldest) = appends.front_mut() else { return Poll::Pending };
    let result = ready!(Pin::new(&mut oldest.result).poll(cx));
    match appends.pop_front() {
        Some(Append { id, room, client_msg_id, .. }) => {
            Poll::Ready(Completion::Append { id, room, client_msg_id, result })
        }
        None => Poll::Pending,
    }
}

impl Future for Lookup {
    type Output = Completion;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Completion> {
        match &mut *self {
            Self::State { id, room, result } => {
                result.as_mut().poll(cx).map(|result| Completion::State { id: *id, room: Arc::clone(room), result })
            }
            Self::Heads { result } => result.as_mut().poll(cx).map(|result| Completion::Heads { result }),
            Self::Mark { id, room, result } => {
                Pin::new(result).poll(cx).map(|result| Completion::Mark { id: *id, room: room.clone(), result })
            }
        }
    }
}
