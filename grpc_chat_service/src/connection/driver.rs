//! Drives HTTP/2 and all calls of one connection.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::Connection;
use http::{Request, Response};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::coop;

use super::Ending;
use super::call;
use super::request::RequestBody;
use super::socket::{Cork, CorkedSocket};
use super::tasks::Tasks;

/// A future that serves a connection until it is closed: reads everything that there is, runs every call that is ready,
/// then sends once.
pub(super) struct Driver<T, H> {
    pub(super) http2: Connection<CorkedSocket<T>, Bytes>,
    pub(super) cork: Cork<T>,
    pub(super) handle: H,
    pub(super) tasks: Tasks,
}

impl<T, H, F, B> Future for Driver<T, H>
where
    T: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Request<RequestBody>) -> F + Unpin,
    F: Future<Output = Response<B>> + Send + Unpin + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Output = Result<(), h2::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            // Reads, and writes what the calls have given it into the cork.
            while let Poll::Ready(accepted) = this.http2.poll_accept(cx) {
                let Some((request, sender)) = accepted.transpose()? else { return Poll::Ready(Ok(())) };
                let response = (this.handle)(request.map(RequestBody::new));
                this.tasks.start(async move {
                    call::respond(response, sender).await;
                    None
                });
            }
            let mut ending = None;
            let ran = this.tasks.run(|requested| ending = ending.max(Some(requested)));
            match ending {
                Some(Ending::AtOnce) => return Poll::Ready(Ok(())),
                Some(Ending::Graceful) => this.http2.graceful_shutdown(),
                None => {}
            }
            if ran && coop::has_budget_remaining() {
                continue;
            }
            // If it fails, HTTP/2 meets the same error when it writes or reads next.
            let _ = this.cork.poll_send(cx);
            if ran {
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
