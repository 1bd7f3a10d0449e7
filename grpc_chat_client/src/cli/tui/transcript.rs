//! What has happened in a room, as far as it is held here: a window on the room's history. Pure.
//!
//! The window is a run of events without a gap. It grows at its newer end as events come, and at its older end as pages
//! are read; and it is bounded: when it grows at one end it is cut at the other. What edits, deletions and reactions say
//! about a message is kept beside it, and put together with it in the order of the history, whichever came first here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use grpc_chat_client::{Body, Event, MsgId, Page, Seq};

/// Messages held, and by how much the window may be over that before it is cut.
pub(crate) const HELD: usize = 4_000;
const SLACK: usize = 500;

/// Changes held. Beyond that the oldest are forgotten: messages that are read again from the history then show without
/// them.
const CHANGES: usize = 20_000;

/// A message, with all that is known to have happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) seq: Seq,
    pub(crate) id: MsgId,
    pub(crate) time: SystemTime,
    pub(crate) sender: String,
    pub(crate) reply_to: Option<Seq>,
    pub(crate) text: String,
    pub(crate) edited: bool,
    pub(crate) deleted: bool,
    /// Who reacted how.
    pub(crate) reactions: BTreeMap<String, BTreeSet<String>>,
    /// The newest change that is in it.
    changed: Seq,
}

/// What was done to a message.
#[derive(Clone, Debug)]
struct Change {
    sender: String,
    body: Body,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript {
    messages: BTreeMap<Seq, Message>,
    /// By the message and by the change's own place.
    changes: BTreeMap<(Seq, Seq), Change>,
    /// The oldest and the newest event of the window; `None` if it has none.
    window: Option<(Seq, Seq)>,
    /// There is nothing older.
    complete: bool,
    /// The newest event that has come live. The window ends before it when it was cut there.
    live: Seq,
}

/// Which end of the window to cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Older,
    Newer,
}

impl Transcript {
    /// A room whose next event is the first one after this. `complete` is whether that is its first of all.
    pub(crate) fn starting(after: Seq, complete: bool) -> Self {
        Self { live: after, complete, ..Self::default() }
    }

