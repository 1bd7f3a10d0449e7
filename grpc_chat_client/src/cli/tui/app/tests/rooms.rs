//! Joining, leaving and switching rooms.

use super::*;

#[test]
fn rooms_are_joined_switched_and_left() {
    let mut user = User::new(&["general"]);
    user.app.listed(ids(&["general", "lobby"]));
    assert_eq!(user.others(), ["lobby"]);
    user.enters("/join random");
    assert!(user.app.take_effects().contains(&Effect::Join(id("random"))));
    assert_eq!(user.room().id, "random");
    user.joins("random", Verdict::Live, 0, 0);
    user.control('n');
    assert_eq!(user.room().id, "general");
    user.control('p');
    assert_eq!(user.room().id, "random");
    user.press_with(KeyCode::Char('1'), KeyModifiers::ALT);
    assert_eq!(user.room().id, "general");
    user.enters("/leave random");
    assert!(user.app.take_effects().contains(&Effect::Leave(id("random"))));
    assert_eq!(user.others(), ["lobby", "random"]);
    user.enters("/leave");
    assert!(user.notice().contains("the only room"), "{}", user.notice());
    // A click on the second of the others.
    user.does(mouse(MouseEventKind::Down(MouseButton::Left), 3, 1 + 1 + 1 + 1));
    assert_eq!(user.room().id, "random");

    let why = Refused::new(Code::PermissionDenied, "members only".to_owned());
    user.receives(Update::JoinRefused { room: id("random"), why });
    assert_eq!(user.room().id, "general");
    assert!(user.next_notice().contains("members only"), "{}", user.notice());
}

#[test]
fn what_is_written_for_one_room_is_not_posted_in_another() {
    let why = || Refused::new(Code::PermissionDenied, "members only".to_owned());
    let mut user = User::new(&["secret", "general"]);
    user.types("for the secret room only");
    user.receives(Update::JoinRefused { room: id("secret"), why: why() });
    assert!(user.notice().contains("Up brings back"), "{}", user.notice());
    user.press(KeyCode::Enter);
    assert_eq!(user.posted(), []);
    user.press(KeyCode::Up);
    assert_eq!(user.app.editor.text(), "for the secret room only");

    let mut user = User::new(&["general", "other"]);
    user.says(4, "sam", "mine");
    user.enters("/edit");
    user.receives(Update::JoinRefused { room: id("general"), why: why() });
    user.press(KeyCode::Enter);
    assert_eq!((user.posted(), user.app.mode), (vec![], Mode::Post));
}

#[test]
fn each_room_keeps_what_is_being_written_in_it() {
    let mut user = User::new(&["general", "other"]);
    user.says(1, "ann", "x");
    user.press_with(KeyCode::Up, KeyModifiers::CONTROL);
    user.press(KeyCode::Char('r'));
    user.types("half an ans");
    user.control('n');
    user.enters("for the other");
    assert_eq!(user.posted(), [Change::post("for the other")]);
    user.types("more");
    user.control('n');
    assert_eq!((user.app.editor.text(), user.app.rooms[1].shelved.text()), ("half an ans", "more"));
    user.enters("wer");
    assert_eq!(user.posted(), [Change::reply(target(1), "half an answer")]);
    user.enters("/leave other");
    user.press(KeyCode::Up);
    assert_eq!(user.app.editor.text(), "more", "what was written in a room that is left can be got back");
}

#[test]
fn a_list_of_rooms_longer_than_the_screen_scrolls() {
    let names: Vec<String> = (0..50).map(|n| format!("room-{n}")).collect();
    let mut user = User::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let shown = |user: &mut User| user.app.shown_rooms();
    let height = usize::from(user.app.areas().rooms.height);
    assert_eq!(shown(&mut user), Shown { from: 0, upto: height - 1, above: false });
    for _ in 0..100 {
        user.control('p');
        let (current, shown) = (user.app.current, shown(&mut user));
        assert!((shown.from..shown.upto).contains(&current), "{current} in {shown:?}");
    }
    user.press_with(KeyCode::Char('1'), KeyModifiers::ALT);
    user.does(mouse(MouseEventKind::ScrollDown, 3, 5));
    assert_eq!((shown(&mut user).from, user.room().anchor), (WHEEL, None));
    user.does(mouse(MouseEventKind::Down(MouseButton::Left), 3, 1));
    assert_eq!(user.app.current, 0, "the first row stands for what is above");
    user.does(mouse(MouseEventKind::Down(MouseButton::Left), 3, 2));
    assert_eq!(user.app.current, WHEEL);
    (0..100).for_each(|_| user.does(mouse(MouseEventKind::ScrollDown, 3, 5)));
    assert_eq!(shown(&mut user).upto, 50);
    user.does(mouse(MouseEventKind::ScrollUp, 3, 5));
    assert!(shown(&mut user).upto < 50);
}

