//! Drives HTTP/2 and all calls of one connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::server::Connection;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::coop;

use super::body::{RequestBody, ResponseBody};
use super::call;
use super::pressure::Pressure;
use super::socket::{Cork, CorkedSocket};
use super::tasks::{Calls, Ending, Tasks};
use crate::budgets::Budget;

/// A future that serves a connection until it is closed: reads everything that there is, runs every call that is ready,
/// then sends once.
pub(super) struct Driver<T, H> {
    http2: Connection<CorkedSocket<T>, Bytes>,
    cork: Cork<T>,
    handle: H,
    tasks: Tasks,
    calls: Calls,
    pressure: Arc<Pressure>,
    /// For what is received and not read, see [`RequestBody`].
    budget: Budget,
    /// Given to HTTP/2 and to the socket.
    http2_waker: Waker,
    /// Bytes; `None` once the peer has acknowledged our settings.
    unacknowledged_window: Option<u32>,
    closed: bool,
}

impl<T, H> Driver<T, H> {
    /// Returns the driver of a connection whose streams have a window of `window` bytes.
    pub(super) fn new(
        http2: Connection<CorkedSocket<T>, Bytes>,
        cork: Cork<T>,
        handle: H,
        tasks: Tasks,
        window: u32,
        budget: Budget,
    ) -> Self {
        let (calls, http2_waker) = (tasks.calls(), tasks.http2_waker());
        http2_waker.wake_by_ref();
        Self {
            http2,
            cork,
            handle,
            tasks,
            calls,
            pressure: Arc::default(),
            budget,
            http2_waker,
            unacknowledged_window: Some(window),
            closed: false,
        }
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

    fn poll(mut self: Pin<&mut Self>, owner: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let ran = this.run_tasks();
            if this.closed {
                return Poll::Ready(Ok(()));
            }
            let http2_woken = this.tasks.take_http2_woken();
            if http2_woken {
                let cx = &mut Context::from_waker(&this.http2_waker);
                // Reads what has arrived, and puts what the calls have sent under the cork.
                while let Poll::Ready(accepted) = this.http2.poll_accept(cx) {
                    let Some((request, sender)) = accepted.transpose()? else { return Poll::Ready(Ok(())) };
                    let request = request.map(|stream| RequestBody::new(stream, &this.budget));
                    let incoming = request.body().incoming();
                    let response = (this.handle)(request);
                    this.calls.start(call::respond(response, sender, incoming, Arc::clone(&this.pressure)));
                }
                this.note_acknowledgement();
            }
            let turn_is_over = !coop::has_budget_remaining();
            if !turn_is_over && (ran || http2_woken) {
                continue;
            }
            // If it fails, HTTP/2 meets the same error when it writes or reads next.
            let sent = this.cork.poll_send(&mut Context::from_waker(&this.http2_waker));
            if sent.is_ready() && this.pressure.release() {
                this.tasks.wake_all();
            }
            if turn_is_over {
                // Other connections come first.
                owner.waker().wake_by_ref();
                return Poll::Pending;
            }
            if this.tasks.sleep(owner) {
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
        let ran = self.tasks.run(|next| ending = ending.max(Some(next)));
        match ending {
            Some(Ending::AtOnce) => self.closed = true,
            Some(Ending::Graceful) => {
                self.http2.graceful_shutdown();
                self.http2_waker.wake_by_ref();
            }
            None => {}
        }
        ran
    }

    /// Once the peer has acknowledged our settings, has every call release what it has read.
    ///
    /// Until then a peer may send 65,535 bytes on a stream, and what the calls release is announced according to that
    /// window. With the acknowledgement the window shrinks, possibly to nothing, and h2 does not look at what has been
    /// released before: a peer whose first data was quicker than its acknowledgement would wait forever.
    fn note_acknowledgement(&mut self) {
        if let Some(window) = self.unacknowledged_window
            // Fails for as long as the settings are not acknowledged; there is no other way to learn of it.
            && self.http2.set_initial_window_size(window).is_ok()
        {
            self.unacknowledged_window = None;
            self.tasks.wake_all();
        }
    }
}
