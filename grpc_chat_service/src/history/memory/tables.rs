//! The contents of a store in memory.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use crate::history::page::{Filling, Page};
use crate::history::queue::{Append, ReadMark};
use crate::history::{
    AppendError, Appended, Expected, Feed, Position, ReadError, RoomHead, RoomQuery, RoomState, rules,
};
use crate::model::{Change, ClientMsgId, Draft, Epoch, Event, RoomId, Seq, UnixMillis, UserId};
use crate::rates::Rates;

/// What an event is counted as besides its text: about what it and its entries in all maps occupy.
const EVENT_BYTES: usize = 512;

/// What a read mark is counted as.
const MARK_BYTES: usize = 128;

/// All rooms.
#[derive(Debug, Default)]
pub(super) struct Tables {
    rooms: BTreeMap<RoomId, Room>,
    /// Every event ever stored, in the order in which they were. A position is an index into this.
    order: Vec<(RoomId, Seq)>,
    /// What everything is counted as.
    bytes: usize,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Room {
    /// Events that are no longer kept: the event with seq n is at index n - 1 - expired.
    expired: usize,
    events: Vec<Event>,
    by_client_msg_id: HashMap<(UserId, ClientMsgId), Seq>,
    /// The edits of each message that has been edited.
    edits: HashMap<Seq, Vec<Seq>>,
    /// The last event about each reaction: which message, whose, and which one.
    reactions: HashMap<(Seq, UserId, String), Seq>,
    read: HashMap<UserId, Seq>,
}

impl Tables {
    pub(super) fn set_max_bytes(&mut self, max_bytes: usize) {
        self.max_bytes = max_bytes;
    }

    /// Whether there is no room for anything new.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.max_bytes
    }

    /// Stores a draft. A new event is also added to `stored`.
    pub(super) fn append(
        &mut self,
        epoch: Epoch,
        Append { account, draft, expected }: Append,
        rates: &Rates,
        now: UnixMillis,
        stored: &mut Vec<Event>,
    ) -> Result<Appended, AppendError> {
        if !self.rooms.contains_key(&draft.room) {
            if draft.change.target().is_some() {
                rules::check_target(&draft, expected, epoch, None)?;
            }
            rules::check_new_room(rates, &account)?;
        }
        let full = self.is_full() && rules::needs_room(&draft);
        if full && !self.rooms.contains_key(&draft.room) {
            return Err(AppendError::StorageFull);
        }
        let room = self.rooms.entry(draft.room.clone()).or_default();
        let (prev_seq, id) = (room.head(), (draft.sender.clone(), draft.client_msg_id));
        match room.by_client_msg_id.entry(id) {
            Entry::Vacant(new) => _ = new.insert(prev_seq + 1),
            Entry::Occupied(known) => {
                let seq = *known.get();
                if let Some(first) = room.get(seq) {
                    rules::check_repeat(&draft, first)?;
                    return Ok(Appended { seq, time: first.time, duplicate: true });
                }
            }
        }
        let done = match room.check(&draft, expected, epoch) {
            Ok(None) if full => Err(AppendError::StorageFull),
            checked => checked,
        };
        if let Some(result) = done.transpose() {
            room.by_client_msg_id.remove(&(draft.sender, draft.client_msg_id));
            return result;
        }
        match &draft.change {
            Change::Delete { seq: deleted } => self.bytes -= room.erase(*deleted),
            Change::Edit { seq: edited, .. } => room.edits.entry(*edited).or_default().push(prev_seq + 1),
            Change::React { seq, reaction, .. } => {
                room.reactions.insert((*seq, draft.sender.clone(), reaction.clone()), prev_seq + 1);
            }
            Change::Post { .. } => {}
        }
        let time = room.events.last().map_or(now, |last| last.time.max(now));
        let event = Event { seq: prev_seq + 1, prev_seq, time, draft, erased: false };
        let appended = Appended { seq: event.seq, time, duplicate: false };
        self.bytes += cost(&event);
        self.order.push((event.draft.room.clone(), event.seq));
        stored.push(event.clone());
        room.events.push(event);
        Ok(appended)
    }

    /// Stores a read mark. Returns the mark that holds now, and whether it has moved.
    pub(super) fn mark_read(&mut self, mark: &ReadMark) -> Result<(Seq, bool), AppendError> {
        let Some(room) = self.rooms.get_mut(&mark.room) else {
            return if mark.seq == 0 { Ok((0, false)) } else { Err(AppendError::NoSuchMessage) };
        };
        if mark.seq > room.head() {
            return Err(AppendError::NoSuchMessage);
        }
        let known = room.read.len();
        let read = room.read.entry(mark.user.clone()).or_default();
        let moved = mark.seq > *read;
        *read = mark.seq.max(*read);
        let seq = *read;
        self.bytes += (room.read.len() - known) * MARK_BYTES;
        Ok((seq, moved))
    }

