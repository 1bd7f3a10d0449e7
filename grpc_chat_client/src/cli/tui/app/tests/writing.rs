//! Writing, completing, commands, and quitting.

use super::*;

#[test]
fn enter_posts_the_text_and_shows_it_as_unsent_until_it_is_stored() {
    let mut user = User::new(&["general"]);
    user.types("Hi");
    user.control('j');
    user.types("there");
    user.press_with(KeyCode::Enter, KeyModifiers::ALT);
    user.enters("all");
    let effects = user.app.take_effects();
    assert!(effects.contains(&Effect::Typing(id("general"))), "the others know");
    let [Effect::Post(draft)] = &effects.iter().filter(|it| matches!(it, Effect::Post(_))).collect::<Vec<_>>()[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!(draft.change, Change::post("Hi\nthere\nall"));
    assert!(user.app.editor.is_empty());
    assert_eq!(user.room().unsent.first(), Some(draft));
    let mut event = User::event(1, "sam", posted("Hi\nthere\nall"));
    event.id = draft.id;
    user.receives(Update::Event(event));
    assert_eq!((user.room().unsent.len(), user.room().transcript.len(), user.room().unread), (0, 1, 0));

    user.enters("   ");
    assert_eq!(user.posted(), [], "nothing is said with nothing");
}

#[test]
fn a_text_that_is_too_long_stays_in_the_composer() {
    let mut user = User::new(&["general"]);
    let text = "line\r".repeat(10_000);
    user.does(Input::Paste(text));
    user.press(KeyCode::Enter);
    assert_eq!(user.posted(), []);
    assert!(user.notice().contains("too long by 49900 bytes"), "{}", user.notice());
    assert_eq!(user.app.editor.text().len(), 50_000);
    user.control('c');
    assert!(user.app.editor.is_empty());
    for _ in 0..3 {
        user.control('c');
        assert_eq!((user.app.take_effects().contains(&Effect::Quit), user.notice()), (false, "Ctrl+C again to quit"));
        user.now += TWICE;
    }
    user.control('c');
    user.control('c');
    assert!(user.app.take_effects().contains(&Effect::Quit));
}

#[test]
fn commands_are_carried_out_and_not_posted() {
    let mut user = User::new(&["general"]);
    user.says(1, "sam", "mine");
    user.says(2, "ann", "hers");
    user.enters("/edit better");
    user.enters("/react 👍");
    user.enters("/delete");
    user.enters("/reply indeed");
    let reaction = "👍".to_owned();
    assert_eq!(
        user.posted(),
        [
            Change::Edit { target: target(1), text: "better".to_owned() },
            Change::React { target: target(2), reaction: reaction.clone(), remove: false },
            Change::Delete { target: target(1) },
            Change::reply(target(2), "indeed"),
        ]
    );
    user.happens(3, "sam", Body::Reacted { seq: 2, reaction: reaction.clone(), removed: false });
    user.enters("/react 👍");
    assert_eq!(user.posted(), [Change::React { target: target(2), reaction, remove: true }]);
    user.enters("/jion x");
    assert!(user.notice().contains("there is no /jion"), "{}", user.notice());
    assert_eq!(user.app.editor.text(), "/jion x", "it can be put right");
    user.control('c');
    user.enters("//join is a command");
    assert_eq!(user.posted(), [Change::post("/join is a command")]);
    user.enters("/quit");
    assert!(user.app.take_effects().contains(&Effect::Quit));
}

#[test]
fn an_edit_begins_with_the_old_text_and_can_be_given_up() {
    let mut user = User::new(&["general"]);
    user.says(1, "sam", "mine");
    user.enters("/edit");
    assert_eq!(user.app.editor.text(), "mine");
    user.press(KeyCode::Esc);
    assert!(user.app.editor.is_empty());
    user.enters("/edit");
    user.enters("!");
    assert_eq!(user.posted(), [Change::Edit { target: target(1), text: "mine!".to_owned() }]);
    user.enters("new");
    assert_eq!(user.posted(), [Change::post("new")]);
}

#[test]
fn an_edit_needs_a_text() {
    let mut user = User::new(&["general"]);
    user.says(1, "sam", "x");
    user.enters("/edit");
    user.press(KeyCode::Backspace);
    user.press(KeyCode::Enter);
    assert!(user.notice().contains("needs a text"), "{}", user.notice());
    assert_eq!((user.posted(), user.app.mode), (vec![], Mode::Edit(target(1))));
}

#[test]
fn tab_goes_through_the_candidates() {
    let mut user = User::new(&["general"]);
    let users = ["ann", "anton", "sam"].map(str::to_owned).to_vec();
    user.receives(Update::Present { room: id("general"), users, count: 3 });
    user.types("@a");
    user.press(KeyCode::Tab);
    assert_eq!(user.app.editor.text(), "@ann, ");
    user.press(KeyCode::Tab);
    assert_eq!(user.app.editor.text(), "@anton, ");
    user.press(KeyCode::Tab);
    assert_eq!(user.app.editor.text(), "@ann, ");
    user.press_with(KeyCode::BackTab, KeyModifiers::SHIFT);
    assert_eq!(user.app.editor.text(), "@anton, ");
    user.types("hi");
    user.press(KeyCode::Tab);
    assert_eq!(user.app.editor.text(), "@anton, hi", "there is nothing to complete");
}

#[test]
fn authors_can_be_completed() {
    let mut user = User::new(&["general"]);
    user.says(1, "ann", "x");
    user.says(2, "ann", "x");
    user.types("@A");
    user.press(KeyCode::Tab);
    assert_eq!(user.app.editor.text(), "@ann, ");
}

#[test]
fn a_completion_ends_when_another_text_is_shown() {
    let why = Refused::new(Code::PermissionDenied, "members only".to_owned());
    let users = ["ann", "anton"].map(str::to_owned).to_vec();
    let completing = || {
        let mut user = User::new(&["general", "other"]);
        user.receives(Update::Present { room: id("general"), users: users.clone(), count: 2 });
        user.says(1, "ann", "x");
        user.press_with(KeyCode::Up, KeyModifiers::CONTROL);
        user.press(KeyCode::Char('r'));
        user.types("@");
        user.press(KeyCode::Tab);
        assert!(user.app.completion.is_some());
        user
    };
    let mut user = completing();
    user.does(mouse(MouseEventKind::Down(MouseButton::Left), 3, 2));
    assert_eq!((user.room().id.as_str(), user.app.completion.is_none()), ("other", true));
    user.press(KeyCode::Tab);
    assert!(user.app.editor.is_empty());
    let mut user = completing();
    user.receives(Update::JoinRefused { room: id("general"), why });
    user.press(KeyCode::Tab);
    assert!(user.app.editor.is_empty());
}

#[test]
fn the_explanation_of_a_wrong_command_is_short() {
    let mut user = User::new(&["general"]);
    user.enters(&format!("/{}", "x".repeat(90)));
    assert!(user.notice().len() < 80 && user.notice().contains("//"), "{}", user.notice());
}

#[test]
fn help_is_closed_by_its_keys_and_by_typing_on() {
    let mut user = User::new(&["general"]);
    let help = Some(Overlay { kind: Kind::Help, at: 0 });
    user.press(KeyCode::F(1));
    assert_eq!(user.app.overlay, help);
    user.press(KeyCode::Esc);
    assert_eq!(user.app.overlay, None);
    user.control('g');
    assert_eq!(user.app.overlay, help);
    user.types("?H");
    assert_eq!((user.app.overlay, user.app.editor.text()), (None, "H"));
    user.types("i?");
    assert_eq!(user.app.editor.text(), "Hi?");
    user.control('c');
    user.enters("/help");
    assert_eq!(user.app.overlay, help);
}

#[test]
fn a_message_can_begin_with_any_letter() {
    let mut user = User::new(&["general"]);
    for text in ["?? what", "?", "q", "j", "+1", " x"] {
        user.enters(text);
        assert_eq!((user.app.overlay, user.posted()), (None, vec![Change::post(text)]));
    }
}

#[test]
fn quitting_warns_once_of_what_would_be_lost() {
    let mut user = User::new(&["general", "other"]);
    user.types("half a thought");
    user.control('n');
    user.app.take_effects();
    user.control('d');
    assert!(user.notice().contains("what you are writing in general is lost"), "{}", user.notice());
    assert!(!user.app.take_effects().contains(&Effect::Quit));
    user.control('d');
    assert!(user.app.take_effects().contains(&Effect::Quit));
}

#[test]
fn the_warning_goes_when_the_key_no_longer_quits() {
    let mut user = User::new(&["general"]);
    user.control('c');
    assert!(user.notice().contains("again to quit"));
    user.now = user.app.deadline().unwrap();
    user.app.tick(user.now);
    assert_eq!(user.app.notices.shown(), None);
}

#[test]
fn typing_is_reported_before_a_message_and_again_after_it() {
    let mut user = User::new(&["general"]);
    user.enters("one");
    user.types("two");
    let effects = user.app.take_effects();
    assert!(matches!(&effects[..], [Effect::Typing(_), Effect::Post(_), Effect::Typing(_)]), "{effects:?}");
}
