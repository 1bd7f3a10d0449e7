//! What must be true of a record at the end, beyond what the checker demands of every reader and sender.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::{Draft, DraftState, Record, RoomLog, RunEnd};
use crate::checker::{History, Id};

/// How much a crash may undo: events received in this time before it may come again, and drafts accepted in it may be
/// forgotten. The library saves its state once a second; the rest is for a busy machine.
const CRASH_WINDOW: Duration = Duration::from_secs(3);

impl Record {
    /// Returns what is wrong with the record, given the history at the end. The events themselves are left to the checker.
    pub(in crate::client) fn violations(&self, history: &History) -> Vec<String> {
        let mut violations = self.violations.clone();
        for room in &self.rooms {
            self.check_runs(room, &mut violations);
            self.check_order(room, history, &mut violations);
        }
        self.check_drafts(history, &mut violations);
        let unsent = self.runs.last().map_or(0, |run| run.unsent);
        if unsent > 0 {
            violations.push(format!("the last update said {unsent} unsent"));
        }
        violations.into_iter().map(|violation| format!("{}: {violation}", self.user)).collect()
    }

    /// Checks that each run resumes in a room where the one before had ended: exactly there after an idle close, at the last
    /// event or the one before after a busy one, and up to [`CRASH_WINDOW`] before after a crash.
    fn check_runs(&self, room: &str, violations: &mut Vec<String>) {
        let (mut least, mut most) = (0, 0);
        let mut epoch = None;
        for (number, run) in self.runs.iter().enumerate() {
            let Some(room_log) = run.rooms.get(room) else { continue };
            let Some(start) = room_log.log.start() else { continue };
            if !(least..=most).contains(&start.seq) {
                let how = if start.seq < least { "repeats" } else { "misses" };
                violations.push(format!(
                    "run {number} starts after {} in {room}, where {least} to {most} was due: it {how} events",
                    start.seq
                ));
            }
            if *epoch.get_or_insert(start.epoch) != start.epoch {
                violations.push(format!("the epoch of {room} differs in run {number}"));
            }
            most = room_log.log.last();
            least = match run.end {
                Some(RunEnd::Crashed(at)) => room_log.saved_before(at).unwrap_or(least.min(start.seq)),
                Some(RunEnd::ClosedBusy) => room_log.second_to_last().unwrap_or(start.seq),
                Some(RunEnd::ClosedIdle) | None => most,
            };
        }
    }

    /// Checks that drafts are stored in the order in which they were made.
    fn check_order(&self, room: &str, history: &History, violations: &mut Vec<String>) {
        let stored = history.get(room).map_or(&[][..], Vec::as_slice);
        let numbers = stored.iter().filter_map(|event| Some((event.seq, self.drafts.get(&event.id)?.number)));
        let mut last = None;
        for (seq, number) in numbers {
            if last > Some(number) {
                violations.push(format!("{seq} in {room} was drafted before the event that precedes it"));
            }
            last = Some(number);
        }
    }

    /// Checks that every draft was resolved or its run ended, and that it is stored if the library promised that.
    fn check_drafts(&self, history: &History, violations: &mut Vec<String>) {
        let stored: HashSet<&Id> = history.values().flatten().map(|event| &event.id).collect();
        let last = self.runs.len().saturating_sub(1);
        for (id, Draft { number, run, state }) in &self.drafts {
            // The last run has everything acked before the client is closed.
            let end = if *run == last { None } else { self.runs[*run].end };
            match (end, *state) {
                (_, DraftState::Acked | DraftState::Withdrawn) | (Some(RunEnd::Crashed(_)), DraftState::Offered) => {}
                (Some(RunEnd::Crashed(at)), DraftState::Accepted(since) | DraftState::Closed(since)) => {
                    if since + CRASH_WINDOW < at && !stored.contains(id) {
                        violations
                            .push(format!("draft {number} was accepted long before run {run} crashed, and is lost"));
                    }
                }
                (Some(RunEnd::ClosedIdle | RunEnd::ClosedBusy), DraftState::Closed(_)) => {
                    if !stored.contains(id) {
                        violations.push(format!("draft {number} was unsent when run {run} was closed, and is lost"));
                    }
                }
                (_, state) => violations.push(format!("draft {number} of run {run} did not resolve: {state:?}")),
            }
        }
    }
}

impl RoomLog {
    /// Returns the seq of the last event but one.
    fn second_to_last(&self) -> Option<u64> {
        self.log.events().iter().rev().nth(1).map(|event| event.seq)
    }

    /// Returns the seq up to which the library must have saved that events were seen, when it crashed at this time.
    fn saved_before(&self, crash: Instant) -> Option<u64> {
        let long_before = |at: Instant| at + CRASH_WINDOW < crash;
        let received = self.received_at.partition_point(|at| long_before(*at));
        match received.checked_sub(1).and_then(|last| self.log.events().get(last)) {
            Some(event) => Some(event.seq),
            None if self.joined_at.is_some_and(long_before) => self.log.start().map(|start| start.seq),
            None => None,
        }
    }
}
