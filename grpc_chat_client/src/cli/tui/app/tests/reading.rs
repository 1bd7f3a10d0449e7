//! Scrolling, selecting, and what counts as read.

use super::*;

#[test]
fn home_goes_to_the_first_new_message() {
    let mut user = User::new(&["other", "general"]);
    for seq in 1..=5 {
        user.says(seq, "sam", "mine");
    }
    user.receives(Update::Read { room: id("general"), seq: 5 });
    for seq in 6..=100 {
        user.says(seq, "ann", "while nobody looked");
    }
    user.control('n');
    let room = |user: &User| (user.app.rooms[1].new_above, user.app.rooms[1].anchor.is_some());
    assert_eq!(room(&user), (true, false));
    user.press(KeyCode::Home);
    assert_eq!(room(&user), (false, true));
    let shown = user.app.with_room(|room, height, context| {
        messages::visible(&room.transcript, room.anchor.unwrap(), height, context).first().map(|(seq, _)| *seq)
    });
    assert_eq!(shown, Some(Some(6)));
    user.press(KeyCode::End);
    assert_eq!(room(&user), (false, false), "it was seen");

    // While the user was elsewhere, with the terminal on the screen or not.
    user.does(Input::FocusLost);
    user.says(101, "ann", "Hi");
    for seq in 102..=200 {
        user.says(seq, "ann", "are you there?");
    }
    user.does(Input::FocusGained);
    assert_eq!(room(&user), (true, false));
    user.does(Input::FocusLost);
    user.does(Input::FocusGained);
    assert_eq!(room(&user), (false, false), "nothing has come");

    // Few enough to be seen at once.
    let mut user = User::new(&["other", "general"]);
    user.says(1, "ann", "Hi");
    user.control('n');
    assert_eq!(user.app.rooms[1].new_after, Some(0));
    assert!(!user.app.rooms[1].new_above);
}

#[test]
fn scrolling_up_reads_older_pages_and_stays_where_it_is() {
    let mut user = User::new(&["general"]);
    user.joins("general", Verdict::Reset(ResetReason::Epoch), 1_000, 0);
    // There is nothing on the screen: the newest page is request at once.
    let effects = user.app.take_effects();
    assert_eq!(effects, [Effect::Page { room: id("general"), request: PageRequest::Older(1_001) }]);
    let page = |from: Seq, upto: Seq| -> Result<Page, String> {
        let events = (from..=upto).map(|seq| User::event(seq, "ann", posted(&format!("message {seq}")))).collect();
        Ok(Page { events, epoch: 1, head: 1_000, more: from > 1 })
    };
    user.app.page(&id("general"), PageRequest::Older(1_001), page(701, 1_000));
    user.app.finish_turn();
    let mut asked = Vec::new();
    for _ in 0..80 {
        user.press(KeyCode::PageUp);
        for effect in user.app.take_effects() {
            if let Effect::Page { request: PageRequest::Older(before), .. } = effect {
                asked.push(before);
                let seen = user.room().anchor;
                user.app.page(
                    &id("general"),
                    PageRequest::Older(before),
                    page(before.saturating_sub(300).max(1), before - 1),
                );
                assert_eq!(user.room().anchor, seen, "a page does not move what is read");
            }
        }
        // What comes meanwhile does not either.
        let seen = user.room().anchor;
        let newest = user.room().transcript.newest().unwrap().seq;
        user.says(newest + 1, "ann", "new");
        assert_eq!(user.room().anchor, seen);
    }
    assert_eq!(asked, [701, 401, 101]);
    assert_eq!(user.room().transcript.oldest().map(|oldest| oldest.seq), Some(1));
    let top = user.app.with_room(|room, height, context| {
        messages::visible(&room.transcript, room.anchor.unwrap(), height, context)[0].0
    });
    assert_eq!(top, Some(1), "the first message is at the top");
    user.press(KeyCode::End);
    assert_eq!(user.room().anchor, None);
    user.press(KeyCode::PageUp);
    assert!(user.room().anchor.is_some());
    user.press(KeyCode::PageDown);
    assert_eq!(user.room().anchor, None, "back at the end it follows again");
}

