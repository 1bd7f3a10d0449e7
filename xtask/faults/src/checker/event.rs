//! Events in the form in which the checker compares them.

use std::hash::{DefaultHasher, Hash, Hasher};

use stubs::chat::v1 as pb;

/// A draft's `client_msg_id`.
pub(crate) type Id = [u8; 16];

/// A digest of an event. Two readers received the same event if their digests are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventDigest {
    pub(crate) seq: u64,
    pub(crate) prev_seq: u64,
    /// The draft's id.
    pub(crate) id: Id,
    /// The [`message_digest`] of the draft.
    pub(crate) message: u64,
    /// The digest of the whole encoded event.
    pub(crate) bytes: u64,
}

impl EventDigest {
    pub(crate) fn of(event: &pb::Event) -> Self {
        let text = match &event.body {
            Some(pb::event::Body::Posted(posted)) => posted.text.as_str(),
            _ => "",
        };
        Self {
            seq: event.seq,
            prev_seq: event.prev_seq,
            id: id_of(&event.client_msg_id),
            message: message_digest(&event.room, &event.sender, text),
            bytes: digest(&prost::Message::encode_to_vec(event)),
        }
    }
}

/// Returns an id from the wire. Bytes of another length become the zero id, which no client makes.
pub(crate) fn id_of(bytes: &[u8]) -> Id {
    Id::try_from(bytes).unwrap_or_default()
}

/// Returns a digest of a message's room, sender and text.
pub(crate) fn message_digest(room: &str, sender: &str, text: &str) -> u64 {
    digest(&(room, sender, text))
}

fn digest(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
