//! The rooms that the application wants to receive, and how far each has come. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use stubs::chat::v1 as pb;

use crate::error::JoinError;
use crate::model::{Cursor, Joined, RoomId, Seq, Start, Update, Verdict};
use crate::reply::Reply;
use crate::wire::convert;

/// The most rooms that catch up at the same time. Each room that is joined again is announced by two updates; if all came at
/// once, these could fill the mailbox of a slow application again and again, before any event.
const AT_ONCE: usize = 32;

/// The most users present in a room whose names are kept. The service names 256, and a service that names users without end must
/// not fill the memory.
const MAX_PRESENT: usize = 1_024;

/// The reply to a caller that waits for a room to be joined.
pub(super) type JoinReply = Reply<Result<Joined, JoinError>>;

/// Tells one Join from another of the same room, which may be left and joined again before the reply to the first comes.
pub(super) type JoinId = u64;

#[derive(Debug)]
pub(super) struct Rooms {
    rooms: BTreeMap<RoomId, Room>,
    /// The last event of rooms that are not received now, from an earlier run of the program or from before they were left.
    cursors: HashMap<RoomId, Cursor>,
    last_join: JoinId,
}

#[derive(Debug)]
struct Room {
    id: RoomId,
    /// Where to begin, as long as nothing was received.
    start: Start,
    /// The last event received, or where the service began to deliver.
    cursor: Option<Cursor>,
    phase: Phase,
    /// The last Join that was sent, 0 for none.
    join: JoinId,
    /// Whether the service may be delivering the room in this session: Join was sent, and no Leave since.
    subscribed: bool,
    present: BTreeSet<String>,
    reply: Option<JoinReply>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not received.
    Out,
    /// Join was sent and has no reply.
    Joining,
    /// Received, and behind the head of the room.
    CatchingUp,
    /// Received as it happens.
    Live,
}

/// How an event continues what was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sequence {
    /// It is the next event of this room.
    Next(RoomId),
    /// The room is not received.
    NotReceived,
    /// It was received before.
    Repeated,
    /// Events between `last` and this one are missing.
    Gap { last: Seq },
}

impl Rooms {
    pub(super) fn new(cursors: HashMap<RoomId, Cursor>) -> Self {
        Self { rooms: BTreeMap::new(), cursors, last_join: 0 }
    }

    /// Adds a room to those that are received. One that is received already begins again.
    pub(super) fn join(&mut self, room: RoomId, start: Start, reply: JoinReply) {
        let earlier = self.rooms.remove(&room);
        if let Some(cursor) = earlier.as_ref().and_then(|earlier| earlier.cursor) {
            self.cursors.insert(room.clone(), cursor);
        }
        let start = match start {
            Start::Resume { or_last } => {
                self.cursors.get(&room).map_or(Start::Last(or_last), |cursor| Start::After(*cursor))
            }
            start => start,
        };
        let subscribed = earlier.as_ref().is_some_and(|earlier| earlier.subscribed);
        if let Some(reply) = earlier.and_then(|earlier| earlier.reply) {
            let _ = reply.send(Err(JoinError::Left));
        }
        let (phase, present) = (Phase::Out, BTreeSet::new());
        let new =
            Room { id: room.clone(), start, cursor: None, phase, join: 0, subscribed, present, reply: Some(reply) };
        self.rooms.insert(room, new);
    }

    /// Removes a room. Returns whether Leave has to be sent.
    pub(super) fn leave(&mut self, room: &RoomId) -> bool {
        let Some(left) = self.rooms.remove(room) else { return false };
        if let Some(reply) = left.reply {
            let _ = reply.send(Err(JoinError::Left));
        }
        if let Some(cursor) = left.cursor {
            self.cursors.insert(room.clone(), cursor);
        }
        left.subscribed
    }

    /// Returns the room to join next, unless enough rooms are catching up. A room that a caller waits for is not put off.
    pub(super) fn next_to_join(&self) -> Option<RoomId> {
        self.next_awaited().or_else(|| {
            let catching_up = |room: &&Room| matches!(room.phase, Phase::Joining | Phase::CatchingUp);
            if self.rooms.values().filter(catching_up).count() >= AT_ONCE {
                return None;
            }
            let out = self.rooms.iter().filter(|(_, room)| room.phase == Phase::Out);
            // Each gets its turn.
            out.min_by_key(|(_, room)| room.join).map(|(id, _)| id.clone())
        })
    }

    /// Returns the next room to join that a caller waits for.
    pub(super) fn next_awaited(&self) -> Option<RoomId> {
        let awaited = |room: &Room| room.phase == Phase::Out && room.reply.is_some();
        self.rooms.iter().find(|(_, room)| awaited(room)).map(|(id, _)| id.clone())
    }

    #[cfg(test)]
    pub(super) fn are_all_live(&self) -> bool {
        self.rooms.values().all(|room| room.phase == Phase::Live)
    }

    /// Returns the id of a room that is received; `None` if it is not.
    pub(super) fn received(&self, room: &str) -> Option<RoomId> {
        self.rooms.get(room).filter(|room| room.is_received()).map(|room| room.id.clone())
    }

    /// A Join is about to be sent. Returns its id and where to begin; `None` if one was sent already.
    pub(super) fn begin_join(&mut self, room: &RoomId) -> Option<(JoinId, Start)> {
        let room = self.rooms.get_mut(room).filter(|room| room.phase == Phase::Out)?;
        self.last_join += 1;
        (room.phase, room.join, room.subscribed) = (Phase::Joining, self.last_join, true);
        Some((self.last_join, room.next_start()))
    }

