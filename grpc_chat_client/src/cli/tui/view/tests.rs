//! What is drawn, as text.

mod hostile;
mod random;

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use grpc_chat_client::{
    Body, Change, ConnectionState, Draft, Event, Joined, MsgId, Refused, RoomId, Seq, Update, Verdict,
};
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, CellWidth};
use ratatui::crossterm::event::{Event as Input, KeyCode, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Size;
use ratatui::style::Color;
use tokio::time::Instant;

use super::*;
use crate::tui::overlay::{Kind, Overlay};
use crate::tui::room::PageRequest;
use crate::tui::theme::Background;

/// With the colours for a dark background.
fn coloured() -> Theme {
    Theme::detect(Background::Dark, |_| None)
}

fn without_colours() -> Theme {
    Theme::detect(Background::Dark, |name| (name == "NO_COLOR").then(|| "1".to_owned()))
}

fn app(rooms: &[&str], width: u16, height: u16) -> App {
    let rooms = ids(rooms);
    let mut app =
        App::new("sam", &rooms, TimeZone::UTC, coloured().author_colours(), Size { width, height }, Instant::now());
    app.server = "http://127.0.0.1:9090".to_owned();
    let online = ConnectionState::Online { user: "sam".to_owned(), max_text_bytes: 8 * 1024 };
    app.update(Update::Connection(online), Instant::now());
    for room in rooms {
        joined(&mut app, &room, 0, 0);
        app.update(Update::CaughtUp { room, seq: 0 }, Instant::now());
    }
    app
}

fn joined(app: &mut App, room: &str, start: Seq, read: Seq) {
    let verdict = Verdict::Live;
    let joined = Joined { room: id(room), verdict, epoch: 1, start, start_id: None, head: 0, oldest: 1, read };
    app.update(Update::Joined(joined), Instant::now());
}

/// A quarter past nine on the day on which this was written, and so many minutes.
fn minute(minute: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_511_700 + 60 * minute)
}

fn happened(app: &mut App, room: &str, seq: Seq, sender: &str, at: SystemTime, body: Body) {
    let (room, sender) = (id(room), sender.to_owned());
    let event =
        Event { room, seq, prev_seq: seq - 1, time: at, sender, device: String::new(), id: MsgId([0; 16]), body };
    app.update(Update::Event(event), Instant::now());
}

fn says(text: &str) -> Body {
    Body::Posted { text: text.to_owned(), reply_to: None, erased: false }
}

fn reacts(seq: Seq, reaction: &str) -> Body {
    Body::Reacted { seq, reaction: reaction.to_owned(), removed: false }
}

fn id(room: &str) -> RoomId {
    room.parse().unwrap()
}

fn ids(rooms: &[&str]) -> Vec<RoomId> {
    rooms.iter().map(|room| id(room)).collect()
}

/// Draws it on a terminal of this size, and returns the screen.
fn drawn(app: &mut App, width: u16, height: u16) -> Buffer {
    drawn_with(coloured(), app, width, height)
}

fn drawn_with(theme: Theme, app: &mut App, width: u16, height: u16) -> Buffer {
    app.resize(Size { width, height });
    app.finish_turn();
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| assert!(draw(frame, app, theme).is_some() || app.overlay.is_some())).unwrap();
    terminal.backend().buffer().clone()
}

