//! What one application notes in all its lives, and what has to be true of that in the end. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use grpc_chat_client::{Ack, ConnectionState, Durability, Event, SendError, Update};

use crate::checker::{History, Id, Notes as RoomNotes, Reading, Sending};
use crate::library;

/// What a crash may cost: what was given so shortly before may be given again, and what was asked for so shortly before may
/// be forgotten. The library keeps how far an application has come once a second; the rest is for a busy machine.
pub(super) const MOMENT: Duration = Duration::from_secs(3);

/// One application.
#[derive(Debug)]
pub(super) struct Notes {
    user: String,
    rooms: Vec<String>,
    sending: Sending,
    drafts: HashMap<Id, Draft>,
    /// Those of them for which no ack is known, and which were not withdrawn.
    open: usize,
    lives: Vec<Life>,
    longest: Duration,
    returns: usize,
    violations: Vec<String>,
}

/// How a life of an application has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client was closed when nothing used it any more.
    Settled,
    /// The client was closed while it was used. The event that was given last may not have counted as seen by then.
    Closed,
    /// It was gone without a word.
    Crashed(Instant),
}

/// From opening a client to its end.
#[derive(Debug, Default)]
struct Life {
    rooms: BTreeMap<String, Heard>,
    unsent: usize,
    end: Option<End>,
}

/// One room in one life.
#[derive(Debug)]
struct Heard {
    reading: Reading,
    joined: Option<Instant>,
    /// When each event was given.
    given: Vec<Instant>,
}

#[derive(Debug)]
struct Draft {
    /// The application's own, in the order in which it made them.
    number: usize,
    life: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The library has it, or is about to.
    Asked,
    /// The application was told, or made sure, that the library does not take it.
    Withdrawn,
    /// The library has it since then.
    Taken(Instant),
    Acked,
    /// The same, and its client was closed before the ack came.
    Closed(Instant),
}

impl Notes {
    pub(super) fn new(user: &str, rooms: &[String]) -> Self {
        Self {
            user: user.to_owned(),
            rooms: rooms.to_vec(),
            sending: Sending::default(),
            drafts: HashMap::new(),
            open: 0,
            lives: Vec::new(),
            longest: Duration::ZERO,
            returns: 0,
            violations: Vec::new(),
        }
    }

    /// A life begins; answers its number.
    pub(super) fn begin(&mut self) -> usize {
        let heard = || Heard { reading: Reading::anywhere(), joined: None, given: Vec::new() };
        let rooms = self.rooms.iter().map(|room| (room.clone(), heard())).collect();
        self.lives.push(Life { rooms, ..Life::default() });
        self.lives.len() - 1
    }

    pub(super) fn ended(&mut self, life: usize, end: End) {
        self.lives[life].end = Some(end);
    }

    /// The application was told something.
    pub(super) fn told(&mut self, life: usize, update: &Update, now: Instant) {
        let before = life.checked_sub(1).and_then(|before| self.lives[before].end);
        // What was acked just before a crash may be sent once more.
        let after_crash = matches!(before, Some(End::Crashed(_)));
        let life = &mut self.lives[life];
        match update {
            // The session goes on until its end.
            Update::Connection(ConnectionState::Draining) => {}
            Update::Connection(ConnectionState::Failed(why)) => {
                self.violations.push(format!("the client gave up: {why}"));
            }
            Update::Connection(_) => life.rooms.values_mut().for_each(|heard| heard.reading.cut()),
            Update::Joined(joined) => {
                let Some(heard) = life.rooms.get_mut(joined.room.as_str()) else { return self.stranger(&joined.room) };
                if !heard.reading.is_away() {
                    // It was left because too much waited for the application.
                    self.returns += 1;
                    heard.reading.cut();
                }
                heard.reading.joined(&library::joined(joined));
                heard.joined.get_or_insert(now);
            }
            Update::Event(event) => {
                let Some(heard) = life.rooms.get_mut(event.room.as_str()) else { return self.stranger(&event.room) };
                heard.event(event, now);
            }
            Update::CaughtUp { room, seq } => {
                let Some(heard) = life.rooms.get_mut(room.as_str()) else { return self.stranger(room) };
                heard.reading.caught_up(*seq);
            }
            Update::Unsent(unsent) => {
                life.unsent = *unsent;
                if *unsent > self.open && !after_crash {
                    let open = self.open;
                    self.violations.push(format!("it was told that {unsent} are unsent, of {open} without an ack"));
                }
            }
            Update::Present { .. } | Update::Restored(_) => {}
            _ => self.violations.push(format!("it was told {update:?}")),
        }
    }

