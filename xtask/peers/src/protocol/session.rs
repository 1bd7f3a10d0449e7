//! A session of `chat.v1`, with one room joined. The service speaks it, and so does the server of grpc-go.

use std::io;

use prost::Message;
use stubs::chat::v1 as pb;
use stubs::chat::v1::client_frame::Body;

use super::http2::{self, Http2};
use super::number::{Number, Template, placeholder, text};
use super::{Arrival, PubSub, Role};

const PATH: &str = "/chat.v1.ChatService/Session";

/// The ids of Send frames start here, so that all of them are four bytes long and can be replaced in place.
const FIRST_ID: u32 = 1 << 21;

/// Where the id is in a Send frame: behind gRPC's prefix and the field's tag.
const ID: std::ops::Range<usize> = 6..10;

/// The first bytes of a ServerFrame's fields: number and wire type.
mod tag {
    pub(super) const REPLY_TO: u8 = 1 << 3;
    pub(super) const WELCOME: u8 = 2 << 3 | 2;
    pub(super) const ACK: u8 = 3 << 3 | 2;
    pub(super) const EVENT: u8 = 5 << 3 | 2;
    pub(super) const JOINED: u8 = 6 << 3 | 2;
    pub(super) const CAUGHT_UP: u8 = 7 << 3 | 2;
    pub(super) const PRESENCE_CHANGED: u8 = 8 << 3 | 2;
    pub(super) const PING: u8 = 12 << 3 | 2;
}

/// A connection with one session.
pub(crate) struct Session {
    http2: Http2,
    call: usize,
    role: Role,
    message: Template,
    next_id: u32,
    pong: Vec<u8>,
}

impl PubSub for Session {
    const RECEIPTS: bool = true;

    fn connect(role: Role, room: &str, user: &str, out: &mut Vec<u8>) -> Self {
        let mut http2 = Http2::connect(out);
        let call = http2.open(PATH, out);
        let hello = pb::Hello { user: user.to_owned(), ..pb::Hello::default() };
        http2.send(call, &frame(1, Body::Hello(hello)), out);
        if role == Role::Receiver {
            http2.send(call, &frame(2, Body::Join(pb::Join { room: room.to_owned(), start: None })), out);
        }
        let client_msg_id = format!("message-{}", placeholder()).into();
        let send = pb::Send { room: room.to_owned(), text: text(), client_msg_id, ..pb::Send::default() };
        Self {
            http2,
            call,
            role,
            message: Template::new(frame(FIRST_ID.into(), Body::Send(send))),
            next_id: FIRST_ID,
            pong: frame(0, Body::Pong(pb::Pong {})),
        }
    }

    fn publish(&mut self, number: Number, out: &mut Vec<u8>) -> bool {
        let message = self.message.numbered(number);
        if !self.http2.may_send(self.call, message.len()) {
            return false;
        }
        message[ID].copy_from_slice(&varint(self.next_id));
        self.next_id += 1;
        self.http2.send(self.call, message, out);
        true
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        mut on_arrival: impl FnMut(Arrival<'_>) -> io::Result<()>,
    ) -> io::Result<usize> {
        let mut pings = 0;
        let used = self.http2.receive(bytes, out, |_, frame| {
            match (body_tag(frame), self.role) {
                (Some(tag::EVENT), _) => on_arrival(Arrival::Message(frame))?,
                (Some(tag::ACK), _) => on_arrival(Arrival::Receipt)?,
                (Some(tag::WELCOME), Role::Publisher) | (Some(tag::CAUGHT_UP), Role::Receiver) => {
                    on_arrival(Arrival::Ready)?;
                }
                (Some(tag::WELCOME | tag::JOINED | tag::PRESENCE_CHANGED), _) => {}
                (Some(tag::PING), _) => pings += 1,
                _ => return Err(unexpected(frame)),
            }
            Ok(())
        })?;
        for _ in 0..pings {
            self.http2.send(self.call, &self.pong, out);
        }
        Ok(used)
    }
}

fn frame(id: u64, body: Body) -> Vec<u8> {
    http2::prefixed(&pb::ClientFrame { id, body: Some(body) }.encode_to_vec())
}

/// Encodes a number of four bytes as Protocol Buffers do.
fn varint(number: u32) -> [u8; 4] {
    let group = |n: u32| (number >> (7 * n) & 0x7f) as u8;
    [group(0) | 0x80, group(1) | 0x80, group(2) | 0x80, group(3)]
}

/// Returns the tag of a ServerFrame's body, which follows `reply_to` if that is not 0.
fn body_tag(frame: &[u8]) -> Option<u8> {
    match frame {
        [tag::REPLY_TO, rest @ ..] => {
            let last = rest.iter().position(|byte| byte & 0x80 == 0)?;
            rest.get(last + 1).copied()
        }
        _ => frame.first().copied(),
    }
}

#[cold]
fn unexpected(frame: &[u8]) -> io::Error {
    let shown = pb::ServerFrame::decode(frame).map_or_else(|_| format!("{frame:?}"), |frame| format!("{frame:?}"));
    io::Error::other(format!("the server sent {shown}"))
}

#[cfg(test)]
mod tests {
    use stubs::chat::v1::{client_frame, server_frame};

