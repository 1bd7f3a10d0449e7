//! `chat.v1.ChatService`: the session, and pages for scripts.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::Frame;
use stubs::chat::v1 as pb;
use stubs::chat::v1::chat_service_server::{ChatService, ChatServiceServer};
use tokio_stream::StreamExt;
use tonic::body::Body;
use tonic::codec::{DecodeBuf, Decoder};
use tonic::{Code, Status, Streaming};

use crate::connection::Calls;
use crate::grpc::{convert, status};
use crate::history::{Page, RoomHead};
use crate::limits::Limits;
use crate::model::{Invalid, RoomId};
use crate::session::frame::{End, Inbound, Refusal};
use crate::session::outbox::{Outbound, Sent};
use crate::session::{self, Heard, Shared};

/// Where a session is called. It has a route of its own, in front of the generated ones, because its answers are
/// bytes already: an event is encoded once, by its room, and every reader's stream passes the same bytes on.
pub(crate) const SESSION: &str = "/chat.v1.ChatService/Session";

/// The most events or rooms of a page, and how many there are if the caller does not say.
const MAX_PAGE: u32 = 1000;
const DEFAULT_PAGE: usize = 100;

/// Beyond any event: a store counts in signed numbers.
const LAST_SEQ: u64 = i64::MAX as u64;

/// The most text on a page. Well below what clients accept in a message by default, 4 MiB.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// The methods that are no streams.
pub(crate) fn pages(shared: &Shared) -> ChatServiceServer<Pages> {
    ChatServiceServer::new(Pages { shared: shared.clone() }).max_decoding_message_size(shared.limits.message_bytes)
}

/// The session's route.
#[derive(Clone)]
pub(crate) struct Sessions {
    shared: Shared,
}

impl Sessions {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared }
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

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let encoding = request.headers().get("grpc-encoding");
        if encoding.is_some_and(|encoding| encoding != "identity") {
            let mut refusal = Status::unimplemented("compressed frames are not accepted").into_http();
            refusal.headers_mut().insert("grpc-accept-encoding", HeaderValue::from_static("identity"));
            return ready(Ok(refusal));
        }
        // The connection runs it beside the stream of what it says, which is all that HTTP/2 waits for.
        let Some(calls) = request.extensions().get::<Calls>().cloned() else {
            return ready(Ok(Status::internal("the call came by no connection").into_http()));
        };
        let frames = frames(request.into_body(), self.shared.limits);
        let (session, outbound) = session::open(self.shared.clone());
        calls.start(session.run(frames));

        let mut response = Response::new(Body::new(Frames { outbound }));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        ready(Ok(response))
    }
}

/// What a caller sends, as the session hears it.
fn frames<B>(body: B, limits: Limits) -> impl tokio_stream::Stream<Item = Heard>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    Streaming::new_request(Whole { limits }, body, None, Some(limits.message_bytes))
        .map(|frame| frame.map_err(|status| how_it_ended(&status)))
}

/// Why a caller's stream has failed.
pub(crate) fn how_it_ended(status: &Status) -> End {
    match status.code() {
        // tonic's decoder, for a length over the limit.
        Code::OutOfRange => End::FrameTooLarge,
        Code::Internal => End::NotFrames,
        _ => End::Gone,
    }
}

/// Takes each message whole: one that does not decode is answered, and the next one is read.
struct Whole {
    limits: Limits,
}

impl Decoder for Whole {
    type Item = Inbound;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Inbound>, Status> {
        let bytes = message.copy_to_bytes(message.remaining());
        Ok(Some(convert::frame_from_wire(bytes, &self.limits)))
    }
}

