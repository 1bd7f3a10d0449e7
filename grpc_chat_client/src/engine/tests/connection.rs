//! Opening sessions, losing them, and opening them again.

use super::*;

#[test]
fn a_silent_service_is_pinged_and_then_left() {
    let (mut engine, now) = online();
    let after = |seconds: f64| now + Duration::from_secs_f64(seconds);
    assert_eq!(engine.deadline(), Some(after(15.0)));
    engine.tick(after(14.9));
    assert!(sent(&mut engine).is_empty());
    engine.tick(after(15.0));
    assert_eq!(sent(&mut engine), [(0, client_frame::Body::Ping(pb::Ping {}))]);
    engine.frame_received(frame(0, server_frame::Body::Pong(pb::Pong {})), after(16.0));
    assert_eq!(engine.deadline(), Some(after(31.0)));

    // While a reply is due it is pinged sooner.
    let _acked = post(&mut engine, "north", "Hi");
    sent(&mut engine);
    assert_eq!(engine.deadline(), Some(after(21.0)));
    engine.tick(after(21.0));
    assert_eq!(sent(&mut engine), [(0, client_frame::Body::Ping(pb::Ping {}))]);
    engine.tick(after(30.9));
    assert!(!engine.actions.contains(&Action::Disconnect));
    engine.tick(after(31.0));
    assert!(engine.actions.contains(&Action::Disconnect));
    assert!(matches!(connections(&mut engine)[..], [ConnectionState::Reconnecting { .. }]));
}

#[test]
fn pings_are_answered_before_anything_else_is_sent() {
    let (mut engine, now) = online();
    let _acked: Vec<Acked> = (0..10).map(|n| post(&mut engine, "north", &n.to_string())).collect();
    sent(&mut engine);
    engine.frame_received(frame(0, server_frame::Body::Ping(pb::Ping {})), now);
    assert_eq!(sent(&mut engine), [(0, client_frame::Body::Pong(pb::Pong {}))]);
}

#[test]
fn delays_grow_until_a_session_goes_well() {
    let (mut engine, mut now) = new();
    let mut longest = Duration::ZERO;
    for attempt in 0..12 {
        engine.session_ended(&Status::unavailable("down"), now);
        let delay = engine.deadline().unwrap().since(now);
        assert!(delay <= SETTINGS.backoff.ceiling(attempt), "{delay:?} before attempt {attempt}");
        longest = longest.max(delay);
        now = now + delay;
        engine.tick(now);
        assert_eq!(engine.actions.pop(), Some(Action::Connect));
        // A session that ends at once does not count as a success.
        engine.session_opened(&welcome(), now);
    }
    assert!(longest > Duration::from_secs(1), "{longest:?}");
    engine.session_ended(&Status::unavailable("down"), now + Duration::from_secs(10));
    assert!(engine.deadline().unwrap() <= now + Duration::from_secs(10) + SETTINGS.backoff.base);
}

#[test]
fn the_delay_that_the_service_asks_for_is_kept() {
    let (mut engine, now) = online();
    engine.frame_received(draining(Duration::from_secs(3)), now);
    let _acked = post(&mut engine, "north", "Hi");
    assert!(sent(&mut engine).is_empty(), "a service that is about to end the session gets no drafts");
    engine.session_ended(&Status::unavailable("left"), now + Duration::from_secs(1));
    assert_eq!(engine.deadline(), Some(now + Duration::from_secs(3)));

    let (mut engine, now) = online();
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(9)));
    engine.session_ended(&Status::with_error_details(Code::ResourceExhausted, "full", details), now);
    let (asked_for, deadline) = (now + Duration::from_secs(9), engine.deadline().unwrap());
    assert!(deadline >= asked_for && deadline <= asked_for + SETTINGS.backoff.base);
}

#[test]
fn after_a_drain_the_state_says_why_the_service_ended_the_session() {
    let ended = Status::unavailable("the session has ended");
    for (reason, sentence) in [
        (pb::DrainReason::Shutdown.into(), "the service is stopping"),
        (pb::DrainReason::Age.into(), "the session was open for as long as the service allows"),
        (pb::DrainReason::Epoch.into(), "the history has started a new epoch"),
        // A reason of a later version of the protocol.
        (99, "the service ended the session"),
    ] {
        let (mut engine, now) = online();
        let draining = pb::Draining { reason, ..pb::Draining::default() };
        engine.frame_received(frame(0, server_frame::Body::Draining(draining)), now);
        engine.session_ended(&ended, now);
        let states = connections(&mut engine);
        assert!(
            matches!(&states[..], [ConnectionState::Draining, ConnectionState::Reconnecting { why, .. }] if why == sentence),
            "{states:?}"
        );
    }
}

