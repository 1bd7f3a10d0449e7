//! The bodies of requests and responses.

use std::error::Error;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http_body::{Body, Frame};

/// From this size on, what has been read is released at once, and not when everything that is there has been read. A quarter of
/// the window of a stream: the peer need not wait for it.
const RELEASE_BYTES: usize = 4 * 1024;

/// The body of a request.
pub(crate) struct RequestBody {
    stream: RecvStream,
    /// All data has been read; trailers may follow.
    data_ended: bool,
    /// Read, and the peer has not been allowed to send as much again yet.
    unreleased: usize,
    watch: Arc<ResetWatch>,
}

/// Who notices that the peer has reset a call: as long as there is more of the request to come, whoever reads that. Asking
/// h2 instead costs a wake for every message, because it wakes the same task for room to send.
#[derive(Debug, Default)]
pub(super) struct ResetWatch {
    request_ended: AtomicBool,
}

/// The body of a response.
pub(crate) trait ResponseBody: Send {
    /// Whether there is nothing at all.
    fn is_empty(&self) -> bool {
        false
    }

    /// Told that the peer does not read: a part waits until it does. And, later, that it has.
    fn set_blocked(&mut self, _blocked: bool) {}

    /// Returns the next part, or `None` after the last.
    ///
    /// # Errors
    ///
    /// Why there is no more. The call is reset.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, Box<dyn Error + Send + Sync>>>>;
}

/// A part of a response.
#[derive(Debug)]
pub(crate) enum Part {
    Data {
        bytes: Bytes,
        /// There is nothing after this at present, and the body has arranged during this call that its task is woken when
        /// there is.
        is_all: bool,
    },
    /// The last part.
    Trailers(HeaderMap),
}

impl RequestBody {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, data_ended: false, unreleased: 0, watch: Arc::default() }
    }

    pub(super) fn watch(&self) -> Arc<ResetWatch> {
        Arc::clone(&self.watch)
    }

    /// Allows the peer to send as much as has been read.
    fn release(&mut self) {
        // Fails only for a stream that has been reset.
        let _ = self.stream.flow_control().release_capacity(mem::take(&mut self.unreleased));
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.data_ended {
            let data = self.stream.poll_data(cx);
            match &data {
                Poll::Ready(Some(Ok(data))) => self.unreleased += data.len(),
                _ => self.release(),
            }
            if self.unreleased >= RELEASE_BYTES {
                self.release();
            }
            if let Some(data) = ready!(data) {
                return Poll::Ready(Some(data.map(Frame::data)));
            }
            self.data_ended = true;
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        self.watch.request_ended();
        Poll::Ready(trailers.transpose().map(|trailers| trailers.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.watch.request_ended();
    }
}

impl ResetWatch {
    fn request_ended(&self) {
        self.request_ended.store(true, Ordering::Release);
    }

    /// Whether whoever sends the response has to watch for a reset.
    pub(super) fn has_request_ended(&self) -> bool {
        self.request_ended.load(Ordering::Acquire)
    }
}

impl<B: ResponseBody + ?Sized> ResponseBody for Box<B> {
    fn is_empty(&self) -> bool {
        (**self).is_empty()
    }

    fn set_blocked(&mut self, blocked: bool) {
        (**self).set_blocked(blocked);
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, Box<dyn Error + Send + Sync>>>> {
        (**self).poll_part(cx)
    }
}

/// A body of any other kind.
pub(crate) struct AnyBody<B>(pub(crate) B);

impl<B> ResponseBody for AnyBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn is_empty(&self) -> bool {
        self.0.is_end_stream()
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, Box<dyn Error + Send + Sync>>>> {
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.0).poll_frame(cx)) else { return Poll::Ready(None) };
            let part = frame.map_err(Into::into)?.into_data().map(|bytes| Part::Data { bytes, is_all: false });
            // There are no other kinds of frames.
            if let Ok(part) = part.or_else(|frame| frame.into_trailers().map(Part::Trailers)) {
                return Poll::Ready(Some(Ok(part)));
            }
        }
    }
}
