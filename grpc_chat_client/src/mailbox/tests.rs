use std::time::SystemTime;

use super::*;
use crate::model::{ConnectionState, Event, Joined, MsgId, Verdict};

fn room(name: &str) -> RoomId {
    name.parse().unwrap()
}

/// The id of the event with this seq.
fn id(seq: u64) -> MsgId {
    MsgId(u128::from(seq).to_be_bytes())
}

fn event(seq: u64, text: &str) -> Update {
    Update::Event(Event {
        room: room("r"),
        seq,
        prev_seq: seq - 1,
        time: SystemTime::UNIX_EPOCH,
        sender: "u".to_owned(),
        device: String::new(),
        id: id(seq),
        body: Body::Posted { text: text.to_owned(), reply_to: None, erased: false },
    })
}

fn joined(epoch: u64, start: u64) -> Update {
    let verdict = Verdict::Live;
    Update::Joined(Joined {
        room: room("r"),
        verdict,
        epoch,
        start,
        start_id: Some(id(start)),
        head: 9,
        oldest: 1,
        read: 0,
    })
}

#[test]
fn updates_come_in_order_and_of_those_that_replace_each_other_only_the_latest() {
    let (mailbox, mut events) = open(MailboxLimits::default(), true);
    mailbox.put(Update::Unsent(1));
    mailbox.put(event(1, "a"));
    mailbox.put(Update::Unsent(2));
    mailbox.put(event(2, "b"));
    mailbox.close();
    let all: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
    assert_eq!(all, [event(1, "a"), event(2, "b"), Update::Unsent(2)]);
}

#[test]
fn connection_states_that_nobody_took_are_merged() {
    let (mailbox, mut events) = open(MailboxLimits::default(), true);
    mailbox.put(Update::Connection(ConnectionState::Connecting));
    mailbox.put(Update::Connection(ConnectionState::Draining));
    mailbox.put(event(1, "a"));
    mailbox.put(Update::Connection(ConnectionState::Closed));
    mailbox.close();
    let all: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
    let connection = Update::Connection;
    assert_eq!(all, [connection(ConnectionState::Draining), event(1, "a"), connection(ConnectionState::Closed)]);
}

#[tokio::test]
async fn it_is_overfull_until_half_is_taken() {
    let bounds = MailboxLimits { updates: 4, bytes: 100 };
    let (mailbox, mut events) = open(bounds, true);
    assert_eq!([1, 2, 3, 4].map(|seq| mailbox.put(event(seq, ""))), [false, false, false, true]);
    events.next().await.unwrap();
    assert!(mailbox.is_overfull());
    events.next().await.unwrap();
    assert!(!mailbox.is_overfull());
    mailbox.room().await;

    assert!(mailbox.put(event(5, &"x".repeat(100))), "bytes count, too");
    while mailbox.is_overfull() {
        events.next().await.unwrap();
    }
    assert!(mailbox.put(event(6, &"x".repeat(100))));
    drop(events);
    mailbox.room().await;
    assert!(!mailbox.is_overfull());
    assert!(!mailbox.put(event(7, "x")), "nobody will take it");
}

#[test]
fn what_the_next_run_will_get_is_not_delivered_after_the_end() {
    let (mailbox, mut events) = open(MailboxLimits::default(), true);
    let closed = Update::Connection(ConnectionState::Closed);
    for update in [joined(7, 3), event(4, "a"), event(5, "b"), closed.clone()] {
        mailbox.put(update);
    }
    events.try_next().unwrap();
    events.try_next().unwrap();
    assert_eq!(mailbox.leave_to_next_run(), HashMap::from([(room("r"), Cursor { epoch: 7, seq: 3, id: Some(id(3)) })]));
    mailbox.close();
    assert_eq!(std::iter::from_fn(|| events.try_next()).collect::<Vec<_>>(), [closed]);
}

#[test]
fn the_latest_state_is_delivered_although_the_queue_is_never_empty() {
    let (mailbox, mut events) = open(MailboxLimits::default(), true);
    mailbox.put(Update::Unsent(1));
    for seq in 1..200 {
        mailbox.put(event(seq, "x"));
    }
    let before = std::iter::from_fn(|| events.try_next()).take_while(|update| *update != Update::Unsent(1)).count();
    assert_eq!(before, IN_BETWEEN);
}

/// The updates delivered while more are put in before each.
fn delivered(put: impl Fn(&Mailbox, u64), times: u64) -> Vec<Update> {
    let (mailbox, mut events) = open(MailboxLimits::default(), false);
    for seq in 1..=1_000 {
        mailbox.put(event(seq, "x"));
    }
    (0..times)
        .map(|n| {
            put(&mailbox, n);
            events.try_next().unwrap()
        })
        .collect()
}

#[test]
fn constant_replacements_block_neither_events_nor_each_other() {
    let typing = |name: &str| Update::Typing { room: room(name), users: Vec::new() };
    let delivered = delivered(
        |mailbox, n| {
            mailbox.put(Update::Unsent(n as usize));
            mailbox.put(typing("a"));
            mailbox.put(typing("b"));
        },
        510,
    );
    let events = delivered.iter().filter(|update| matches!(update, Update::Event(_))).count();
    assert_eq!(events, 480, "16 for each one of the others");
    let unsent = delivered.iter().filter(|update| matches!(update, Update::Unsent(_))).count();
    let of = |room| delivered.iter().filter(|update| **update == typing(room)).count();
    assert_eq!([unsent, of("a"), of("b")], [10, 10, 10]);
}

#[test]
fn the_state_of_a_room_is_delivered_after_its_join_and_older_state_is_dropped() {
    let (mailbox, mut events) = open(MailboxLimits::default(), false);
    let read = |seq| Update::Read { room: room("r"), seq };
    mailbox.put(read(500));
    for seq in 1..100 {
        mailbox.put(event(seq, "x"));
    }
    mailbox.put(joined(8, 0));
    mailbox.put(read(3));
    let all: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
    assert!(all[99..] == [joined(8, 0), read(3)], "{all:?}");
    assert_eq!(mailbox.epoch(&room("r")), Some(8));
}

#[test]
fn refusals_count_with_their_text() {
    let (mailbox, _events) = open(MailboxLimits { updates: 100, bytes: 1_000 }, false);
    let draft = crate::model::Draft::new(room("r"), Change::post("x".repeat(1_000)));
    let why = crate::error::Refused::new(tonic::Code::InvalidArgument, "no".to_owned());
    assert!(mailbox.put(Update::Refused { draft, why }));
}

#[test]
fn an_event_is_seen_when_the_next_update_is_asked_for() {
    let (mailbox, mut events) = open(MailboxLimits::default(), true);
    mailbox.put(joined(7, 3));
    mailbox.put(event(4, "a"));
    mailbox.put(event(5, "b"));
    let seen = || mailbox.take_seen().remove("r");
    let at = |seq| Some(Cursor { epoch: 7, seq, id: Some(id(seq)) });
    events.try_next().unwrap();
    assert_eq!(seen(), None);
    events.try_next().unwrap();
    assert_eq!(seen(), at(3));
    events.try_next().unwrap();
    assert_eq!(seen(), at(4));
    assert!(events.try_next().is_none());
    assert_eq!(seen(), at(5));
    assert_eq!(seen(), None, "it is returned once");
}
