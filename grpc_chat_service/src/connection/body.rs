//! The bodies of requests and responses.

use std::error::Error;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use http::HeaderMap;
use http_body::{Body, Frame};

use crate::budgets::{Budget, Lease};

/// From this size on, what has been read is released at once, and not when everything that is there has been read. A quarter of
/// the window of a stream: the peer need not wait for it.
const RELEASE_BYTES: usize = 4 * 1024;

/// What a call may hold for a caller that does not read before that counts towards the budget of all calls.
const FREE_BYTES: usize = 4 * 1024;

/// The body of a request.
pub(crate) struct RequestBody {
    incoming: Arc<Incoming>,
    /// All data has been read; trailers may follow.
    data_ended: bool,
    /// Read, and the peer has not been allowed to send as much again yet.
    unreleased: usize,
}

/// The request of a call, shared by whoever reads it and whoever sends the response. Both are polled by the connection's task.
#[derive(Debug)]
pub(crate) struct Incoming {
    received: Mutex<Received>,
    /// Who notices that the peer has reset a call: as long as there is more of the request to come, whoever reads that. Asking
    /// h2 instead costs a wake for every message, because it wakes the same task for room to send.
    request_ended: AtomicBool,
}

/// Short lock, never held across an await.
#[derive(Debug)]
struct Received {
    stream: RecvStream,
    /// Taken from h2 while nobody read it: a small frame occupies fifty times its size there.
    gathered: BytesMut,
    lease: Lease,
    /// How the data ended, if that was noticed while gathering.
    ended: Option<Result<(), h2::Error>>,
}

/// The body of a response.
pub(crate) trait ResponseBody: Send {
    /// Whether there is nothing at all.
    fn is_empty(&self) -> bool {
        false
    }

    /// Whether nobody reads the request of the call while this is not polled. A session reads its requests on a task of its
    /// own.
    fn reads_request(&self) -> bool {
        true
    }

    /// How long the peer may take nothing before the call is reset. For ever if it is `None`.
    fn stall(&self) -> Option<Duration> {
        None
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
    pub(super) fn new(stream: RecvStream, budget: &Budget) -> Self {
        let received = Received { stream, gathered: BytesMut::new(), lease: budget.lease(), ended: None };
        let incoming = Incoming { received: Mutex::new(received), request_ended: AtomicBool::new(false) };
        Self { incoming: Arc::new(incoming), data_ended: false, unreleased: 0 }
    }

    /// Returns a handle on what has not been read, for [`Incoming::gather`].
    pub(crate) fn incoming(&self) -> Arc<Incoming> {
        Arc::clone(&self.incoming)
    }
}

impl Received {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        if self.lease.bytes() > 0 {
            self.lease.resize(0);
        }
        if !self.gathered.is_empty() {
            return Poll::Ready(Some(Ok(mem::take(&mut self.gathered).freeze())));
        }
        match self.ended.take() {
            None => self.stream.poll_data(cx),
            Some(ended) => Poll::Ready(ended.err().map(Err)),
        }
    }

    /// Allows the peer to send as much as has been read.
    fn release(&mut self, unreleased: &mut usize) {
        // Fails only for a stream that has been reset.
        let _ = self.stream.flow_control().release_capacity(mem::take(unreleased));
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let Self { incoming, data_ended, unreleased } = &mut *self;
        let mut received = incoming.lock();
        if !*data_ended {
            let data = received.poll_data(cx);
            match &data {
                Poll::Ready(Some(Ok(data))) => *unreleased += data.len(),
                _ => received.release(unreleased),
            }
            if *unreleased >= RELEASE_BYTES {
                received.release(unreleased);
            }
            if let Some(data) = ready!(data) {
                return Poll::Ready(Some(data.map(Frame::data)));
            }
            *data_ended = true;
        }
        let trailers = ready!(received.stream.poll_trailers(cx));
        incoming.request_ended();
        Poll::Ready(trailers.transpose().map(|trailers| trailers.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        let received = self.incoming.lock();
        received.gathered.is_empty() && received.stream.is_end_stream()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.incoming.request_ended();
    }
}

impl Incoming {
    /// Takes from h2 what has arrived, for a reader that does not read at present; `unsent` are the bytes of its response that
    /// wait, if they are why. To be called whenever the reader is polled and does not read. Returns `false` if there is no room
    /// for all of this in the budget of all calls.
    pub(crate) fn gather(&self, unsent: usize, cx: &mut Context<'_>) -> bool {
        let Received { stream, gathered, lease, ended } = &mut *self.lock();
        while ended.is_none()
            && let Poll::Ready(data) = stream.poll_data(cx)
        {
            match data {
                Some(Ok(data)) => gathered.extend_from_slice(&data),
                Some(Err(error)) => *ended = Some(Err(error)),
                None => *ended = Some(Ok(())),
            }
        }
        let bytes = gathered.capacity() + unsent;
        lease.resize(if bytes > FREE_BYTES { bytes } else { 0 })
    }

    fn request_ended(&self) {
        self.request_ended.store(true, Ordering::Release);
    }

    /// Whether whoever sends the response has to watch for a reset.
    pub(super) fn has_request_ended(&self) -> bool {
        self.request_ended.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: ResponseBody + ?Sized> ResponseBody for Box<B> {
    fn is_empty(&self) -> bool {
        (**self).is_empty()
    }

    fn set_blocked(&mut self, blocked: bool) {
        (**self).set_blocked(blocked);
    }

    fn reads_request(&self) -> bool {
        (**self).reads_request()
    }

    fn stall(&self) -> Option<Duration> {
        (**self).stall()
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
