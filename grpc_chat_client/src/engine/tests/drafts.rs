//! Sending drafts, and saving them.

use std::collections::HashMap;

use super::*;
use crate::model::Cursor;

#[test]
fn no_more_requests_are_in_flight_than_the_service_allows() {
    let (mut engine, now) = online();
    let _acked: Vec<Acked> = (0..10).map(|n| post(&mut engine, "north", &n.to_string())).collect();
    let first = sent(&mut engine);
    assert_eq!(first.len(), 4);
    let client_frame::Body::Send(send) = &first[0].1 else { panic!("{first:?}") };
    engine.frame_received(ack(first[0].0, "north", 1, send.client_msg_id.clone()), now);
    assert_eq!(sent(&mut engine).len(), 1);
    assert!(!engine.has_frame());
}

#[test]
fn the_refusal_of_a_draft_goes_to_whoever_waits_or_else_to_the_application() {
    let (mut engine, now) = online();
    let mut awaited = post(&mut engine, "north", "a");
    drop(post(&mut engine, "north", "b"));
    let frames = sent(&mut engine);
    engine.actions.clear();
    let refused = Status::invalid_argument("text is longer");
    for (id, _) in &frames {
        engine.frame_received(error(*id, &refused), now);
    }
    let why = Refused::from(&refused);
    assert_eq!(awaited.try_recv().unwrap(), Err(SendError::Refused(why.clone())));
    let delivered: Vec<_> =
        engine.actions.iter().filter(|action| matches!(action, Action::Deliver(Update::Refused { .. }))).collect();
    assert!(matches!(delivered[..], [Action::Deliver(Update::Refused { draft, why: delivered })]
        if draft.change == Change::post("b") && *delivered == why));
    assert!(sent(&mut engine).is_empty(), "it is not sent again");
}

#[test]
fn why_the_service_cannot_store_drafts_is_reported_once_until_one_is_acked() {
    let (mut engine, mut now) = online();
    let _acked = [post(&mut engine, "north", "a"), post(&mut engine, "north", "b")];
    let full = Status::unavailable("the disk is full");
    let reports = |engine: &mut Engine| {
        let report = Action::Deliver(Update::SendDelayed(Refused::from(&full)));
        std::mem::take(&mut engine.actions).iter().filter(|action| **action == report).count()
    };
    for reported in [1, 0] {
        for (id, _) in sent(&mut engine) {
            engine.frame_received(error(id, &full), now);
        }
        assert_eq!(reports(&mut engine), reported);
        now = engine.deadline().unwrap();
        engine.tick(now);
    }
    let frames = sent(&mut engine);
    let [(first, client_frame::Body::Send(send)), (second, _)] = &frames[..] else { panic!("{frames:?}") };
    engine.frame_received(ack(*first, "north", 1, send.client_msg_id.clone()), now);
    engine.frame_received(error(*second, &full), now);
    assert_eq!(reports(&mut engine), 1);
}

#[test]
fn a_draft_that_crosses_the_end_of_the_session_is_not_reported_as_delayed() {
    let (mut engine, now) = online();
    let _acked = post(&mut engine, "north", "a");
    let [id] = ids(&mut engine);
    engine.actions.clear();
    let details = ErrorDetails::with_error_info(pb::Reason::SessionEnding.as_str_name(), "chat.v1", []);
    let ending = Status::with_error_details(Code::Unavailable, "the session is ending; reconnect", details);
    engine.frame_received(error(id, &ending), now);
    engine.frame_received(draining(Duration::ZERO), now);
    assert_eq!(engine.actions, [Action::Deliver(Update::Connection(ConnectionState::Draining))]);
    engine.session_ended(&Status::unavailable("the session has ended"), now);
    engine.tick(engine.deadline().unwrap());
    engine.session_opened(&welcome(), now);
    assert!(matches!(sent(&mut engine)[..], [(_, client_frame::Body::Send(_))]), "the next session takes it");
}

