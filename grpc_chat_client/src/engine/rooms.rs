//! The rooms that the application wants to receive, and how far each has come. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use stubs::chat::v1 as pb;
use tokio::sync::oneshot;

use crate::error::JoinError;
use crate::model::{Cursor, Joined, RoomId, Seq, Start, Update, Verdict};

/// Rooms that catch up at the same time. One that is joined again is told of by two updates and what it missed; if all
/// came at once, those two of each could fill the mailbox of a slow application, again and again, and no event ever come.
const AT_ONCE: usize = 32;

/// Whoever waits for a room to be joined.
pub(super) type Reply = oneshot::Sender<Result<Joined, JoinError>>;

#[derive(Debug)]
pub(super) struct Rooms {
    rooms: BTreeMap<RoomId, Room>,
    marks: BTreeMap<RoomId, Mark>,
    /// Where an earlier run of the program has stopped, or this one when it left a room.
    kept: HashMap<RoomId, Cursor>,
    last_ticket: Ticket,
}

/// Tells one Join from another of the same room: a room may be left and joined again before the first is answered.
pub(super) type Ticket = u64;

#[derive(Debug)]
struct Room {
    /// What to ask for as long as nothing has been received.
    start: Start,
    /// The last event received, or the place where the reader was put.
    cursor: Option<Cursor>,
    place: Place,
    /// The last Join that was asked for: rooms that were asked for longest ago come first.
    asked: Ticket,
    /// The service has been asked for it in this session, and not been told otherwise since.
    seated: bool,
    present: BTreeSet<String>,
    reply: Option<Reply>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Away,
    /// Join has been asked for, and not answered.
    Asking,
    /// Received, and not level with the room yet.
    CatchingUp,
    Here,
}

/// How far the user has read: what is to be stored, what is stored as far as is known, and what the application was told.
#[derive(Debug, Default)]
struct Mark {
    /// The life of the history that it belongs to, once that is known.
    epoch: Option<u64>,
    wanted: Seq,
    stored: Seq,
    told: Seq,
    asking: bool,
}

/// How an event fits what has been received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fits {
    Next(RoomId),
    /// Nobody wants it, or wants it yet.
    Unwanted,
    Seen,
    Gap {
        last: Seq,
    },
}

impl Rooms {
    pub(super) fn new(kept: HashMap<RoomId, Cursor>) -> Self {
        Self { rooms: BTreeMap::new(), marks: BTreeMap::new(), kept, last_ticket: 0 }
    }

    /// Joining a room again begins again.
    pub(super) fn join(&mut self, room: RoomId, start: Start, reply: Reply) {
        if let Some(cursor) = self.rooms.get(&room).and_then(|earlier| earlier.cursor) {
            self.kept.insert(room.clone(), cursor);
        }
        let start = match start {
            Start::Resume { or_last } => self.kept.get(&room).map_or(Start::Last(or_last), |kept| Start::After(*kept)),
            start => start,
        };
        let seated = self.rooms.get(&room).is_some_and(|earlier| earlier.seated);
        let present = BTreeSet::new();
        let new = Room { start, cursor: None, place: Place::Away, asked: 0, seated, present, reply: Some(reply) };
        if let Some(Room { reply: Some(earlier), .. }) = self.rooms.insert(room, new) {
            let _ = earlier.send(Err(JoinError::Left));
        }
    }

    /// Answers whether the service has to be told.
    pub(super) fn leave(&mut self, room: &RoomId) -> bool {
        let Some(left) = self.rooms.remove(room) else { return false };
        if let Some(reply) = left.reply {
            let _ = reply.send(Err(JoinError::Left));
        }
        // Whoever comes back goes on from there.
        if let Some(cursor) = left.cursor {
            self.kept.insert(room.clone(), cursor);
        }
        left.seated
    }

    /// The room that is to be asked for next, unless enough are catching up. One that somebody waits for is not put off.
    pub(super) fn next(&self) -> Option<RoomId> {
        self.next_waited_for().or_else(|| {
            let catching_up = |room: &&Room| matches!(room.place, Place::Asking | Place::CatchingUp);
            if self.rooms.values().filter(catching_up).count() >= AT_ONCE {
                return None;
            }
            let away = self.rooms.iter().filter(|(_, room)| room.place == Place::Away);
            away.min_by_key(|(_, room)| room.asked).map(|(name, _)| name.clone())
        })
    }