    fn stranger(&mut self, room: &str) {
        self.violations.push(format!("it was told of {room}, which it did not join"));
    }

    /// A draft is made, and given to the library.
    pub(super) fn asked(&mut self, life: usize, id: Id, room: &str, text: u64) {
        self.sending.sent(id, room, text);
        let number = self.drafts.len();
        self.drafts.insert(id, Draft { number, life, state: State::Asked });
        self.open += 1;
    }

    pub(super) fn taken(&mut self, id: Id, now: Instant) {
        self.set(id, State::Taken(now));
    }

    /// The library has not taken it: it must not be stored.
    pub(super) fn withdrawn(&mut self, id: Id) {
        self.sending.refused(id);
        self.set(id, State::Withdrawn);
    }

    /// What the library took has come to its end.
    pub(super) fn resolved(&mut self, id: Id, room: &str, outcome: Result<Ack, SendError>, took: Duration) {
        match outcome {
            Ok(ack) => {
                if ack.id.0 != id {
                    self.violations.push(format!("an ack at {} in {room} is another draft's", ack.seq));
                }
                if ack.durability != Durability::Synced {
                    self.violations.push(format!("{} in {room} is only {:?}", ack.seq, ack.durability));
                }
                if ack.duplicate {
                    // Of an attempt that the library made and did not tell.
                    self.sending.again(id);
                }
                self.sending.acked(id, room, ack.seq, ack.duplicate);
                self.longest = self.longest.max(took);
                self.set(id, State::Acked);
            }
            Err(SendError::Closed) => {
                if let Some(Draft { state: State::Taken(at), .. }) = self.drafts.get(&id) {
                    self.set(id, State::Closed(*at));
                }
            }
            Err(error) => self.violations.push(format!("a send to {room} failed: {error}")),
        }
    }

    fn set(&mut self, id: Id, state: State) {
        if let Some(draft) = self.drafts.get_mut(&id) {
            draft.state = state;
        }
        if matches!(state, State::Acked | State::Withdrawn) {
            self.open -= 1;
        }
    }

    pub(super) fn complain(&mut self, violation: String) {
        self.violations.push(violation);
    }

    /// Whether it has come so far in its present life.
    pub(super) fn has_read_to(&self, heads: &[(String, u64)]) -> bool {
        let Some(Life { rooms, .. }) = self.lives.last() else { return false };
        heads.iter().all(|(room, head)| {
            rooms.get(room).is_some_and(|Heard { reading, .. }| reading.last() >= *head && reading.is_live())
        })
    }

    /// The longest time that a send took to be acked.
    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    /// How often a room was left and joined again because the application was slow.
    pub(super) fn returns(&self) -> usize {
        self.returns
    }

    pub(super) fn sending(&self) -> &Sending {
        &self.sending
    }