#[test]
fn drafts_and_cursors_of_an_earlier_run_are_used() {
    let draft = Draft::new(room("north"), Change::post("unsent"));
    let id = MsgId::new();
    let cursor = Cursor { epoch: EPOCH, seq: 5, id: Some(id) };
    let saved = |owner: &str| SavedState {
        owner: Some(owner.to_owned()),
        confirmed: false,
        drafts: vec![draft.clone()],
        cursors: HashMap::from([(room("north"), cursor)]),
    };
    let now = Time::default();
    let mut engine = Engine::new(SETTINGS, saved("sam"), 1);
    let _joined = join(&mut engine, "north", Start::Resume { or_last: 10 });
    let _other = join(&mut engine, "south", Start::Resume { or_last: 10 });
    let restored = Action::Deliver(Update::Restored(draft.clone()));
    assert!(!engine.actions.contains(&restored), "the user is not known yet");
    engine.session_opened(&welcome(), now);
    assert!(engine.actions.contains(&restored));
    let known = Engine::new(SETTINGS, SavedState { confirmed: true, ..saved("sam") }, 1);
    assert!(known.actions.contains(&restored));
    let starts: Vec<_> = sent(&mut engine)
        .into_iter()
        .map(|(_, body)| match body {
            client_frame::Body::Join(pb::Join { start, .. }) => start,
            body => {
                assert_eq!(convert::draft_from_wire(body), Some(draft.clone()));
                None
            }
        })
        .collect();
    let after = pb::join::Start::After(pb::Cursor { epoch: EPOCH, seq: 5, client_msg_id: id.0.to_vec().into() });
    assert_eq!(starts, [Some(after), Some(pb::join::Start::Last(10)), None]);

    let mut engine = Engine::new(SETTINGS, saved("ann"), 1);
    let _acked = post(&mut engine, "north", "sam's own");
    let new = engine.actions.iter().find_map(|action| match action {
        Action::SaveDraft(draft) => Some(draft.id),
        _ => None,
    });
    engine.session_opened(&welcome(), now);
    assert!(!engine.actions.contains(&restored));
    assert!(engine.actions.contains(&Action::Finish), "another user must not send these drafts");
    assert!(engine.actions.contains(&Action::RemoveDraft(new.unwrap())), "nor be left this one");
    assert!(!engine.actions.contains(&Action::RemoveDraft(draft.id)));
    assert!(sent(&mut engine).is_empty());
}

#[test]
fn closing_waits_for_unsent_drafts_up_to_the_grace() {
    let (mut engine, now) = online();
    let mut acked = post(&mut engine, "north", "Hi");
    let grace = Duration::from_secs(5);
    let until = now + grace;
    engine.command(Command::Close { grace }, now);
    engine.finish_turn(now);
    assert!(!engine.actions.contains(&Action::Finish));
    assert_eq!(engine.deadline(), Some(until));
    let frames = sent(&mut engine);
    let [(id, client_frame::Body::Send(send))] = &frames[..] else { panic!("{frames:?}") };
    engine.frame_received(ack(*id, "north", 1, send.client_msg_id.clone()), now);
    engine.finish_turn(now);
    assert!(engine.actions.contains(&Action::Finish));
    assert!(acked.try_recv().unwrap().is_ok());

    let (mut engine, _) = online();
    let mut acked = post(&mut engine, "north", "Hi");
    engine.command(Command::Close { grace }, now);
    engine.finish_turn(until);
    assert!(engine.actions.contains(&Action::Finish));
    assert_eq!(acked.try_recv().unwrap(), Err(SendError::Closed));

    let (mut engine, now) = new();
    let _acked = post(&mut engine, "north", "Hi");
    engine.command(Command::Close { grace }, now);
    engine.session_ended(&Status::unavailable("not yet"), now);
    engine.finish_turn(now);
    assert!(!engine.actions.contains(&Action::Finish), "there may be a session in time");
    engine.finish_turn(until);
    assert!(engine.actions.contains(&Action::Finish));

    let (mut engine, now) = new();
    engine.command(Command::Close { grace }, now);
    engine.finish_turn(now);
    assert!(engine.actions.contains(&Action::Finish), "nothing is unsent");
}

#[test]
fn drafts_of_another_user_are_not_saved_for_the_owner_of_the_state_file() {
    let saved = SavedState { owner: Some("ann".to_owned()), ..SavedState::default() };
    let mut engine = Engine::new(SETTINGS, saved, 1);
    engine.session_opened(&welcome(), Time::default());
    engine.actions.clear();
    let mut late = post(&mut engine, "north", "sam's own");
    assert!(engine.actions.is_empty(), "{:?}", engine.actions);
    assert!(matches!(late.try_recv().unwrap(), Err(SendError::Failed(_))));
}

#[test]
fn a_draft_that_fits_into_no_frame_is_refused_and_blocks_no_other() {
    let (mut engine, _) = online();
    let mut long = post(&mut engine, "north", &"x".repeat(1_000));
    let _short = post(&mut engine, "north", "x");
    let [_] = ids(&mut engine);
    let Err(SendError::Refused(why)) = long.try_recv().unwrap() else { panic!("it cannot be sent") };
    assert_eq!(why.code, Code::InvalidArgument);
    engine.token_received("x".repeat(1_000));
    assert!(sent(&mut engine).is_empty());
}