    /// The next room that somebody waits for.
    pub(super) fn next_waited_for(&self) -> Option<RoomId> {
        let waited_for = |room: &Room| room.place == Place::Away && room.reply.is_some();
        self.rooms.iter().find(|(_, room)| waited_for(room)).map(|(name, _)| name.clone())
    }

    #[cfg(test)]
    pub(super) fn are_all_here(&self) -> bool {
        self.rooms.values().all(|room| room.place == Place::Here)
    }

    pub(super) fn is_here(&self, room: &str) -> bool {
        self.here(room).is_some()
    }

    /// Returns the id of a room that is received.
    pub(super) fn here(&self, room: &str) -> Option<RoomId> {
        let (id, room) = self.rooms.get_key_value(room)?;
        matches!(room.place, Place::CatchingUp | Place::Here).then(|| id.clone())
    }

    /// All that was missed has come. Returns the room's id if the room is received.
    pub(super) fn caught_up(&mut self, room: &str) -> Option<RoomId> {
        let id = self.here(room)?;
        self.rooms.get_mut(room)?.place = Place::Here;
        Some(id)
    }

    /// Stops receiving one room; answers whether the service has to be told.
    pub(super) fn cut_one(&mut self, room: &str) -> bool {
        let Some(room) = self.rooms.get_mut(room) else { return false };
        room.place = Place::Away;
        std::mem::take(&mut room.seated)
    }

    /// The room is about to be asked for: from where on; `None` if it has been already.
    pub(super) fn asking(&mut self, room: &str) -> Option<(Ticket, Start)> {
        let room = self.rooms.get_mut(room).filter(|room| room.place == Place::Away)?;
        self.last_ticket += 1;
        (room.place, room.asked, room.seated) = (Place::Asking, self.last_ticket, true);
        Some((self.last_ticket, room.cursor.map_or(room.start, Start::After)))
    }

    /// Answers whoever waited for it, and who is there; `None` if the room was not asked for, or not any more.
    pub(super) fn joined(
        &mut self,
        ticket: Ticket,
        joined: &Joined,
        present: Vec<String>,
        count: u32,
    ) -> Option<(Option<Reply>, Update)> {
        let room = self.asked_for(joined.room.as_str(), ticket)?;
        room.place = Place::CatchingUp;
        room.cursor = Some(Cursor { epoch: joined.epoch, seq: joined.start });
        room.present = present.into_iter().collect();
        let present =
            Update::Present { room: joined.room.clone(), users: room.present.iter().cloned().collect(), count };
        let reply = room.reply.take();
        let mark = self.marks.entry(joined.room.clone()).or_default();
        // A mark of another life says nothing about this one.
        if mark.epoch.is_some_and(|epoch| epoch != joined.epoch) || matches!(joined.verdict, Verdict::Reset(_)) {
            *mark = Mark { asking: mark.asking, ..Mark::default() };
        }
        mark.epoch = Some(joined.epoch);
        (mark.stored, mark.told) = (mark.stored.max(joined.read), joined.read);
        Some((reply, present))
    }

    /// It is to be asked for again.
    pub(super) fn not_joined(&mut self, room: &str, ticket: Ticket) {
        if let Some(room) = self.asked_for(room, ticket) {
            room.place = Place::Away;
        }
    }

    /// It is not to be asked for again. Answers whoever waited for it; `None` if it was not asked for any more.
    pub(super) fn refused(&mut self, room: &RoomId, ticket: Ticket) -> Option<Option<Reply>> {
        self.asked_for(room, ticket)?;
        self.give_up(room.as_str()).map(|(_, reply)| reply)
    }

    /// The same, whatever was asked for; `None` if the room is not wanted.
    pub(super) fn give_up(&mut self, room: &str) -> Option<(RoomId, Option<Reply>)> {
        let (room, refused) = self.rooms.remove_entry(room)?;
        if let Some(cursor) = refused.cursor {
            self.kept.insert(room.clone(), cursor);
        }
        Some((room, refused.reply))
    }

