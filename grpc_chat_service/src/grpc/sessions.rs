//! `chat.v1.ChatService/Session`.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use tokio_stream::StreamExt;
use tonic::body::Body;
use tonic::codec::{DecodeBuf, Decoder};
use tonic::{Status, Streaming};

use super::{caller, convert, status};
use crate::limits::Limits;
use crate::session::frame::Inbound;
use crate::session::{self, ClientKind, Context, Outbound, Received, Sent};

/// The path of the method. It has a route of its own, in front of the generated ones, because its responses are already
/// bytes: an event is encoded once, by its room, and every reader's stream passes the same bytes on.
pub(super) const PATH: &str = "/chat.v1.ChatService/Session";

/// The method's route.
#[derive(Clone)]
pub(super) struct Sessions {
    context: Arc<Context>,
}

impl Sessions {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    fn open<B>(&self, request: Request<B>) -> Result<Response<Body>, Status>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        if request.headers().get("grpc-encoding").is_some_and(|encoding| encoding != "identity") {
            return Err(status::compressed());
        }
        let caller = caller::caller(request.extensions())?;
        let calls = caller::calls(request.extensions())?;
        let frames = frames(request.into_body(), self.context.limits);
        let (session, outbound) = session::open(&self.context, caller, ClientKind::Chat);
        calls.start(session.run(frames));

        let mut response = Response::new(Body::new(Frames { outbound, peer: caller.peer }));
        response.headers_mut().insert(http::header::CONTENT_TYPE, tonic::metadata::GRPC_CONTENT_TYPE);
        Ok(response)
    }
}

impl<B> tonic::codegen::Service<Request<B>> for Sessions
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.open(request).unwrap_or_else(Status::into_http)))
    }
}

/// Returns the caller's stream as the session receives it.
fn frames<B>(body: B, limits: Limits) -> impl tokio_stream::Stream<Item = Received>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let decoder = FrameDecoder { max_text_bytes: limits.session.text_bytes };
    Streaming::new_request(decoder, body, None, Some(limits.connection.message_bytes))
        .map(|frame| frame.map_err(|status| status::stream_error(&status)))
}

/// Decodes each message separately: one that cannot be decoded is refused, and the next one is read.
struct FrameDecoder {
    max_text_bytes: usize,
}

impl Decoder for FrameDecoder {
    type Item = Inbound;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Inbound>, Status> {
        let bytes = message.copy_to_bytes(message.remaining());
        Ok(Some(convert::frame_from_wire(bytes, self.max_text_bytes)))
    }
}

/// What a session sends, as the body of its response.
struct Frames {
    outbound: Outbound,
    peer: SocketAddr,
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.outbound.poll(cx).map(|sent| {
            sent.map(|sent| match sent {
                Sent::Frames(bytes) => Ok(Frame::data(bytes)),
                Sent::End(end) => {
                    let status = status::from_end(&end);
                    tracing::debug!(peer = %self.peer, code = ?status.code(), why = status.message(), "stream ends");
                    let mut trailers = HeaderMap::new();
                    if status.add_header(&mut trailers).is_err() {
                        // Happens only for a message that is not a valid header value, and ours are sentences.
                        trailers.insert(Status::GRPC_STATUS, status::code_header(tonic::Code::Unknown));
                    }
                    Ok(Frame::trailers(trailers))
                }
            })
        })
    }
}