#[test]
fn a_permanent_error_ends_the_client_and_everyone_who_waits_learns_it() {
    let (mut engine, now) = online();
    let mut acked = post(&mut engine, "north", "Hi");
    let mut joined = join(&mut engine, "north", Start::Live);
    let id = engine.actions.iter().find_map(|action| match action {
        Action::SaveDraft(draft) => Some(draft.id),
        _ => None,
    });
    engine.actions.clear();
    engine.session_ended(&Status::permission_denied("you may not"), now);
    let why = Refused::new(Code::PermissionDenied, "you may not");
    assert_eq!(acked.try_recv().unwrap(), Err(SendError::Failed(why.clone())));
    assert_eq!(joined.try_recv().unwrap(), Err(JoinError::Failed(why.clone())));
    assert!(!engine.actions.contains(&Action::RemoveDraft(id.unwrap())), "it stays saved for the next run");
    assert_eq!(connections(&mut engine), [ConnectionState::Failed(why)]);
    engine.session_ended(&Status::unavailable("late"), now);
    assert!(engine.actions.is_empty() && engine.deadline().is_none());
}

#[test]
fn a_service_that_says_it_ends_the_session_and_does_not_is_left() {
    let (mut engine, now) = online();
    engine.frame_received(draining(Duration::ZERO), now);
    for second in 1..60 {
        let now = now + Duration::from_secs(second);
        engine.frame_received(frame(0, server_frame::Body::Ping(pb::Ping {})), now);
        engine.tick(now);
    }
    assert!(!engine.actions.contains(&Action::Disconnect));
    engine.tick(now + Duration::from_secs(60));
    assert!(engine.actions.contains(&Action::Disconnect));
}

#[test]
fn no_duration_from_the_service_is_too_long() {
    let forever = || Some(prost_types::Duration { seconds: i64::MAX, nanos: 0 });
    let (mut engine, now) = online();
    let draining = pb::Draining { reconnect_after: forever(), ..pb::Draining::default() };
    engine.frame_received(frame(0, server_frame::Body::Draining(draining)), now);
    engine.session_ended(&Status::unavailable("left"), now);
    assert!(engine.deadline().is_some());

    let (mut engine, now) = new();
    engine.session_opened(&pb::Welcome { heartbeat: forever(), ..welcome() }, now);
    assert!(engine.deadline().is_some());
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(315_576_000_000)));
    engine.session_ended(&Status::with_error_details(Code::Unavailable, "later", details), now);
    assert!(engine.deadline().is_some());
}

#[test]
fn a_session_that_ends_at_once_is_not_opened_again_at_once() {
    let settings = Settings { can_refresh: true, ..SETTINGS };
    let mut engine = Engine::new(settings, SavedState::default(), 1);
    let now = Time::default();
    let mut connects = 0;
    for _ in 0..10 {
        engine.actions.clear();
        engine.session_opened(&welcome(), now);
        engine.session_ended(&Status::unauthenticated("expired"), now);
        connects += usize::from(engine.actions.contains(&Action::Connect));
    }
    assert_eq!(connects, 1, "a token is refreshed once");

    let (mut engine, now) = new();
    let mut waited = Duration::ZERO;
    for _ in 0..10 {
        engine.session_opened(&welcome(), now + waited);
        engine.frame_received(draining(Duration::ZERO), now + waited);
        engine.session_ended(&Status::unavailable("left"), now + waited);
        waited = engine.deadline().unwrap().since(now);
        engine.tick(now + waited);
    }
    assert!(waited > Duration::from_secs(1), "{waited:?}");
}

#[test]
fn a_reply_that_does_not_fit_ends_the_session_and_the_request_is_sent_again() {
    let nothing = |id| pb::ServerFrame { reply_to: id, body: None };
    let another = |id| ack(id, "north", 1, Bytes::from_static(&[9; 16]));
    let unnamed = |id| ack(id, "north", 1, Bytes::new());
    let replies: [&dyn Fn(u64) -> pb::ServerFrame; 4] = [&nothing, &done, &another, &unnamed];
    for reply in replies {
        let (mut engine, now) = online();
        let mut acked = post(&mut engine, "north", "x");
        let [id] = ids(&mut engine);
        engine.frame_received(reply(id), now);
        assert!(engine.actions.contains(&Action::Disconnect));
        let later = engine.deadline().unwrap();
        engine.tick(later);
        engine.session_opened(&welcome(), later);
        let [_] = ids(&mut engine);
        acked.try_recv().unwrap_err();
    }
}