/// The screen as text, as far as there is something on it.
fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in buffer.area.top()..buffer.area.bottom() {
        let (mut x, mut row) = (buffer.area.left(), String::new());
        while x < buffer.area.right() {
            let cell = &buffer[(x, y)];
            row.push_str(cell.symbol());
            x += cell.cell_width().max(1);
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// A room in which everything has happened that can.
fn busy(width: u16, height: u16) -> App {
    let mut app = app(&["general", "team/ops", "random"], width, height);
    app.listed(ids(&["general", "lobby", "team/with-a-long-name"]));
    let room = "general";
    happened(&mut app, room, 1, "ann", minute(0), says("Good morning!"));
    happened(&mut app, room, 2, "ann", minute(1), says("Is anybody here?"));
    happened(
        &mut app,
        room,
        3,
        "joe",
        minute(2),
        says("A message that is long enough to need more than one row, with 漢字 and 👩‍👩‍👧 in it"),
    );
    happened(&mut app, room, 4, "sam", minute(3), says("Yes"));
    happened(&mut app, room, 5, "sam", minute(4), Body::Edited { seq: 4, text: "Yes, I am".to_owned(), erased: false });
    happened(&mut app, room, 6, "ann", minute(5), reacts(4, "👍"));
    happened(&mut app, room, 7, "sam", minute(5), reacts(3, "👍"));
    happened(&mut app, room, 8, "ann", minute(5), reacts(3, "👍"));
    let answer = Body::Posted { text: "@sam how are you?".to_owned(), reply_to: Some(4), erased: false };
    happened(&mut app, room, 9, "a-very-long-name-indeed", minute(24 * 60), answer);
    happened(&mut app, room, 10, "joe", minute(24 * 60), says("oops"));
    happened(&mut app, room, 11, "joe", minute(24 * 60 + 1), Body::Deleted { seq: 10 });
    happened(&mut app, room, 12, "joe", minute(24 * 60 + 2), says("a list:\n\t- one\n\t- two"));
    happened(&mut app, "team/ops", 1, "joe", minute(0), says("the disk is full"));
    happened(&mut app, "random", 1, "joe", minute(0), says("@sam look"));
    let users = ["ann", "joe", "sam"].map(str::to_owned).to_vec();
    app.update(Update::Present { room: id(room), users, count: 3 }, Instant::now());
    app.update(Update::Typing { room: id(room), users: vec!["ann".to_owned()] }, Instant::now());
    app
}

#[test]
fn a_room_in_which_everything_happens() {
    let mut app = busy(90, 24);
    insta::assert_snapshot!(text(&drawn(&mut app, 90, 24)));
}

#[test]
fn the_same_on_a_small_terminal() {
    let mut app = busy(40, 10);
    insta::assert_snapshot!(text(&drawn(&mut app, 40, 10)));
    let mut app = busy(24, 8);
    insta::assert_snapshot!(text(&drawn(&mut app, 24, 8)));
}

#[test]
fn offline_it_shows_why_and_what_is_unsent() {
    let mut app = busy(90, 14);
    let now = Instant::now();
    type_text(&mut app, "I say this anyway");
    press(&mut app, KeyCode::Enter, KeyModifiers::NONE);
    app.update(Update::Unsent(1), now);
    let why = "no chat service answers at http://127.0.0.1:9090 (nothing listens there)".to_owned();
    let waiting = ConnectionState::Reconnecting { why, reason: String::new(), retry_in: Duration::from_millis(2_500) };
    app.update(Update::Connection(waiting), now);
    insta::assert_snapshot!(text(&drawn(&mut app, 90, 14)));
}

#[test]
fn overlays() {
    let mut app = busy(90, 26);
    app.overlay = Some(Overlay { kind: Kind::Help, at: 0 });
    insta::assert_snapshot!(text(&drawn(&mut app, 90, 26)));
    app.overlay = Some(Overlay { kind: Kind::People, at: 0 });
    insta::assert_snapshot!(text(&drawn(&mut app, 90, 26)));
    app.overlay = Some(Overlay { kind: Kind::Help, at: 0 });
    drawn(&mut app, 40, 10);
    press(&mut app, KeyCode::PageDown, KeyModifiers::NONE);
    insta::assert_snapshot!(text(&drawn(&mut app, 40, 10)));
    for _ in 0..20 {
        press(&mut app, KeyCode::PageDown, KeyModifiers::NONE);
        drawn(&mut app, 40, 10);
    }
    press(&mut app, KeyCode::Up, KeyModifiers::NONE);
    insta::assert_snapshot!(text(&drawn(&mut app, 40, 10)));
}

#[test]
fn composing_selecting_and_completing() {
    let mut app = busy(60, 16);
    type_text(&mut app, "one line\nand another that goes on beyond the edge of the screen\n\tand @");
    press(&mut app, KeyCode::Tab, KeyModifiers::NONE);
    insta::assert_snapshot!(text(&drawn(&mut app, 60, 16)));
    press(&mut app, KeyCode::Char('c'), KeyModifiers::CONTROL);
    press(&mut app, KeyCode::Up, KeyModifiers::CONTROL);
    press(&mut app, KeyCode::Up, KeyModifiers::CONTROL);
    press(&mut app, KeyCode::Up, KeyModifiers::CONTROL);
    press(&mut app, KeyCode::Char('r'), KeyModifiers::NONE);
    insta::assert_snapshot!(text(&drawn(&mut app, 60, 16)));
}

#[test]
fn unread_messages_are_counted_and_marked_where_they_begin() {
    let mut app = app(&["general", "random"], 70, 10);
    joined(&mut app, "random", 0, 2);
    for seq in 1..=4 {
        happened(&mut app, "random", seq, "ann", minute(seq), says(&format!("message {seq}")));
    }
    insta::assert_snapshot!(text(&drawn(&mut app, 70, 10)));
    press(&mut app, KeyCode::Char('n'), KeyModifiers::CONTROL);
    insta::assert_snapshot!(text(&drawn(&mut app, 70, 10)));
}

#[test]
fn a_row_stands_for_rooms_that_do_not_fit() {
    let names: Vec<String> = (0..30).map(|n| format!("a-long-name-for-a-room-{n}")).collect();
    let mut app = app(&names.iter().map(String::as_str).collect::<Vec<_>>(), 70, 12);
    happened(&mut app, &names[0], 1, "ann", minute(0), says("x"));
    happened(&mut app, &names[28], 1, "ann", minute(0), says("@sam"));
    press(&mut app, KeyCode::Char('9'), KeyModifiers::ALT);
    press(&mut app, KeyCode::Char('n'), KeyModifiers::CONTROL);
    type_text(&mut app, "half a sent");
    press(&mut app, KeyCode::Char('p'), KeyModifiers::CONTROL);
    insta::assert_snapshot!(text(&drawn(&mut app, 70, 12)));
    type_text(&mut app, "/rooms");
    press(&mut app, KeyCode::Enter, KeyModifiers::NONE);
    insta::assert_snapshot!(text(&drawn(&mut app, 70, 12)));
}

#[test]
fn of_a_very_large_room_only_the_number_of_people_is_shown() {
    let mut app = app(&["general"], 140, 12);
    app.update(Update::Present { room: id("general"), users: Vec::new(), count: 312 }, Instant::now());
    let screen = text(&drawn(&mut app, 140, 12));
    assert!(screen.contains("312 here") && screen.contains("too many to list"), "{screen}");
    assert!(!screen.contains("more"), "{screen}");
    type_text(&mut app, "/who");
    press(&mut app, KeyCode::Enter, KeyModifiers::NONE);
    let screen = text(&drawn(&mut app, 140, 12));
    assert!(screen.contains("312 are here, too many to list"), "{screen}");
}

#[test]
fn the_chosen_candidate_is_always_visible() {
    let mut app = app(&["general"], 60, 10);
    let users: Vec<String> = (0..31).map(|n| format!("user-{n}")).collect();
    app.update(Update::Present { room: id("general"), users, count: 31 }, Instant::now());
    type_text(&mut app, "@");
    for n in 0..31 {
        press(&mut app, KeyCode::Tab, KeyModifiers::NONE);
        let screen = text(&drawn(&mut app, 60, 10));
        assert!(screen.split([' ', '│']).any(|word| word == format!("@user-{n}")), "{n}: {screen}");
    }
}

#[test]
fn a_long_speech_shows_the_time_now_and_then_and_a_name_at_the_top() {
    let mut app = app(&["general"], 60, 24);
    (0..40).for_each(|seq| happened(&mut app, "general", seq + 1, "ann", minute(seq), says("x")));
    let screen = text(&drawn(&mut app, 60, 24));
    let heads = screen.lines().filter(|row| row.contains("ann ▎"));
    let times: Vec<&str> = heads.filter_map(|row| row.trim_end_matches([' ', '│']).split_whitespace().last()).collect();
    assert_eq!(times, ["09:38", "09:40", "09:45", "09:50"], "{screen}");
    assert!(screen.lines().nth(1).is_some_and(|row| row.contains("ann ▎x") && row.contains("09:38")), "{screen}");
}

#[test]
fn above_the_oldest_message_it_says_why_there_is_nothing() {
    let mut app = app(&["general"], 80, 10);
    joined(&mut app, "general", 0, 0);
    let reset = Verdict::Reset(grpc_chat_client::ResetReason::Epoch);
    let again =
        Joined { room: id("general"), verdict: reset, epoch: 2, start: 9, start_id: None, head: 9, oldest: 1, read: 9 };
    app.update(Update::Joined(again), Instant::now());
    app.update(Update::CaughtUp { room: id("general"), seq: 9 }, Instant::now());
    let seen = |app: &mut App| text(&drawn(app, 80, 10));
    assert!(seen(&mut app).contains("reading older messages"));
    happened(&mut app, "general", 10, "ann", minute(0), says("new"));
    assert!(seen(&mut app).contains("── reading older messages ──"));
    app.update(Update::Connection(ConnectionState::Connecting), Instant::now());
    assert!(seen(&mut app).contains("── older messages cannot be read while offline ──"));
    let page = grpc_chat_client::Page { events: Vec::new(), epoch: 2, head: 10, more: false };
    app.page(&id("general"), PageRequest::Older(10), Ok(page));
    assert!(seen(&mut app).contains("── the history begins anew · Tuesday"), "{}", seen(&mut app));
}

#[test]
fn a_text_that_is_too_long_is_pointed_out_before_it_is_sent() {
    let mut app = app(&["general"], 80, 10);
    app.input(Input::Paste("x".repeat(9_000)), Instant::now());
    assert!(text(&drawn(&mut app, 80, 10)).contains("too long: 9000 bytes of at most 8192"));
}

#[test]
fn the_hint_names_a_key_that_goes_to_the_newest() {
    let mut app = app(&["general"], 80, 10);
    (1..50).for_each(|seq| happened(&mut app, "general", seq, "ann", minute(seq), says("x")));
    app.finish_turn();
    let seen = |app: &mut App| text(&drawn(app, 80, 10));
    press(&mut app, KeyCode::PageUp, KeyModifiers::NONE);
    assert!(seen(&mut app).contains("scrolled back · End for the newest"), "{}", seen(&mut app));
    happened(&mut app, "general", 50, "ann", minute(50), says("x"));
    type_text(&mut app, "Hi");
    assert!(seen(&mut app).contains("scrolled back, 1 new below · Esc for the newest"), "{}", seen(&mut app));
    press(&mut app, KeyCode::Esc, KeyModifiers::NONE);
    assert!(!seen(&mut app).contains("scrolled back"));
}

#[test]
fn changes_that_are_not_stored_yet_are_shown() {
    let mut app = app(&["general"], 60, 10);
    for (seq, said) in [(1, "first"), (2, "second"), (3, "third")] {
        happened(&mut app, "general", seq, "sam", minute(0), says(said));
    }
    for change in [
        Change::Edit { target: 1.into(), text: "better".to_owned() },
        Change::Delete { target: 2.into() },
        Change::React { target: 3.into(), reaction: "👍".to_owned(), remove: false },
    ] {
        app.rooms[0].unsent.push(Draft::new(id("general"), change));
    }
    let screen = text(&drawn(&mut app, 60, 10));
    for there in ["better (to be edited…)", "message to be deleted…", "third", "👍 …"] {
        assert!(screen.contains(there), "{there}: {screen}");
    }
    assert!(!screen.contains("first") && !screen.contains("second"), "{screen}");
}

#[test]
fn notices_do_not_hide_what_the_user_is_doing() {
    let mut app = app(&["general"], 40, 12);
    for seq in 1..40 {
        happened(&mut app, "general", seq, "sam", minute(seq), says("line"));
    }
    app.notify(true, "something has happened elsewhere");
    press(&mut app, KeyCode::Up, KeyModifiers::ALT);
    press(&mut app, KeyCode::Char('d'), KeyModifiers::NONE);
    assert!(text(&drawn(&mut app, 40, 12)).contains("d again deletes it"));
    press(&mut app, KeyCode::Esc, KeyModifiers::NONE);
    press(&mut app, KeyCode::Esc, KeyModifiers::NONE);
    press(&mut app, KeyCode::PageUp, KeyModifiers::NONE);
    happened(&mut app, "general", 40, "ann", minute(40), says("below"));
    for (width, there) in [(80, "1 new below · End"), (40, "↓ 1 new"), (20, "↓ 1")] {
        app.input(Input::Resize(width, 12), Instant::now());
        let screen = text(&drawn(&mut app, width, 12));
        assert!(screen.contains(there), "{width}: {screen}");
    }
}

#[test]
fn help_lists_every_key_and_command_and_what_the_mouse_does() {
    let mut app = app(&["general"], 100, 200);
    press(&mut app, KeyCode::F(1), KeyModifiers::NONE);
    let screen = text(&drawn(&mut app, 100, 200));
    for there in ["/react", "Ctrl+D ", "Shift+Up", "Alt+1 … Alt+9", "F1, Ctrl+G", "Shift+drag", "Click"] {
        assert!(screen.contains(there), "{there}: {screen}");
    }
}

#[test]
fn a_question_mark_alone_says_where_help_is() {
    let mut app = app(&["general"], 80, 12);
    type_text(&mut app, "?");
    assert!(text(&drawn(&mut app, 80, 12)).contains("Enter sends it · F1 is for help"));
    type_text(&mut app, "?");
    assert!(!text(&drawn(&mut app, 80, 12)).contains("F1 is for help"));
}

#[test]
fn authors_who_talk_to_each_other_have_colours_of_their_own() {
    let mut app = app(&["general"], 80, 12);
    for (seq, sender) in (1..).zip(["ann", "sam", "kim", "joe"]) {
        happened(&mut app, "general", seq, sender, minute(seq), says("Hi"));
    }
    let screen = drawn(&mut app, 80, 12);
    let colours: HashSet<Color> = ["ann", "sam", "kim", "joe"]
        .map(|name| {
            let row = text(&screen).lines().position(|row| row.contains(&format!("{name} ▎Hi"))).unwrap();
            let x = text(&screen).lines().nth(row).unwrap().split(name).next().unwrap().chars().count();
            screen[(x as u16, row as u16)].fg
        })
        .into();
    assert_eq!(colours.len(), 4);
}

#[test]
fn without_colours_there_are_none() {
    let mut app = busy(90, 24);
    press(&mut app, KeyCode::Up, KeyModifiers::CONTROL);
    let screen = drawn_with(without_colours(), &mut app, 90, 24);
    assert!(screen.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    let mut app = busy(90, 24);
    assert!(drawn(&mut app, 90, 24).content.iter().any(|cell| cell.fg != Color::Reset));
}

fn type_text(app: &mut App, text: &str) {
    for c in text.chars() {
        match c {
            '\n' => press(app, KeyCode::Char('j'), KeyModifiers::CONTROL),
            '\t' => app.input(Input::Paste("\t".to_owned()), Instant::now()),
            c => press(app, KeyCode::Char(c), KeyModifiers::NONE),
        }
    }
}

fn press(app: &mut App, code: KeyCode, modifiers: KeyModifiers) {
    app.input(Input::Key(ratatui::crossterm::event::KeyEvent::new(code, modifiers)), Instant::now());
    app.finish_turn();
}
