//! A caller of the example in a room: its messages are posted there, and it is sent everyone's as `"{name}: {message}"`.
//!
//! To the room it is a session like any other; this module only translates.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use prost::Message;
use stubs::ChatMessage;
use stubs::chat::v1 as pb;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Status, Streaming};

use super::{caller, convert, status};
use crate::history::Expected;
use crate::model::{self, Change, ClientMsgId, Invalid, RoomId, UserId};
use crate::refusal::Refusal;
use crate::session::frame::{self, ChangeRequest, End, Hello, Inbound, Start};
use crate::session::{self, ClientKind, Context, Outbound, Sent};

/// The metadata key that names the room.
const ROOM: &str = "chat-room";

/// The metadata key for how many of the last messages, or other events, to start with.
const LAST: &str = "chat-last";

/// The user that is present in the room for a caller who posts under any name.
const GUEST: &str = "guest";

/// Returns the room that the caller wants to take part in, if it names one.
///
/// # Errors
///
/// `INVALID_ARGUMENT` if what it names is not the id of a room.
pub(super) fn room<T>(request: &Request<T>) -> Result<Option<RoomId>, Status> {
    let Some(room) = request.metadata().get(ROOM) else {
        return Ok(None);
    };
    let room = convert::room_from_wire(room.to_str().unwrap_or_default());
    room.map(Some).map_err(|refusal| status::from_refusal(&refusal))
}

/// Returns how many past events the caller wants to start with.
fn last<T>(request: &Request<T>) -> Result<u32, Status> {
    let Some(last) = request.metadata().get(LAST) else { return Ok(0) };
    let last = last.to_str().ok().and_then(|last| last.parse().ok()).filter(|last| *last <= convert::MAX_LAST);
    last.ok_or_else(|| status::from_refusal(&convert::field(LAST, Invalid("must be a number, at most 1,000"))))
}

/// Joins the room for the caller, from its head on, or from as many events before it as the caller asks for.
///
/// # Errors
///
/// The status of a room that the caller may not use, or whose history cannot be read.
pub(super) async fn join(
    context: &Arc<Context>,
    room: RoomId,
    request: Request<Streaming<ChatMessage>>,
) -> Result<Lines, Status> {
    let caller = caller::caller(request.extensions())?;
    let calls = caller::calls(request.extensions())?;
    let permit = context.policy.read(&caller, room.clone()).map_err(|refusal| status::from_refusal(&refusal))?;
    let last = last(&request)?;
    let state = context.history.room_state(&permit, None, last, 0).await;
    let state = state.map_err(|error| status::from_refusal(&Refusal::from_read(error, &room)))?;
    // Starting here, and not at the head when the session has joined, the caller is sent its own first message.
    let epoch = *context.history.epoch().borrow();
    let start = Start::After { epoch, seq: state.before_last, client_msg_id: None };
    let max_text_bytes = context.limits.session.text_bytes;

    let user = UserId::new(GUEST).map_err(|why| status::from_refusal(&convert::field("name", why)))?;
    let client = "the example's caller".to_owned();
    let hello = Hello { user: Some(user), device: None, heartbeats: false, client };
    let opening = [frame::Request::Hello(hello), frame::Request::Join { room: room.clone(), start }];
    let messages = request.into_inner().map(move |message| message.map(|message| post(message, &room, max_text_bytes)));
    let mut next_id = 0;
    let frames = tokio_stream::iter(opening.map(|request| Ok(Ok(request)))).chain(messages).map(move |request| {
        next_id += 1;
        match request {
            Ok(request) => Ok(Inbound { id: next_id, request }),
            Err(status) => Err(status::stream_error(&status)),
        }
    });
    let (session, outbound) = session::open(context, caller, ClientKind::Example);
    calls.start(session.run(frames));
    Ok(Lines { outbound, frames: Bytes::new(), ended: false })
}

fn post(message: ChatMessage, room: &RoomId, max_text_bytes: usize) -> Result<frame::Request, Refusal> {
    let ChatMessage { name, message: text } = message;
    let sender = UserId::new(&name).map_err(|why| convert::field("name", why))?;
    model::check_text(&text, max_text_bytes).map_err(|why| convert::field("message", why))?;
    Ok(frame::Request::Change(ChangeRequest {
        room: room.clone(),
        // The example has no way to repeat a message.
        client_msg_id: ClientMsgId::random(),
        change: Change::Post { text, reply_to: None },
        expected: Expected::default(),
        sender: Some(sender),
    }))
}

/// The room's messages as lines. The first message of the caller that is refused ends the stream with the reason.
pub(super) struct Lines {
    outbound: Outbound,
    frames: Bytes,
    ended: bool,
}

impl Stream for Lines {
    type Item = Result<String, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.ended {
                return Poll::Ready(None);
            }
            while let Some(frame) = convert::split_frame(&mut this.frames) {
                if let Some(line) = line(frame) {
                    this.ended = line.is_err();
                    return Poll::Ready(Some(line));
                }
            }
            match ready!(this.outbound.poll(cx)) {
                Some(Sent::Frames(frames)) => this.frames = frames,
                Some(Sent::End(End::Completed)) | None => this.ended = true,
                Some(Sent::End(end)) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(status::from_end(&end))));
                }
            }
        }
    }
}

/// Returns a message as a line, and an error as its status; the example has no form for other frames.
fn line(frame: Bytes) -> Option<Result<String, Status>> {
    use pb::event::Body as Event;
    use pb::server_frame::Body;
    match pb::ServerFrame::decode(frame) {
        Ok(pb::ServerFrame { body: Some(Body::Event(pb::Event { sender, body: Some(body), .. })), .. }) => match body {
            Event::Posted(posted) if !posted.erased => Some(Ok(format!("{sender}: {}", posted.text))),
            _ => None,
        },
        Ok(pb::ServerFrame { body: Some(Body::Error(pb::Error { status: Some(error) })), .. }) => {
            Some(Err(status::from_frame(error)))
        }
        Ok(_) => None,
        // Our own encoder wrote it.
        Err(_) => Some(Err(status::undecodable_own_frame())),
    }
}
