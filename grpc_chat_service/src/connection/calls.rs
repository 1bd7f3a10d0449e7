//! The calls of one connection, run by the connection's own task.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream};
use hyper::rt::Executor;
use tokio::io::{AsyncRead, AsyncWrite};

use super::socket::Cork;

/// Starts calls on the connection's own task instead of on a task each: all that are ready put their frames into the
/// connection's buffer, and then it is sent once. No call outlives its connection.
#[derive(Clone, Default)]
pub(crate) struct Calls {
    /// Started since the connection's task last looked. Short lock, never held across an await, and only ever taken by
    /// that task.
    started: Arc<Mutex<Vec<CallFuture>>>,
}

type CallFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Calls {
    fn execute(&self, call: F) {
        self.start(call);
    }
}

impl Calls {
    /// Runs `call` on the connection's task, until it completes or the connection is closed.
    pub(crate) fn start(&self, call: impl Future<Output = ()> + Send + 'static) {
        self.started.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(call));
    }

    /// Combines a connection and its calls into one future.
    pub(super) fn drive<C, T>(self, connection: C, cork: Cork<T>) -> Driver<C, T> {
        Driver { calls: self, running: FuturesUnordered::new(), connection: Box::pin(connection), cork }
    }

    fn take(&self) -> Vec<CallFuture> {
        mem::take(&mut *self.started.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The future returned by [`Calls::drive`].
pub(super) struct Driver<C, T> {
    calls: Calls,
    running: FuturesUnordered<CallFuture>,
    connection: Pin<Box<C>>,
    cork: Cork<T>,
}

impl<C, T> Driver<C, T> {
    pub(super) fn connection(self: Pin<&mut Self>) -> Pin<&mut C> {
        self.get_mut().connection.as_mut()
    }
}

impl<C, T> Drop for Driver<C, T> {
    /// A call that was started and never polled may hold a clone of the list it is on; neither would ever be freed.
    fn drop(&mut self) {
        drop(self.calls.take());
    }
}

impl<C: Future, T: AsyncRead + AsyncWrite + Unpin> Future for Driver<C, T> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let this = &mut *self;
        loop {
            while let Poll::Ready(Some(())) = Pin::new(&mut this.running).poll_next(cx) {}
            if let Poll::Ready(ended) = this.connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            let started = this.calls.take();
            if started.is_empty() {
                // If it fails, HTTP/2 meets the same error when it writes or reads next.
                let _ = this.cork.poll_send(cx);
                return Poll::Pending;
            }
            // New calls are polled before returning: they register their wakers, and what they write is sent with the
            // rest.
            this.running.extend(started);
        }
    }
}
