//! The messages of a room that are held here: a window on the room's history. Pure.
//!
//! The window is a run of events without a gap. It grows at its newer end as events come, and at its older end as pages
//! are read. It is bounded: when it grows at one end it is cut at the other. Edits, deletions and reactions are kept
//! beside the messages and applied in the order of the history, whichever came first here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use grpc_chat_client::{Body, Event, MsgId, Page, Seq, Target};

use super::text::{clean, width};

/// Messages held, and by how much the window may exceed that before it is cut.
const HELD: usize = 4_000;
const SLACK: usize = 500;

/// Changes held. Beyond that the oldest are forgotten: messages that are read again from the history are then shown
/// without them.
const CHANGES: usize = 20_000;

/// A message with its changes applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) seq: Seq,
    id: Option<MsgId>,
    pub(crate) time: SystemTime,
    pub(crate) sender: String,
    pub(crate) reply_to: Option<Seq>,
    pub(crate) text: String,
    pub(crate) edited: bool,
    pub(crate) deleted: bool,
    /// Users by reaction.
    pub(crate) reactions: BTreeMap<String, BTreeSet<String>>,
    /// The newest change that is applied.
    changed: Seq,
}

/// An edit, a deletion or a reaction.
#[derive(Clone, Debug)]
struct Change {
    sender: String,
    body: Body,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript {
    messages: BTreeMap<Seq, Message>,
    /// By the seq of the message and of the change.
    changes: BTreeMap<(Seq, Seq), Change>,
    /// The oldest and the newest event of the window; `None` if it has none.
    window: Option<(Seq, Seq)>,
    /// There is nothing older.
    complete: bool,
    /// The newest event that has come live. The window ends before it when it was cut there.
    live: Seq,
    /// The width of the longest name of a sender.
    longest_name: usize,
}

/// Which end of the window to cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Older,
    Newer,
}

impl Transcript {
    /// Returns an empty window whose next event is the first one after `after`. `complete`: that is the room's first event.
    pub(crate) fn starting(after: Seq, complete: bool) -> Self {
        Self { live: after, complete, ..Self::default() }
    }

    /// Returns the messages, oldest first.
    pub(crate) fn messages(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.messages.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<&Message> {
        self.messages.get(&seq)
    }

    /// Returns the messages up to and including this one, newest first.
    pub(crate) fn back_from(&self, seq: Seq) -> impl Iterator<Item = &Message> {
        self.messages.range(..=seq).rev().map(|(_, message)| message)
    }

    /// Returns the messages after this one, oldest first.
    pub(crate) fn after(&self, seq: Seq) -> impl Iterator<Item = &Message> {
        self.messages.range(seq.saturating_add(1)..).map(|(_, message)| message)
    }

    pub(crate) fn newest(&self) -> Option<&Message> {
        self.messages.values().next_back()
    }

    pub(crate) fn oldest(&self) -> Option<&Message> {
        self.messages.values().next()
    }

    /// Returns the event before which the next older page ends; `None` if there is no such page.
    pub(crate) fn older(&self) -> Option<Seq> {
        if self.complete { None } else { Some(self.window.map_or(self.live.saturating_add(1), |(oldest, _)| oldest)) }
    }

    /// Returns the event after which the next newer page begins; `None` if the window reaches the newest event.
    pub(crate) fn newer(&self) -> Option<Seq> {
        self.window.map(|(_, newest)| newest).filter(|newest| *newest < self.live)
    }

    /// Returns the width of the longest name of a sender.
    pub(crate) fn longest_name(&self) -> usize {
        self.longest_name
    }

    /// Takes an event that has come live.
    pub(crate) fn live(&mut self, event: Event) {
        let seq = event.seq;
        let reaches_newest = self.window.is_none_or(|(_, newest)| newest >= self.live);
        self.live = self.live.max(seq);
        if reaches_newest {
            self.window = Some((self.window.map_or(seq, |(oldest, _)| oldest), seq));
            self.record(event);
        } else if !matches!(event.body, Body::Posted { .. }) {
            // It may change a message that is held.
            self.record(event);
        }
    }

    /// Takes the page that ends before this event.
    pub(crate) fn older_page(&mut self, before: Seq, page: Page) {
        if self.older() != Some(before) {
            return;
        }
        self.complete = !page.more;
        let Some(first) = page.events.first().map(|first| first.seq) else { return };
        let newest =
            self.window.map_or_else(|| page.events.last().map_or(first, |last| last.seq), |(_, newest)| newest);
        self.window = Some((first, newest));
        page.events.into_iter().for_each(|event| self.record(event));
    }

    /// Takes the page that begins after this event.
    pub(crate) fn newer_page(&mut self, after: Seq, page: Page) {
        if self.newer() != Some(after) {
            return;
        }
        let last = page.events.last().map(|last| last.seq);
        // A page without more after it has everything.
        let newest = if page.more { last } else { last.max(Some(self.live)) };
        if let (Some(window), Some(newest)) = (&mut self.window, newest) {
            window.1 = newest;
        }
        self.live = self.live.max(last.unwrap_or_default());
        page.events.into_iter().for_each(|event| self.record(event));
    }

    /// Empties the window, so that it is read again from the newest event on.
    pub(crate) fn forget(&mut self) {
        *self = Self { longest_name: self.longest_name, ..Self::starting(self.live, false) };
    }

    /// Whether the window is to be cut.
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
                // Older changes of older messages come again with their page.
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
        self.longest_name = self.messages.values().map(|message| name_width(&message.sender)).max().unwrap_or_default();
    }

