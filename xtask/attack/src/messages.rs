//! The requests of `chat.v1` and of the example, encoded and with gRPC's prefix.

use prost::Message;
use stubs::ChatMessage;
use stubs::chat::v1 as pb;
use stubs::chat::v1::client_frame::Body;

use crate::frames::prefixed;

pub(crate) const EXAMPLE: &str = "/Chat/chat";
pub(crate) const SESSION: &str = "/chat.v1.ChatService/Session";
pub(crate) const SEND_MESSAGE: &str = "/chat.v1.ChatService/SendMessage";
pub(crate) const LIST_MESSAGES: &str = "/chat.v1.ChatService/ListMessages";

/// The longest text of a message.
pub(crate) const LONGEST_TEXT: usize = 8 * 1024;

/// The most events that a page may be asked for.
pub(crate) const LARGEST_PAGE: u32 = 1000;

/// Encodes a frame of a session without an id.
fn frame(body: Body) -> Vec<u8> {
    prefixed(&pb::ClientFrame { id: 0, body: Some(body) }.encode_to_vec())
}

pub(crate) fn hello(user: &str) -> Vec<u8> {
    frame(Body::Hello(pb::Hello { user: user.to_owned(), no_heartbeat: true, ..pb::Hello::default() }))
}

/// Joins a room at its last `last` events.
pub(crate) fn join(room: &str, last: u32) -> Vec<u8> {
    frame(Body::Join(pb::Join { room: room.to_owned(), start: Some(pb::join::Start::Last(last)) }))
}

pub(crate) fn leave(room: &str) -> Vec<u8> {
    frame(Body::Leave(pb::Leave { room: room.to_owned() }))
}

/// Sends a text of so many bytes.
pub(crate) fn send(room: &str, bytes: usize) -> Vec<u8> {
    frame(Body::Send(pb::Send { room: room.to_owned(), text: "x".repeat(bytes), ..pb::Send::default() }))
}

pub(crate) fn edit(room: &str, seq: u64, bytes: usize) -> Vec<u8> {
    frame(Body::Edit(pb::Edit { room: room.to_owned(), seq, text: "y".repeat(bytes), ..pb::Edit::default() }))
}

pub(crate) fn delete(room: &str, seq: u64) -> Vec<u8> {
    frame(Body::Delete(pb::Delete { room: room.to_owned(), seq, ..pb::Delete::default() }))
}

pub(crate) fn react(room: &str, seq: u64, remove: bool) -> Vec<u8> {
    let reaction = "👍".to_owned();
    frame(Body::React(pb::React { room: room.to_owned(), seq, reaction, remove, ..pb::React::default() }))
}

pub(crate) fn typing(room: &str) -> Vec<u8> {
    frame(Body::Typing(pb::Typing { room: room.to_owned() }))
}

/// Sends a text of so many bytes without a session.
pub(crate) fn post(user: &str, room: &str, bytes: usize) -> Vec<u8> {
    let (user, room, text) = (user.to_owned(), room.to_owned(), "x".repeat(bytes));
    prefixed(&pb::SendMessageRequest { user, room, text, ..Default::default() }.encode_to_vec())
}

/// A text of so many bytes for the example.
pub(crate) fn line(name: &str, bytes: usize) -> Vec<u8> {
    prefixed(&ChatMessage { name: name.to_owned(), message: "x".repeat(bytes) }.encode_to_vec())
}

/// Asks for the largest page of a room's newest messages.
pub(crate) fn list(room: &str) -> Vec<u8> {
    let request = pb::ListMessagesRequest { room: room.to_owned(), page_size: LARGEST_PAGE, ..Default::default() };
    prefixed(&request.encode_to_vec())
}