    /// Everything it read, life by life. Only the last life was to go on to the head.
    pub(super) fn readings(&self) -> impl Iterator<Item = RoomNotes<'_>> {
        let present = self.lives.len().saturating_sub(1);
        self.lives.iter().enumerate().flat_map(move |(number, life)| {
            let rooms = life.rooms.iter();
            rooms.map(move |(room, Heard { reading, .. })| RoomNotes { room, reading, to_the_head: number == present })
        })
    }

    /// What is wrong with the application's side, given what was stored in the end. What it read is not looked at beyond
    /// where each life began.
    pub(super) fn violations(&self, history: &History) -> Vec<String> {
        let mut violations = self.violations.clone();
        for room in &self.rooms {
            self.check_lives(room, &mut violations);
            self.check_order(room, history, &mut violations);
        }
        self.check_drafts(history, &mut violations);
        let unsent = self.lives.last().map_or(0, |life| life.unsent);
        if unsent > 0 {
            violations.push(format!("it was told last that {unsent} are unsent"));
        }
        violations.into_iter().map(|violation| format!("{}: {violation}", self.user)).collect()
    }

    /// Each life goes on in a room where the one before has come to: exactly there if that has settled; if it crashed, there
    /// or up to a moment before.
    fn check_lives(&self, room: &str, violations: &mut Vec<String>) {
        let (mut least, mut most) = (0, 0);
        let mut epoch = None;
        for (number, life) in self.lives.iter().enumerate() {
            let Some(heard) = life.rooms.get(room) else { continue };
            let Some(began) = heard.reading.began() else { continue };
            if !(least..=most).contains(&began.seq) {
                let what = if began.seq < least { "repeats" } else { "misses" };
                violations.push(format!(
                    "life {number} begins after {} in {room}, where {least} to {most} was due: it {what} events",
                    began.seq
                ));
            }
            if *epoch.get_or_insert(began.epoch) != began.epoch {
                violations.push(format!("the epoch of {room} is another one in life {number}"));
            }
            most = heard.reading.last();
            least = match life.end {
                Some(End::Crashed(at)) => heard.kept_by(at).unwrap_or(least.min(began.seq)),
                Some(End::Closed) => heard.before_the_last().unwrap_or(began.seq),
                Some(End::Settled) | None => most,
            };
        }
    }

    /// What was drafted first is stored first.
    fn check_order(&self, room: &str, history: &History, violations: &mut Vec<String>) {
        let stored = history.get(room).map_or(&[][..], Vec::as_slice);
        let numbers = stored.iter().filter_map(|event| Some((event.seq, self.drafts.get(&event.id)?.number)));
        let mut last = None;
        for (seq, number) in numbers {
            if last > Some(number) {
                violations.push(format!("{seq} in {room} was drafted before what is stored before it"));
            }
            last = Some(number);
        }
    }

    /// Every draft has come to an end, and is stored if it had to be.
    fn check_drafts(&self, history: &History, violations: &mut Vec<String>) {
        let stored: HashSet<&Id> = history.values().flatten().map(|event| &event.id).collect();
        let present = self.lives.len().saturating_sub(1);
        for (id, Draft { number, life, state }) in &self.drafts {
            // The last life settled everything before it was closed.
            let end = if *life == present { None } else { self.lives[*life].end };
            match (end, *state) {
                (_, State::Acked | State::Withdrawn) | (Some(End::Crashed(_)), State::Asked) => {}
                (Some(End::Crashed(at)), State::Taken(since) | State::Closed(since)) => {
                    if since + MOMENT < at && !stored.contains(id) {
                        violations
                            .push(format!("draft {number} was taken long before life {life} crashed, and is lost"));
                    }
                }
                (Some(End::Settled | End::Closed), State::Closed(_)) => {
                    if !stored.contains(id) {
                        violations.push(format!("draft {number} was unsent when life {life} was closed, and is lost"));
                    }
                }
                (_, state) => violations.push(format!("draft {number} of life {life} did not resolve: {state:?}")),
            }
        }
    }
}

impl Heard {
    fn event(&mut self, event: &Event, now: Instant) {
        self.reading.event(library::seen(event));
        self.given.push(now);
    }

    /// The last event but one.
    fn before_the_last(&self) -> Option<u64> {
        self.reading.seen().iter().rev().nth(1).map(|event| event.seq)
    }