    /// A room was joined. Completes `joined` with what only the client knows. Returns the reply to the caller, and who is
    /// present; `None` if this Join is no longer wanted.
    pub(super) fn joined(
        &mut self,
        join: JoinId,
        joined: &mut Joined,
        present: Vec<String>,
        count: u32,
    ) -> Option<(Option<JoinReply>, Update)> {
        let room = self.joining(&joined.room, join)?;
        if let (Verdict::Recovered, Start::After(cursor)) = (joined.verdict, room.next_start())
            && (cursor.epoch, cursor.seq) == (joined.epoch, joined.start)
        {
            joined.start_id = cursor.id;
        }
        room.phase = Phase::CatchingUp;
        room.cursor = Some(joined.cursor());
        room.present = present.into_iter().take(MAX_PRESENT).collect();
        let users = room.present.iter().cloned().collect();
        Some((room.reply.take(), Update::Present { room: joined.room.clone(), users, count }))
    }

    /// The Join has to be sent again.
    pub(super) fn retry_join(&mut self, room: &RoomId, join: JoinId) {
        if let Some(room) = self.joining(room, join) {
            room.phase = Phase::Out;
        }
    }

    /// The service refused the Join for good. Returns the reply to the caller; `None` if the Join is no longer wanted.
    pub(super) fn join_refused(&mut self, room: &RoomId, join: JoinId) -> Option<Option<JoinReply>> {
        self.joining(room, join)?;
        self.give_up(room).map(|(_, reply)| reply)
    }

    /// Removes a room that cannot be received. Returns its id and the reply to the caller; `None` if it is not wanted.
    pub(super) fn give_up(&mut self, room: &str) -> Option<(RoomId, Option<JoinReply>)> {
        let room = self.rooms.remove(room)?;
        if let Some(cursor) = room.cursor {
            self.cursors.insert(room.id.clone(), cursor);
        }
        Some((room.id, room.reply))
    }

    /// All that was missed has come. Returns the room's id if it is received.
    pub(super) fn caught_up(&mut self, room: &str) -> Option<RoomId> {
        let room = self.rooms.get_mut(room).filter(|room| room.is_received())?;
        room.phase = Phase::Live;
        Some(room.id.clone())
    }

    /// Compares an event with what was received, and counts it as received if it is the next one.
    pub(super) fn event(&mut self, event: &pb::Event) -> Sequence {
        let received = self.rooms.get_mut(event.room.as_str()).filter(|room| room.is_received());
        let Some(Room { id, cursor: Some(cursor), .. }) = received else { return Sequence::NotReceived };
        if event.seq <= cursor.seq {
            Sequence::Repeated
        } else if event.prev_seq != cursor.seq {
            Sequence::Gap { last: cursor.seq }
        } else {
            (cursor.seq, cursor.id) = (event.seq, convert::id_from_wire(&event.client_msg_id));
            Sequence::Next(id.clone())
        }
    }

    /// Returns everyone who is present in a room after a change, if the room is received.
    pub(super) fn presence_changed(&mut self, changed: pb::PresenceChanged) -> Option<Update> {
        let pb::PresenceChanged { room, came, left, snapshot, present_count } = changed;
        let room = self.rooms.get_mut(room.as_str()).filter(|room| room.is_received())?;
        if snapshot {
            room.present.clear();
        }
        for user in &left {
            room.present.remove(user);
        }
        let room_for = MAX_PRESENT.saturating_sub(room.present.len());
        room.present.extend(came.into_iter().take(room_for));
        let users = room.present.iter().cloned().collect();
        Some(Update::Present { room: room.id.clone(), users, count: present_count })
    }

    /// Stops receiving a room for a while. Returns whether Leave has to be sent.
    pub(super) fn suspend(&mut self, room: &RoomId) -> bool {
        let Some(room) = self.rooms.get_mut(room) else { return false };
        room.phase = Phase::Out;
        std::mem::take(&mut room.subscribed)
    }

    /// Stops receiving all rooms for a while, except those whose Join is under way and awaited. Returns those for which
    /// Leave has to be sent.
    pub(super) fn suspend_all_but_pending_joins(&mut self) -> Vec<RoomId> {
        let pending = |room: &Room| room.phase == Phase::Joining && room.reply.is_some();
        let mut subscribed = Vec::new();
        for (id, room) in self.rooms.iter_mut().filter(|(_, room)| !pending(room)) {
            room.phase = Phase::Out;
            if std::mem::take(&mut room.subscribed) {
                subscribed.push(id.clone());
            }
        }
        subscribed
    }

    /// Nothing is received any more.
    pub(super) fn session_ended(&mut self) {
        for room in self.rooms.values_mut() {
            (room.phase, room.subscribed) = (Phase::Out, false);
        }
    }

    /// Returns the replies to all callers that still wait.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = JoinReply> {
        std::mem::take(&mut self.rooms).into_values().filter_map(|room| room.reply)
    }

    /// Returns the room, if this is its Join that is under way.
    fn joining(&mut self, room: &RoomId, join: JoinId) -> Option<&mut Room> {
        self.rooms.get_mut(room).filter(|room| room.phase == Phase::Joining && room.join == join)
    }
}

impl Room {
    /// Returns where the next Join begins.
    fn next_start(&self) -> Start {
        self.cursor.map_or(self.start, Start::After)
    }

    fn is_received(&self) -> bool {
        matches!(self.phase, Phase::CatchingUp | Phase::Live)
    }
}