#[test]
fn alt_a_goes_to_unread_rooms_first_to_those_with_a_mention() {
    let mut user = User::new(&["a", "b", "c", "d"]);
    for (room, text) in [("b", "x"), ("c", "@sam"), ("d", "x")] {
        let mut event = User::event(1, "ann", posted(text));
        event.room = id(room);
        user.receives(Update::Event(event));
    }
    let mut visited = Vec::new();
    for _ in 0..4 {
        user.press_with(KeyCode::Char('a'), KeyModifiers::ALT);
        visited.push(user.room().id.clone());
        user.now += MARK_READ;
        user.app.tick(user.now);
    }
    assert_eq!(visited, ["c", "d", "b", "b"]);
    assert!(user.notice().contains("nothing unread"), "{}", user.notice());
}

#[test]
fn rooms_are_saved_when_joined_and_left_and_those_of_bench_are_not_listed() {
    let mut user = User::new(&["general"]);
    user.app.listed(ids(&["bench/0a1b", "lobby"]));
    assert_eq!(user.others(), ["lobby"]);
    user.enters("/join bench/0a1b");
    assert!(user.app.take_effects().contains(&Effect::SaveRooms));
    user.enters("/leave");
    assert!(user.app.take_effects().contains(&Effect::SaveRooms));
    user.enters("/rooms");
    assert_eq!(user.app.overlay, Some(Overlay { kind: Kind::Rooms, at: 0 }));
    assert!(user.app.take_effects().contains(&Effect::ListRooms));
    user.press(KeyCode::Esc);
    user.types("/join ");
    user.press(KeyCode::Tab);
    assert!(user.app.take_effects().contains(&Effect::ListRooms), "there may be others by now");
}

#[test]
fn the_mouse_scrolls_and_closes_an_overlay() {
    let mut user = User::new(&["general", "other"]);
    (1..100).for_each(|seq| user.says(seq, "ann", "x"));
    user.press(KeyCode::F(1));
    user.does(mouse(MouseEventKind::ScrollDown, 30, 5));
    user.does(mouse(MouseEventKind::ScrollUp, 30, 5));
    user.does(mouse(MouseEventKind::ScrollDown, 30, 5));
    assert_eq!((user.app.overlay, user.room().anchor), (Some(Overlay { kind: Kind::Help, at: WHEEL }), None));
    user.does(mouse(MouseEventKind::Down(MouseButton::Left), 3, 2));
    assert_eq!((user.app.overlay, user.room().id.as_str()), (None, "general"));
}

#[test]
fn without_a_room_the_screen_begins_with_a_list_to_choose_from() {
    let mut user = User::new(&[]);
    let list = |at| Some(Overlay { kind: Kind::Rooms, at });
    assert_eq!(user.app.overlay, list(0));
    user.app.listed(ids(&["general", "lobby"]));
    user.press(KeyCode::Down);
    user.press(KeyCode::Down);
    assert_eq!(user.app.overlay, list(1), "it has two lines");
    user.press(KeyCode::Enter);
    assert_eq!((user.app.overlay, &user.room().id), (None, &id("lobby")));
    assert!(user.app.take_effects().contains(&Effect::Join(id("lobby"))));
    // With the mouse, among one's own rooms and the others.
    user.control('r');
    let area = crate::tui::layout::overlay(user.app.size, Kind::Rooms.columns(user.app.size), 2);
    user.does(mouse(MouseEventKind::Down(MouseButton::Left), area.x + 2, area.y + 2));
    assert_eq!((user.app.overlay, &user.room().id), (None, &id("general")));
}

#[test]
fn without_a_room_nothing_is_posted_and_the_text_stays() {
    let mut user = User::new(&[]);
    user.press(KeyCode::Esc);
    user.enters("Hi");
    assert!(user.notice().contains("not in a room"), "{}", user.notice());
    assert_eq!((user.posted(), user.app.editor.text()), (vec![], "Hi"));
    for key in ['n', 'p', 'r', 'c'] {
        user.control(key);
    }
    for key in [KeyCode::Up, KeyCode::PageUp, KeyCode::PageDown, KeyCode::Home, KeyCode::End, KeyCode::Esc] {
        user.press_with(key, KeyModifiers::ALT);
        user.press(key);
    }
    user.control('c');
    user.enters("/leave");
    user.enters("/who");
    user.press(KeyCode::Esc);
    user.enters("/join general");
    assert_eq!(user.room().id, id("general"));
}
