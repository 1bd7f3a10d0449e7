//! One call: its response, sent as fast as the peer reads it.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::Response;
use http_body::Body;

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
pub(super) async fn respond<F, B>(response: F, mut sender: SendResponse<Bytes>)
where
    F: Future<Output = Response<B>> + Unpin,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    match send(response, &mut sender).await {
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

async fn send<F, B>(mut response: F, sender: &mut SendResponse<Bytes>) -> Result<(), Unsent>
where
    F: Future<Output = Response<B>> + Unpin,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let response = poll_fn(|cx| match Pin::new(&mut response).poll(cx) {
        Poll::Ready(response) => Poll::Ready(Ok(response)),
        Poll::Pending => sender.poll_reset(cx).map(|reset| Err(Unsent::from(reset))),
    });
    let (head, body) = response.await?.into_parts();
    let head = Response::from_parts(head, ());
    if body.is_end_stream() {
        sender.send_response(head, true)?;
        return Ok(());
    }
    let stream = sender.send_response(head, false)?;
    SendBody { body, stream, data: None }.await
}

/// Sends a body.
struct SendBody<B> {
    body: B,
    stream: SendStream<Bytes>,
    /// Waits for capacity.
    data: Option<Bytes>,
}

impl<B> Future for SendBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Output = Result<(), Unsent>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Before the body, for which a request that was reset may look like one that has ended.
        if let Poll::Ready(reset) = this.stream.poll_reset(cx) {
            return Poll::Ready(Err(reset.into()));
        }
        loop {
            if this.data.is_some() {
                ready!(poll_capacity(&mut this.stream, cx))?;
                if let Some(data) = this.data.take() {
                    this.stream.send_data(data, false)?;
                }
            }
            let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(cx)) else {
                return Poll::Ready(Ok(this.stream.send_data(Bytes::new(), true)?));
            };
            match frame.map_err(|error| Unsent::Body(error.into()))?.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    // Capacity is claimed when there is data, and only as much as shows that the peer reads: what is
                    // claimed for a stream that has nothing to send is missing elsewhere on the connection.
                    this.stream.reserve_capacity(1);
                    this.data = Some(data);
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        this.stream.reserve_capacity(0);
                        return Poll::Ready(Ok(this.stream.send_trailers(trailers)?));
                    }
                }
            }
        }
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
