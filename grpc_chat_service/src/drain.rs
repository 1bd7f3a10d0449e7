//! The signal that the server is shutting down.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Signals, once, that the server is shutting down, and later that it waits no longer. Clones share the signals.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drain {
    begun: CancellationToken,
    given_up: CancellationToken,
}

impl Drain {
    /// Signals that the server is shutting down.
    pub(crate) fn begin(&self) {
        self.begun.cancel();
    }

    /// Whether the server is shutting down.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits until the server is shutting down.
    pub(crate) fn begun(&self) -> WaitForCancellationFutureOwned {
        self.begun.clone().cancelled_owned()
    }

    /// Signals that what has not ended by now is to be closed.
    pub(crate) fn give_up(&self) {
        self.given_up.cancel();
    }

    /// Waits until what has not ended is to be closed.
    pub(crate) fn given_up(&self) -> WaitForCancellationFutureOwned {
        self.given_up.clone().cancelled_owned()
    }

    /// Wraps a stream so that, if the server shuts down before it ends, `farewell` is its last item. Items that are
    /// ready are always passed on first: the farewell comes once the stream has nothing to give.
    pub(crate) fn end<S: Stream + Unpin>(&self, stream: S, farewell: fn() -> S::Item) -> UntilDrained<S> {
        UntilDrained { stream: Some(stream), begun: Box::pin(self.begun()), farewell }
    }
}

/// The stream returned by [`Drain::end`].
pub(crate) struct UntilDrained<S: Stream> {
    /// `None` once it has ended.
    stream: Option<S>,
    begun: Pin<Box<WaitForCancellationFutureOwned>>,
    farewell: fn() -> S::Item,
}

impl<S: Stream + Unpin> Stream for UntilDrained<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(item) = Pin::new(stream).poll_next(cx) {
            return Poll::Ready(item);
        }
        if self.begun.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.stream = None;
        Poll::Ready(Some((self.farewell)()))
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    #[tokio::test]
    async fn ready_items_come_before_the_farewell_and_nothing_after() {
        let drain = Drain::default();
        let numbers = tokio_stream::iter([1, 2]).chain(tokio_stream::pending());
        let mut stream = drain.end(numbers, || -1);
        assert_eq!(stream.next().await, Some(1));
        drain.begin();
        assert_eq!(stream.next().await, Some(2));
        assert_eq!(stream.next().await, Some(-1));
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test]
    async fn a_stream_that_ends_first_has_no_farewell() {
        let drain = Drain::default();
        let mut stream = drain.end(tokio_stream::iter([1]), || -1);
        assert_eq!(stream.next().await, Some(1));
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test]
    async fn a_waiting_stream_is_woken_by_the_drain() {
        let drain = Drain::default();
        let mut stream = drain.end(tokio_stream::pending::<i32>(), || -1);
        let (last, ()) = tokio::join!(stream.next(), async { drain.begin() });
        assert_eq!(last, Some(-1));
    }
}
