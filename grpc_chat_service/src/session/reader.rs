//! One room as read by one session: a cursor into the room's history.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::access::ReadPermit;
use crate::metrics::Counted;
use crate::model::{RoomId, Seq, UserId};
use crate::rooms::{Delta, Personal, Presence, Room, Seat};
use crate::session::frame::{Body, Encode};

/// One room as read by one session.
#[derive(Debug)]
pub(super) struct Reader {
    /// Unique in the session, and never used again.
    pub(super) id: u64,
    pub(super) room: Arc<Room>,
    pub(super) seat: Arc<Seat>,
    pub(super) permit: ReadPermit,
    user: UserId,
    /// The last event put on the stream.
    pub(super) cursor: Seq,
    /// The highest sequence number known to be stored, perhaps not in the tail yet; catch-up ends here.
    pub(super) known: Seq,
    /// CaughtUp has not been sent yet; it follows once the cursor reaches `known`.
    catching_up: bool,
    /// The version of the ephemeral state that the client has been sent.
    seen: u64,
    /// How far this session knows its user to have read.
    pub(super) read: Seq,
    /// A page of the history is requested or being read for this reader.
    pub(super) behind: Option<Counted>,
}

/// Where a new reader starts.
#[derive(Debug)]
pub(super) struct ReaderStart {
    pub(super) permit: ReadPermit,
    pub(super) user: UserId,
    pub(super) cursor: Seq,
    pub(super) known: Seq,
    /// The version of the ephemeral state sent in Joined.
    pub(super) seen: u64,
    /// The read mark sent in Joined.
    pub(super) read: Seq,
}

impl Reader {
    pub(super) fn new(id: u64, room: Arc<Room>, seat: Arc<Seat>, start: ReaderStart) -> Self {
        let ReaderStart { permit, user, cursor, known, seen, read } = start;
        Self { id, room, seat, permit, user, cursor, known, catching_up: true, seen, read, behind: None }
    }

    /// Whether everything that has to be delivered has been.
    pub(super) fn is_level(&self) -> bool {
        self.cursor >= self.known && !self.catching_up
    }

    /// Puts CaughtUp on the stream when the reader has caught up.
    pub(super) fn push_caught_up(&mut self, encode: &Encode, parts: &mut Vec<Bytes>) {
        if self.catching_up && self.cursor >= self.known {
            self.catching_up = false;
            push(&[Body::CaughtUp { room: self.room_id(), seq: self.cursor }], encode, parts);
        }
    }

    /// Puts on the stream what has changed in the room's ephemeral state.
    pub(super) fn push_delta(&mut self, encode: &Encode, parts: &mut Vec<Bytes>) {
        let room = self.room_id();
        let encoded = |Presence { came, left, snapshot, count }| {
            let mut frame = BytesMut::new();
            (encode.frame)(0, &Body::Presence { room, came, left, snapshot, count }, &mut frame);
            frame.freeze()
        };
        let Some(Delta { presence, personal: Personal { typing, read }, version }) =
            self.room.delta(self.seen, &self.user, encoded)
        else {
            return;
        };
        self.seen = version;
        parts.extend(presence);
        let mut bodies = Vec::new();
        bodies.extend(typing.map(|users| Body::Typing { room: self.room_id(), users }));
        bodies.extend(read.filter(|seq| *seq > self.read).map(|seq| Body::Read { room: self.room_id(), seq }));
        self.read = self.read.max(read.unwrap_or_default());
        push(&bodies, encode, parts);
    }

    fn room_id(&self) -> RoomId {
        self.room.id().clone()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.room.unseat(&self.seat);
        self.room.exit(&self.user);
    }
}

fn push(bodies: &[Body], encode: &Encode, parts: &mut Vec<Bytes>) {
    let mut frames = BytesMut::new();
    for body in bodies {
        (encode.frame)(0, body, &mut frames);
    }
    if !frames.is_empty() {
        parts.push(frames.freeze());
    }
}