#[test]
fn a_page_that_cannot_be_read_is_shown_and_tried_again() {
    let mut user = User::new(&["general"]);
    user.joins("general", Verdict::Reset(ResetReason::Epoch), 10, 0);
    let request = PageRequest::Older(11);
    let page = Effect::Page { room: id("general"), request };
    assert_eq!(user.app.take_effects().first(), Some(&page));
    user.app.page(&id("general"), request, Err("the disk is full".to_owned()));
    assert!(user.next_notice().contains("the disk is full"));
    user.app.finish_turn();
    assert_eq!(user.app.take_effects(), [], "not at once");
    user.press(KeyCode::PageUp);
    assert_eq!(user.app.take_effects(), [page]);
}

#[test]
fn what_is_seen_is_marked_as_read_now_and_then() {
    let mut user = User::new(&["general"]);
    let marks = |user: &mut User| -> Vec<Seq> {
        let seq = |effect| if let Effect::MarkRead { seq, .. } = effect { Some(seq) } else { None };
        user.app.take_effects().into_iter().filter_map(seq).collect()
    };
    user.says(1, "ann", "one");
    assert_eq!(marks(&mut user), [1]);
    user.says(2, "ann", "two");
    user.says(3, "ann", "three");
    assert_eq!(marks(&mut user), Vec::<Seq>::new());
    let due = user.app.deadline().unwrap();
    user.now = due;
    user.app.tick(due);
    assert_eq!(marks(&mut user), [3]);
    assert_eq!(user.app.deadline(), None);

    user.now += MARK_READ;
    user.does(Input::FocusLost);
    user.says(4, "ann", "four");
    assert_eq!(marks(&mut user), Vec::<Seq>::new(), "nobody looks");
    user.does(Input::FocusGained);
    assert_eq!(marks(&mut user), [4]);

    user.now += MARK_READ;
    for seq in 5..40 {
        user.says(seq, "ann", "more");
    }
    marks(&mut user);
    user.now += MARK_READ;
    user.press(KeyCode::PageUp);
    assert_eq!(marks(&mut user), [39]);
    user.now += MARK_READ;
    user.says(40, "ann", "below what is seen");
    assert_eq!(marks(&mut user), Vec::<Seq>::new());

    // Whoever scrolls back, or leaves the room or the chat, has seen what was there.
    user.press(KeyCode::End);
    assert_eq!(marks(&mut user), [40]);
    user.says(41, "ann", "one more");
    user.enters("/join other");
    assert_eq!(marks(&mut user), [41]);
    assert_eq!(user.app.rooms[0].unread, 0);
    user.control('n');
    user.says(42, "ann", "and another");
    user.press(KeyCode::PageUp);
    assert_eq!(marks(&mut user), [42]);
}

#[test]
fn messages_of_others_are_unread_until_they_are_read_here_or_elsewhere() {
    let mut user = User::new(&["other", "general"]);
    user.says(1, "ann", "one");
    user.says(2, "sam", "from another device");
    user.says(3, "ann", "hello @sam!");
    user.says(4, "ann", "and @samantha");
    let general = |user: &User| (user.app.rooms[1].unread, user.app.rooms[1].mentioned);
    assert_eq!(general(&user), (3, true));
    user.receives(Update::Read { room: id("general"), seq: 3 });
    assert_eq!(general(&user), (1, false));
    user.control('n');
    assert_eq!(user.room().new_after, Some(3));
}

#[test]
fn a_reply_is_a_mention_and_a_deleted_message_is_not_unread() {
    let mut user = User::new(&["other", "general"]);
    let general = |user: &User| (user.app.rooms[1].unread, user.app.rooms[1].mentioned);
    user.says(1, "sam", "mine");
    user.happens(2, "ann", Body::Posted { text: "yes".to_owned(), reply_to: Some(1), erased: false });
    user.says(3, "ann", "oops");
    assert_eq!(general(&user), (2, true));
    user.happens(4, "ann", Body::Deleted { seq: 3 });
    assert_eq!(general(&user), (1, true));
    user.happens(5, "ann", Body::Edited { seq: 2, text: String::new(), erased: true });
    user.happens(6, "ann", Body::Deleted { seq: 2 });
    assert_eq!(general(&user), (0, false), "once");
}

#[test]
fn what_comes_while_the_terminal_has_no_focus_is_new() {
    let mut user = User::new(&["general"]);
    user.says(1, "ann", "seen");
    user.does(Input::FocusLost);
    user.does(Input::FocusGained);
    assert_eq!(user.room().new_after, None, "nothing came");
    user.does(Input::FocusLost);
    user.says(2, "ann", "not seen");
    user.does(Input::FocusGained);
    assert_eq!(user.room().new_after, Some(1));
}

