//! A caller of the example in a room: its messages are posted there, and it is sent everyone's as `"{name}: {message}"`.
//!
//! To the room it is a session like any other; this module only translates.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use prost::Message;
use stubs::ChatMessage;
use stubs::chat::v1 as pb;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use super::messages::Messages;
use super::{convert, decode, status};
use crate::access::Caller;
use crate::connection::{Calls, Incoming, RequestBody};
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

/// Where a caller of the example takes part.
pub(super) struct Place {
    room: RoomId,
    /// How many past events it starts with.
    last: u32,
}

/// Returns where the caller wants to take part, if it names a room.
///
/// # Errors
///
/// `INVALID_ARGUMENT` if what it names is not the id of a room, or if it asks for too many past events.
pub(super) fn place(headers: &HeaderMap) -> Result<Option<Place>, Status> {
    let Some(room) = headers.get(ROOM) else { return Ok(None) };
    let place = convert::room_from_wire(room.to_str().unwrap_or_default()).and_then(|room| {
        let Some(last) = headers.get(LAST) else { return Ok(Place { room, last: 0 }) };
        let last = last.to_str().ok().and_then(|last| last.parse().ok()).filter(|last| *last <= convert::MAX_LAST);
        let last = last.ok_or_else(|| convert::field(LAST, Invalid("must be a number, at most 1,000")))?;
        Ok(Place { room, last })
    });
    place.map(Some).map_err(|refusal| status::from_refusal(&refusal))
}

/// Joins the room for the caller, from its head on, or from as many events before it as the caller asks for.
///
/// # Errors
///
/// The status of a room that the caller may not use, or whose history cannot be read.
pub(super) async fn join(
    context: &Arc<Context>,
    caller: Caller,
    calls: &Calls,
    Place { room, last }: Place,
    messages: Messages<RequestBody>,
    incoming: Arc<Incoming>,
) -> Result<Lines, Status> {
    let permit = context.policy.read(&caller, room.clone()).map_err(|refusal| status::from_refusal(&refusal))?;
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
    let messages = messages.map(move |message| {
        let message = message.map_err(|broken| status::end_of_broken(&broken))?;
        let message = decode::chat_message(&message).map_err(|_| End::NotFrames)?;
        Ok(post(message, &room, max_text_bytes))
    });
    let mut next_id = 0;
    let frames = tokio_stream::iter(opening.map(|request| Ok(Ok(request)))).chain(messages).map(move |request| {
        next_id += 1;
        request.map(|request| Inbound { id: next_id, request })
    });
    let (session, outbound) = session::open(context, caller, ClientKind::Example);
    calls.start(session.run(frames, incoming));
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
        change: Change::Post { text: text.into(), reply_to: None },
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
                Some(Sent::Frames { bytes, .. }) => this.frames = bytes,
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
