//! Joining rooms, and receiving them.

use super::*;
use crate::model::Body;

#[test]
fn a_room_that_a_slow_application_waits_for_is_joined_at_once_and_resumed_later() {
    let (mut engine, now) = online();
    engine.pause();
    let mut joined = join(&mut engine, "north", Start::Last(10));
    let [id] = ids(&mut engine);
    engine.frame_received(join_reply(id, EPOCH, 5, pb::Verdict::Live), now);
    assert_eq!(joined.try_recv().unwrap().unwrap().start, 5);
    assert!(matches!(sent(&mut engine)[..], [(_, client_frame::Body::Leave(_))]));
    engine.actions.clear();
    engine.frame_received(event(6, 5), now);
    assert!(engine.actions.is_empty(), "it comes again when the room is resumed");
    engine.resume();
    let frames = sent(&mut engine);
    assert!(
        matches!(&frames[..], [(_, client_frame::Body::Join(join))] if join.start == after(5, false)),
        "{frames:?}"
    );

    // A Join that is under way already stays so.
    let (mut engine, now) = online();
    let mut joined = join(&mut engine, "north", Start::Live);
    let [id] = ids(&mut engine);
    engine.pause();
    assert!(sent(&mut engine).is_empty());
    engine.frame_received(join_reply(id, EPOCH, 5, pb::Verdict::Live), now);
    joined.try_recv().unwrap().unwrap();
    assert!(matches!(sent(&mut engine)[..], [(_, client_frame::Body::Leave(_))]));
}

#[test]
fn rooms_are_joined_again_a_few_at_a_time() {
    let (mut engine, now) = online();
    let joining: Vec<_> = (0..100).map(|n| join(&mut engine, &format!("r{n:02}"), Start::Live)).collect();
    let in_flight = |engine: &mut Engine| {
        let mut frames = Vec::new();
        loop {
            let more = sent(engine);
            if more.is_empty() {
                return frames;
            }
            for (id, body) in &more {
                let client_frame::Body::Join(join) = body else { panic!("{body:?}") };
                let joined = pb::Joined { room: join.room.clone(), epoch: EPOCH, ..pb::Joined::default() };
                engine.frame_received(frame(*id, server_frame::Body::Joined(joined)), now);
            }
            frames.extend(more);
        }
    };
    assert_eq!(in_flight(&mut engine).len(), 100, "a caller waits for each of them");
    drop(joining);
    engine.session_ended(&Status::unavailable("cut"), now);
    engine.session_opened(&welcome(), now);
    let first = in_flight(&mut engine);
    assert_eq!(first.len(), 32);
    let client_frame::Body::Join(pb::Join { room, .. }) = &first[0].1 else { panic!() };
    engine.frame_received(frame(0, server_frame::Body::CaughtUp(pb::CaughtUp { room: room.clone(), seq: 0 })), now);
    assert_eq!(in_flight(&mut engine).len(), 1);
}

#[test]
fn a_reply_to_an_earlier_join_is_not_taken_for_one_to_a_later_join() {
    let (mut engine, now) = online();
    let _first = join(&mut engine, "north", Start::Live);
    let [(early, _)] = sent(&mut engine)[..] else { panic!("one frame") };
    command(&mut engine, Command::Leave { room: room("north") });
    let _second = join(&mut engine, "north", Start::Live);
    let frames = sent(&mut engine);
    let [(_, client_frame::Body::Leave(_)), (late, client_frame::Body::Join(_))] = frames[..] else {
        panic!("{frames:?}")
    };
    engine.actions.clear();
    engine.frame_received(error(early, &Status::failed_precondition("overtaken")), now);
    assert!(engine.actions.is_empty(), "{:?}", engine.actions);
    let joined = pb::Joined { room: "north".to_owned(), epoch: EPOCH, ..pb::Joined::default() };
    engine.frame_received(frame(late, server_frame::Body::Joined(joined)), now);
    assert!(matches!(engine.actions[0], Action::Deliver(Update::Joined(_))));
}

