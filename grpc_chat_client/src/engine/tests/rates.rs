//! Waiting as the service asks to, when it refuses what comes too fast.

use super::*;

const HINT: Duration = Duration::from_secs(2);

/// A message that the engine has sent.
#[derive(Debug)]
struct Sent {
    /// The id of the frame.
    id: u64,
    send: pb::Send,
}

/// The messages that the engine sends now.
fn messages(engine: &mut Engine) -> Vec<Sent> {
    let message = |(id, body)| match body {
        client_frame::Body::Send(send) => Sent { id, send },
        body => panic!("{body:?}"),
    };
    sent(engine).into_iter().map(message).collect()
}

/// The one message that the engine sends now.
fn message(engine: &mut Engine) -> Sent {
    let mut messages = messages(engine);
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages.remove(0)
}

fn acks(engine: &mut Engine, Sent { id, send }: &Sent, now: Time) {
    engine.frame_received(ack(*id, &send.room, *id, send.client_msg_id.clone()), now);
}

fn refuses(engine: &mut Engine, id: u64, rate: &str, now: Time) {
    engine.frame_received(error(id, &over(rate, HINT)), now);
}

/// Waits until the engine has something to send. Returns the time.
fn wait(engine: &mut Engine, mut now: Time) -> Time {
    while !engine.has_frame() {
        now = engine.deadline().unwrap();
        engine.tick(now);
    }
    now
}

fn count(engine: &mut Engine, is_report: fn(&Update) -> bool) -> usize {
    let is_report = |action: &Action| matches!(action, Action::Deliver(update) if is_report(update));
    std::mem::take(&mut engine.actions).iter().filter(|action| is_report(action)).count()
}

#[test]
fn a_refused_draft_is_not_overtaken_by_those_in_flight_with_it_nor_by_later_ones() {
    let (mut engine, now) = online();
    let _acked = ["a", "b", "c", "d", "e"].map(|text| post(&mut engine, "north", text));
    let first = messages(&mut engine);
    let [a, b, c, d] = &first[..] else { panic!("no more may be in flight: {first:?}") };
    refuses(&mut engine, a.id, "changes", now);
    acks(&mut engine, b, now);
    let later = now + HINT * 2;
    engine.tick(later);
    assert!(!engine.has_frame(), "two are in flight, and may be refused, too");
    refuses(&mut engine, c.id, "changes", later);
    refuses(&mut engine, d.id, "changes", later);
    let mut now = wait(&mut engine, later);
    assert!(now >= later + HINT && now <= later + HINT + SETTINGS.backoff.base, "{now:?}");
    let mut order = Vec::new();
    // One at first, since it is not known how many will be accepted.
    for count in [1, 2, 1] {
        let again = messages(&mut engine);
        assert_eq!(again.len(), count, "{again:?}");
        for sent in &again {
            acks(&mut engine, sent, now);
        }
        order.extend(again.into_iter().map(|sent| sent.send.text));
        now = now + Duration::from_millis(1);
    }
    assert_eq!(order, ["a", "c", "d", "e"]);
}

#[test]
fn a_client_over_a_rate_says_so_once_until_everything_is_sent() {
    let (mut engine, mut now) = online();
    let reports = |engine: &mut Engine| count(engine, |update| matches!(update, Update::SendDelayed(_)));
    let _acked = ["a", "b"].map(|text| post(&mut engine, "north", text));
    let first = messages(&mut engine);
    for sent in &first {
        refuses(&mut engine, sent.id, "changes", now);
    }
    assert_eq!(reports(&mut engine), 1);
    now = wait(&mut engine, now);
    let a = message(&mut engine);
    acks(&mut engine, &a, now);
    let b = message(&mut engine);
    refuses(&mut engine, b.id, "changes", now);
    assert_eq!(reports(&mut engine), 0, "one has been sent meanwhile, and the user waits for the other");
    now = wait(&mut engine, now);
    let b = message(&mut engine);
    acks(&mut engine, &b, now);
    let _acked = post(&mut engine, "north", "c");
    let c = message(&mut engine);
    refuses(&mut engine, c.id, "changes", now);
    assert_eq!(reports(&mut engine), 1);
}

