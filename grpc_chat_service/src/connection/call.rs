//! One call: its response, sent as fast as the peer reads it.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::Response;
use tokio::time::Sleep;

use super::body::{Incoming, Part, ResponseBody};
use super::pressure::Pressure;

/// A part up to this size is handed over at once; h2 holds it for a stream whose window has a single byte left.
const MAX_BYTES: usize = 32 * 1024;

/// A larger one is handed over in pieces, so that it is noticed whether the peer reads it.
const PIECE_BYTES: usize = 16 * 1024;

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
    /// The peer has taken nothing for too long.
    Stalled,
    /// There is no room for what the peer sends while nobody reads it.
    Unread,
}

/// Waits for the response to a request and sends it.
pub(super) async fn respond<F, B>(
    response: F,
    mut sender: SendResponse<Bytes>,
    incoming: Arc<Incoming>,
    pressure: Arc<Pressure>,
) where
    F: Future<Output = Response<B>> + Unpin,
    B: ResponseBody + Unpin,
{
    match send(response, &mut sender, incoming, pressure).await {
        Ok(()) => {}
        Err(Unsent::Reset(reason)) => tracing::debug!(%reason, "the peer reset a call"),
        Err(Unsent::Closed) => tracing::debug!("a call was closed before its response was complete"),
        Err(Unsent::Http2(error)) => tracing::debug!(%error, "a response could not be sent"),
        Err(Unsent::Stalled) => {
            tracing::debug!("a call is reset: its caller does not read the response");
            sender.send_reset(Reason::CANCEL);
        }
        Err(Unsent::Unread) => {
            tracing::debug!("a call is reset: there is no room for what its caller sends while it is not read");
            sender.send_reset(Reason::ENHANCE_YOUR_CALM);
        }
        Err(Unsent::Body(error)) => {
            tracing::warn!(error, "a response failed");
            sender.send_reset(Reason::INTERNAL_ERROR);
        }
    }
}

async fn send<F, B>(
    mut response: F,
    sender: &mut SendResponse<Bytes>,
    incoming: Arc<Incoming>,
    pressure: Arc<Pressure>,
) -> Result<(), Unsent>
where
    F: Future<Output = Response<B>> + Unpin,
    B: ResponseBody + Unpin,
{
    let response = poll_fn(|cx| match Pin::new(&mut response).poll(cx) {
        Poll::Ready(response) => Poll::Ready(Ok(response)),
        // It may wait for something else than the request.
        Poll::Pending if !incoming.gather(0, cx) => Poll::Ready(Err(Unsent::Unread)),
        Poll::Pending => sender.poll_reset(cx).map(|reset| Err(Unsent::from(reset))),
    });
    let (head, body) = response.await?.into_parts();
    let is_empty = body.is_empty();
    let stream = sender.send_response(Response::from_parts(head, ()), is_empty)?;
    if is_empty {
        return Ok(());
    }
    SendBody { body, stream, incoming, pressure, unsent: None, stalled: None }.await
}

/// Sends a body.
struct SendBody<B> {
    body: B,
    stream: SendStream<Bytes>,
    incoming: Arc<Incoming>,
    pressure: Arc<Pressure>,
    /// Waits until the stream may send.
    unsent: Option<Bytes>,
    /// Completes when the peer has taken nothing for too long.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<B: ResponseBody + Unpin> Future for SendBody<B> {
    type Output = Result<(), Unsent>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(bytes) = this.unsent.take() {
            if this.poll_send(bytes, cx)?.is_pending() {
                return this.poll_blocked(cx);
            }
            this.body.set_blocked(false);
        }
        while let Poll::Ready(part) = this.body.poll_part(cx) {
            match part.transpose().map_err(Unsent::Body)? {
                Some(Part::Data { bytes, is_all }) => {
                    if this.poll_send(bytes, cx)?.is_pending() {
                        this.body.set_blocked(true);
                        return this.poll_blocked(cx);
                    }
                    if is_all {
                        break;
                    }
                }
                Some(Part::Trailers(trailers)) => return Poll::Ready(Ok(this.stream.send_trailers(trailers)?)),
                None => return Poll::Ready(Ok(this.stream.send_data(Bytes::new(), true)?)),
            }
        }
        if this.incoming.has_request_ended() {
            return this.stream.poll_reset(cx).map(|reset| Err(reset.into()));
        }
        Poll::Pending
    }
}

impl<B: ResponseBody> SendBody<B> {
    /// Sends `bytes`, or keeps what is left of them until the stream may send.
    fn poll_send(&mut self, mut bytes: Bytes, cx: &mut Context<'_>) -> Poll<Result<(), Unsent>> {
        loop {
            // Capacity is claimed when there is data, and only as much as shows that the peer reads: what is claimed for a
            // stream that has nothing to send is missing elsewhere on the connection.
            self.stream.reserve_capacity(1);
            if !self.pressure.admits() || poll_capacity(&mut self.stream, cx)?.is_pending() {
                self.unsent = Some(bytes);
                return Poll::Pending;
            }
            self.stalled = None;
            let piece = if bytes.len() > MAX_BYTES { bytes.split_to(PIECE_BYTES) } else { mem::take(&mut bytes) };
            self.pressure.add(piece.len());
            self.stream.send_data(piece, false)?;
            if bytes.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Waits for a peer that does not read, as long as it may take.
    fn poll_blocked(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unsent>> {
        let unsent = self.unsent.as_ref().map_or(0, Bytes::len);
        if self.body.reads_request() && !self.incoming.gather(unsent, cx) {
            return Poll::Ready(Err(Unsent::Unread));
        }
        let Some(limit) = self.body.stall() else { return Poll::Pending };
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        stalled.as_mut().poll(cx).map(|()| Err(Unsent::Stalled))
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
