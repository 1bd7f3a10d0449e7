//! What one application was given and asked for, in all of its runs. Pure.
//!
//! A run lasts from opening a client to its end. An application that is restarted has several.

mod check;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use grpc_chat_client::{Ack, ConnectionState, Durability, Event, Joined, SendError, Update, Verdict};

use crate::checker::{Id, ReaderLog, RoomReader, SenderLog};
use crate::convert;

/// A record that the tasks of an application share. The lock is held briefly, and never across an await.
#[derive(Clone, Debug)]
pub(super) struct SharedRecord(Arc<Mutex<Record>>);

/// The record of one application.
#[derive(Debug)]
pub(super) struct Record {
    user: String,
    rooms: Vec<String>,
    sender_log: SenderLog,
    drafts: HashMap<Id, Draft>,
    /// The number of drafts that are neither acked nor withdrawn.
    unresolved: usize,
    runs: Vec<Run>,
    slowest_ack: Duration,
    rejoins: usize,
    violations: Vec<String>,
}

/// How a run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunEnd {
    /// The client was closed after everything that used it had ended.
    ClosedIdle,
    /// The client was closed while it was used. The last event may not have been marked as seen by then.
    ClosedBusy,
    /// The client disappeared.
    Crashed(Instant),
}

#[derive(Debug, Default)]
struct Run {
    rooms: BTreeMap<String, RoomLog>,
    /// The number of unsent drafts in the last update about them.
    unsent: usize,
    end: Option<RunEnd>,
}

/// What a run received in one room.
#[derive(Debug)]
struct RoomLog {
    log: ReaderLog,
    joined_at: Option<Instant>,
    /// The time at which each event was received.
    received_at: Vec<Instant>,
}

#[derive(Debug)]
struct Draft {
    /// The position among the application's drafts.
    number: usize,
    run: usize,
    state: DraftState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DraftState {
    /// Given to the library, which has not said yet whether it accepts it.
    Offered,
    /// Not accepted by the library.
    Withdrawn,
    /// Accepted by the library, at this time.
    Accepted(Instant),
    Acked,
    /// Accepted at this time, and the client was closed before the ack.
    Closed(Instant),
}

impl SharedRecord {
    pub(super) fn new(record: Record) -> Self {
        Self(Arc::new(Mutex::new(record)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    pub(super) fn new(user: &str, rooms: &[String]) -> Self {
        Self {
            user: user.to_owned(),
            rooms: rooms.to_vec(),
            sender_log: SenderLog::default(),
            drafts: HashMap::new(),
            unresolved: 0,
            runs: Vec::new(),
            slowest_ack: Duration::ZERO,
            rejoins: 0,
            violations: Vec::new(),
        }
    }

    /// Records the beginning of a run and returns its number.
    pub(super) fn begin(&mut self) -> usize {
        let log = || RoomLog { log: ReaderLog::with_any_start(), joined_at: None, received_at: Vec::new() };
        let rooms = self.rooms.iter().map(|room| (room.clone(), log())).collect();
        self.runs.push(Run { rooms, ..Run::default() });
        self.runs.len() - 1
    }

    /// Records the end of a run.
    pub(super) fn ended(&mut self, run: usize, end: RunEnd) {
        self.runs[run].end = Some(end);
    }

    /// Records an update from the library.
    pub(super) fn update(&mut self, run: usize, update: &Update, now: Instant) {
        if let Update::Joined(joined) = update {
            self.check_start(run, joined);
        }
        let before = run.checked_sub(1).and_then(|before| self.runs[before].end);
        // A draft that was acked just before a crash may be sent once more.
        let after_crash = matches!(before, Some(RunEnd::Crashed(_)));
        let run = &mut self.runs[run];
        match update {
            // The session goes on until the stream ends.
            Update::Connection(ConnectionState::Draining) => {}
            Update::Connection(ConnectionState::Failed(why)) => {
                self.violations.push(format!("the client gave up: {why}"));
            }
            Update::Connection(_) => run.rooms.values_mut().for_each(|room| room.log.stream_ended()),
            Update::Joined(joined) => {
                let Some(room) = run.rooms.get_mut(joined.room.as_str()) else {
                    return self.unknown_room(&joined.room);
                };
                if !room.log.is_away() {
                    // The library had left the room because the mailbox was full.
                    self.rejoins += 1;
                    room.log.stream_ended();
                }
                room.log.joined(&convert::joined(joined));
                room.joined_at.get_or_insert(now);
            }
            Update::Event(event) => {
                let Some(room) = run.rooms.get_mut(event.room.as_str()) else {
                    return self.unknown_room(&event.room);
                };
                room.event(event, now);
            }
            Update::CaughtUp { room, seq } => {
                let Some(log) = run.rooms.get_mut(room.as_str()) else { return self.unknown_room(room) };
                log.log.caught_up(*seq);
            }
            Update::Unsent(unsent) => {
                run.unsent = *unsent;
                if *unsent > self.unresolved && !after_crash {
                    let unresolved = self.unresolved;
                    self.violations.push(format!("an update said {unsent} unsent, of {unresolved} without an ack"));
                }
            }
            Update::Present { .. } | Update::Restored(_) => {}
            _ => self.violations.push(format!("an unexpected update: {update:?}")),
        }
    }

    /// Checks that the library names the event at which it resumes, if this run or the one before has received that event.
    fn check_start(&mut self, run: usize, joined: &Joined) {
        let received = |run: usize| self.runs[run].rooms.get(joined.room.as_str())?.log.event_at(joined.start);
        let event = received(run).or_else(|| run.checked_sub(1).and_then(received));
        if joined.verdict == Verdict::Recovered
            && let Some(event) = event
            && joined.start_id.map(|id| id.0) != Some(event.id)
        {
            let Joined { room, start, start_id, .. } = joined;
            self.violations.push(format!("run {run} resumes after {start} in {room}, and names {start_id:?} there"));
        }
    }

    fn unknown_room(&mut self, room: &str) {
        self.violations.push(format!("an update about {room}, which was not joined"));
    }

    /// Records that a draft is given to the library.
    pub(super) fn offered(&mut self, run: usize, id: Id, room: &str, message: u64) {
        self.sender_log.sent(id, room, message);
        let number = self.drafts.len();
        self.drafts.insert(id, Draft { number, run, state: DraftState::Offered });
        self.unresolved += 1;
    }

    /// Records that the library has accepted a draft.
    pub(super) fn accepted(&mut self, id: Id, now: Instant) {
        self.set_state(id, DraftState::Accepted(now));
    }

    /// Records that the library has not accepted a draft, which must not be stored then.
    pub(super) fn withdrawn(&mut self, id: Id) {
        self.sender_log.refused(id);
        self.set_state(id, DraftState::Withdrawn);
    }

    /// Records the outcome of a draft that the library had accepted.
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
                    // The library had sent it before.
                    self.sender_log.sent_again(id);
                }
                self.sender_log.acked(id, room, ack.seq, ack.duplicate);
                self.slowest_ack = self.slowest_ack.max(took);
                self.set_state(id, DraftState::Acked);
            }
            Err(SendError::Closed) => {
                if let Some(Draft { state: DraftState::Accepted(at), .. }) = self.drafts.get(&id) {
                    self.set_state(id, DraftState::Closed(*at));
                }
            }
            Err(error) => self.violations.push(format!("a send to {room} failed: {error}")),
        }
    }