#[test]
fn one_rate_does_not_hold_up_what_has_another() {
    let (mut engine, now) = online();
    let _joined = join(&mut engine, "north", Start::Live);
    let [id] = ids(&mut engine);
    refuses(&mut engine, id, "joins", now);
    let _acked = post(&mut engine, "north", "a");
    let a = message(&mut engine);
    refuses(&mut engine, a.id, "changes", now);

    let (mut engine, now) = online();
    let _acked = post(&mut engine, "north", "a");
    let a = message(&mut engine);
    refuses(&mut engine, a.id, "changes", now);
    let _joined = join(&mut engine, "north", Start::Live);
    let [_] = ids(&mut engine);
    command(&mut engine, Command::MarkRead { room: room("north"), seq: 1 });
    assert!(!engine.has_frame(), "a read mark is a change");
    wait(&mut engine, now);
    assert!(matches!(sent(&mut engine)[..], [(_, client_frame::Body::MarkRead(_)), (_, client_frame::Body::Send(_))]));
}

#[test]
fn a_room_that_is_one_new_room_too_many_waits_alone() {
    let (mut engine, now) = online();
    let _acked = [("new", "a"), ("new", "b"), ("north", "c")].map(|(room, text)| post(&mut engine, room, text));
    let first = messages(&mut engine);
    let [a, b, c] = &first[..] else { panic!("{first:?}") };
    refuses(&mut engine, a.id, "new_rooms", now);
    refuses(&mut engine, b.id, "new_rooms", now);
    acks(&mut engine, c, now);
    let _acked = [("new", "d"), ("north", "e")].map(|(room, text)| post(&mut engine, room, text));
    let e = message(&mut engine);
    assert_eq!(e.send.text, "e");
    acks(&mut engine, &e, now);
    let mut order = Vec::new();
    let mut later = wait(&mut engine, now);
    assert!(later >= now + HINT);
    while order.len() < 3 {
        for sent in messages(&mut engine) {
            acks(&mut engine, &sent, later);
            order.push(sent.send.text);
        }
        later = later + Duration::from_millis(1);
    }
    assert_eq!(order, ["a", "b", "d"]);
}

#[test]
fn another_session_does_not_end_the_wait() {
    let (mut engine, now) = online();
    let _acked = post(&mut engine, "north", "a");
    let a = message(&mut engine);
    refuses(&mut engine, a.id, "changes", now);
    engine.session_ended(&Status::unavailable("cut"), now);
    engine.session_opened(&welcome(), now);
    assert!(!engine.has_frame(), "the rate is the user's, not the session's");
    assert!(wait(&mut engine, now) >= now + HINT);
}

#[test]
fn a_session_that_is_refused_is_opened_again_after_the_hint() {
    let (mut engine, now) = new();
    engine.session_ended(&over("sessions", HINT), now);
    let deadline = engine.deadline().unwrap();
    assert!(deadline >= now + HINT && deadline <= now + HINT + SETTINGS.backoff.base);
    let states = connections(&mut engine);
    let Some(ConnectionState::Reconnecting { retry_in, .. }) = states.last() else { panic!("{states:?}") };
    assert!(*retry_in >= HINT);
}

#[test]
fn a_join_that_has_to_wait_for_long_is_reported() {
    let (mut engine, now) = online();
    let _joined = ["north", "south"].map(|room| join(&mut engine, room, Start::Live));
    engine.actions.clear();
    for id in ids::<2>(&mut engine) {
        refuses(&mut engine, id, "joins", now);
    }
    assert_eq!(count(&mut engine, |update| matches!(update, Update::RequestDelayed { .. })), 1);
    wait(&mut engine, now);
    let [_, _] = ids(&mut engine);
}