    fn record(&mut self, event: Event) {
        let Target { id, .. } = Target::from(&event);
        let Event { seq, time, sender, body, .. } = event;
        match body {
            Body::Posted { text, reply_to, erased } => {
                self.longest_name = self.longest_name.max(name_width(&sender));
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
                    // Live events come in order.
                    Some(message) if message.changed < seq => message.apply(seq, &change),
                    Some(_) => self.apply_older(of, seq, &change),
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

    /// Applies a change that is older than those that are applied already, and then those again.
    fn apply_older(&mut self, of: Seq, seq: Seq, change: &Change) {
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
    /// Returns what names it in a change.
    pub(crate) fn target(&self) -> Target {
        Target { seq: self.seq, id: self.id }
    }

    fn apply(&mut self, seq: Seq, change: &Change) {
        self.changed = self.changed.max(seq);
        match &change.body {
            Body::Edited { erased: true, .. } | Body::Deleted { .. } => {
                // For good: later changes do not bring it back.
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

fn name_width(name: &str) -> usize {
    width(&clean(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A room of many messages, some of which are changed later.
    fn history(count: Seq, seed: u64) -> Vec<Event> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut posted: Vec<Seq> = Vec::new();
        let mut events: Vec<Event> = Vec::new();
        for n in 1..=count {
            // Seqs rise, not necessarily by one.
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

    /// All messages with all changes.
    fn whole(events: &[Event]) -> Vec<Message> {
        let mut transcript = Transcript::starting(0, true);
        events.iter().for_each(|event| transcript.live(event.clone()));
        transcript.messages().cloned().collect()
    }

    #[test]
    fn pages_and_live_events_in_any_order_yield_the_same_messages() {
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

        // To the first message.
        while let Some(place) = transcript.older() {
            transcript.older_page(place, before(&events, place, 300));
            if transcript.is_large() {
                transcript.trim(End::Newer);
            }
            assert!(transcript.len() <= HELD + SLACK);
        }
        assert!(transcript.newer().is_some());
        assert!(transcript.messages().eq(&expected[..transcript.len()]));

        // Live messages do not come into a window that is cut at that end; live changes of what it holds do.
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
    fn a_page_that_does_not_adjoin_the_window_changes_nothing() {
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
    fn a_deleted_message_stays_deleted() {
        let mut events = history(1, 1);
        let (seq, change) = (events[0].seq, |body| Event { body, ..history(1, 1).remove(0) });
        let edited = Body::Edited { seq, text: "back again".to_owned(), erased: false };
        events.push(Event { seq: 10, ..change(Body::Deleted { seq }) });
        events.push(Event { seq: 11, ..change(edited) });
        let messages = whole(&events);
        assert!(messages[0].deleted && messages[0].text.is_empty());
    }
}
