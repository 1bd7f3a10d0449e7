//! The responses of a streaming call, with a log line, at the level DEBUG, for how it ended.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_stream::Stream;
use tonic::{Code, Status};

use crate::address::Peer;

/// The responses of one call.
pub(super) struct Responses<S> {
    responses: S,
    peer: Peer,
    sent: u64,
    ended: bool,
}

impl<S> Responses<S> {
    pub(super) fn new(responses: S, peer: Peer) -> Self {
        Self { responses, peer, sent: 0, ended: false }
    }
}

impl<S, T> Stream for Responses<S>
where
    S: Stream<Item = Result<T, Status>> + Unpin,
{
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let Poll::Ready(next) = Pin::new(&mut self.responses).poll_next(cx) else {
            return Poll::Pending;
        };
        let (peer, sent) = (self.peer, self.sent);
        Poll::Ready(match next {
            Some(Ok(response)) => {
                self.sent += 1;
                Some(Ok(response))
            }
            Some(Err(error)) => {
                self.ended = true;
                match error.code() {
                    Code::Cancelled => tracing::debug!(%peer, sent, "the caller left during a call"),
                    code => tracing::debug!(%peer, sent, ?code, why = error.message(), "a call failed"),
                }
                Some(Err(error))
            }
            None => {
                self.ended = true;
                tracing::debug!(%peer, sent, "a call completed");
                None
            }
        })
    }
}

impl<S> Drop for Responses<S> {
    /// A call that is dropped before its end was reset, or has lost its connection.
    fn drop(&mut self) {
        if !self.ended {
            tracing::debug!(peer = %self.peer, sent = self.sent, "the caller left during a call");
        }
    }
}