    /// The messages, oldest first.
    pub(crate) fn messages(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.messages.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<&Message> {
        self.messages.get(&seq)
    }

    /// Messages up to and including this one, newest first.
    pub(crate) fn back_from(&self, seq: Seq) -> impl Iterator<Item = &Message> {
        self.messages.range(..=seq).rev().map(|(_, message)| message)
    }

    /// Messages after this one, oldest first.
    pub(crate) fn after(&self, seq: Seq) -> impl Iterator<Item = &Message> {
        self.messages.range(seq.saturating_add(1)..).map(|(_, message)| message)
    }

    pub(crate) fn newest(&self) -> Option<&Message> {
        self.messages.values().next_back()
    }

    pub(crate) fn oldest(&self) -> Option<&Message> {
        self.messages.values().next()
    }

    /// Before which event the next older page is; `None` if there is none.
    pub(crate) fn older(&self) -> Option<Seq> {
        if self.complete { None } else { Some(self.window.map_or(self.live.saturating_add(1), |(oldest, _)| oldest)) }
    }

    /// After which event the next newer page is; `None` if the window reaches the newest event.
    pub(crate) fn newer(&self) -> Option<Seq> {
        self.window.map(|(_, newest)| newest).filter(|newest| *newest < self.live)
    }

    /// An event has come live.
    pub(crate) fn live(&mut self, event: Event) {
        let seq = event.seq;
        let level = self.window.is_none_or(|(_, newest)| newest >= self.live);
        self.live = self.live.max(seq);
        if level {
            self.window = Some((self.window.map_or(seq, |(oldest, _)| oldest), seq));
            self.note(event);
        } else if !matches!(event.body, Body::Posted { .. }) {
            // It may be about a message that is held.
            self.note(event);
        }
    }

    /// An older page has come, for this place.
    pub(crate) fn older_page(&mut self, before: Seq, page: Page) {
        if self.older() != Some(before) {
            return;
        }
        self.complete = !page.more;
        let Some(first) = page.events.first().map(|first| first.seq) else { return };
        let newest =
            self.window.map_or_else(|| page.events.last().map_or(first, |last| last.seq), |(_, newest)| newest);
        self.window = Some((first, newest));
        page.events.into_iter().for_each(|event| self.note(event));
    }

    /// A newer page has come, for this place.
    pub(crate) fn newer_page(&mut self, after: Seq, page: Page) {
        if self.newer() != Some(after) {
            return;
        }
        let last = page.events.last().map(|last| last.seq);
        // A page that ends there has all that there is.
        let newest = if page.more { last } else { last.max(Some(self.live)) };
        if let (Some(window), Some(newest)) = (&mut self.window, newest) {
            window.1 = newest;
        }
        self.live = self.live.max(last.unwrap_or_default());
        page.events.into_iter().for_each(|event| self.note(event));
    }

    /// Everything is to be read again, from the newest event on.
    pub(crate) fn forget(&mut self) {
        *self = Self::starting(self.live, false);
    }

    /// Whether it is time to cut the window.
    pub(crate) fn is_large(&self) -> bool {
        self.messages.len() > HELD + SLACK
    }

    /// Cuts the window at this end.
    pub(crate) fn trim(&mut self, end: End) {
        let Some((oldest, newest)) = self.window else { return };
        match end {
            End::Older => {
                let Some(first) = self.messages.keys().rev().nth(HELD - 1).copied() else { return };
                self.messages = self.messages.split_off(&first);
                // A page brings those again that come after the message in it.
                self.changes.retain(|(of, seq), _| *of >= first || *seq >= first);
                self.window = Some((first, newest));
                self.complete = false;
            }
            End::Newer => {
                let Some(last) = self.messages.keys().nth(HELD - 1).copied() else { return };
                self.messages.split_off(&last.saturating_add(1));
                self.window = Some((oldest, last));
            }
        }
    }

    fn note(&mut self, event: Event) {
        let Event { seq, time, sender, id, body, .. } = event;
        match body {
            Body::Posted { text, reply_to, erased } => {
                let reactions = BTreeMap::new();
                let mut message = Message {
                    seq,
                    id,
                    time,
                    sender,
                    reply_to,
                    text,
                    edited: false,
                    deleted: erased,
                    reactions,
                    changed: 0,
                };
                for ((_, at), change) in self.changes.range((seq, 0)..=(seq, Seq::MAX)) {
                    message.apply(*at, change);
                }
                self.messages.insert(seq, message);
            }
            Body::Edited { seq: of, .. } | Body::Deleted { seq: of } | Body::Reacted { seq: of, .. } => {
                let change = Change { sender, body };
                match self.messages.get_mut(&of) {
                    // In order, which is what comes live.
                    Some(message) if message.changed < seq => message.apply(seq, &change),
                    Some(_) => self.put_together_again(of, seq, &change),
                    None => {}
                }
                self.changes.insert((of, seq), change);
                while self.changes.len() > CHANGES {
                    self.changes.pop_first();
                }
            }
            _ => {}
        }
    }

    /// An older change of a message has come: what is newer goes over it again.
    fn put_together_again(&mut self, of: Seq, seq: Seq, change: &Change) {
        let Some(message) = self.messages.get_mut(&of) else { return };
        let newer: Vec<_> =
            self.changes.range((of, seq)..=(of, Seq::MAX)).map(|((_, at), change)| (*at, change)).collect();
        message.apply(seq, change);
        for (at, change) in newer {
            message.apply(at, change);
        }
    }
}

impl Message {
    fn apply(&mut self, seq: Seq, change: &Change) {
        self.changed = self.changed.max(seq);
        match &change.body {
            Body::Edited { erased: true, .. } | Body::Deleted { .. } => {
                // Whatever else it was before.
                (self.deleted, self.edited) = (true, false);
                self.text.clear();
            }
            Body::Edited { text, .. } if !self.deleted => {
                text.clone_into(&mut self.text);
                self.edited = true;
            }
            Body::Reacted { reaction, removed, .. } => {
                let users = self.reactions.entry(reaction.clone()).or_default();
                if *removed {
                    users.remove(&change.sender);
                } else {
                    users.insert(change.sender.clone());
                }
                self.reactions.retain(|_, users| !users.is_empty());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A room of many messages, some of which are changed some time later.
    fn history(count: Seq, seed: u64) -> Vec<Event> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut posted: Vec<Seq> = Vec::new();
        let mut events: Vec<Event> = Vec::new();
        for n in 1..=count {
            // Seqs rise; nobody promises that they rise by one.
            let seq = events.last().map_or(0, |last| last.seq) + 1 + random.u64(..2);
            let of = posted.get(random.usize(..posted.len().max(1))).copied();
            let body = match (random.u8(..10), of) {
                (0, Some(seq)) => Body::Edited { seq, text: format!("edited by {n}"), erased: false },
                (1, Some(seq)) => Body::Deleted { seq },
                (2, Some(seq)) => Body::Reacted { seq, reaction: "👍".to_owned(), removed: random.bool() },
                _ => {
                    posted.push(seq);
                    Body::Posted { text: format!("message {n}"), reply_to: None, erased: false }
                }
            };
            let prev_seq = events.last().map_or(0, |last| last.seq);
            events.push(Event {
                room: "r".parse().unwrap(),
                seq,
                prev_seq,
                time: SystemTime::UNIX_EPOCH,
                sender: ["ann", "sam"][random.usize(..2)].to_owned(),
                device: String::new(),
                id: MsgId([0; 16]),
                body,
            });
        }
        events
    }

    fn page(events: &[Event], more: bool) -> Page {
        Page { events: events.to_vec(), epoch: 1, head: 0, more }
    }

    fn before(events: &[Event], seq: Seq, length: usize) -> Page {
        let end = events.partition_point(|event| event.seq < seq);
        page(&events[end.saturating_sub(length)..end], end > length)
    }

    fn after(events: &[Event], seq: Seq, length: usize) -> Page {
        let start = events.partition_point(|event| event.seq <= seq);
        let end = (start + length).min(events.len());
        page(&events[start..end], end < events.len())
    }

    /// All messages, with all changes, as they should be.
    fn whole(events: &[Event]) -> Vec<Message> {
        let mut transcript = Transcript::starting(0, true);
        events.iter().for_each(|event| transcript.live(event.clone()));
        transcript.messages().cloned().collect()
    }

    #[test]
    fn pages_put_together_what_happened_in_whatever_order_it_is_read() {
        for seed in 0..30 {
            let events = history(1_000, seed);
            let expected = whole(&events);
            let (old, new) = events.split_at(600);
            let mut transcript = Transcript::starting(old.last().unwrap().seq, false);
            let mut random = fastrand::Rng::with_seed(seed);
            let mut coming = new.iter();
            loop {
                if random.bool() {
                    coming.by_ref().take(50).for_each(|event| transcript.live(event.clone()));
                } else if let Some(place) = transcript.older() {
                    transcript.older_page(place, before(&events, place, 1 + random.usize(..200)));
                } else if coming.len() == 0 {
                    break;
                }
            }
            assert!(transcript.messages().eq(&expected), "seed {seed}");
            assert_eq!(transcript.newer(), None);
        }
    }

    #[test]
    fn a_window_that_is_cut_can_be_read_in_both_directions_again() {
        let events = history(12_000, 1);
        let expected = whole(&events);
        let mut transcript = Transcript::starting(0, true);
        for event in &events {
            transcript.live(event.clone());
            if transcript.is_large() {
                transcript.trim(End::Older);
            }
            assert!(transcript.len() <= HELD + SLACK);
        }
        let newest: Vec<_> = expected.iter().rev().take(transcript.len()).rev().collect();
        assert!(transcript.messages().eq(newest.iter().copied()));

        // To the very beginning.
        while let Some(place) = transcript.older() {
            transcript.older_page(place, before(&events, place, 300));
            if transcript.is_large() {
                transcript.trim(End::Newer);
            }
            assert!(transcript.len() <= HELD + SLACK);
        }
        assert!(transcript.newer().is_some());
        assert!(transcript.messages().eq(&expected[..transcript.len()]));

        // Live events wait at the other end, except for what they change.
        let mut live = history(12_001, 1).pop().unwrap();
        live.body = Body::Reacted { seq: expected[0].seq, reaction: "🎉".to_owned(), removed: false };
        live.seq = events.last().unwrap().seq + 1;
        transcript.live(live.clone());
        assert!(transcript.oldest().unwrap().reactions.contains_key("🎉"));

        // And back.
        let events = [events, vec![live]].concat();
        let expected = whole(&events);
        while let Some(place) = transcript.newer() {
            transcript.newer_page(place, after(&events, place, 300));
            if transcript.is_large() {
                transcript.trim(End::Older);
            }
        }
        let newest: Vec<_> = expected.iter().rev().take(transcript.len()).rev().collect();
        assert!(transcript.messages().eq(newest.iter().copied()));
    }

    #[test]
    fn a_page_for_another_place_changes_nothing() {
        let events = history(100, 3);
        let mut transcript = Transcript::starting(events.last().unwrap().seq, false);
        let place = transcript.older().unwrap();
        transcript.older_page(place, before(&events, place, 10));
        let held = transcript.len();
        // It was asked for twice.
        transcript.older_page(place, before(&events, place, 10));
        transcript.newer_page(3, after(&events, 3, 10));
        assert_eq!(transcript.len(), held);
    }

    #[test]
    fn what_is_deleted_stays_deleted() {
        let mut events = history(1, 1);
        let (seq, change) = (events[0].seq, |body| Event { body, ..history(1, 1).remove(0) });
        let edited = Body::Edited { seq, text: "back again".to_owned(), erased: false };
        events.push(Event { seq: 10, ..change(Body::Deleted { seq }) });
        events.push(Event { seq: 11, ..change(edited) });
        let messages = whole(&events);
        assert!(messages[0].deleted && messages[0].text.is_empty());
    }
}
