use stubs::chat::v1 as pb;

use super::*;

fn event(seq: u64) -> EventDigest {
    let id = [u8::try_from(seq).unwrap(); 16];
    EventDigest { seq, prev_seq: seq - 1, id, message: seq, bytes: seq }
}

fn joined(epoch: u64, start_seq: u64, head_seq: u64) -> pb::Joined {
    let verdict = pb::Verdict::Recovered.into();
    pb::Joined { room: "r".to_owned(), verdict, epoch, start_seq, head_seq, ..pb::Joined::default() }
}

/// Returns the log of a sender with three messages, sent and acked.
fn sender() -> SenderLog {
    let mut sender = SenderLog::default();
    for event in (1..=3).map(event) {
        sender.sent(event.id, "r", event.message);
        sender.acked(event.id, "r", event.seq, false);
    }
    sender
}

fn history(events: impl IntoIterator<Item = EventDigest>) -> History {
    History::from([("r".to_owned(), events.into_iter().collect())])
}

/// Returns the log of a reader that received one event, lost its connection, and received the others.
fn log() -> ReaderLog {
    let mut log = ReaderLog::default();
    log.joined(&joined(7, 0, 1));
    log.event(event(1));
    log.caught_up(1);
    log.stream_ended();
    assert_eq!(log.cursor(), pb::Cursor { epoch: 7, seq: 1, client_msg_id: vec![1; 16].into() });
    log.joined(&joined(7, 1, 2));
    log.event(event(2));
    log.caught_up(2);
    log.event(event(3));
    log
}

fn reader(log: &ReaderLog) -> RoomReader<'_> {
    RoomReader { room: "r", log, to_the_head: true }
}

fn violations(log: &ReaderLog) -> String {
    let tally = check(&history((1..=3).map(event)), &[&sender()], &[reader(log)]);
    tally.violations.join("; ")
}

#[track_caller]
fn fails(log: &ReaderLog, with: &str) {
    let violations = violations(log);
    assert!(violations.contains(with), "expected \"{with}\" in \"{violations}\"");
}

#[test]
fn a_correct_run_has_no_violations() {
    let tally = check(&history((1..=3).map(event)), &[&sender()], &[reader(&log())]);
    assert_eq!(tally.to_string(), "3 acked, 3 delivered, 0 lost, 0 duplicated, 0 violations");
}

#[test]
fn an_event_out_of_order_is_found() {
    let mut log = log();
    log.event(event(2));
    fails(&log, "event 2 came after 3");
}

#[test]
fn an_event_that_comes_twice_is_found() {
    let mut log = log();
    log.event(event(3));
    fails(&log, "event 3 came twice");
}

#[test]
fn a_gap_and_a_missing_end_are_found() {
    let mut log = ReaderLog::default();
    log.joined(&joined(7, 0, 0));
    log.caught_up(0);
    log.event(event(1));
    fails(&log, "received 1 of 3 events");
    log.event(event(3));
    fails(&log, "event 3 has prev_seq 2; the last event was 1");
    fails(&log, "received 3 where 2 was due: it is not the next one");
}

#[test]
fn a_gap_that_prev_seq_hides_is_found_in_the_history() {
    let mut log = ReaderLog::default();
    log.joined(&joined(7, 0, 0));
    log.event(event(1));
    log.event(EventDigest { prev_seq: 1, ..event(3) });
    fails(&log, "received 3 where 2 was due");
}

#[test]
fn a_resume_with_another_start_epoch_or_verdict_is_found() {
    for (answer, why) in [
        (joined(7, 2, 3), "resume after 3 starts after 2"),
        (joined(7, 4, 4), "resume after 3 starts after 4"),
        (joined(8, 3, 3), "the epoch changed from 7 to 8"),
        (joined(7, 3, 2), "Joined has head 2 before start 3"),
        (pb::Joined { verdict: pb::Verdict::Reset.into(), ..joined(7, 3, 3) }, "was VERDICT_RESET"),
    ] {
        let mut log = log();
        log.stream_ended();
        log.joined(&answer);
        fails(&log, why);
    }
}

#[test]
fn a_reader_with_any_start_may_start_anywhere_once() {
    let mut log = ReaderLog::with_any_start();
    assert_eq!(log.start(), None);
    log.joined(&pb::Joined { verdict: pb::Verdict::Live.into(), ..joined(7, 1, 2) });
    log.event(event(2));
    log.stream_ended();
    log.joined(&joined(7, 2, 3));
    log.event(event(3));
    assert_eq!(violations(&log), "");
    assert_eq!(log.start(), Some(pb::Cursor { epoch: 7, seq: 1, ..pb::Cursor::default() }));
    log.stream_ended();
    log.joined(&pb::Joined { verdict: pb::Verdict::Live.into(), ..joined(7, 3, 3) });
    fails(&log, "was VERDICT_LIVE");

    let mut log = ReaderLog::with_any_start();
    log.joined(&pb::Joined { verdict: pb::Verdict::Reset.into(), ..joined(7, 3, 3) });
    fails(&log, "was VERDICT_RESET");
}

