//! One call: its response, sent as fast as the peer reads it.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::Response;

use super::body::{Part, ResetWatch, ResponseBody};

/// Why a response was not sent completely.
#[derive(Debug)]
enum Unsent {
    /// The peer reset the stream.
    Reset(Reason),
    /// The stream was closed before there was room for more.
    Closed,
    /// HTTP/2 did not accept it, in most cases because the stream or the connection has ended.
    Http2(h2::Error),
    /// The body failed.
    Body(Box<dyn Error + Send + Sync>),
}

/// Waits for the response to a request and sends it.
pub(super) async fn respond<F, B>(response: F, mut sender: SendResponse<Bytes>, watch: Arc<ResetWatch>)
where
    F: Future<Output = Response<B>> + Unpin,
    B: ResponseBody + Unpin,
{
    match send(response, &mut sender, watch).await {
        Ok(()) => {}
        Err(Unsent::Reset(reason)) => tracing::debug!(%reason, "the peer reset a call"),
        Err(Unsent::Closed) => tracing::debug!("a call was closed before its response was complete"),
        Err(Unsent::Http2(error)) => tracing::debug!(%error, "a response could not be sent"),
        Err(Unsent::Body(error)) => {
            tracing::warn!(error, "a response failed");
            sender.send_reset(Reason::INTERNAL_ERROR);
        }
    }
}

async fn send<F, B>(mut response: F, sender: &mut SendResponse<Bytes>, watch: Arc<ResetWatch>) -> Result<(), Unsent>
where
    F: Future<Output = Response<B>> + Unpin,
    B: ResponseBody + Unpin,
{
    let response = poll_fn(|cx| match Pin::new(&mut response).poll(cx) {
        Poll::Ready(response) => Poll::Ready(Ok(response)),
        Poll::Pending => sender.poll_reset(cx).map(|reset| Err(Unsent::from(reset))),
    });
    let (head, body) = response.await?.into_parts();
    let is_empty = body.is_empty();
    let stream = sender.send_response(Response::from_parts(head, ()), is_empty)?;
    if is_empty {
        return Ok(());
    }
    SendBody { body, stream, watch, unsent: None }.await
}

/// Sends a body.
struct SendBody<B> {
    body: B,
    stream: SendStream<Bytes>,
    watch: Arc<ResetWatch>,
    /// Waits until the stream may send.
    unsent: Option<Bytes>,
}

impl<B: ResponseBody + Unpin> Future for SendBody<B> {
    type Output = Result<(), Unsent>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(bytes) = this.unsent.take() {
            ready!(this.poll_send(bytes, cx))?;
            this.body.set_blocked(false);
        }
        while let Poll::Ready(part) = this.body.poll_part(cx) {
            match part.transpose().map_err(Unsent::Body)? {
                Some(Part::Data { bytes, is_all }) => {
                    if this.poll_send(bytes, cx)?.is_pending() {
                        this.body.set_blocked(true);
                        return Poll::Pending;
                    }
                    if is_all {
                        break;
                    }
                }
                Some(Part::Trailers(trailers)) => return Poll::Ready(Ok(this.stream.send_trailers(trailers)?)),
                None => return Poll::Ready(Ok(this.stream.send_data(Bytes::new(), true)?)),
            }
        }
        if this.watch.has_request_ended() {
            return this.stream.poll_reset(cx).map(|reset| Err(reset.into()));
        }
        Poll::Pending
    }
}

impl<B> SendBody<B> {
    /// Sends `bytes`, or keeps them until the stream may send.
    fn poll_send(&mut self, bytes: Bytes, cx: &mut Context<'_>) -> Poll<Result<(), Unsent>> {
        // Capacity is claimed when there is data, and only as much as shows that the peer reads: what is claimed for a stream
        // that has nothing to send is missing elsewhere on the connection.
        self.stream.reserve_capacity(1);
        if poll_capacity(&mut self.stream, cx)?.is_pending() {
            self.unsent = Some(bytes);
            return Poll::Pending;
        }
        Poll::Ready(Ok(self.stream.send_data(bytes, false)?))
    }
}

/// Waits until the stream may send: the peer's flow control allows it, and not too much is waiting to be sent.
fn poll_capacity(stream: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<Result<(), Unsent>> {
    while stream.capacity() == 0 {
        ready!(stream.poll_capacity(cx)).ok_or(Unsent::Closed)??;
    }
    Poll::Ready(Ok(()))
}

impl From<h2::Error> for Unsent {
    fn from(error: h2::Error) -> Self {
        Self::Http2(error)
    }
}

impl From<Result<Reason, h2::Error>> for Unsent {
    fn from(reset: Result<Reason, h2::Error>) -> Self {
        reset.map_or_else(Self::Http2, Self::Reset)
    }
}
