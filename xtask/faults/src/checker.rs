//! What a run has to prove, as pure logic: every client notes what it saw, and at the end the notes are held against
//! the history. The readers' rules are those of etcd's watches: ordered, unique, reliable, resumable.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use stubs::chat::v1 as pb;

/// The most violations that are spelled out; the rest is counted.
const SPELLED: usize = 10;

/// A draft's `client_msg_id`.
pub(crate) type Id = [u8; 16];

/// One event, as far as it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) seq: u64,
    pub(crate) prev_seq: u64,
    /// The draft's id, and who said what in it.
    pub(crate) id: Id,
    pub(crate) text: u64,
    /// Of the whole encoded event.
    pub(crate) bytes: u64,
}

impl Seen {
    pub(crate) fn of(event: &pb::Event) -> Self {
        let text = match &event.body {
            Some(pb::event::Body::Posted(posted)) => posted.text.as_str(),
            _ => "",
        };
        Self {
            seq: event.seq,
            prev_seq: event.prev_seq,
            id: id_of(&event.client_msg_id),
            text: said(&event.room, &event.sender, text),
            bytes: hash(&prost::Message::encode_to_vec(event)),
        }
    }
}

/// An id as it came; one of another length is no id that anyone made.
pub(crate) fn id_of(bytes: &[u8]) -> Id {
    Id::try_from(bytes).unwrap_or_default()
}

/// What a message says, where and by whom, as a number.
pub(crate) fn said(room: &str, sender: &str, text: &str) -> u64 {
    hash(&(room, sender, text))
}

fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// One reader in one room.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    epoch: u64,
    /// The last event received, or the place where the reader started.
    last: u64,
    phase: Phase,
    /// Events in the order in which they came, and where the first Join began.
    seen: Vec<Seen>,
    from: u64,
    joined_before: bool,
    /// The first Join asks for something else than [`Reading::cursor`].
    anywhere: bool,
    violations: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Not joined on this stream.
    #[default]
    Away,
    /// Everything up to this seq was promised before CaughtUp.
    Catching {
        upto: u64,
    },
    Live,
}

impl Reading {
    /// A reader whose place somebody else knows: the first Joined says where it begins.
    pub(crate) fn anywhere() -> Self {
        Self { anywhere: true, ..Self::default() }
    }

    /// What to join with.
    pub(crate) fn cursor(&self) -> pb::Cursor {
        pb::Cursor { epoch: self.epoch, seq: self.last }
    }

    /// The last event received.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Where the first Join began, if it has been answered, in which life of the history.
    pub(crate) fn began(&self) -> Option<pb::Cursor> {
        self.joined_before.then_some(pb::Cursor { epoch: self.epoch, seq: self.from })
    }

    /// Everything received, in the order in which it came.
    pub(crate) fn seen(&self) -> &[Seen] {
        &self.seen
    }

    /// CaughtUp has come on this stream.
    pub(crate) fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// Not joined on this stream.
    pub(crate) fn is_away(&self) -> bool {
        self.phase == Phase::Away
    }

    /// The answer to a Join with [`Reading::cursor`].
    pub(crate) fn joined(&mut self, joined: &pb::Joined) {
        let pb::Joined { epoch, start_seq, head_seq, .. } = *joined;
        if self.phase != Phase::Away {
            self.complain("Joined came twice for one Join".to_owned());
        }
        let found = !self.joined_before && self.anywhere;
        if found && joined.verdict() != pb::Verdict::Reset {
            self.last = start_seq;
        } else if joined.verdict() != pb::Verdict::Recovered {
            let (verdict, why) = (joined.verdict().as_str_name(), joined.reset_reason().as_str_name());
            self.complain(format!("resume after {} (epoch {}) was {verdict} ({why})", self.last, self.epoch));
        }
        if self.joined_before && epoch != self.epoch {
            self.complain(format!("the epoch went from {} to {epoch}", self.epoch));
        }
        if start_seq != self.last {
            self.complain(format!("resume after {} begins after {start_seq}", self.last));
        }
        if head_seq < start_seq {
            self.complain(format!("Joined says head {head_seq} before start {start_seq}"));
        }
        if !self.joined_before {
            self.from = start_seq;
        }
        (self.epoch, self.last, self.joined_before) = (epoch, start_seq, true);
        self.phase = Phase::Catching { upto: head_seq };
    }

