//! Drives HTTP/2 and all calls of one connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::Connection;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::coop;

use super::Ending;
use super::body::{RequestBody, ResponseBody};
use super::call;
use super::socket::{Cork, CorkedSocket};
use super::tasks::Tasks;

/// A future that serves a connection until it is closed: reads everything that there is, runs every call that is ready,
/// then sends once.
pub(super) struct Driver<T, H> {
    http2: Connection<CorkedSocket<T>, Bytes>,
    cork: Cork<T>,
    handle: H,
    tasks: Tasks,
    closed: bool,
}

impl<T, H> Driver<T, H> {
    pub(super) fn new(http2: Connection<CorkedSocket<T>, Bytes>, cork: Cork<T>, handle: H, tasks: Tasks) -> Self {
        Self { http2, cork, handle, tasks, closed: false }
    }
}

impl<T, H, F, B> Future for Driver<T, H>
where
    T: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Request<RequestBody>) -> F + Unpin,
    F: Future<Output = Response<B>> + Send + Unpin + 'static,
    B: ResponseBody + Unpin + 'static,
{
    type Output = Result<(), h2::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Calls that were woken by something other than the socket first: what they have to send goes with what is read.
        this.run_tasks();
        loop {
            // Reads what has arrived, and puts what the calls have sent under the cork.
            while let Poll::Ready(accepted) = this.http2.poll_accept(cx) {
                let Some((request, sender)) = accepted.transpose()? else { return Poll::Ready(Ok(())) };
                let request = request.map(RequestBody::new);
                let watch = request.body().watch();
                let response = (this.handle)(request);
                this.tasks.start(async move {
                    call::respond(response, sender, watch).await;
                    None
                });
            }
            if this.closed {
                return Poll::Ready(Ok(()));
            }
            let turn_is_over = !coop::has_budget_remaining();
            if !turn_is_over && this.run_tasks() {
                continue;
            }
            // If it fails, HTTP/2 meets the same error when it writes or reads next.
            let _ = this.cork.poll_send(cx);
            if turn_is_over {
                // Other connections come first.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if this.tasks.sleep(cx) {
                return Poll::Pending;
            }
        }
    }
}

impl<T, H> Driver<T, H>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    /// Runs the calls that are ready. Returns whether there were any.
    fn run_tasks(&mut self) -> bool {
        let mut ending = None;
        let ran = self.tasks.run(|requested| ending = ending.max(Some(requested)));
        match ending {
            Some(Ending::AtOnce) => self.closed = true,
            Some(Ending::Graceful) => self.http2.graceful_shutdown(),
            None => {}
        }
        ran
    }
}
