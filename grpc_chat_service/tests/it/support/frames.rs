//! The frames of `chat.v1`: the requests that tests send, and what they look for among the frames they receive.

use bytes::Bytes;
use grpc_chat_service::model::ClientMsgId;
pub(crate) use stubs::chat::v1 as pb;
pub(crate) use stubs::chat::v1::client_frame::Body as ClientBody;
pub(crate) use stubs::chat::v1::event::Body as EventBody;
pub(crate) use stubs::chat::v1::server_frame::Body as ServerBody;

pub(crate) fn hello(user: &str) -> ClientBody {
    ClientBody::Hello(pb::Hello { client_name: "it".to_owned(), user: user.to_owned(), ..pb::Hello::default() })
}

pub(crate) fn join(room: &str, start: Option<pb::join::Start>) -> ClientBody {
    ClientBody::Join(pb::Join { room: room.to_owned(), start })
}

#[expect(clippy::unnecessary_wraps, reason = "the start of a Join is optional")]
pub(crate) fn last(count: u32) -> Option<pb::join::Start> {
    Some(pb::join::Start::Last(count))
}

#[expect(clippy::unnecessary_wraps, reason = "the start of a Join is optional")]
pub(crate) fn after(epoch: u64, seq: u64) -> Option<pb::join::Start> {
    Some(pb::join::Start::After(pb::Cursor { epoch, seq, ..pb::Cursor::default() }))
}

pub(crate) fn leave(room: &str) -> ClientBody {
    ClientBody::Leave(pb::Leave { room: room.to_owned() })
}

pub(crate) fn new_msg_id() -> Bytes {
    Bytes::copy_from_slice(&ClientMsgId::random().0)
}

pub(crate) fn send(room: &str, text: &str) -> ClientBody {
    send_with_msg_id(room, text, new_msg_id())
}

pub(crate) fn send_with_msg_id(room: &str, text: &str, client_msg_id: Bytes) -> ClientBody {
    let (room, text) = (room.to_owned(), text.to_owned());
    ClientBody::Send(pb::Send { room, text, client_msg_id, ..pb::Send::default() })
}

pub(crate) fn reply(room: &str, reply_to_seq: u64, text: &str) -> ClientBody {
    let (room, text, client_msg_id) = (room.to_owned(), text.to_owned(), new_msg_id());
    ClientBody::Send(pb::Send { room, text, client_msg_id, reply_to_seq, ..pb::Send::default() })
}

pub(crate) fn edit(room: &str, seq: u64, text: &str) -> ClientBody {
    let (room, text) = (room.to_owned(), text.to_owned());
    ClientBody::Edit(pb::Edit { room, seq, text, client_msg_id: new_msg_id(), ..pb::Edit::default() })
}

pub(crate) fn delete(room: &str, seq: u64) -> ClientBody {
    ClientBody::Delete(pb::Delete { room: room.to_owned(), seq, client_msg_id: new_msg_id(), ..pb::Delete::default() })
}

pub(crate) fn react(room: &str, seq: u64, reaction: &str, remove: bool) -> ClientBody {
    let (room, reaction) = (room.to_owned(), reaction.to_owned());
    ClientBody::React(pb::React { room, seq, reaction, remove, client_msg_id: new_msg_id(), ..pb::React::default() })
}

pub(crate) fn mark_read(room: &str, seq: u64) -> ClientBody {
    ClientBody::MarkRead(pb::MarkRead { room: room.to_owned(), seq })
}

pub(crate) fn typing(room: &str) -> ClientBody {
    ClientBody::Typing(pb::Typing { room: room.to_owned() })
}

pub(crate) fn ping() -> ClientBody {
    ClientBody::Ping(pb::Ping {})
}

pub(crate) fn pong() -> ClientBody {
    ClientBody::Pong(pb::Pong {})
}

pub(crate) fn is_event(frame: &pb::ServerFrame) -> bool {
    matches!(frame.body, Some(ServerBody::Event(_)))
}

pub(crate) fn draining(frame: &pb::ServerFrame) -> Option<pb::Draining> {
    match &frame.body {
        Some(ServerBody::Draining(draining)) => Some(*draining),
        _ => None,
    }
}

pub(crate) fn presence_changed(frame: &pb::ServerFrame) -> Option<pb::PresenceChanged> {
    match &frame.body {
        Some(ServerBody::PresenceChanged(presence)) => Some(presence.clone()),
        _ => None,
    }
}