    pub(crate) fn event(&mut self, event: Seen) {
        if self.phase == Phase::Away {
            self.complain(format!("event {} came before Joined", event.seq));
        }
        if event.seq == self.last || self.seen.last().is_some_and(|last| last.seq == event.seq) {
            self.complain(format!("event {} came twice", event.seq));
        } else if event.seq < self.last {
            self.complain(format!("event {} came after {}", event.seq, self.last));
        } else if event.prev_seq != self.last {
            self.complain(format!(
                "event {} says that {} is before it; the last one was {}",
                event.seq, event.prev_seq, self.last
            ));
        }
        self.last = event.seq;
        self.seen.push(event);
    }

    pub(crate) fn caught_up(&mut self, seq: u64) {
        match self.phase {
            Phase::Catching { upto } if self.last < upto => {
                self.complain(format!("CaughtUp came at {}, and {upto} was promised before it", self.last));
            }
            Phase::Catching { .. } => {}
            Phase::Live => self.complain("CaughtUp came twice for one Join".to_owned()),
            Phase::Away => self.complain("CaughtUp came before Joined".to_owned()),
        }
        if seq != self.last {
            self.complain(format!("CaughtUp says {seq}; the last event was {}", self.last));
        }
        self.phase = Phase::Live;
    }

    /// The stream is over.
    pub(crate) fn cut(&mut self) {
        self.phase = Phase::Away;
    }

    fn complain(&mut self, violation: String) {
        self.violations.push(violation);
    }
}

/// One sender.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    drafts: HashMap<Id, Draft>,
    violations: Vec<String>,
}

#[derive(Debug)]
struct Draft {
    room: String,
    text: u64,
    attempts: u32,
    /// Attempts that were answered as not stored.
    refused: u32,
    acked: Option<u64>,
    /// The ack that said that it was stored by this very attempt has come.
    acked_as_new: bool,
}

impl Sending {
    /// The draft goes out, for the first time or again.
    pub(crate) fn sent(&mut self, id: Id, room: &str, text: u64) {
        let room = room.to_owned();
        let new = Draft { room, text, attempts: 0, refused: 0, acked: None, acked_as_new: false };
        self.drafts.entry(id).or_insert(new).attempts += 1;
    }

    /// Another attempt was made, of which the sender was not told.
    pub(crate) fn again(&mut self, id: Id) {
        if let Some(draft) = self.drafts.get_mut(&id) {
            draft.attempts += 1;
        }
    }

    /// An attempt was answered with an error other than UNKNOWN: it stored nothing.
    pub(crate) fn refused(&mut self, id: Id) {
        if let Some(draft) = self.drafts.get_mut(&id) {
            draft.refused += 1;
        }
    }

    pub(crate) fn acked(&mut self, id: Id, room: &str, seq: u64, duplicate: bool) {
        let Some(draft) = self.drafts.get_mut(&id) else {
            return self.violations.push(format!("an ack for what was never sent, at {seq} in {room}"));
        };
        if draft.room != room {
            self.violations.push(format!("sent to {} and acked in {room}", draft.room));
        }
        if duplicate && draft.attempts < 2 {
            self.violations.push(format!("{seq} in {room} was sent once and acked as a duplicate"));
        }
        if !duplicate && std::mem::replace(&mut draft.acked_as_new, true) {
            self.violations.push(format!("{seq} in {room} was acked twice, and neither as a duplicate"));
        }
        match draft.acked.replace(seq) {
            Some(first) if first != seq => {
                self.violations.push(format!("acked at {first} and then at {seq} in {room}"));
            }
            _ => {}
        }
    }

    /// Something that no server should say to a sender.
    pub(crate) fn complain(&mut self, violation: String) {
        self.violations.push(violation);
    }

    pub(crate) fn acks(&self) -> usize {
        self.drafts.values().filter(|draft| draft.acked.is_some()).count()
    }

    pub(crate) fn unacked(&self) -> usize {
        self.drafts.len() - self.acks()
    }
}

/// What a run came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) acked: usize,
    pub(crate) delivered: usize,
    /// Acked, and not in the history at that place as it was sent.
    pub(crate) lost: usize,
    /// In the history more than once.
    pub(crate) duplicated: usize,
    pub(crate) violations: Vec<String>,
}

/// Rooms, each with all its events as the history lists them.
pub(crate) type History = BTreeMap<String, Vec<Seen>>;