    use super::*;
    use crate::protocol::number::TEXT;
    use crate::protocol::pieces::{Arrived, check_every_split};

    fn session(role: Role) -> Session {
        Session::connect(role, "room", "sam", &mut Vec::new())
    }

    /// DATA frames of the first call, each with one message.
    fn data(messages: &[Vec<u8>]) -> Vec<u8> {
        let (mut bytes, mut server) = (Vec::new(), Http2::connect(&mut Vec::new()));
        server.open("", &mut Vec::new());
        for message in messages {
            server.send(0, &http2::prefixed(message), &mut bytes);
        }
        bytes
    }

    fn encoded(reply_to: u64, body: server_frame::Body) -> Vec<u8> {
        pb::ServerFrame { reply_to, body: Some(body) }.encode_to_vec()
    }

    #[test]
    fn messages_are_the_same_wherever_the_bytes_are_split() {
        use server_frame::Body;
        let event = |seq| {
            let posted = pb::Posted { text: "1".repeat(TEXT), ..pb::Posted::default() };
            let body = Some(pb::event::Body::Posted(posted));
            encoded(0, Body::Event(pb::Event { room: "room".to_owned(), seq, body, ..pb::Event::default() }))
        };
        let bytes = data(&[
            encoded(1, Body::Welcome(pb::Welcome::default())),
            encoded(2, Body::Joined(pb::Joined::default())),
            encoded(0, Body::CaughtUp(pb::CaughtUp::default())),
            event(1),
            encoded(0, Body::PresenceChanged(pb::PresenceChanged { present_count: 7, ..Default::default() })),
            event(300),
            encoded(0, Body::Ping(pb::Ping {})),
            encoded(3_000_000, Body::Ack(pb::Ack { seq: 300, ..pb::Ack::default() })),
        ]);
        let expected = [Arrived::Ready, Arrived::Message(event(1)), Arrived::Message(event(300)), Arrived::Receipt];
        let pong =
            data(&[pb::ClientFrame { id: 0, body: Some(client_frame::Body::Pong(pb::Pong {})) }.encode_to_vec()]);
        check_every_split(|| session(Role::Receiver), &bytes, &expected, &pong);
    }

    #[test]
    fn a_publisher_is_ready_when_it_is_welcome() {
        let bytes = data(&[encoded(1, server_frame::Body::Welcome(pb::Welcome::default()))]);
        check_every_split(|| session(Role::Publisher), &bytes, &[Arrived::Ready], b"");
    }

    #[test]
    fn errors_and_ends_are_errors() {
        for body in
            [server_frame::Body::Error(pb::Error::default()), server_frame::Body::Draining(pb::Draining::default())]
        {
            let bytes = data(&[encoded(2, body)]);
            session(Role::Receiver).receive(&bytes, &mut Vec::new(), |_| Ok(())).unwrap_err();
        }
    }

    #[test]
    fn published_messages_have_rising_ids_and_their_number_in_text_and_key() {
        let (mut publisher, mut out, mut number, mut published) =
            (session(Role::Publisher), Vec::new(), Number::FIRST, 0);
        // Flow control stops the publisher, since nobody reads what it sends.
        while publisher.publish(number, &mut out) {
            let frame = pb::ClientFrame::decode(&out[9 + 5..]).unwrap();
            assert_eq!(frame.id, u64::from(FIRST_ID) + published);
            let Some(Body::Send(send)) = frame.body else { panic!("{frame:?}") };
            assert_eq!(send.room, "room");
            assert_eq!(send.text, format!("{published:08}{}", "x".repeat(TEXT - 8)));
            assert_eq!(send.client_msg_id, format!("message-{published:08}"));
            out.clear();
            number.advance();
            published += 1;
        }
        assert!(out.is_empty() && published > 200, "{published}");
    }
}