#[test]
fn a_gap_between_events_is_not_delivered() {
    let (mut engine, now) = online();
    let _joined = join(&mut engine, "north", Start::Live);
    let [(id, _)] = sent(&mut engine)[..] else { panic!("one frame") };
    let joined = pb::Joined { room: "north".to_owned(), epoch: EPOCH, start_seq: 3, ..pb::Joined::default() };
    engine.frame_received(frame(id, server_frame::Body::Joined(joined)), now);
    engine.actions.clear();
    engine.frame_received(event(4, 3), now);
    engine.frame_received(event(4, 3), now);
    engine.frame_received(event(6, 5), now);
    let delivered: Vec<u64> = engine
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Deliver(Update::Event(event)) => Some((event.seq, event.body == Body::Unknown)),
            _ => None,
        })
        .map(|(seq, _)| seq)
        .collect();
    assert_eq!(delivered, [4]);
    assert!(engine.actions.contains(&Action::Disconnect), "it reconnects for what is missing");
    let later = engine.deadline().unwrap();
    engine.tick(later);
    engine.session_opened(&welcome(), later);
    let frames = sent(&mut engine);
    assert!(matches!(&frames[..], [(_, client_frame::Body::Join(join))] if join.start == after(4, true)), "{frames:?}");
}

#[test]
fn a_room_with_a_damaged_history_is_given_up_and_the_others_stay() {
    let damaged = |room: &str| {
        let details = ErrorDetails::with_error_info(
            pb::Reason::HistoryDamaged.as_str_name(),
            "chat.v1",
            [("room".to_owned(), room.to_owned())],
        );
        Status::with_error_details(Code::DataLoss, "the history is damaged", details)
    };
    let (mut engine, now) = online();
    let _joining = ["north", "south"].map(|room| join(&mut engine, room, Start::Live));
    let mut acked = post(&mut engine, "south", "Hi");
    let [id, _, _] = ids(&mut engine);
    engine.frame_received(join_reply(id, EPOCH, 5, pb::Verdict::Live), now);
    engine.actions.clear();
    engine.session_ended(&damaged("north"), now);
    let refused =
        |action: &Action| matches!(action, Action::Deliver(Update::JoinRefused { room, .. }) if room == "north");
    assert!(engine.actions.iter().any(refused), "{:?}", engine.actions);
    engine.tick(engine.deadline().unwrap());
    engine.session_opened(&welcome(), now);
    let rooms: Vec<_> = sent(&mut engine)
        .into_iter()
        .filter_map(|(_, body)| if let client_frame::Body::Join(join) = body { Some(join.room) } else { None })
        .collect();
    assert_eq!(rooms, ["south"]);
    acked.try_recv().unwrap_err();

    // A room that was left meanwhile is not reported.
    engine.actions.clear();
    engine.session_ended(&damaged("east"), now);
    assert!(matches!(engine.actions[..], [Action::Deliver(Update::Connection(ConnectionState::Reconnecting { .. }))]));
    let nameless = Status::data_loss("the history is damaged");
    engine.session_ended(&nameless, now);
    assert!(matches!(acked.try_recv().unwrap(), Err(SendError::Failed(_))));
}

#[test]
fn a_room_is_resumed_after_it_was_refused_or_joined_again() {
    let (mut engine, now) = online();
    let _joined = join(&mut engine, "north", Start::Last(10));
    let [id] = ids(&mut engine);
    engine.frame_received(join_reply(id, EPOCH, 5, pb::Verdict::Live), now);
    let start = |engine: &mut Engine| match &sent(engine)[..] {
        [(id, client_frame::Body::Join(join))] => (*id, join.start.clone()),
        frames => panic!("{frames:?}"),
    };
    let _again = join(&mut engine, "north", Start::Resume { or_last: 10 });
    let (id, from) = start(&mut engine);
    assert_eq!(from, after(5, false));
    engine.frame_received(error(id, &Status::permission_denied("not now")), now);
    sent(&mut engine);
    let _again = join(&mut engine, "north", Start::Resume { or_last: 10 });
    assert_eq!(start(&mut engine).1, after(5, false));
}

#[test]
fn a_room_that_was_left_resumes_after_the_last_event() {
    let (mut engine, now) = online();
    let _joined = join(&mut engine, "north", Start::Last(10));
    let [id] = ids(&mut engine);
    engine.frame_received(join_reply(id, EPOCH, 5, pb::Verdict::Live), now);
    engine.frame_received(event(6, 5), now);
    command(&mut engine, Command::Leave { room: room("north") });
    let [_] = ids(&mut engine);
    let _joined = join(&mut engine, "north", Start::Resume { or_last: 10 });
    let frames = sent(&mut engine);
    assert!(matches!(&frames[..], [(_, client_frame::Body::Join(join))] if join.start == after(6, true)), "{frames:?}");
}

