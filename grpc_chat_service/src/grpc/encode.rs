//! Encodes the two frames on the hot path, Event and Ack, from borrowed values. The generated types own theirs: filling them
//! would copy every text and id once more, for each message.
//!
//! <https://protobuf.dev/programming-guides/encoding/>. A test compares every byte with what the generated code writes.

use bytes::BytesMut;
use prost::encoding::{WireType, encoded_len_varint, key_len};
use stubs::chat::v1 as pb;

use super::messages::PREFIX_BYTES;
use super::{convert, status};
use crate::history::Appended;
use crate::model::{Change, ClientMsgId, DeviceId, Durability, Event, RoomId, UnixMillis};
use crate::session::frame::{Body, Encode};

/// Encodes a session's frames.
pub(crate) const ENCODE: Encode = Encode {
    event,
    frame: |reply_to, body, out| match body {
        Body::Ack { room, client_msg_id, appended, durability } => {
            ack(reply_to, room, client_msg_id, appended, *durability, out);
        }
        _ => convert::encode_message(&pb::ServerFrame { reply_to, body: convert::body_to_wire(body) }, out),
    },
    reason: status::reason,
};

/// A protobuf message.
trait Message {
    /// Passes on the fields, in the order of their tags.
    fn fields(&self, to: &mut impl Fields);
}

/// What becomes of the fields of a message. A number that is 0 and bytes that are empty are left out, as in proto3.
trait Fields {
    fn number(&mut self, tag: u32, value: u64);
    fn bytes(&mut self, tag: u32, value: &[u8]);
    fn message(&mut self, tag: u32, value: &impl Message);
}

/// Adds up the length.
#[derive(Default)]
struct Length(usize);

/// Writes the fields into a slice that is as long as they are.
struct Writer<'a> {
    bytes: &'a mut [u8],
    written: usize,
}

/// `chat.v1.ServerFrame` with one of its bodies.
struct Frame<M> {
    reply_to: u64,
    tag: u32,
    body: M,
}

/// `chat.v1.Ack`.
struct Ack<'a> {
    room: &'a RoomId,
    client_msg_id: &'a ClientMsgId,
    appended: &'a Appended,
    durability: Durability,
}

/// `google.protobuf.Timestamp`.
struct Time(UnixMillis);

/// The body of a `chat.v1.Event`.
struct EventBody<'a>(&'a Event);

/// Appends an event as a frame, with gRPC's prefix.
fn event(event: &Event, out: &mut BytesMut) {
    frame(&Frame { reply_to: 0, tag: 5, body: event }, out);
}

/// Appends an Ack as a frame, with gRPC's prefix.
fn ack(
    reply_to: u64,
    room: &RoomId,
    client_msg_id: &ClientMsgId,
    appended: &Appended,
    durability: Durability,
    out: &mut BytesMut,
) {
    frame(&Frame { reply_to, tag: 3, body: Ack { room, client_msg_id, appended, durability } }, out);
}

fn frame(frame: &impl Message, out: &mut BytesMut) {
    let (start, length) = (out.len(), length(frame));
    out.resize(start + PREFIX_BYTES + length, 0);
    let mut writer = Writer { bytes: &mut out[start..], written: 0 };
    writer.byte(0);
    // A frame is about as long as what a client may send, far below 4 GiB.
    writer.raw(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    frame.fields(&mut writer);
}

fn length(message: &impl Message) -> usize {
    let mut length = Length::default();
    message.fields(&mut length);
    length.0
}

impl<M: Message> Message for Frame<M> {
    fn fields(&self, to: &mut impl Fields) {
        to.number(1, self.reply_to);
        to.message(self.tag, &self.body);
    }
}

impl Message for &Event {
    fn fields(&self, to: &mut impl Fields) {
        to.bytes(1, self.draft.room.as_str().as_bytes());
        to.number(2, self.seq);
        to.number(3, self.prev_seq);
        to.message(4, &Time(self.time));
        to.bytes(5, self.draft.sender.as_str().as_bytes());
        to.bytes(6, self.draft.device.as_ref().map_or("", DeviceId::as_str).as_bytes());
        to.bytes(7, &self.draft.client_msg_id.0);
        let tag = match self.draft.change {
            Change::Post { .. } => 8,
            Change::Edit { .. } => 9,
            Change::Delete { .. } => 10,
            Change::React { .. } => 11,
        };
        to.message(tag, &EventBody(self));
    }
}

impl Message for EventBody<'_> {
    fn fields(&self, to: &mut impl Fields) {
        match &self.0.draft.change {
            Change::Post { text, reply_to } => {
                to.bytes(1, text.as_bytes());
                to.number(2, reply_to.unwrap_or_default());
                to.number(3, self.0.erased.into());
            }
            Change::Edit { seq, text } => {
                to.number(1, *seq);
                to.bytes(2, text.as_bytes());
                to.number(3, self.0.erased.into());
            }
            Change::Delete { seq } => to.number(1, *seq),
            Change::React { seq, reaction, remove } => {
                to.number(1, *seq);
                to.bytes(2, reaction.as_bytes());
                to.number(3, (*remove).into());
            }
        }
    }
}

