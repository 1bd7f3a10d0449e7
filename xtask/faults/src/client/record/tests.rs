use std::time::SystemTime;

use grpc_chat_client::{Body, Code, Joined, MsgId, Refused, Verdict};

use super::*;
use crate::checker::{EventDigest, History, check};

const ROOM: &str = "r";

fn event(seq: u64) -> Event {
    Event {
        room: ROOM.parse().unwrap(),
        seq,
        prev_seq: seq - 1,
        time: SystemTime::UNIX_EPOCH,
        sender: "sam".to_owned(),
        device: String::new(),
        id: msg_id(seq),
        body: Body::Posted { text: seq.to_string(), reply_to: None, erased: false },
    }
}

/// The id of the event with this seq.
fn msg_id(seq: u64) -> MsgId {
    MsgId([u8::try_from(seq).unwrap(); 16])
}

fn digest(seq: u64) -> EventDigest {
    convert::event_digest(&event(seq))
}

fn history(seqs: impl IntoIterator<Item = u64>) -> History {
    History::from([(ROOM.to_owned(), seqs.into_iter().map(digest).collect())])
}

fn joined(start: u64) -> Update {
    let verdict = Verdict::Recovered;
    Update::Joined(Joined {
        room: ROOM.parse().unwrap(),
        verdict,
        epoch: 7,
        start,
        start_id: Some(msg_id(start)),
        head: start,
        oldest: 1,
        read: 0,
    })
}

/// The record of an application in one room, with a clock in seconds.
struct App {
    record: Record,
    beginning: Instant,
}

impl App {
    fn new() -> Self {
        Self { record: Record::new("sam", &[ROOM.to_owned()]), beginning: Instant::now() }
    }

    fn at(&self, second: u64) -> Instant {
        self.beginning + Duration::from_secs(second)
    }

    /// Adds a run that joins after the event `start` and receives `events`, one a second, beginning with the second `second`.
    fn add_run(&mut self, second: u64, start: u64, events: impl IntoIterator<Item = u64>) -> usize {
        let run = self.record.begin();
        self.record.update(run, &joined(start), self.at(second));
        for (seq, second) in events.into_iter().zip(second..) {
            self.record.update(run, &Update::Event(event(seq)), self.at(second));
        }
        run
    }

    fn violations(&self, history: &History) -> String {
        self.record.violations(history).join("; ")
    }

    /// Adds a draft that has this seq if it is stored.
    fn add_draft(&mut self, run: usize, seq: u64) -> Id {
        let EventDigest { id, message, .. } = digest(seq);
        self.record.offered(run, id, ROOM, message);
        id
    }

    fn acked(&mut self, id: Id, seq: u64) {
        let (durability, time) = (Durability::Synced, SystemTime::UNIX_EPOCH);
        let ack = Ack { id: MsgId(id), seq, time, duplicate: false, durability };
        self.record.resolved(id, ROOM, Ok(ack), Duration::from_secs(seq));
    }
}

#[test]
fn a_run_resumes_exactly_where_one_that_was_closed_idle_had_ended() {
    for (start, wrong) in [(2, ""), (1, "it repeats events"), (3, "it misses events")] {
        let mut app = App::new();
        let first = app.add_run(0, 0, 1..=2);
        app.record.ended(first, RunEnd::ClosedIdle);
        app.add_run(10, start, start + 1..=4);
        let violations = app.violations(&history(1..=4));
        assert_eq!(violations.is_empty(), wrong.is_empty(), "{violations}");
        assert!(violations.contains(wrong), "{violations}");
    }
}

#[test]
fn the_last_event_may_come_again_after_a_busy_close() {
    for (start, right) in [(3, true), (2, true), (1, false), (4, false)] {
        let mut app = App::new();
        let first = app.add_run(0, 0, 1..=3);
        app.record.ended(first, RunEnd::ClosedBusy);
        app.add_run(10, start, []);
        assert_eq!(app.violations(&history(1..=4)).is_empty(), right, "{start}");
    }
}

#[test]
fn events_received_shortly_before_a_crash_may_come_again() {
    // One event a second and a crash in the eighth, so that the first four are outside the window.
    for (start, right) in [(8, true), (4, true), (3, false), (0, false), (9, false)] {
        let mut app = App::new();
        let first = app.add_run(1, 0, 1..=8);
        app.record.ended(first, RunEnd::Crashed(app.at(8)));
        app.add_run(10, start, []);
        assert_eq!(app.violations(&history(1..=9)).is_empty(), right, "{start}: {}", app.violations(&history(1..=9)));
    }
}

#[test]
fn after_a_short_run_that_crashed_the_runs_before_it_count() {
    for (start, right) in [(2, true), (3, true), (1, false)] {
        let mut app = App::new();
        let first = app.add_run(0, 0, 1..=2);
        app.record.ended(first, RunEnd::ClosedIdle);
        let second = app.add_run(10, 2, [3]);
        app.record.ended(second, RunEnd::Crashed(app.at(11)));
        // A run that never joined the room.
        let third = app.record.begin();
        app.record.ended(third, RunEnd::ClosedIdle);
        app.add_run(20, start, []);
        assert_eq!(app.violations(&history(1..=3)).is_empty(), right, "{start}");
    }
}