#[test]
fn a_room_that_the_service_still_delivers_is_left_although_its_join_was_put_off() {
    let (mut engine, now) = online();
    let _joined = join(&mut engine, "north", Start::Live);
    let _acked = post(&mut engine, "north", "x");
    let [id, send] = ids(&mut engine);
    engine.frame_received(join_reply(id, EPOCH, 0, pb::Verdict::Live), now);
    engine.frame_received(error(send, &retry_in(Duration::from_secs(2))), now);
    // The Join is put off, since the service cannot take requests now.
    let _joined = join(&mut engine, "north", Start::Last(10));
    assert!(sent(&mut engine).is_empty());
    command(&mut engine, Command::Leave { room: room("north") });
    assert!(matches!(sent(&mut engine)[..], [(_, client_frame::Body::Leave(_))]));
}

#[test]
fn a_cursor_names_the_event_it_stands_on() {
    let (mut engine, now) = online();
    let _joined = join(&mut engine, "north", Start::Live);
    // Ends the session, opens another, and replies to its Join. Returns the start in the Join, and what the application learns.
    let rejoin = |engine: &mut Engine, verdict| {
        engine.session_ended(&Status::unavailable("cut"), now);
        engine.session_opened(&welcome(), now);
        let frames = sent(engine);
        let [(id, client_frame::Body::Join(join))] = &frames[..] else { panic!("{frames:?}") };
        engine.actions.clear();
        engine.frame_received(join_reply(*id, EPOCH, 6, verdict), now);
        let Action::Deliver(Update::Joined(joined)) = &engine.actions[0] else { panic!("{:?}", engine.actions) };
        (join.start.clone(), joined.start_id.map(|id| id.0.to_vec().into()))
    };
    let [id] = ids(&mut engine);
    engine.frame_received(join_reply(id, EPOCH, 5, pb::Verdict::Live), now);
    engine.frame_received(event(6, 5), now);
    for _ in 0..2 {
        assert_eq!(rejoin(&mut engine, pb::Verdict::Recovered), (after(6, true), Some(msg_id(6))));
    }
    // After a reset it is another event that has this seq.
    assert_eq!(rejoin(&mut engine, pb::Verdict::Reset), (after(6, true), None));
    assert_eq!(rejoin(&mut engine, pb::Verdict::Recovered), (after(6, false), None));
}

#[test]
fn when_a_room_grows_large_its_users_become_a_number_and_their_names_come_back() {
    let (mut engine, now) = online();
    let _joined = join(&mut engine, "north", Start::Live);
    let [id] = ids(&mut engine);
    let joined = pb::Joined {
        room: "north".to_owned(),
        present: vec!["ann".to_owned(), "sam".to_owned()],
        present_count: 2,
        ..pb::Joined::default()
    };
    engine.frame_received(frame(id, server_frame::Body::Joined(joined)), now);
    engine.actions.clear();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut changed = |came: &[&str], snapshot, present_count| {
        let changed = pb::PresenceChanged {
            room: "north".to_owned(),
            came: names(came),
            left: Vec::new(),
            snapshot,
            present_count,
        };
        engine.frame_received(frame(0, server_frame::Body::PresenceChanged(changed)), now);
        match engine.actions.pop() {
            Some(Action::Deliver(Update::Present { users, count, .. })) => (users, count),
            action => panic!("{action:?}"),
        }
    };
    assert_eq!(changed(&["bob"], false, 3), (names(&["ann", "bob", "sam"]), 3));
    assert_eq!(changed(&[], true, 257), (names(&[]), 257));
    assert_eq!(changed(&[], true, 312), (names(&[]), 312));
    assert_eq!(changed(&["ann", "kim"], true, 2), (names(&["ann", "kim"]), 2));
    // However many a service names.
    let many: Vec<String> = (0..5_000).map(|n| format!("user-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(changed(&many, false, 5_002).0.len(), 1_024);
}
