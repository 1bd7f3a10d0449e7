//! Requests on their way to a writer, and results on their way back.

use std::sync::{PoisonError, RwLock};

use tokio::sync::{mpsc, oneshot};

use super::{AppendError, Appended, Appending, Expected, Marking};
use crate::model::{Draft, RoomId, Seq, UserId};

/// The most requests that may wait for a writer, over all rooms and sessions. Further ones are
/// [`AppendError::Overloaded`].
pub(super) const MAX_QUEUED: usize = 65_536;

/// The most requests that a writer stores and syncs together.
pub(super) const MAX_BATCH: usize = 4_096;

/// The sending end of a writer's queue.
#[derive(Debug)]
pub(super) struct Queue {
    /// Removed by [`Queue::close`]: the writer ends when it has emptied the queue.
    requests: RwLock<Option<mpsc::Sender<Request>>>,
}

/// Something to write, and where to send the result.
#[derive(Debug)]
pub(super) enum Request {
    Append(Append, oneshot::Sender<Result<Appended, AppendError>>),
    MarkRead(ReadMark, oneshot::Sender<Result<Seq, AppendError>>),
}

/// A draft to store.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) draft: Draft,
    /// See [`super::History::append`].
    pub(super) expected: Expected,
}

/// How far a user has read.
#[derive(Debug)]
pub(super) struct ReadMark {
    pub(super) room: RoomId,
    pub(super) user: UserId,
    pub(super) seq: Seq,
}

/// A result that is held back until it is true.
#[derive(Debug)]
pub(super) enum Reply {
    Append(oneshot::Sender<Result<Appended, AppendError>>, Result<Appended, AppendError>),
    MarkRead(oneshot::Sender<Result<Seq, AppendError>>, Result<Seq, AppendError>),
}

impl Queue {
    pub(super) fn new(max: usize) -> (Self, mpsc::Receiver<Request>) {
        let (requests, queued) = mpsc::channel(max);
        (Self { requests: RwLock::new(Some(requests)) }, queued)
    }

    pub(super) fn append(&self, draft: Draft, expected: Expected) -> Appending {
        let (sender, appending) = Appending::new();
        self.push(Request::Append(Append { draft, expected }, sender));
        appending
    }

    pub(super) fn mark_read(&self, mark: ReadMark) -> Marking {
        let (sender, marking) = Marking::new();
        self.push(Request::MarkRead(mark, sender));
        marking
    }

    /// Accepts nothing more. What is queued is still written.
    pub(super) fn close(&self) {
        drop(self.requests.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn push(&self, request: Request) {
        use mpsc::error::TrySendError::{Closed, Full};
        let requests = self.requests.read().unwrap_or_else(PoisonError::into_inner);
        let pushed = match &*requests {
            Some(requests) => requests.try_send(request),
            None => Err(Closed(request)),
        };
        match pushed {
            Ok(()) => {}
            Err(Full(request)) => request.refuse(AppendError::Overloaded),
            Err(Closed(request)) => request.refuse(AppendError::Unavailable),
        }
    }
}

impl Request {
    pub(super) fn refuse(self, error: AppendError) {
        match self {
            Self::Append(_, sender) => Reply::Append(sender, Err(error)).send(),
            Self::MarkRead(_, sender) => Reply::MarkRead(sender, Err(error)).send(),
        }
    }
}

impl Reply {
    /// Sends the result. A receiver that has gone away is not an error.
    pub(super) fn send(self) {
        match self {
            Self::Append(sender, result) => _ = sender.send(result),
            Self::MarkRead(sender, result) => _ = sender.send(result),
        }
    }

    /// Sends this error instead of the result, which has not become true.
    pub(super) fn fail(self, error: AppendError) {
        match self {
            Self::Append(sender, _) => Self::Append(sender, Err(error)).send(),
            Self::MarkRead(sender, _) => Self::MarkRead(sender, Err(error)).send(),
        }
    }
}
