//! What becomes of drafts, and of the connection.

use super::*;

#[test]
fn commands_build_on_changes_that_are_not_stored_yet() {
    let mut user = User::new(&["general"]);
    user.says(1, "sam", "first");
    user.enters("/edit better");
    user.enters("/edit");
    assert_eq!((user.app.editor.text(), user.app.mode), ("better", Mode::Edit(target(1))));
    user.press(KeyCode::Esc);
    user.enters("/delete");
    assert_eq!(user.posted().len(), 2);
    user.enters("/delete");
    assert_eq!(user.posted(), [], "once is enough");
    user.press_with(KeyCode::Up, KeyModifiers::ALT);
    user.press(KeyCode::Char('e'));
    assert!(user.notice().contains("about to be deleted"), "{}", user.notice());
}

#[test]
fn the_last_message_is_never_the_one_before_an_unsent_one() {
    let mut user = User::new(&["general"]);
    user.says(1, "sam", "first");
    user.enters("second");
    user.app.take_effects();
    for command in ["/delete", "/edit", "/edit other"] {
        user.enters(command);
        assert!(user.notice().contains("not sent yet"), "{}", user.notice());
        assert_eq!((user.app.take_effects(), user.app.mode), (Vec::new(), Mode::Post));
    }
    // One that is selected is meant.
    user.press_with(KeyCode::Up, KeyModifiers::ALT);
    user.press(KeyCode::Char('e'));
    assert_eq!(user.app.mode, Mode::Edit(target(1)));
}

#[test]
fn drafts_of_an_earlier_run_are_shown_until_they_are_stored() {
    let mut user = User::new(&["general"]);
    let draft = Draft::new(id("general"), Change::post("left behind"));
    user.receives(Update::Restored(draft.clone()));
    assert_eq!(user.app.rooms[0].unsent.len(), 1);
    // It is stored, and the earlier run has seen its event.
    let other = Draft::new(id("general"), Change::post("seen before"));
    user.receives(Update::Restored(other));
    user.receives(Update::Unsent(0));
    assert!(user.app.rooms[0].unsent.is_empty());
    user.receives(Update::Restored(draft.clone()));
    user.receives(Update::Event(Event { id: draft.id, ..User::event(1, "sam", posted("left behind")) }));
    assert!(user.app.rooms[0].unsent.is_empty());
}

#[test]
fn a_refusal_is_shown_and_up_brings_the_text_back() {
    let mut user = User::new(&["general"]);
    user.enters("Hi");
    let draft = user.room().unsent[0].clone();
    let why = Refused::new(Code::InvalidArgument, "no".to_owned());
    user.receives(Update::Refused { draft, why });
    assert!(user.notice().starts_with("not sent: no"), "{}", user.notice());
    assert!(user.room().unsent.is_empty());
    user.press(KeyCode::Up);
    assert_eq!(user.app.editor.text(), "Hi");
}

#[test]
fn the_same_reaction_again_takes_back_one_that_is_not_stored_yet() {
    let mut user = User::new(&["general"]);
    user.says(1, "ann", "x");
    (0..3).for_each(|_| user.enters("/react A"));
    let react = |remove| Change::React { target: target(1), reaction: "A".to_owned(), remove };
    assert_eq!(user.posted(), [react(false), react(true), react(false)]);
    user.receives(Update::Unsent(0));
    assert!(user.room().unsent.is_empty());
}

#[test]
fn the_connection_is_always_shown_and_counts_down() {
    let mut user = User::new(&["general"]);
    let retry_in = Duration::from_millis(2_500);
    user.receives(Update::Connection(ConnectionState::Reconnecting {
        why: "down".to_owned(),
        reason: String::new(),
        retry_in,
    }));
    let until = user.now + retry_in;
    let mut ticks = 0;
    while let Some(due) = user.app.deadline() {
        assert!(due > user.now && due <= until);
        user.now = due;
        user.app.tick(due);
        ticks += 1;
    }
    assert_eq!(ticks, 3);
    let why = Refused::new(Code::PermissionDenied, "you are banned\u{1b}[2J");
    user.receives(Update::Connection(ConnectionState::Failed(why)));
    assert!(user.notice().contains("you are banned\u{FFFD}"), "{}", user.notice());
}

