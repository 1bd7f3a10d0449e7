//! What one application notes in all its lives, and what has to be true of that in the end. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use grpc_chat_client::{Ack, Connection, Durability, Event, SendError, Update};

use crate::faults::checker::{History, Id, Notes as RoomNotes, Reading, Sending};
use crate::faults::library;

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
    lives: Vec<Life>,
    longest: Duration,
    returns: usize,
    violations: Vec<String>,
}

/// How a life of an application has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client was closed.
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
        let life = &mut self.lives[life];
        match update {
            // The session goes on until its end.
            Update::Connection(Connection::Draining) => {}
            Update::Connection(Connection::Lost(why)) => {
                self.violations.push(format!("the client gave up: {why}"));
            }
            Update::Connection(_) => life.rooms.values_mut().for_each(|heard| heard.reading.cut()),
            Update::Joined(joined) => {
                let Some(heard) = life.rooms.get_mut(&joined.room) else { return self.stranger(&joined.room) };
                if !heard.reading.is_away() {
                    // It was left because too much waited for the application.
                    self.returns += 1;
                    heard.reading.cut();
                }
                heard.reading.joined(&library::joined(joined));
                heard.joined.get_or_insert(now);
            }
            Update::Event(event) => {
                let Some(heard) = life.rooms.get_mut(&event.room) else { return self.stranger(&event.room) };
                heard.event(event, now);
            }
            Update::CaughtUp { room, seq } => {
                let Some(heard) = life.rooms.get_mut(room) else { return self.stranger(room) };
                heard.reading.caught_up(*seq);
            }
            Update::Unsent(unsent) => life.unsent = *unsent,
            Update::Present { .. } => {}
            Update::JoinRefused { .. }
            | Update::Typing { .. }
            | Update::Read { .. }
            | Update::Refused { .. }
            | Update::NotKept(_) => self.violations.push(format!("it was told {update:?}")),
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

    /// Each life goes on in a room where the one before has come to: exactly there if that was closed; if it crashed, there
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
                Some(End::Crashed(at)) => heard.kept_by(at).unwrap_or(least),
                Some(End::Closed) | None => most,
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
                (Some(End::Closed), State::Closed(_)) => {
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
