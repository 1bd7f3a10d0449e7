//! Tokens that are refused, and tokens that are fetched while a session is open.

use super::*;

#[test]
fn a_refused_token_is_refreshed_once() {
    let settings = Settings { can_refresh: true, ..SETTINGS };
    let mut engine = Engine::new(settings, SavedState::default(), 1);
    let now = Time::default();
    let refused = Status::unauthenticated("expired");
    engine.actions.clear();
    engine.session_ended(&refused, now);
    assert!(engine.actions.contains(&Action::Connect));
    engine.session_opened(&welcome(), now);
    engine.actions.clear();
    let later = now + Duration::from_secs(60);
    engine.session_ended(&refused, later);
    assert!(engine.actions.contains(&Action::Connect), "a token that was accepted may expire");
    engine.actions.clear();
    engine.session_ended(&refused, later);
    assert!(engine.actions.contains(&Action::Finish), "a new token was refused, too");

    let (mut engine, now) = new();
    engine.session_ended(&refused, now);
    assert!(engine.actions.contains(&Action::Finish), "there is no other token");
}

#[test]
fn whoever_asks_for_another_token_learns_the_outcome() {
    let ask = |engine: &mut Engine| {
        let (reply, refreshed) = reply::channel();
        command(engine, Command::RefreshToken { reply });
        refreshed
    };
    let (mut engine, now) = online();
    let (mut first, mut second) = (ask(&mut engine), ask(&mut engine));
    assert_eq!(engine.actions, [Action::GetToken], "once for both");
    engine.token_received("new".to_owned());
    let [id] = ids(&mut engine);
    first.try_recv().unwrap_err();
    engine.frame_received(done(id), now);
    assert_eq!([first.try_recv(), second.try_recv()], [Ok(Ok(())), Ok(Ok(()))]);

    let mut refused = ask(&mut engine);
    engine.token_received("newer".to_owned());
    let [id] = ids(&mut engine);
    // Whoever asks now gets another token, and the reply to that.
    let mut later = ask(&mut engine);
    engine.frame_received(error(id, &Status::failed_precondition("no tokens")), now);
    assert_eq!(refused.try_recv().unwrap().unwrap_err().code, Code::FailedPrecondition);
    later.try_recv().unwrap_err();
    engine.token_received("x".repeat(1_000));
    assert!(sent(&mut engine).is_empty());
    assert_eq!(later.try_recv().unwrap().unwrap_err().code, Code::InvalidArgument);

    let mut nothing = ask(&mut engine);
    engine.token_failed(&Refused::new(Code::Unavailable, "unreachable"));
    assert_eq!(nothing.try_recv().unwrap().unwrap_err().code, Code::Unavailable);

    // The next session is opened with a new token anyway.
    let mut cut = ask(&mut engine);
    engine.token_received("newest".to_owned());
    engine.session_ended(&Status::unavailable("cut"), now);
    engine.session_opened(&welcome(), now);
    assert_eq!(cut.try_recv(), Ok(Ok(())));
}