    /// Removes the events before `oldest`, and the newest one never. Returns whether there were any.
    pub(super) fn expire(&mut self, room: &RoomId, oldest: Seq) -> bool {
        let Some(room) = self.rooms.get_mut(room) else { return false };
        let removed = room.index(oldest).min(room.events.len().saturating_sub(1));
        for event in room.events.drain(..removed) {
            self.bytes -= cost(&event);
            room.edits.remove(&event.seq);
            room.by_client_msg_id.remove(&(event.draft.sender, event.draft.client_msg_id));
        }
        room.expired += removed;
        let oldest = room.oldest();
        room.reactions.retain(|(message, ..), _| *message >= oldest);
        removed > 0
    }

    pub(super) fn state(&self, query: &RoomQuery) -> RoomState {
        let Some(room) = self.rooms.get(&query.room) else { return RoomState::default() };
        let (head, oldest) = (room.head(), room.oldest());
        RoomState {
            head,
            oldest,
            read: query.user.as_ref().and_then(|user| room.read.get(user)).copied().unwrap_or(0),
            before_last: head.saturating_sub(query.last.into()).max(oldest.saturating_sub(1)),
            id_at: room.get(query.at).map(|event| event.draft.client_msg_id),
        }
    }

    pub(super) fn read_after(&self, room: &RoomId, after: Seq, page: Page) -> Result<Vec<Event>, ReadError> {
        let Some(room) = self.rooms.get(room) else { return Ok(Vec::new()) };
        let oldest = room.oldest();
        if after < oldest.saturating_sub(1) {
            return Err(ReadError::Expired { oldest });
        }
        Ok(page.fill(room.events.iter().skip(room.index(after.saturating_add(1)))))
    }

    pub(super) fn read_before(&self, room: &RoomId, before: Seq, page: Page) -> Vec<Event> {
        let Some(room) = self.rooms.get(room) else { return Vec::new() };
        let end = room.index(before).min(room.events.len());
        let mut events = page.fill(room.events[..end].iter().rev());
        events.reverse();
        events
    }

    pub(super) fn since(&self, Position(position): Position, page: Page) -> Feed {
        let mut feed = Feed { events: Vec::new(), position: Position(position) };
        let mut filling = Filling::new(page);
        for (room, seq) in self.order.iter().skip(usize::try_from(position).unwrap_or(usize::MAX)) {
            if filling.is_full() {
                break;
            }
            feed.position.0 += 1;
            if let Some(event) = self.rooms.get(room).and_then(|room| room.get(*seq)) {
                filling.add(event);
                feed.events.push(event.clone());
            }
        }
        feed
    }

    pub(super) fn rooms(&self, after: Option<&RoomId>, max: usize) -> Vec<RoomHead> {
        let from = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let heads = self.rooms.range::<RoomId, _>(from).filter_map(|(id, room)| {
            room.events.last().map(|last| RoomHead { room: id.clone(), head: last.seq, time: last.time })
        });
        heads.take(max).collect()
    }
}

impl Room {
    fn head(&self) -> Seq {
        self.events.last().map_or(0, |last| last.seq)
    }

    fn oldest(&self) -> Seq {
        self.events.first().map_or(0, |first| first.seq)
    }

    fn get(&self, seq: Seq) -> Option<&Event> {
        self.events.get(self.index(seq)).filter(|event| event.seq == seq)
    }

    /// Returns the index of the first event that is kept and not before `seq`.
    fn index(&self, seq: Seq) -> usize {
        usize::try_from(seq.saturating_sub(1)).unwrap_or(usize::MAX).saturating_sub(self.expired)
    }

    /// Checks a draft that is not a repeat. Returns its result if there is nothing to store.
    fn check(&self, draft: &Draft, expected: Expected, epoch: Epoch) -> Result<Option<Appended>, AppendError> {
        let Some(seq) = draft.change.target() else { return Ok(None) };
        let target = self.get(seq);
        rules::check_target(draft, expected, epoch, target)?;
        match (&draft.change, target) {
            (Change::Edit { .. }, _) => rules::check_edits(self.edits.get(&seq).map_or(0, Vec::len)).map(|()| None),
            (Change::React { reaction, remove, .. }, Some(message)) => {
                let last = self.reactions.get(&(seq, draft.sender.clone(), reaction.clone()));
                let last = last.and_then(|last| self.get(*last));
                let since = rules::reaction_since(*remove, last, message);
                Ok(since.map(|event| Appended { seq: event.seq, time: event.time, duplicate: true }))
            }
            _ => Ok(None),
        }
    }

    /// Erases the text of a message and of all its edits. Returns how many bytes that were.
    fn erase(&mut self, message: Seq) -> usize {
        let mut erased = 0;
        let edits = self.edits.remove(&message).unwrap_or_default();
        for seq in std::iter::once(message).chain(edits) {
            let index = self.index(seq);
            if let Some(event) = self.events.get_mut(index).filter(|event| event.seq == seq) {
                erased += event.draft.change.text_bytes();
                event.erase();
            }
        }
        erased
    }
}

/// What an event is counted as.
fn cost(event: &Event) -> usize {
    EVENT_BYTES + event.draft.change.text_bytes()
}