    fn set_state(&mut self, id: Id, state: DraftState) {
        if let Some(draft) = self.drafts.get_mut(&id) {
            draft.state = state;
        }
        if matches!(state, DraftState::Acked | DraftState::Withdrawn) {
            self.unresolved -= 1;
        }
    }

    pub(super) fn violation(&mut self, violation: String) {
        self.violations.push(violation);
    }

    /// Returns whether the current run has read up to these heads.
    pub(super) fn has_read_to(&self, heads: &[(String, u64)]) -> bool {
        let Some(Run { rooms, .. }) = self.runs.last() else { return false };
        heads
            .iter()
            .all(|(room, head)| rooms.get(room).is_some_and(|RoomLog { log, .. }| log.last() >= *head && log.is_live()))
    }

    /// Returns the longest time from offering a draft to its ack.
    pub(super) fn slowest_ack(&self) -> Duration {
        self.slowest_ack
    }

    /// Returns how often the library has left a room and joined it again because the application was slow.
    pub(super) fn rejoins(&self) -> usize {
        self.rejoins
    }

    pub(super) fn sender_log(&self) -> &SenderLog {
        &self.sender_log
    }

    /// Returns the log of each room in each run. Only the last run has to reach the head.
    pub(super) fn reader_logs(&self) -> impl Iterator<Item = RoomReader<'_>> {
        let last = self.runs.len().saturating_sub(1);
        self.runs.iter().enumerate().flat_map(move |(number, run)| {
            let rooms = run.rooms.iter();
            rooms.map(move |(room, RoomLog { log, .. })| RoomReader { room, log, to_the_head: number == last })
        })
    }
}

impl RoomLog {
    fn event(&mut self, event: &Event, now: Instant) {
        self.log.event(convert::event_digest(event));
        self.received_at.push(now);
    }
}