    /// How far the application has to be known to have come, if it crashed then.
    fn kept_by(&self, crash: Instant) -> Option<u64> {
        let long_before = |at: Instant| at + MOMENT < crash;
        let given = self.given.partition_point(|at| long_before(*at));
        match given.checked_sub(1).and_then(|last| self.reading.seen().get(last)) {
            Some(seen) => Some(seen.seq),
            None if self.joined.is_some_and(long_before) => self.reading.began().map(|began| began.seq),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use grpc_chat_client::{Body, Code, Joined, MsgId, Refused, Verdict};

    use super::*;
    use crate::checker::{Seen, check};

    const ROOM: &str = "r";

    fn event(seq: u64) -> Event {
        Event {
            room: ROOM.parse().unwrap(),
            seq,
            prev_seq: seq - 1,
            time: SystemTime::UNIX_EPOCH,
            sender: "sam".to_owned(),
            device: String::new(),
            id: MsgId([u8::try_from(seq).unwrap(); 16]),
            body: Body::Posted { text: seq.to_string(), reply_to: None, erased: false },
        }
    }

    fn seen(seq: u64) -> Seen {
        library::seen(&event(seq))
    }

    fn history(seqs: impl IntoIterator<Item = u64>) -> History {
        History::from([(ROOM.to_owned(), seqs.into_iter().map(seen).collect())])
    }

    fn joined(start: u64) -> Update {
        let verdict = Verdict::Recovered;
        Update::Joined(Joined {
            room: ROOM.parse().unwrap(),
            verdict,
            epoch: 7,
            start,
            head: start,
            oldest: 1,
            read: 0,
        })
    }

    /// An application in one room, with a clock in seconds.
    struct App {
        notes: Notes,
        beginning: Instant,
    }

    impl App {
        fn new() -> Self {
            Self { notes: Notes::new("sam", &[ROOM.to_owned()]), beginning: Instant::now() }
        }

        fn at(&self, second: u64) -> Instant {
            self.beginning + Duration::from_secs(second)
        }

        /// A life that joins after this event and is given those, one a second, beginning with this one.
        fn lives(&mut self, second: u64, start: u64, events: impl IntoIterator<Item = u64>) -> usize {
            let life = self.notes.begin();
            self.notes.told(life, &joined(start), self.at(second));
            for (seq, second) in events.into_iter().zip(second..) {
                self.notes.told(life, &Update::Event(event(seq)), self.at(second));
            }
            life
        }

        fn violations(&self, history: &History) -> String {
            self.notes.violations(history).join("; ")
        }

        /// A draft that is stored, if it is, at this place.
        fn drafts(&mut self, life: usize, seq: u64) -> Id {
            let Seen { id, text, .. } = seen(seq);
            self.notes.asked(life, id, ROOM, text);
            id
        }

        fn acked(&mut self, id: Id, seq: u64) {
            let (durability, time) = (Durability::Synced, SystemTime::UNIX_EPOCH);
            let ack = Ack { id: MsgId(id), seq, time, duplicate: false, durability };
            self.notes.resolved(id, ROOM, Ok(ack), Duration::from_secs(seq));
        }
    }

    #[test]
    fn a_life_goes_on_exactly_where_one_that_settled_has_come_to() {
        for (start, wrong) in [(2, ""), (1, "it repeats events"), (3, "it misses events")] {
            let mut app = App::new();
            let first = app.lives(0, 0, 1..=2);
            app.notes.ended(first, End::Settled);
            app.lives(10, start, start + 1..=4);
            let violations = app.violations(&history(1..=4));
            assert_eq!(violations.is_empty(), wrong.is_empty(), "{violations}");
            assert!(violations.contains(wrong), "{violations}");
        }
    }

    #[test]
    fn the_last_event_may_come_again_after_a_close_that_came_upon_it() {
        for (start, right) in [(3, true), (2, true), (1, false), (4, false)] {
            let mut app = App::new();
            let first = app.lives(0, 0, 1..=3);
            app.notes.ended(first, End::Closed);
            app.lives(10, start, []);
            assert_eq!(app.violations(&history(1..=4)).is_empty(), right, "{start}");
        }
    }

    #[test]
    fn what_was_given_shortly_before_a_crash_may_come_again() {
        // One event a second, and a crash in the eighth: the first four are long ago.
        for (start, right) in [(8, true), (4, true), (3, false), (0, false), (9, false)] {
            let mut app = App::new();
            let first = app.lives(1, 0, 1..=8);
            app.notes.ended(first, End::Crashed(app.at(8)));
            app.lives(10, start, []);
            assert_eq!(
                app.violations(&history(1..=9)).is_empty(),
                right,
                "{start}: {}",
                app.violations(&history(1..=9))
            );
        }
    }

    #[test]
    fn a_life_that_saw_little_before_its_crash_leaves_it_to_those_before() {
        for (start, right) in [(2, true), (3, true), (1, false)] {
            let mut app = App::new();
            let first = app.lives(0, 0, 1..=2);
            app.notes.ended(first, End::Settled);
            let second = app.lives(10, 2, [3]);
            app.notes.ended(second, End::Crashed(app.at(11)));
            // One that was never in the room.
            let third = app.notes.begin();
            app.notes.ended(third, End::Settled);
            app.lives(20, start, []);
            assert_eq!(app.violations(&history(1..=3)).is_empty(), right, "{start}");
        }
    }

    #[test]
    fn a_draft_is_acked_or_its_life_was_over() {
        let mut app = App::new();
        let life = app.lives(0, 0, []);
        let id = app.drafts(life, 1);
        assert!(app.violations(&history([])).contains("draft 0 of life 0 did not resolve"));
        app.notes.taken(id, app.at(1));
        assert!(app.violations(&history([1])).contains("did not resolve"), "stored is not acked");
        app.acked(id, 1);
        assert_eq!(app.violations(&history([1])), "");
        assert_eq!(app.notes.longest(), Duration::from_secs(1));

        let id = app.drafts(life, 2);
        app.notes.taken(id, app.at(1));
        app.notes.resolved(id, ROOM, Err(SendError::Closed), Duration::ZERO);
        assert!(app.violations(&history(1..=2)).contains("did not resolve: Closed"), "nobody closed it");
        app.notes.ended(life, End::Closed);
        app.lives(10, 0, []);
        assert!(app.violations(&history([1])).contains("draft 1 was unsent when life 0 was closed, and is lost"));
        assert_eq!(app.violations(&history(1..=2)), "");
    }

    #[test]
    fn a_crash_may_cost_drafts_that_were_just_made() {
        for (taken, lost) in [(6, true), (8, false)] {
            let mut app = App::new();
            let life = app.lives(0, 0, []);
            let id = app.drafts(life, 1);
            app.notes.taken(id, app.at(taken));
            app.notes.ended(life, End::Crashed(app.at(10)));
            app.lives(11, 0, []);
            assert_eq!(app.violations(&history([])).contains("is lost"), lost, "{taken}");
            assert_eq!(app.violations(&history([1])), "");
        }
    }

    #[test]
    fn what_was_withdrawn_is_not_stored() {
        let mut app = App::new();
        let life = app.lives(0, 0, []);
        let id = app.drafts(life, 1);
        app.notes.withdrawn(id);
        assert_eq!(app.violations(&history([])), "");
        let tally = check(&history([1]), &[app.notes.sending()], &[]);
        assert!(tally.to_string().contains("1 was refused each of 1 times"), "{tally}");
    }

    #[test]
    fn drafts_are_stored_in_their_order() {
        let mut app = App::new();
        let life = app.lives(0, 0, []);
        for seq in [2, 1, 3] {
            let id = app.drafts(life, seq);
            app.acked(id, seq);
        }
        assert_eq!(app.violations(&history(1..=3)), "sam: 2 in r was drafted before what is stored before it");
    }

    #[test]
    fn what_no_application_should_be_told_is_noted() {
        let why = Refused::new(Code::Internal, "no".to_owned());
        for (update, wrong) in [
            (Update::Unsent(3), "told last that 3 are unsent"),
            (Update::Unsent(3), "told that 3 are unsent, of 0 without an ack"),
            (Update::SaveFailed("full".to_owned()), "full"),
            (Update::Connection(ConnectionState::Failed(why)), "gave up: no"),
            (Update::CaughtUp { room: "s".parse().unwrap(), seq: 1 }, "told of s, which it did not join"),
        ] {
            let mut app = App::new();
            let life = app.lives(0, 0, []);
            app.notes.told(life, &update, app.at(1));
            assert!(app.violations(&history([])).contains(wrong), "{}", app.violations(&history([])));
        }
    }

    #[test]
    fn rooms_are_joined_again_after_a_lost_connection_and_when_too_much_waits() {
        let mut app = App::new();
        let life = app.lives(0, 0, [1]);
        let online = ConnectionState::Online { user: "sam".to_owned(), max_text_bytes: 1 };
        for update in [Update::Connection(online), joined(1), Update::Event(event(2)), joined(2)] {
            app.notes.told(life, &update, app.at(1));
        }
        assert_eq!(app.notes.returns(), 1);
        assert!(!app.notes.has_read_to(&[(ROOM.to_owned(), 2)]), "it has not caught up");
        app.notes.told(life, &Update::CaughtUp { room: ROOM.parse().unwrap(), seq: 2 }, app.at(1));
        assert!(app.notes.has_read_to(&[(ROOM.to_owned(), 2)]));
        let readings: Vec<_> = app.notes.readings().collect();
        let tally = check(&history(1..=2), &[], &readings);
        assert!(tally.violations.iter().all(|violation| violation.contains("never sent")), "{tally}");
    }
}
