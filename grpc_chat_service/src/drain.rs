//! The signal that the server is shutting down.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Signals, once, that the server is shutting down, and later that it waits no longer. Clones share the signals.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drain {
    begun: CancellationToken,
    /// The same, for those who look often. Set first.
    has_begun: Arc<AtomicBool>,
    given_up: CancellationToken,
}

impl Drain {
    /// Signals that the server is shutting down.
    pub(crate) fn begin(&self) {
        self.has_begun.store(true, Ordering::SeqCst);
        self.begun.cancel();
    }

    /// Whether the server is shutting down.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::SeqCst)
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
        UntilDrained { stream: Some(stream), drain: self.clone(), begun: Box::pin(self.begun()), waker: None, farewell }
    }
}

/// The stream returned by [`Drain::end`].
pub(crate) struct UntilDrained<S: Stream> {
    /// `None` once it has ended.
    stream: Option<S>,
    drain: Drain,
    begun: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Whom `begun` wakes.
    waker: Option<Waker>,
    farewell: fn() -> S::Item,
}

impl<S: Stream + Unpin> Stream for UntilDrained<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = &mut *self;
        let Some(stream) = &mut this.stream else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(item) = Pin::new(stream).poll_next(cx) {
            return Poll::Ready(item);
        }
        // Polled after each message, by the same task every time: it is registered once.
        if !this.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            this.waker = Some(cx.waker().clone());
            let _ = this.begun.as_mut().poll(cx);
        }
        if !this.drain.has_begun() {
            return Poll::Pending;
        }
        this.stream = None;
        Poll::Ready(Some((this.farewell)()))
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
