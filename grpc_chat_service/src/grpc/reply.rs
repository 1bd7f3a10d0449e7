//! The response to a streaming call: messages, then a status.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use http::{HeaderMap, Response, header};
use prost::Message;
use tokio_stream::Stream;
use tonic::{Code, Status};

use super::convert::encode_message;
use crate::connection::{AnyBody, Part, ResponseBody};

/// From this size on, what has been encoded is sent without waiting for more.
const SEND_BYTES: usize = 32 * 1024;

/// The body of a response.
pub(crate) type Body = Box<dyn ResponseBody>;

/// Returns the response whose body is `body`.
pub(super) fn response<B: ResponseBody>(body: B) -> Response<B> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, tonic::metadata::GRPC_CONTENT_TYPE);
    response
}

/// Returns the response to a call that fails before it has begun.
pub(super) fn failed(status: Status) -> Response<Body> {
    status.into_http().map(|empty: tonic::body::Body| Box::new(AnyBody(empty)) as Body)
}

/// Returns the trailers that end a response.
pub(super) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        // Happens only for a message that is not a valid header value, and ours are sentences.
        trailers.insert(Status::GRPC_STATUS, (Code::Unknown as i32).into());
    }
    trailers
}

/// The body of a response that consists of these messages.
pub(super) struct Reply<S> {
    messages: S,
    /// How the messages have ended.
    status: Option<Status>,
    /// The size of the last part, which the next one will resemble.
    last_bytes: usize,
    /// See [`ResponseBody::reads_request`].
    reads_request: bool,
}

impl<S> Reply<S> {
    pub(super) fn new(messages: S) -> Self {
        Self { messages, status: None, last_bytes: 0, reads_request: true }
    }

    /// Returns the body of a response whose messages come from a session.
    pub(super) fn of_session(messages: S) -> Self {
        Self { reads_request: false, ..Self::new(messages) }
    }

    fn data(&mut self, bytes: BytesMut, is_all: bool) -> Poll<Option<Result<Part, Box<dyn Error + Send + Sync>>>> {
        self.last_bytes = bytes.len();
        Poll::Ready(Some(Ok(Part::Data { bytes: bytes.freeze(), is_all })))
    }
}

impl<S, M> ResponseBody for Reply<S>
where
    S: Stream<Item = Result<M, Status>> + Send + Unpin,
    M: Message,
{
    fn reads_request(&self) -> bool {
        self.reads_request
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, Box<dyn Error + Send + Sync>>>> {
        let mut bytes = BytesMut::new();
        while self.status.is_none() && bytes.len() < SEND_BYTES {
            match Pin::new(&mut self.messages).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => {
                    if bytes.is_empty() {
                        bytes.reserve(self.last_bytes);
                    }
                    encode_message(&message, &mut bytes);
                }
                Poll::Ready(Some(Err(status))) => self.status = Some(status),
                Poll::Ready(None) => self.status = Some(Status::ok("")),
                Poll::Pending if bytes.is_empty() => return Poll::Pending,
                Poll::Pending => return self.data(bytes, true),
            }
        }
        match &self.status {
            Some(status) if bytes.is_empty() => Poll::Ready(Some(Ok(Part::Trailers(trailers(status))))),
            _ => self.data(bytes, false),
        }
    }
}