#[test]
fn caught_up_comes_once_after_joined_and_after_the_promised_head() {
    let mut twice = log();
    twice.caught_up(3);
    fails(&twice, "CaughtUp came twice");

    let mut early = ReaderLog::default();
    early.joined(&joined(7, 0, 2));
    early.event(event(1));
    early.caught_up(1);
    fails(&early, "CaughtUp came at 1, and Joined had promised 2 before it");

    let mut elsewhere = ReaderLog::default();
    elsewhere.joined(&joined(7, 0, 0));
    elsewhere.caught_up(2);
    fails(&elsewhere, "CaughtUp has seq 2; the last event was 0");

    let mut unasked = log();
    unasked.stream_ended();
    unasked.caught_up(3);
    fails(&unasked, "CaughtUp came before Joined");
}

#[test]
fn joined_comes_first_and_once() {
    let mut log = log();
    log.joined(&joined(7, 3, 3));
    fails(&log, "Joined came twice");
    log.stream_ended();
    log.event(event(4));
    fails(&log, "event 4 came before Joined");
}

#[test]
fn an_event_with_other_bytes_is_found() {
    let mut log = ReaderLog::default();
    log.joined(&joined(7, 0, 3));
    for event in [event(1), EventDigest { bytes: 99, ..event(2) }, event(3)] {
        log.event(event);
    }
    fails(&log, "received 2 where 2 was due: its bytes differ from the history's");
}

#[track_caller]
fn stored(events: impl IntoIterator<Item = EventDigest>, lost: usize, duplicated: usize, with: &str) {
    let tally = check(&history(events), &[&sender()], &[]);
    assert_eq!((tally.lost, tally.duplicated), (lost, duplicated), "{tally}");
    assert!(tally.to_string().contains(with), "expected \"{with}\" in \"{tally}\"");
}

#[test]
fn an_acked_draft_is_stored_once_as_it_was_sent_where_it_was_acked() {
    stored((1..=2).map(event), 1, 0, "lost: acked at 3 in r, and it is nowhere");
    stored([event(1), event(2), EventDigest { id: event(2).id, ..event(3) }], 2, 1, "3 was stored before");
    stored([event(1), event(2), EventDigest { seq: 4, prev_seq: 2, ..event(3) }], 1, 0, "it is at 4 in r");
    stored([event(1), EventDigest { message: 9, ..event(2) }, event(3)], 0, 0, "2 is not what was sent");
    stored((1..=4).map(event), 0, 0, "4 was never sent");
    stored([event(1), EventDigest { prev_seq: 2, ..event(3) }], 1, 0, "history of r: 3 after 1");
}

#[test]
fn a_draft_that_was_refused_at_each_attempt_is_not_stored() {
    let tally_of = |attempts: u32, refused: u32| {
        let mut sender = sender();
        (0..attempts).for_each(|_| sender.sent([4; 16], "r", 4));
        (0..refused).for_each(|_| sender.refused([4; 16]));
        check(&history((1..=4).map(event)), &[&sender], &[]).violations.join("; ")
    };
    assert_eq!(tally_of(2, 2), "history of r: 4 was refused at each of 2 attempts");
    assert_eq!(tally_of(2, 1), "", "one attempt may have been stored");
}

#[test]
fn acks_agree_with_each_other_and_with_what_was_sent() {
    let check_with = |note: fn(&mut SenderLog), with: &str| {
        let mut sender = sender();
        note(&mut sender);
        let tally = check(&history((1..=3).map(event)), &[&sender], &[]).to_string();
        assert!(tally.contains(with), "expected \"{with}\" in \"{tally}\"");
    };
    check_with(|sender| sender.acked([9; 16], "r", 9, false), "an ack at 9 in r for a draft that was never sent");
    check_with(|sender| sender.acked([1; 16], "r", 2, false), "acked at 1 and then at 2");
    check_with(|sender| sender.acked([1; 16], "s", 1, false), "sent to r and acked in s");
    check_with(|sender| sender.acked([1; 16], "r", 1, true), "was sent once and acked as a duplicate");
    check_with(|sender| sender.acked([1; 16], "r", 1, false), "1 in r was acked twice, neither time as a duplicate");
    check_with(|sender| sender.sent([4; 16], "r", 4), "0 violations");
    check_with(
        |sender| {
            sender.sent([1; 16], "r", 1);
            sender.acked([1; 16], "r", 1, true);
        },
        "0 violations",
    );
}