/// A reader's notes of one room, and whether it was to read on to the head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notes<'a> {
    pub(crate) room: &'a str,
    pub(crate) reading: &'a Reading,
    pub(crate) to_the_head: bool,
}

/// Holds everything that was seen against the history at the end.
pub(crate) fn check(history: &History, senders: &[&Sending], readers: &[Notes<'_>]) -> Tally {
    let mut tally = Tally::default();
    let drafts: HashMap<&Id, &Draft> = senders.iter().flat_map(|sender| &sender.drafts).collect();
    for sender in senders {
        tally.violations.extend(sender.violations.iter().map(|violation| format!("a sender: {violation}")));
    }

    let mut stored: HashMap<&Id, (&str, &Seen)> = HashMap::new();
    for (room, events) in history {
        let mut last = 0;
        for event in events {
            if event.prev_seq != last || event.seq <= last {
                tally.violations.push(format!("history of {room}: {} after {last}", event.seq));
            }
            last = event.seq;
            if stored.insert(&event.id, (room, event)).is_some() {
                tally.duplicated += 1;
                tally.violations.push(format!("history of {room}: {} was stored before", event.seq));
            }
            match drafts.get(&event.id) {
                None => tally.violations.push(format!("history of {room}: {} was never sent", event.seq)),
                Some(draft) if draft.room != *room || draft.text != event.text => {
                    tally.violations.push(format!("history of {room}: {} is not what was sent", event.seq));
                }
                Some(_) => {}
            }
        }
    }

    for (id, draft) in &drafts {
        let Some(seq) = draft.acked else {
            if let Some((room, event)) = stored.get(id)
                && draft.refused == draft.attempts
            {
                let (seq, times) = (event.seq, draft.attempts);
                tally
                    .violations
                    .push(format!("history of {room}: {seq} was refused each of {times} times it was sent"));
            }
            continue;
        };
        tally.acked += 1;
        let kept = stored.get(id).is_some_and(|(room, event)| *room == draft.room && event.seq == seq);
        if !kept {
            tally.lost += 1;
            let place =
                stored.get(id).map_or("nowhere".to_owned(), |(room, event)| format!("at {} in {room}", event.seq));
            tally.violations.push(format!("lost: acked at {seq} in {}, and it is {place}", draft.room));
        }
    }

    for Notes { room, reading, to_the_head } in readers {
        tally.delivered += reading.seen.len();
        let about = |violation: &str| format!("a reader of {room}: {violation}");
        tally.violations.extend(reading.violations.iter().map(|violation| about(violation)));
        let events = history.get(*room).map_or(&[][..], Vec::as_slice);
        let owed = events.iter().filter(|event| event.seq > reading.from);
        if let Some(wrong) = reading.seen.iter().zip(owed.clone()).find(|(seen, owed)| seen != owed) {
            let (seen, owed) = wrong;
            let what = if seen.seq == owed.seq { "other bytes than the history's" } else { "not the next one" };
            tally.violations.push(about(&format!("got {} where {} was due: {what}", seen.seq, owed.seq)));
        }
        let owed = owed.count();
        if reading.seen.len() > owed || (*to_the_head && reading.seen.len() < owed) {
            tally.violations.push(about(&format!("got {} of {owed} events", reading.seen.len())));
        }
    }
    tally
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acked, delivered, lost, duplicated, violations } = self;
        let count = violations.len();
        write!(f, "{acked} acked, {delivered} delivered, {lost} lost, {duplicated} duplicated, {count} violations")?;
        for violation in violations.iter().take(SPELLED) {
            write!(f, "\n         {violation}")?;
        }
        if count > SPELLED {
            write!(f, "\n         and {} more", count - SPELLED)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(seq: u64) -> Seen {
        let id = [u8::try_from(seq).unwrap(); 16];
        Seen { seq, prev_seq: seq - 1, id, text: seq, bytes: seq }
    }

    fn joined(epoch: u64, start_seq: u64, head_seq: u64) -> pb::Joined {
        let verdict = pb::Verdict::Recovered.into();
        pb::Joined { room: "r".to_owned(), verdict, epoch, start_seq, head_seq, ..pb::Joined::default() }
    }

    /// Three messages, sent and acked.
    fn sending() -> Sending {
        let mut sending = Sending::default();
        for event in (1..=3).map(seen) {
            sending.sent(event.id, "r", event.text);
            sending.acked(event.id, "r", event.seq, false);
        }
        sending
    }

    fn history(events: impl IntoIterator<Item = Seen>) -> History {
        History::from([("r".to_owned(), events.into_iter().collect())])
    }

    /// A reader that got one event, lost its connection, and got the others.
    fn reading() -> Reading {
        let mut reading = Reading::default();
        reading.joined(&joined(7, 0, 1));
        reading.event(seen(1));
        reading.caught_up(1);
        reading.cut();
        assert_eq!(reading.cursor(), pb::Cursor { epoch: 7, seq: 1 });
        reading.joined(&joined(7, 1, 2));
        reading.event(seen(2));
        reading.caught_up(2);
        reading.event(seen(3));
        reading
    }

    fn notes(reading: &Reading) -> Notes<'_> {
        Notes { room: "r", reading, to_the_head: true }
    }

    fn violations(reading: &Reading) -> String {
        let tally = check(&history((1..=3).map(seen)), &[&sending()], &[notes(reading)]);
        tally.violations.join("; ")
    }

    #[track_caller]
    fn fails(reading: &Reading, with: &str) {
        let violations = violations(reading);
        assert!(violations.contains(with), "expected \"{with}\" in \"{violations}\"");
    }

    #[test]
    fn a_good_run_passes() {
        let tally = check(&history((1..=3).map(seen)), &[&sending()], &[notes(&reading())]);
        assert_eq!(tally.to_string(), "3 acked, 3 delivered, 0 lost, 0 duplicated, 0 violations");
    }

    #[test]
    fn ordered_can_fail() {
        let mut reading = reading();
        reading.event(seen(2));
        fails(&reading, "event 2 came after 3");
    }

    #[test]
    fn unique_can_fail() {
        let mut reading = reading();
        reading.event(seen(3));
        fails(&reading, "event 3 came twice");
    }

    #[test]
    fn reliable_can_fail_by_a_gap_and_by_an_end_that_never_came() {
        let mut reading = Reading::default();
        reading.joined(&joined(7, 0, 0));
        reading.caught_up(0);
        reading.event(seen(1));
        fails(&reading, "got 1 of 3 events");
        reading.event(seen(3));
        fails(&reading, "event 3 says that 2 is before it; the last one was 1");
        fails(&reading, "got 3 where 2 was due: not the next one");
    }

    #[test]
    fn a_gap_that_hides_in_a_wrong_chain_is_found_in_the_history() {
        let mut reading = Reading::default();
        reading.joined(&joined(7, 0, 0));
        reading.event(seen(1));
        reading.event(Seen { prev_seq: 1, ..seen(3) });
        fails(&reading, "got 3 where 2 was due");
    }

    #[test]
    fn resumable_can_fail_by_place_epoch_and_verdict() {
        for (answer, why) in [
            (joined(7, 2, 3), "resume after 3 begins after 2"),
            (joined(7, 4, 4), "resume after 3 begins after 4"),
            (joined(8, 3, 3), "the epoch went from 7 to 8"),
            (joined(7, 3, 2), "Joined says head 2 before start 3"),
            (pb::Joined { verdict: pb::Verdict::Reset.into(), ..joined(7, 3, 3) }, "was VERDICT_RESET"),
        ] {
            let mut reading = reading();
            reading.cut();
            reading.joined(&answer);
            fails(&reading, why);
        }
    }

    #[test]
    fn a_reader_whose_place_somebody_else_knows_is_told_it_once() {
        let mut reading = Reading::anywhere();
        assert_eq!(reading.began(), None);
        reading.joined(&pb::Joined { verdict: pb::Verdict::Live.into(), ..joined(7, 1, 2) });
        reading.event(seen(2));
        reading.cut();
        reading.joined(&joined(7, 2, 3));
        reading.event(seen(3));
        assert_eq!(violations(&reading), "");
        assert_eq!(reading.began(), Some(pb::Cursor { epoch: 7, seq: 1 }));
        reading.cut();
        reading.joined(&pb::Joined { verdict: pb::Verdict::Live.into(), ..joined(7, 3, 3) });
        fails(&reading, "was VERDICT_LIVE");

        let mut reading = Reading::anywhere();
        reading.joined(&pb::Joined { verdict: pb::Verdict::Reset.into(), ..joined(7, 3, 3) });
        fails(&reading, "was VERDICT_RESET");
    }

    #[test]
    fn caught_up_comes_once_after_joined_and_after_all_that_was_promised() {
        let mut twice = reading();
        twice.caught_up(3);
        fails(&twice, "CaughtUp came twice");

        let mut early = Reading::default();
        early.joined(&joined(7, 0, 2));
        early.event(seen(1));
        early.caught_up(1);
        fails(&early, "CaughtUp came at 1, and 2 was promised before it");

        let mut elsewhere = Reading::default();
        elsewhere.joined(&joined(7, 0, 0));
        elsewhere.caught_up(2);
        fails(&elsewhere, "CaughtUp says 2; the last event was 0");

        let mut unasked = reading();
        unasked.cut();
        unasked.caught_up(3);
        fails(&unasked, "CaughtUp came before Joined");
    }

    #[test]
    fn nothing_comes_before_joined_and_joined_once() {
        let mut reading = reading();
        reading.joined(&joined(7, 3, 3));
        fails(&reading, "Joined came twice");
        reading.cut();
        reading.event(seen(4));
        fails(&reading, "event 4 came before Joined");
    }

    #[test]
    fn other_bytes_for_one_reader_are_found() {
        let mut reading = Reading::default();
        reading.joined(&joined(7, 0, 3));
        for event in [seen(1), Seen { bytes: 99, ..seen(2) }, seen(3)] {
            reading.event(event);
        }
        fails(&reading, "got 2 where 2 was due: other bytes than the history's");
    }

    #[track_caller]
    fn stored(events: impl IntoIterator<Item = Seen>, lost: usize, duplicated: usize, with: &str) {
        let tally = check(&history(events), &[&sending()], &[]);
        assert_eq!((tally.lost, tally.duplicated), (lost, duplicated), "{tally}");
        assert!(tally.to_string().contains(with), "expected \"{with}\" in \"{tally}\"");
    }

    #[test]
    fn what_was_acked_is_stored_once_where_it_was_acked_as_it_was_sent() {
        stored((1..=2).map(seen), 1, 0, "lost: acked at 3 in r, and it is nowhere");
        stored([seen(1), seen(2), Seen { id: seen(2).id, ..seen(3) }], 2, 1, "3 was stored before");
        stored([seen(1), seen(2), Seen { seq: 4, prev_seq: 2, ..seen(3) }], 1, 0, "it is at 4 in r");
        stored([seen(1), Seen { text: 9, ..seen(2) }, seen(3)], 0, 0, "2 is not what was sent");
        stored((1..=4).map(seen), 0, 0, "4 was never sent");
        stored([seen(1), Seen { prev_seq: 2, ..seen(3) }], 1, 0, "history of r: 3 after 1");
    }

    #[test]
    fn what_was_refused_every_time_is_not_stored() {
        let tally_of = |attempts: u32, refused: u32| {
            let mut sending = sending();
            (0..attempts).for_each(|_| sending.sent([4; 16], "r", 4));
            (0..refused).for_each(|_| sending.refused([4; 16]));
            check(&history((1..=4).map(seen)), &[&sending], &[]).violations.join("; ")
        };
        assert_eq!(tally_of(2, 2), "history of r: 4 was refused each of 2 times it was sent");
        assert_eq!(tally_of(2, 1), "", "one attempt may have been stored");
    }

    #[test]
    fn acks_are_for_what_was_sent_and_agree() {
        let check_with = |note: fn(&mut Sending), with: &str| {
            let mut sending = sending();
            note(&mut sending);
            let tally = check(&history((1..=3).map(seen)), &[&sending], &[]).to_string();
            assert!(tally.contains(with), "expected \"{with}\" in \"{tally}\"");
        };
        check_with(|sending| sending.acked([9; 16], "r", 9, false), "an ack for what was never sent");
        check_with(|sending| sending.acked([1; 16], "r", 2, false), "acked at 1 and then at 2");
        check_with(|sending| sending.acked([1; 16], "s", 1, false), "sent to r and acked in s");
        check_with(|sending| sending.acked([1; 16], "r", 1, true), "was sent once and acked as a duplicate");
        check_with(
            |sending| sending.acked([1; 16], "r", 1, false),
            "1 in r was acked twice, and neither as a duplicate",
        );
        check_with(|sending| sending.sent([4; 16], "r", 4), "0 violations");
        check_with(
            |sending| {
                sending.sent([1; 16], "r", 1);
                sending.acked([1; 16], "r", 1, true);
            },
            "0 violations",
        );
    }
}
