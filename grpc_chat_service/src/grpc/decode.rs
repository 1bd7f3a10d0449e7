//! Decodes the messages on the hot path in place: Send, and the example's. The generated code takes several times as long, and
//! allocates for each field. Everything but the plain form of these messages is left to it.

use prost::bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost::{DecodeError, Message};
use stubs::ChatMessage;

/// A `chat.v1.ClientFrame` with a `chat.v1.Send` in it, and none of its rarer fields.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PlainSend<'a> {
    pub(super) id: u64,
    pub(super) room: &'a str,
    pub(super) text: &'a str,
    pub(super) client_msg_id: &'a [u8],
}

/// Returns the frame if it has that form: each field once, at most, and valid.
pub(super) fn plain_send(mut frame: &[u8]) -> Option<PlainSend<'_>> {
    let mut id = None;
    let mut send = None;
    while !frame.is_empty() {
        match decode_key(&mut frame).ok()? {
            (1, WireType::Varint) if id.is_none() => id = Some(decode_varint(&mut frame).ok()?),
            (5, WireType::LengthDelimited) if send.is_none() => send = Some(bytes(&mut frame)?),
            _ => return None,
        }
    }
    let [room, text, client_msg_id] = fields(send?)?;
    Some(PlainSend { id: id.unwrap_or_default(), room: utf8(room)?, text: utf8(text)?, client_msg_id })
}

/// Decodes the message of the example.
///
/// # Errors
///
/// Those of the generated code.
pub(super) fn chat_message(message: &[u8]) -> Result<ChatMessage, DecodeError> {
    match plain_chat_message(message) {
        Some(message) => Ok(message),
        None => ChatMessage::decode(message),
    }
}

fn plain_chat_message(message: &[u8]) -> Option<ChatMessage> {
    let [name, message] = fields(message)?;
    Some(ChatMessage { name: utf8(name)?.to_owned(), message: utf8(message)?.to_owned() })
}

/// Returns the fields of a message that has only these, with the tags from 1 on, each of bytes, and once at most.
fn fields<const N: usize>(mut message: &[u8]) -> Option<[&[u8]; N]> {
    let mut fields = [None; N];
    while !message.is_empty() {
        let (tag, WireType::LengthDelimited) = decode_key(&mut message).ok()? else { return None };
        let field = fields.get_mut(usize::try_from(tag).ok()?.checked_sub(1)?)?;
        if field.replace(bytes(&mut message)?).is_some() {
            return None;
        }
    }
    Some(fields.map(Option::unwrap_or_default))
}

fn utf8(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Takes a field of bytes from the front.
fn bytes<'a>(message: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(decode_varint(message).ok()?).ok()?;
    let bytes = message.get(..length)?;
    message.advance(length);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stubs::chat::v1 as pb;

    use super::*;

    prop_compose! {
        fn send()(
            room in ".{0,80}",
            text in ".{0,300}",
            client_msg_id in prop::collection::vec(any::<u8>(), 0..20),
            reply_to_seq in prop_oneof![4 => Just(0), 1 => any::<u64>()],
            epoch in prop_oneof![4 => Just(0), 1 => any::<u64>()],
        ) -> pb::Send {
            pb::Send { room, text, client_msg_id: client_msg_id.into(), reply_to_seq, epoch, ..pb::Send::default() }
        }
    }

    /// Whatever is found is what the generated code finds.
    fn check(bytes: &[u8]) {
        let Some(plain) = plain_send(bytes) else { return };
        let frame = pb::ClientFrame::decode(bytes).unwrap();
        let Some(pb::client_frame::Body::Send(send)) = frame.body else { panic!("{:?}", frame.body) };
        let expected = pb::Send {
            room: plain.room.to_owned(),
            text: plain.text.to_owned(),
            client_msg_id: plain.client_msg_id.to_vec().into(),
            ..pb::Send::default()
        };
        assert_eq!((frame.id, send), (plain.id, expected));
    }

    proptest! {
        #[test]
        fn a_plain_send_is_found_and_no_other(id in any::<u64>(), send in send()) {
            let is_plain = send.reply_to_seq == 0 && send.epoch == 0;
            let frame = pb::ClientFrame { id, body: Some(pb::client_frame::Body::Send(send)) };
            let bytes = frame.encode_to_vec();
            prop_assert_eq!(plain_send(&bytes).is_some(), is_plain);
            check(&bytes);
        }

        #[test]
        fn a_plain_chat_message_is_found(name in ".{0,80}", message in ".{0,300}", cut in any::<prop::sample::Index>()) {
            let bytes = ChatMessage { name: name.clone(), message: message.clone() }.encode_to_vec();
            prop_assert_eq!(plain_chat_message(&bytes), Some(ChatMessage { name, message }));
            let cut = &bytes[..cut.index(bytes.len().max(1))];
            prop_assert_eq!(chat_message(cut).ok(), ChatMessage::decode(cut).ok());
        }

        #[test]
        fn damaged_bytes_are_never_misread(
            id in any::<u64>(),
            send in send(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let frame = pb::ClientFrame { id, body: Some(pb::client_frame::Body::Send(send)) };
            let mut bytes = frame.encode_to_vec();
            check(&bytes[..cut.index(bytes.len())]);
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
                check(&bytes);
            }
        }

        #[test]
        fn any_bytes_are_never_misread(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            check(&bytes);
            prop_assert_eq!(chat_message(&bytes).ok(), ChatMessage::decode(&bytes[..]).ok());
            // As a body.
            let length = u8::try_from(bytes.len()).unwrap();
            check(&[&[0x2a, length], &bytes[..]].concat());
        }
    }
}
