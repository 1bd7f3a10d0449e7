//! Compares what every client sent and received with the history at the end of a run. Pure.
//!
//! The guarantees for readers are those of etcd's watches: ordered, unique, reliable, resumable.

mod event;
mod reader_log;
mod sender_log;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

pub(crate) use self::event::{EventDigest, Id, id_of, message_digest};
pub(crate) use self::reader_log::ReaderLog;
use self::sender_log::Draft;
pub(crate) use self::sender_log::SenderLog;

/// The number of violations that are printed. The rest is counted.
const PRINTED: usize = 10;

/// All events of each room, as the history lists them.
pub(crate) type History = BTreeMap<String, Vec<EventDigest>>;

/// A reader's log of one room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoomReader<'a> {
    pub(crate) room: &'a str,
    pub(crate) log: &'a ReaderLog,
    /// Whether the reader must have read up to the head.
    pub(crate) to_the_head: bool,
}

/// The result of a run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) acked: usize,
    pub(crate) delivered: usize,
    /// The number of drafts that were acked and are not in the history where the ack said.
    pub(crate) lost: usize,
    /// The number of drafts that are in the history more than once.
    pub(crate) duplicated: usize,
    pub(crate) violations: Vec<String>,
}

/// Compares the logs of all senders and readers with the history.
pub(crate) fn check(history: &History, senders: &[&SenderLog], readers: &[RoomReader<'_>]) -> Tally {
    let mut tally = Tally::default();
    let drafts: HashMap<&Id, &Draft> = senders.iter().flat_map(|sender| sender.drafts()).collect();
    for sender in senders {
        tally.violations.extend(sender.violations().iter().map(|violation| format!("a sender: {violation}")));
    }
    let stored = tally.check_history(history, &drafts);
    for (id, draft) in &drafts {
        tally.check_draft(draft, stored.get(id).copied());
    }
    for reader in readers {
        tally.check_reader(reader, history.get(reader.room).map_or(&[], Vec::as_slice));
    }
    tally
}

impl Tally {
    /// Checks that the history holds what was sent, each draft once and in one order. Returns where each draft is stored.
    fn check_history<'a>(
        &mut self,
        history: &'a History,
        drafts: &HashMap<&Id, &Draft>,
    ) -> HashMap<&'a Id, (&'a str, &'a EventDigest)> {
        let mut stored = HashMap::new();
        for (room, events) in history {
            let mut last = 0;
            for event in events {
                let seq = event.seq;
                if event.prev_seq != last || seq <= last {
                    self.violations.push(format!("history of {room}: {seq} after {last}"));
                }
                last = seq;
                if stored.insert(&event.id, (room.as_str(), event)).is_some() {
                    self.duplicated += 1;
                    self.violations.push(format!("history of {room}: {seq} was stored before"));
                }
                match drafts.get(&event.id) {
                    None => self.violations.push(format!("history of {room}: {seq} was never sent")),
                    Some(draft) if draft.room != *room || draft.message != event.message => {
                        self.violations.push(format!("history of {room}: {seq} is not what was sent"));
                    }
                    Some(_) => {}
                }
            }
        }
        stored
    }

    /// Checks that a draft is stored where it was acked, and not stored if each attempt was refused.
    fn check_draft(&mut self, draft: &Draft, stored: Option<(&str, &EventDigest)>) {
        let Some(seq) = draft.acked else {
            if let Some((room, event)) = stored
                && draft.refused == draft.attempts
            {
                let (seq, attempts) = (event.seq, draft.attempts);
                self.violations.push(format!("history of {room}: {seq} was refused at each of {attempts} attempts"));
            }
            return;
        };
        self.acked += 1;
        if !stored.is_some_and(|(room, event)| room == draft.room && event.seq == seq) {
            self.lost += 1;
            let found = stored.map_or("nowhere".to_owned(), |(room, event)| format!("at {} in {room}", event.seq));
            self.violations.push(format!("lost: acked at {seq} in {}, and it is {found}", draft.room));
        }
    }

    /// Checks that a reader received the room's events from its start on, without a gap.
    fn check_reader(&mut self, reader: &RoomReader<'_>, events: &[EventDigest]) {
        let RoomReader { room, log, to_the_head } = reader;
        let received = log.events();
        self.delivered += received.len();
        let about = |violation: &str| format!("a reader of {room}: {violation}");
        self.violations.extend(log.violations().iter().map(|violation| about(violation)));
        let start = log.start().map_or(0, |start| start.seq);
        let expected = events.iter().filter(|event| event.seq > start);
        let mut pairs = received.iter().zip(expected.clone());
        if let Some((got, due)) = pairs.find(|(got, due)| got != due) {
            let how = if got.seq == due.seq { "its bytes differ from the history's" } else { "it is not the next one" };
            self.violations.push(about(&format!("received {} where {} was due: {how}", got.seq, due.seq)));
        }
        let expected = expected.count();
        if received.len() > expected || (*to_the_head && received.len() < expected) {
            self.violations.push(about(&format!("received {} of {expected} events", received.len())));
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acked, delivered, lost, duplicated, violations } = self;
        let count = violations.len();
        write!(f, "{acked} acked, {delivered} delivered, {lost} lost, {duplicated} duplicated, {count} violations")?;
        for violation in violations.iter().take(PRINTED) {
            write!(f, "\n         {violation}")?;
        }
        if count > PRINTED {
            write!(f, "\n         and {} more", count - PRINTED)?;
        }
        Ok(())
    }
}
