//! The example's caller in a room: its messages are posted there, and it gets everyone's as `"{name}: {message}"`.
//!
//! To the room it is a session like any other; what stands here only translates.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use prost::Message;
use stubs::ChatMessage;
use stubs::chat::v1 as pb;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Status, Streaming};

use crate::connection::Calls;
use crate::grpc::{chat, convert, status};
use crate::limits::Limits;
use crate::model::{self, Change, ClientMsgId, RoomId, UserId};
use crate::session::frame::{End, Hello, Inbound, Refusal, Start};
use crate::session::outbox::{Outbound, Sent};
use crate::session::{self, Shared};

/// The metadata key that names the room.
const KEY: &str = "chat-room";

/// Whom the room sees, as present, for a caller who speaks in any name.
const GUEST: &str = "guest";

/// The room that the caller wants to be in, if it names one.
///
/// # Errors
///
/// `INVALID_ARGUMENT` if that is no room's id.
pub(crate) fn room<T>(request: &Request<T>) -> Result<Option<RoomId>, Status> {
    let Some(room) = request.metadata().get(KEY) else {
        return Ok(None);
    };
    match convert::room_from_wire(room.to_str().unwrap_or_default()) {
        Ok(room) => Ok(Some(room)),
        Err(refusal) => Err(status::of_refusal(&refusal)),
    }
}

/// Puts the caller into the room, from its head on.
///
/// # Errors
///
/// The status of a room whose history cannot be read.
pub(crate) async fn join(
    shared: &Shared,
    room: RoomId,
    mut request: Request<Streaming<ChatMessage>>,
) -> Result<Lines, Status> {
    let Some(calls) = request.extensions_mut().remove::<Calls>() else {
        return Err(Status::internal("the call came by no connection"));
    };
    let look = shared.history.look(&room, None).await.map_err(|error| status::of_read(error, &room))?;
    // From here, whatever happens before the session has joined: the caller's own first message must come back.
    let start = Start::After { epoch: shared.history.epoch(), seq: look.head };
    let mut shared = shared.clone();
    // These callers do not know of pings; HTTP/2's own tell whether they are there.
    shared.limits.heartbeat = shared.limits.session_age;
    let limits = shared.limits;

    let user = UserId::new(GUEST).map_err(|why| status::of_refusal(&convert::field("name", why)))?;
    let hello = Hello { user, device: None, client: "the example's caller".to_owned() };
    let opening = [session::frame::Request::Hello(hello), session::frame::Request::Join { room: room.clone(), start }];
    let mut next_id = 0;
    let heard = tokio_stream::iter(opening.map(|request| Ok(Ok(request))))
        .chain(request.into_inner().map(move |message| message.map(|message| post(message, &room, &limits))))
        .map(move |request| {
            next_id += 1;
            match request {
                Ok(request) => Ok(Inbound { id: next_id, request }),
                Err(status) => Err(chat::how_it_ended(&status)),
            }
        });
    let (session, outbound) = session::open(shared);
    calls.start(session.held_back().run(heard));
    Ok(Lines { outbound, frames: Bytes::new(), over: false })
}

fn post(message: ChatMessage, room: &RoomId, limits: &Limits) -> Result<session::frame::Request, Refusal> {
    let ChatMessage { name, message: text } = message;
    let sender = UserId::new(&name).map_err(|why| convert::field("name", why))?;
    model::check_text(&text, limits.text_bytes).map_err(|why| convert::field("message", why))?;
    Ok(session::frame::Request::Change {
        room: room.clone(),
        // The example knows no repeats.
        client_msg_id: ClientMsgId(uuid::Uuid::now_v7().into_bytes()),
        change: Change::Post { text, reply_to: None },
        epoch: 0,
        sender: Some(sender),
    })
}

/// What the room says, as lines. The first of the caller's messages that is refused ends it, with the reason.
pub(crate) struct Lines {
    outbound: Outbound,
    frames: Bytes,
    over: bool,
}

impl Stream for Lines {
    type Item = Result<String, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.over {
                return Poll::Ready(None);
            }
            while let Some(frame) = convert::split_frame(&mut this.frames) {
                if let Some(line) = line(frame) {
                    this.over = line.is_err();
                    return Poll::Ready(Some(line));
                }
            }
            match ready!(this.outbound.poll(cx)) {
                Some(Sent::Frames(frames)) => this.frames = frames,
                Some(Sent::End(End::Completed)) | None => this.over = true,
                Some(Sent::End(end)) => {
                    this.over = true;
                    return Poll::Ready(Some(Err(status::of_end(&end))));
                }
            }
        }
    }
}

/// A message as a line; what else is said in a session has no place in the example.
fn line(frame: Bytes) -> Option<Result<String, Status>> {
    use pb::event::Body as Happened;
    use pb::server_frame::Body;
    match pb::ServerFrame::decode(frame) {
        Ok(pb::ServerFrame { body: Some(Body::Event(pb::Event { sender, body: Some(body), .. })), .. }) => match body {
            Happened::Posted(posted) if !posted.erased => Some(Ok(format!("{sender}: {}", posted.text))),
            _ => None,
        },
        Ok(pb::ServerFrame { body: Some(Body::Error(pb::Error { status: Some(status) })), .. }) => {
            let details = status.encode_to_vec().into();
            Some(Err(Status::with_details(status.code.into(), status.message, details)))
        }
        Ok(_) => None,
        // Our own encoder wrote it.
        Err(_) => Some(Err(Status::internal("a frame of this server cannot be decoded"))),
    }
}