    pub(super) fn event(&mut self, room: &str, seq: Seq, prev_seq: Seq) -> Fits {
        let Some(id) = self.here(room) else { return Fits::Unwanted };
        let Some(Room { cursor: Some(cursor), .. }) = self.rooms.get_mut(room) else { return Fits::Unwanted };
        if seq <= cursor.seq {
            Fits::Seen
        } else if prev_seq != cursor.seq {
            Fits::Gap { last: cursor.seq }
        } else {
            cursor.seq = seq;
            Fits::Next(id)
        }
    }

    /// Who is in the room now, as a whole.
    pub(super) fn presence(&mut self, changed: pb::PresenceChanged) -> Option<Update> {
        let pb::PresenceChanged { room: name, came, left, snapshot, present_count } = changed;
        let name = self.here(&name)?;
        let room = self.rooms.get_mut(&name)?;
        if snapshot {
            room.present.clear();
        }
        for user in &left {
            room.present.remove(user);
        }
        room.present.extend(came);
        Some(Update::Present { room: name, users: room.present.iter().cloned().collect(), count: present_count })
    }

    pub(super) fn want_mark(&mut self, room: &RoomId, seq: Seq) {
        let mark = self.marks.entry(room.clone()).or_default();
        mark.wanted = mark.wanted.max(seq);
    }

    pub(super) fn marks_wanted(&self) -> Vec<RoomId> {
        let wanted = |mark: &Mark| mark.wanted > mark.stored && !mark.asking;
        self.marks.iter().filter(|(_, mark)| wanted(mark)).map(|(room, _)| room.clone()).collect()
    }

    /// The mark is about to be said: which; `None` if there is nothing new, or one is on its way.
    pub(super) fn marking(&mut self, room: &str) -> Option<Seq> {
        let mark = self.marks.get_mut(room).filter(|mark| mark.wanted > mark.stored && !mark.asking)?;
        mark.asking = true;
        Some(mark.wanted)
    }

    /// A mark is stored. Returns whether that is news for the application.
    pub(super) fn marked(&mut self, room: &RoomId, seq: Seq) -> bool {
        let mark = self.marks.entry(room.clone()).or_default();
        mark.stored = mark.stored.max(seq);
        let news = seq > mark.told;
        mark.told = mark.told.max(seq);
        news
    }

    /// What was asked about a mark has been answered.
    pub(super) fn not_marking(&mut self, room: &str) {
        if let Some(mark) = self.marks.get_mut(room) {
            mark.asking = false;
        }
    }

    /// The mark is none: it is not asked for again, and others may be.
    pub(super) fn mark_refused(&mut self, room: &str, seq: Seq) {
        if let Some(mark) = self.marks.get_mut(room) {
            mark.asking = false;
            if mark.wanted == seq {
                mark.wanted = mark.stored;
            }
        }
    }

    /// Nothing is received any more.
    pub(super) fn cut(&mut self) {
        for room in self.rooms.values_mut() {
            (room.place, room.seated) = (Place::Away, false);
        }
    }

    /// Nothing is received any more, but for rooms that are asked for and waited for; answers where something was, or was
    /// about to be.
    pub(super) fn suspend_all_but_pending_joins(&mut self) -> Vec<RoomId> {
        let waited_for = |room: &Room| room.place == Place::Asking && room.reply.is_some();
        let mut seated = Vec::new();
        for (name, room) in self.rooms.iter_mut().filter(|(_, room)| !waited_for(room)) {
            room.place = Place::Away;
            if std::mem::take(&mut room.seated) {
                seated.push(name.clone());
            }
        }
        seated
    }

    /// What was on its way when the stream ended may not have come.
    pub(super) fn forget_asked(&mut self) {
        for mark in self.marks.values_mut() {
            mark.asking = false;
        }
    }

    /// The room, if this is what is asked for it now.
    fn asked_for(&mut self, room: &str, ticket: Ticket) -> Option<&mut Room> {
        self.rooms.get_mut(room).filter(|room| room.place == Place::Asking && room.asked == ticket)
    }

    /// Everyone who still waits.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Reply> {
        std::mem::take(&mut self.rooms).into_values().filter_map(|room| room.reply)
    }
}
