//! How a streaming call ended: logged once, and told to the caller in gRPC's own terms.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_stream::Stream;
use tonic::{Code, Status};

/// The answers of one call, watched until they end.
pub(crate) struct Call<S> {
    answers: S,
    caller: Option<SocketAddr>,
    answered: u64,
    over: bool,
}

impl<S> Call<S> {
    pub(crate) fn new(answers: S, caller: Option<SocketAddr>) -> Self {
        Self { answers, caller, answered: 0, over: false }
    }
}

impl<S, T> Stream for Call<S>
where
    S: Stream<Item = Result<T, Status>> + Unpin,
{
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let Poll::Ready(next) = Pin::new(&mut self.answers).poll_next(cx) else {
            return Poll::Pending;
        };
        let (caller, answered) = (self.caller, self.answered);
        Poll::Ready(match next {
            Some(Ok(answer)) => {
                self.answered += 1;
                Some(Ok(answer))
            }
            Some(Err(status)) => {
                self.over = true;
                let status = in_grpcs_terms(status);
                match status.code() {
                    Code::Cancelled => tracing::info!(?caller, answered, "the caller left during a call"),
                    Code::Unavailable => tracing::info!(?caller, answered, "call ended because the server is leaving"),
                    code => tracing::warn!(?caller, answered, ?code, why = status.message(), "call failed"),
                }
                Some(Err(status))
            }
            None => {
                self.over = true;
                tracing::debug!(?caller, answered, "call completed");
                None
            }
        })
    }
}

impl<S> Drop for Call<S> {
    /// A call that is dropped before its end was reset, or lost its connection.
    fn drop(&mut self) {
        if !self.over {
            tracing::info!(caller = ?self.caller, answered = self.answered, "the caller left during a call");
        }
    }
}

/// tonic's decoder says `OUT_OF_RANGE` where gRPC's own libraries say `RESOURCE_EXHAUSTED`
/// (<https://grpc.io/docs/guides/status-codes/>: "message was larger than configured max size").
fn in_grpcs_terms(status: Status) -> Status {
    match status.code() {
        Code::OutOfRange => Status::resource_exhausted(status.message()),
        _ => status,
    }
}
