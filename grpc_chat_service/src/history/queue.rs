//! What is asked of a writer, on its way to the writer and back.

use std::sync::{PoisonError, RwLock};

use tokio::sync::{mpsc, oneshot};

use super::{AppendError, Appended, Appending, Marking};
use crate::model::{Draft, RoomId, Seq, UserId};

/// The end of a writer's queue that is asked.
#[derive(Debug)]
pub(super) struct Queue {
    /// Taken out at the end: the writer ends when it has emptied the queue.
    asks: RwLock<Option<mpsc::Sender<Ask>>>,
}

/// Something to write, and where to answer.
#[derive(Debug)]
pub(super) enum Ask {
    Append(Draft, oneshot::Sender<Result<Appended, AppendError>>),
    Mark(Mark, oneshot::Sender<Result<Seq, AppendError>>),
}

/// How far a user has read.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) room: RoomId,
    pub(super) user: UserId,
    pub(super) seq: Seq,
}

/// An answer that waits until what it says is true.
#[derive(Debug)]
pub(super) enum Reply {
    Append(oneshot::Sender<Result<Appended, AppendError>>, Result<Appended, AppendError>),
    Mark(oneshot::Sender<Result<Seq, AppendError>>, Result<Seq, AppendError>),
}

impl Queue {
    pub(super) fn new(max: usize) -> (Self, mpsc::Receiver<Ask>) {
        let (asks, queued) = mpsc::channel(max);
        (Self { asks: RwLock::new(Some(asks)) }, queued)
    }

    pub(super) fn append(&self, draft: Draft) -> Appending {
        let (answerer, answer) = Appending::new();
        self.ask(Ask::Append(draft, answerer));
        answer
    }

    pub(super) fn mark(&self, mark: Mark) -> Marking {
        let (answerer, answer) = Marking::new();
        self.ask(Ask::Mark(mark, answerer));
        answer
    }

    /// What is queued is still written; nothing more is taken.
    pub(super) fn close(&self) {
        drop(self.asks.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn ask(&self, ask: Ask) {
        use mpsc::error::TrySendError::{Closed, Full};
        let asks = self.asks.read().unwrap_or_else(PoisonError::into_inner);
        let asked = match &*asks {
            Some(asks) => asks.try_send(ask),
            None => Err(Closed(ask)),
        };
        match asked {
            Ok(()) => {}
            Err(Full(ask)) => ask.refuse(AppendError::Overloaded),
            Err(Closed(ask)) => ask.refuse(AppendError::Unavailable),
        }
    }
}

impl Ask {
    pub(super) fn refuse(self, error: AppendError) {
        match self {
            Self::Append(_, answerer) => Reply::Append(answerer, Err(error)).send(),
            Self::Mark(_, answerer) => Reply::Mark(answerer, Err(error)).send(),
        }
    }
}

impl Reply {
    /// That nobody waits for the answer any more is no error.
    pub(super) fn send(self) {
        match self {
            Self::Append(answerer, answer) => _ = answerer.send(answer),
            Self::Mark(answerer, answer) => _ = answerer.send(answer),
        }
    }

    /// Says this instead: what was to be said has not come true.
    pub(super) fn fail(self, error: AppendError) {
        match self {
            Self::Append(answerer, _) => Self::Append(answerer, Err(error)).send(),
            Self::Mark(answerer, _) => Self::Mark(answerer, Err(error)).send(),
        }
    }
}