#[test]
fn a_terminal_that_is_made_wider_can_still_be_scrolled() {
    let mut user = User::new(&["general"]);
    user.does(Input::Resize(30, 24));
    for seq in 1..50 {
        user.says(seq, "ann", &"many words ".repeat(30));
    }
    (0..5).for_each(|_| user.press(KeyCode::PageUp));
    user.does(Input::Resize(200, 24));
    let before = user.room().anchor.unwrap();
    user.press(KeyCode::PageUp);
    let after = user.room().anchor.unwrap();
    assert!(after.seq + 2 < before.seq, "{before:?} {after:?}");
}

#[test]
fn no_seq_is_too_large() {
    let mut user = User::new(&["general"]);
    user.receives(Update::Read { room: id("general"), seq: Seq::MAX });
    user.joins("general", Verdict::Reset(ResetReason::Epoch), Seq::MAX, 0);
    user.says(Seq::MAX, "ann", "x");
    user.press(KeyCode::PageUp);
    user.press(KeyCode::PageDown);
}

#[test]
fn one_key_acts_on_the_selected_message() {
    let mut user = User::new(&["general"]);
    for (seq, sender) in [(1, "ann"), (2, "sam"), (3, "ann")] {
        user.says(seq, sender, "x");
    }
    let up = |user: &mut User| user.press_with(KeyCode::Up, KeyModifiers::CONTROL);
    up(&mut user);
    assert_eq!(user.room().selected, Some(3));
    for key in ['e', 'd'] {
        user.press(KeyCode::Char(key));
        assert_eq!(user.notice(), "that message is not yours");
    }
    user.press(KeyCode::Up);
    user.press(KeyCode::Char('d'));
    assert_eq!((user.posted(), user.app.deleting), (vec![], Some(2)), "it is asked first");
    user.press(KeyCode::Up);
    assert_eq!((user.room().selected, user.app.deleting), (Some(1), None), "another key keeps it");
    user.press(KeyCode::Down);
    user.press(KeyCode::Char('d'));
    user.press(KeyCode::Char('d'));
    assert_eq!(user.room().selected, None);
    (0..3).for_each(|_| up(&mut user));
    user.press(KeyCode::Char('r'));
    user.enters("to the first");
    assert_eq!(user.posted(), [Change::Delete { target: target(2) }, Change::reply(target(1), "to the first")]);
    assert_eq!(user.room().selected, None);
    up(&mut user);
    user.press(KeyCode::Down);
    assert_eq!(user.room().selected, None, "below the newest there is none");
    up(&mut user);
    user.press(KeyCode::Char('+'));
    user.enters("🎉");
    assert_eq!(user.posted(), [Change::React { target: target(3), reaction: "🎉".to_owned(), remove: false }]);
}

#[test]
fn a_deleted_message_gets_neither_replies_nor_reactions() {
    let mut user = User::new(&["general"]);
    user.says(1, "ann", "x");
    user.happens(2, "ann", Body::Deleted { seq: 1 });
    user.press_with(KeyCode::Up, KeyModifiers::CONTROL);
    for (key, why) in [('r', NOTHING_TO_REPLY_TO), ('+', NOTHING_TO_REACT_TO), ('d', "that message is deleted")] {
        user.press(KeyCode::Char(key));
        assert_eq!((user.notice(), user.app.mode), (why, Mode::Post));
    }
}

#[test]
fn a_message_that_scrolls_away_is_not_selected_any_more() {
    let mut user = User::new(&["general"]);
    for seq in 1..100 {
        user.says(seq, "ann", "x");
    }
    user.says(100, "sam", "mine");
    user.press_with(KeyCode::Up, KeyModifiers::ALT);
    assert_eq!(user.room().selected, Some(100));
    user.press(KeyCode::PageUp);
    user.press(KeyCode::PageUp);
    user.types("did you see it?");
    assert_eq!((user.posted(), user.app.editor.text()), (vec![], "did you see it?"));
    user.control('c');
    // By what others say, too, in between two keys.
    user.press(KeyCode::End);
    user.press_with(KeyCode::Up, KeyModifiers::ALT);
    for seq in 101..200 {
        user.app.update(Update::Event(User::event(seq, "ann", posted("x"))), user.now);
    }
    user.types("dd");
    assert_eq!((user.posted(), user.app.editor.text()), (vec![], "dd"));
}
