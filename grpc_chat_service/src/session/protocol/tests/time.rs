//! Heartbeats, deadlines and ages, at exact instants.

use super::*;

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn a_silent_client_is_pinged_twice_and_then_considered_gone() {
    let mut session = Conversation::open();
    let ping = [Action::Send { reply_to: 0, body: Body::Ping }];
    assert_eq!(session.deadline(), Some(secs(10.0)));
    assert_eq!(session.tick(secs(9.999), false), []);
    assert_eq!(session.tick(secs(10.0), false), ping);
    assert_eq!(session.deadline(), Some(secs(20.0)));
    assert_eq!(session.tick(secs(19.999), false), []);
    assert_eq!(session.tick(secs(20.0), false), ping);
    assert_eq!(session.deadline(), Some(secs(25.0)));
    assert_eq!(session.tick(secs(24.999), false), []);
    assert_eq!(session.tick(secs(25.0), false), [Action::End(End::Unresponsive)]);
    assert_eq!(session.deadline(), None);
}

#[test]
fn a_late_tick_pings_once() {
    let mut session = Conversation::open();
    assert_eq!(session.tick(secs(17.0), false), [Action::Send { reply_to: 0, body: Body::Ping }]);
    assert_eq!(session.deadline(), Some(secs(27.0)));
}

#[test]
fn a_server_that_was_asleep_pings_before_it_considers_a_client_gone() {
    let mut session = Conversation::open();
    assert_eq!(session.tick(secs(40.0), false), [Action::Send { reply_to: 0, body: Body::Ping }]);
    session.tick(secs(50.0), false);
    assert_eq!(session.tick(secs(54.9), false), []);
    assert_eq!(session.tick(secs(55.0), false), [Action::End(End::Unresponsive)]);
}

#[test]
fn any_frame_is_a_sign_of_life_even_a_refused_one() {
    for request in [Ok(Request::Pong), Err(Refusal::Undecodable), Ok(Request::Typing { room: room("r") })] {
        let mut session = Conversation::open();
        session.tick(secs(10.0), false);
        session.tick(secs(24.0), false);
        session.receive(0, request);
        assert_eq!(session.deadline(), Some(secs(34.0)));
        assert_eq!(session.tick(secs(26.0), false), []);
    }
}

#[test]
fn a_client_blocked_by_flow_control_is_neither_pinged_nor_considered_gone() {
    let mut session = Conversation::open();
    session.tick(secs(10.0), false);
    for at in [20.0, 30.0, 40.0] {
        assert_eq!(session.tick(secs(at), true), []);
        assert_eq!(session.deadline(), Some(secs(at + 10.0)));
    }
    session.tick(secs(50.0), false);
    session.tick(secs(60.0), false);
    assert_eq!(session.tick(secs(65.0), false), [Action::End(End::Unresponsive)]);
}

#[test]
fn hello_has_a_deadline() {
    let mut session = Conversation::new();
    assert_eq!(session.deadline(), Some(HELLO));
    assert_eq!(session.tick(secs(4.999), false), []);
    assert_eq!(session.tick(HELLO, false), [Action::End(End::HelloTimeout)]);
    assert_eq!(session.say(1, hello()), []);
}

#[test]
fn a_session_ends_at_its_maximum_age_whether_or_not_it_is_blocked() {
    for blocked in [false, true] {
        let mut session = Conversation::open();
        session.now = session.start + AGE - secs(1.0);
        session.say(0, Request::Pong);
        assert_eq!(session.deadline(), Some(AGE));
        let ended = [Action::SendDraining { reason: DrainReason::Age }, Action::End(End::Drained)];
        assert_eq!(session.tick(AGE, blocked), ended);
    }
}