/// What a session says, as the body of its response.
struct Frames {
    outbound: Outbound,
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.outbound.poll(cx).map(|sent| {
            sent.map(|sent| match sent {
                Sent::Frames(bytes) => Ok(Frame::data(bytes)),
                Sent::End(end) => {
                    let mut trailers = HeaderMap::new();
                    let status = status::of_end(&end);
                    tracing::debug!(code = ?status.code(), why = status.message(), "stream ends");
                    if status.add_header(&mut trailers).is_err() {
                        // Only a status that is no header value, and ours are sentences.
                        trailers.insert("grpc-status", HeaderValue::from(Code::Unknown as i32));
                    }
                    Ok(Frame::trailers(trailers))
                }
            })
        })
    }
}

/// History and rooms, page by page.
pub(crate) struct Pages {
    shared: Shared,
}

#[tonic::async_trait]
impl ChatService for Pages {
    async fn list_messages(
        &self,
        request: tonic::Request<pb::ListMessagesRequest>,
    ) -> Result<tonic::Response<pb::ListMessagesResponse>, Status> {
        let pb::ListMessagesRequest { room, after_seq, before_seq, page_size } = request.into_inner();
        let room = convert::room_from_wire(&room).map_err(|refusal| status::of_refusal(&refusal))?;
        let page = Page { events: page_length(page_size)?, bytes: MAX_PAGE_BYTES };
        let history = &self.shared.history;
        let failed = |error| status::of_read(error, &room);
        let (events, look, more) = match (after_seq, before_seq) {
            (Some(_), Some(_)) => return Err(invalid("before_seq", "must not be set together with after_seq")),
            (Some(after), None) => {
                let events = history.read_after(&room, after.min(LAST_SEQ), page).await.map_err(failed)?;
                let look = history.look(&room, None).await.map_err(failed)?;
                let more = events.last().is_some_and(|last| last.seq < look.head);
                (events, look, more)
            }
            (None, before) => {
                let before = before.unwrap_or(LAST_SEQ).min(LAST_SEQ);
                let events = history.read_before(&room, before, page).await.map_err(failed)?;
                let look = history.look(&room, None).await.map_err(failed)?;
                let more = events.first().is_some_and(|first| first.seq > look.oldest);
                (events, look, more)
            }
        };
        Ok(tonic::Response::new(pb::ListMessagesResponse {
            events: events.iter().map(convert::event_to_wire).collect(),
            epoch: history.epoch(),
            head_seq: look.head,
            more,
        }))
    }

    async fn list_rooms(
        &self,
        request: tonic::Request<pb::ListRoomsRequest>,
    ) -> Result<tonic::Response<pb::ListRoomsResponse>, Status> {
        let pb::ListRoomsRequest { page_size, page_token } = request.into_inner();
        let length = page_length(page_size)?;
        let after = if page_token.is_empty() {
            None
        } else {
            let last = RoomId::new(&page_token);
            Some(last.map_err(|_| invalid("page_token", "must be empty or a next_page_token"))?)
        };
        let mut rooms = self
            .shared
            .history
            .rooms(after.as_ref(), length + 1)
            .await
            .map_err(|_| status::of_refusal(&Refusal::HistoryUnavailable))?;
        let more = rooms.len() > length;
        rooms.truncate(length);
        let next_page_token = rooms.last().filter(|_| more).map(|last| last.room.to_string()).unwrap_or_default();
        let to_wire = |RoomHead { room, head, time }| pb::Room {
            room: room.to_string(),
            head_seq: head,
            head_time: Some(convert::time_to_wire(time)),
        };
        Ok(tonic::Response::new(pb::ListRoomsResponse {
            rooms: rooms.into_iter().map(to_wire).collect(),
            next_page_token,
        }))
    }
}

fn page_length(asked: u32) -> Result<usize, Status> {
    match asked {
        0 => Ok(DEFAULT_PAGE),
        1..=MAX_PAGE => Ok(asked as usize),
        _ => Err(invalid("page_size", "must be at most 1,000")),
    }
}

fn invalid(name: &'static str, why: &'static str) -> Status {
    status::of_refusal(&Refusal::Field { name, why: Invalid(why) })
}