impl Message for Ack<'_> {
    fn fields(&self, to: &mut impl Fields) {
        to.bytes(1, self.room.as_str().as_bytes());
        to.number(2, self.appended.seq);
        to.message(3, &Time(self.appended.time));
        to.bytes(4, &self.client_msg_id.0);
        to.number(5, self.appended.duplicate.into());
        // Enums are encoded as their numbers, which are small and not negative.
        to.number(6, convert::durability_to_wire(self.durability) as u64);
    }
}

impl Message for Time {
    fn fields(&self, to: &mut impl Fields) {
        to.number(1, self.0 / 1000);
        to.number(2, self.0 % 1000 * 1_000_000);
    }
}

impl Fields for Length {
    fn number(&mut self, tag: u32, value: u64) {
        if value > 0 {
            self.0 += key_len(tag) + encoded_len_varint(value);
        }
    }

    fn bytes(&mut self, tag: u32, value: &[u8]) {
        if !value.is_empty() {
            self.0 += key_len(tag) + encoded_len_varint(value.len() as u64) + value.len();
        }
    }

    fn message(&mut self, tag: u32, value: &impl Message) {
        let length = length(value);
        self.0 += key_len(tag) + encoded_len_varint(length as u64) + length;
    }
}

impl Writer<'_> {
    fn byte(&mut self, byte: u8) {
        self.bytes[self.written] = byte;
        self.written += 1;
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.bytes[self.written..][..bytes.len()].copy_from_slice(bytes);
        self.written += bytes.len();
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    fn key(&mut self, tag: u32, wire_type: WireType) {
        self.varint(u64::from(tag << 3 | wire_type as u32));
    }
}

impl Fields for Writer<'_> {
    fn number(&mut self, tag: u32, value: u64) {
        if value > 0 {
            self.key(tag, WireType::Varint);
            self.varint(value);
        }
    }

    fn bytes(&mut self, tag: u32, value: &[u8]) {
        if !value.is_empty() {
            self.key(tag, WireType::LengthDelimited);
            self.varint(value.len() as u64);
            self.raw(value);
        }
    }

    fn message(&mut self, tag: u32, value: &impl Message) {
        self.key(tag, WireType::LengthDelimited);
        self.varint(length(value) as u64);
        value.fields(self);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stubs::chat::v1 as pb;

    use super::*;
    use crate::model::{Draft, UserId};

    /// Numbers whose varints have every length.
    fn number() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0..64u32).prop_map(|(number, shift)| number >> shift)
    }

    /// Milliseconds whose seconds fit into a Timestamp.
    fn time() -> impl Strategy<Value = UnixMillis> {
        number().prop_map(|time| time >> 1)
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            (".{0,200}", prop::option::of(1..u64::MAX))
                .prop_map(|(text, reply_to)| Change::Post { text: text.into(), reply_to }),
            (number(), ".{0,200}").prop_map(|(seq, text)| Change::Edit { seq, text: text.into() }),
            number().prop_map(|seq| Change::Delete { seq }),
            (number(), ".{0,8}", any::<bool>()).prop_map(|(seq, reaction, remove)| Change::React {
                seq,
                reaction,
                remove
            }),
        ]
    }

    prop_compose! {
        fn any_event()(
            room in "[a-z]{1,30}(/[a-z]{1,30})?",
            sender in "[a-z]{1,64}",
            device in prop::option::of("[a-z]{1,64}"),
            id in any::<[u8; 16]>(),
            change in change(),
            seq in number(),
            prev_seq in number(),
            time in time(),
            erased in any::<bool>(),
        ) -> Event {
            let draft = Draft {
                room: RoomId::new(&room).unwrap(),
                sender: UserId::new(&sender).unwrap(),
                device: device.map(|device| DeviceId::new(&device).unwrap()),
                client_msg_id: ClientMsgId(id),
                change,
            };
            Event { seq, prev_seq, time, draft, erased }
        }
    }

    fn generated(reply_to: u64, body: pb::server_frame::Body) -> BytesMut {
        let mut out = BytesMut::new();
        convert::encode_message(&pb::ServerFrame { reply_to, body: Some(body) }, &mut out);
        out
    }

    proptest! {
        #[test]
        fn events_are_the_same_bytes_as_the_generated_code_writes(event in any_event()) {
            let mut out = BytesMut::new();
            super::event(&event, &mut out);
            prop_assert_eq!(out, generated(0, pb::server_frame::Body::Event(convert::event_to_wire(&event))));
        }

        #[test]
        fn acks_are_the_same_bytes_as_the_generated_code_writes(
            reply_to in number(),
            event in any_event(),
            duplicate in any::<bool>(),
            durability in prop::sample::select(vec![
                Durability::Memory, Durability::Written, Durability::Synced, Durability::Replicated,
            ]),
        ) {
            let appended = Appended { seq: event.seq, time: event.time, duplicate };
            let Draft { room, client_msg_id, .. } = event.draft;
            let mut out = BytesMut::new();
            ack(reply_to, &room, &client_msg_id, &appended, durability, &mut out);
            let ack = pb::Ack {
                room: room.to_string(),
                seq: appended.seq,
                time: Some(convert::time_to_wire(appended.time)),
                client_msg_id: client_msg_id.0.to_vec().into(),
                duplicate,
                durability: convert::durability_to_wire(durability).into(),
            };
            prop_assert_eq!(out, generated(reply_to, pb::server_frame::Body::Ack(ack)));
        }
    }
}