#[test]
fn a_draft_is_acked_unless_its_run_has_ended() {
    let mut app = App::new();
    let run = app.add_run(0, 0, []);
    let id = app.add_draft(run, 1);
    assert!(app.violations(&history([])).contains("draft 0 of run 0 did not resolve"));
    app.record.accepted(id, app.at(1));
    assert!(app.violations(&history([1])).contains("did not resolve"), "stored is not acked");
    app.acked(id, 1);
    assert_eq!(app.violations(&history([1])), "");
    assert_eq!(app.record.slowest_ack(), Duration::from_secs(1));

    let id = app.add_draft(run, 2);
    app.record.accepted(id, app.at(1));
    app.record.resolved(id, ROOM, Err(SendError::Closed), Duration::ZERO);
    assert!(app.violations(&history(1..=2)).contains("did not resolve: Closed"), "the client was not closed");
    app.record.ended(run, RunEnd::ClosedBusy);
    app.add_run(10, 0, []);
    assert!(app.violations(&history([1])).contains("draft 1 was unsent when run 0 was closed, and is lost"));
    assert_eq!(app.violations(&history(1..=2)), "");
}

#[test]
fn a_crash_may_lose_drafts_that_were_just_accepted() {
    for (accepted, lost) in [(6, true), (8, false)] {
        let mut app = App::new();
        let run = app.add_run(0, 0, []);
        let id = app.add_draft(run, 1);
        app.record.accepted(id, app.at(accepted));
        app.record.ended(run, RunEnd::Crashed(app.at(10)));
        app.add_run(11, 0, []);
        assert_eq!(app.violations(&history([])).contains("is lost"), lost, "{accepted}");
        assert_eq!(app.violations(&history([1])), "");
    }
}

#[test]
fn a_withdrawn_draft_is_not_stored() {
    let mut app = App::new();
    let run = app.add_run(0, 0, []);
    let id = app.add_draft(run, 1);
    app.record.withdrawn(id);
    assert_eq!(app.violations(&history([])), "");
    let tally = check(&history([1]), &[app.record.sender_log()], &[]);
    assert!(tally.to_string().contains("1 was refused at each of 1 attempts"), "{tally}");
}

#[test]
fn drafts_are_stored_in_the_order_in_which_they_were_made() {
    let mut app = App::new();
    let run = app.add_run(0, 0, []);
    for seq in [2, 1, 3] {
        let id = app.add_draft(run, seq);
        app.acked(id, seq);
    }
    assert_eq!(app.violations(&history(1..=3)), "sam: 2 in r was drafted before the event that precedes it");
}

#[test]
fn updates_that_an_application_must_not_receive_are_violations() {
    let why = Refused::new(Code::Internal, "no".to_owned());
    for (update, wrong) in [
        (Update::Unsent(3), "the last update said 3 unsent"),
        (Update::Unsent(3), "an update said 3 unsent, of 0 without an ack"),
        (Update::SaveFailed("full".to_owned()), "full"),
        (Update::Connection(ConnectionState::Failed(why)), "gave up: no"),
        (Update::CaughtUp { room: "s".parse().unwrap(), seq: 1 }, "an update about s, which was not joined"),
    ] {
        let mut app = App::new();
        let run = app.add_run(0, 0, []);
        app.record.update(run, &update, app.at(1));
        assert!(app.violations(&history([])).contains(wrong), "{}", app.violations(&history([])));
    }
}

#[test]
fn a_room_is_joined_again_after_a_lost_connection_and_a_full_mailbox() {
    let mut app = App::new();
    let run = app.add_run(0, 0, [1]);
    let online = ConnectionState::Online { user: "sam".to_owned(), max_text_bytes: 1 };
    for update in [Update::Connection(online), joined(1), Update::Event(event(2)), joined(2)] {
        app.record.update(run, &update, app.at(1));
    }
    assert_eq!(app.record.rejoins(), 1);
    assert!(!app.record.has_read_to(&[(ROOM.to_owned(), 2)]), "it has not caught up");
    app.record.update(run, &Update::CaughtUp { room: ROOM.parse().unwrap(), seq: 2 }, app.at(1));
    assert!(app.record.has_read_to(&[(ROOM.to_owned(), 2)]));
    let readers: Vec<_> = app.record.reader_logs().collect();
    let tally = check(&history(1..=2), &[], &readers);
    assert!(tally.violations.iter().all(|violation| violation.contains("never sent")), "{tally}");
}

#[test]
fn the_library_names_the_event_at_which_it_resumes() {
    let named = |start_id| {
        let Update::Joined(joined) = joined(2) else { unreachable!("it is one") };
        Update::Joined(Joined { start_id, ..joined })
    };
    for (start_id, right) in [(Some(msg_id(2)), true), (Some(msg_id(1)), false), (None, false)] {
        // In the same run, and in the next one.
        for end in [None, Some(RunEnd::ClosedIdle)] {
            let mut app = App::new();
            let mut run = app.add_run(0, 0, 1..=2);
            if let Some(end) = end {
                app.record.ended(run, end);
                run = app.record.begin();
            }
            app.record.update(run, &named(start_id), app.at(10));
            let violations = app.violations(&history(1..=2));
            assert_eq!(violations.contains("resumes after 2"), !right, "{start_id:?}: {violations}");
        }
    }
}