#[test]
fn another_epoch_is_shown_and_its_history_read() {
    let mut user = User::new(&["general"]);
    user.says(1, "ann", "of before");
    user.enters("unsent");
    user.app.take_effects();
    user.joins("general", Verdict::Reset(ResetReason::Epoch), 7, 0);
    assert!(user.notice().contains("begun anew"), "{}", user.notice());
    assert_eq!(user.room().transcript.len(), 0);
    assert_eq!(user.app.take_effects(), [Effect::Page { room: id("general"), request: PageRequest::Older(8) }]);
}

#[test]
fn a_restored_service_is_one_notice_for_all_rooms() {
    let mut user = User::new(&["general", "other", "third"]);
    for room in ["other", "third", "general"] {
        user.joins(room, Verdict::Reset(ResetReason::Epoch), 3, 0);
    }
    assert!(user.notice().contains("other: "), "{}", user.notice());
    user.now += Duration::from_secs(5);
    user.app.tick(user.now);
    user.press(KeyCode::Left);
    assert_eq!(user.app.notices.shown(), None);
}

#[test]
fn an_edit_becomes_a_new_message_after_a_reset() {
    for away in [false, true] {
        let mut user = User::new(&["general", "other"]);
        user.says(3, "sam", "mine");
        user.enters("/edit");
        if away {
            user.control('n');
        }
        user.joins("general", Verdict::Reset(ResetReason::Epoch), 3, 0);
        user.says(4, "ann", "another's");
        assert!(user.notice().contains("what you write there is a new message"), "{}", user.notice());
        if away {
            user.control('n');
        }
        user.press(KeyCode::Enter);
        assert_eq!(user.posted(), [Change::post("mine")]);
    }
    // Another epoch that is not reported as a reset.
    let mut user = User::new(&["general"]);
    user.says(3, "sam", "mine");
    user.enters("/edit");
    let verdict = Verdict::Recovered;
    let joined =
        Joined { room: id("general"), verdict, epoch: 2, start: 0, start_id: None, head: 0, oldest: 0, read: 0 };
    user.receives(Update::Joined(joined));
    assert_eq!((user.app.mode, user.room().transcript.len()), (Mode::Post, 0));
}

#[test]
fn notices_stay_long_enough_to_be_read() {
    let mut user = User::new(&["general"]);
    user.types("Hel");
    user.receives(Update::SaveFailed("one".to_owned()));
    user.receives(Update::SaveFailed("two".to_owned()));
    user.types("lo");
    assert!(user.notice().ends_with("one"), "a key does not take it away: {}", user.notice());
    assert_eq!(user.app.deadline(), Some(user.now + SHOWN_FOR));
    assert!(user.next_notice().ends_with("two"), "each has its time: {}", user.notice());
}

#[test]
fn why_the_service_stores_nothing_is_shown_until_it_does() {
    let mut user = User::new(&["general"]);
    user.enters("one");
    user.enters("two");
    user.receives(Update::Unsent(2));
    let why =
        Refused { reason: "HISTORY_UNAVAILABLE".to_owned(), ..Refused::new(Code::Unavailable, "the disk is full") };
    user.receives(Update::SendDelayed(why));
    assert!(user.notice().ends_with("the disk is full (HISTORY_UNAVAILABLE)"), "{}", user.notice());
    user.now += SHOWN_FOR * 10;
    user.types("x");
    user.receives(Update::Unsent(1));
    assert!(user.notice().contains("the disk is full"), "one is still unsent");
    user.receives(Update::Unsent(0));
    assert_eq!(user.notice(), "");
}

#[test]
fn a_user_over_a_rate_sees_that_messages_and_requests_wait() {
    let mut user = User::new(&["general"]);
    let why = |message| Refused { reason: "RATE_LIMITED".to_owned(), ..Refused::new(Code::ResourceExhausted, message) };
    user.enters("one");
    user.receives(Update::Unsent(1));
    user.receives(Update::SendDelayed(why("too many messages")));
    assert!(user.notice().ends_with("too many messages (RATE_LIMITED)"), "{}", user.notice());
    user.receives(Update::RequestDelayed(why("too many joins")));
    assert!(user.notice().ends_with("asks to wait: too many joins"), "{}", user.notice());
    user.now += SHOWN_FOR * 2;
    user.app.tick(user.now);
    user.types("x");
    assert!(user.notice().contains("too many messages"), "it is still unsent: {}", user.notice());
    user.receives(Update::Unsent(0));
    assert_eq!(user.notice(), "");
}
