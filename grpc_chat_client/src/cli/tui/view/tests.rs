//! What is drawn, on terminals of all sizes, whatever anyone has written.

use std::time::{Duration, SystemTime};

use grpc_chat_client::{Body, Change, Draft, Event, Joined, MsgId, Refused, RoomId, Seq, Update, Verdict};
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, CellWidth};
use ratatui::crossterm::event::{Event as Input, KeyCode, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Size;
use ratatui::style::Color;
use tokio::time::Instant;

use super::*;
use crate::tui::theme::Theme;

fn app(rooms: &[&str], width: u16, height: u16, theme: Theme) -> App {
    let rooms: Vec<String> = rooms.iter().map(|&room| room.to_owned()).collect();
    let mut app = App::new("sam", &rooms, TimeZone::UTC, theme, Size { width, height }, Instant::now());
    app.server = "http://127.0.0.1:9090".to_owned();
    let online = ConnectionState::Online { user: "sam".to_owned(), max_text_bytes: 8 * 1024 };
    app.update(Update::Connection(online), Instant::now());
    for room in rooms {
        joined(&mut app, &room, 0, 0);
        app.update(Update::CaughtUp { room: room.parse().unwrap(), seq: 0 }, Instant::now());
    }
    app
}

fn joined(app: &mut App, room: &str, start: Seq, read: Seq) {
    let verdict = Verdict::Live;
    let joined = Joined { room: room.parse().unwrap(), verdict, epoch: 1, start, head: 0, oldest: 1, read };
    app.update(Update::Joined(joined), Instant::now());
}

/// A quarter past nine on the day on which this was written, and so many minutes.
fn minute(minute: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_511_700 + 60 * minute)
}

fn happened(app: &mut App, room: &str, seq: Seq, sender: &str, at: SystemTime, body: Body) {
    let (room, sender, id) = (room.parse().unwrap(), sender.to_owned(), MsgId([0; 16]));
    let event = Event { room, seq, prev_seq: seq - 1, time: at, sender, device: String::new(), id, body };
    app.update(Update::Event(event), Instant::now());
}

fn says(text: &str) -> Body {
    Body::Posted { text: text.to_owned(), reply_to: None, erased: false }
}

fn reacts(seq: Seq, reaction: &str) -> Body {
    Body::Reacted { seq, reaction: reaction.to_owned(), removed: false }
}

/// Draws it, and answers the screen.
fn drawn(app: &mut App, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| assert!(draw(frame, app).is_some() || app.overlay.is_some())).unwrap();
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
fn busy(width: u16, height: u16, theme: Theme) -> App {
    let mut app = app(&["general", "team/ops", "random"], width, height, theme);
    app.listed(vec!["general".to_owned(), "lobby".to_owned(), "wide/漢字".to_owned()]);
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
    app.update(Update::Present { room: room.parse().unwrap(), users, count: 3 }, Instant::now());
    app.update(Update::Typing { room: room.parse().unwrap(), users: vec!["ann".to_owned()] }, Instant::now());
    app
}

#[test]
fn a_room_in_which_everything_happens() {
    let mut app = busy(90, 24, Theme::new(true));
    insta::assert_snapshot!(text(&drawn(&mut app, 90, 24)));
}

#[test]
fn the_same_on_a_small_terminal() {
    let mut app = busy(40, 10, Theme::new(true));
    insta::assert_snapshot!(text(&drawn(&mut app, 40, 10)));
    let mut app = busy(24, 8, Theme::new(true));
    insta::assert_snapshot!(text(&drawn(&mut app, 24, 8)));
}

#[test]
fn without_a_connection_it_says_why_and_what_is_unsent() {
    let mut app = busy(90, 14, Theme::new(true));
    let now = Instant::now();
    type_text(&mut app, "I say this anyway");
    press(&mut app, KeyCode::Enter, KeyModifiers::NONE);
    app.update(Update::Unsent(1), now);
    let why = "no chat service answers at http://127.0.0.1:9090 (nothing listens there)".to_owned();
    let waiting = ConnectionState::Reconnecting { why, retry_in: Duration::from_millis(2_500) };
    app.update(Update::Connection(waiting), now);
    insta::assert_snapshot!(text(&drawn(&mut app, 90, 14)));
}

#[test]
fn what_lies_over_it() {
    let mut app = busy(90, 26, Theme::new(true));
    app.overlay = Some((Overlay::Help, 0));
    insta::assert_snapshot!(text(&drawn(&mut app, 90, 26)));
    app.overlay = Some((Overlay::Who, 0));
    insta::assert_snapshot!(text(&drawn(&mut app, 90, 26)));
    app.overlay = Some((Overlay::Help, 0));
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
    let mut app = busy(60, 16, Theme::new(true));
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
    let mut app = app(&["general", "random"], 70, 10, Theme::new(true));
    joined(&mut app, "random", 0, 2);
    for seq in 1..=4 {
        happened(&mut app, "random", seq, "ann", minute(seq), says(&format!("message {seq}")));
    }
    insta::assert_snapshot!(text(&drawn(&mut app, 70, 10)));
    press(&mut app, KeyCode::Char('n'), KeyModifiers::CONTROL);
    insta::assert_snapshot!(text(&drawn(&mut app, 70, 10)));
}

#[test]
fn rooms_that_there_is_no_place_for_are_told_of() {
    let names: Vec<String> = (0..30).map(|n| format!("a-long-name-for-a-room-{n}")).collect();
    let mut app = app(&names.iter().map(String::as_str).collect::<Vec<_>>(), 70, 12, Theme::new(true));
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
fn the_candidate_that_is_chosen_can_be_seen() {
    let mut app = app(&["general"], 60, 10, Theme::new(true));
    let users: Vec<String> = (0..31).map(|n| format!("user-{n}")).collect();
    app.update(Update::Present { room: "general".parse().unwrap(), users, count: 31 }, Instant::now());
    type_text(&mut app, "@");
    for n in 0..31 {
        press(&mut app, KeyCode::Tab, KeyModifiers::NONE);
        let hint = areas(&mut app).hint;
        let screen = text(&drawn(&mut app, 60, 10));
        let row = screen.lines().nth(hint.y.into()).unwrap();
        assert!(row.split(' ').any(|word| word == format!("@user-{n}")), "{n}: {row}");
    }
}

#[test]
fn whoever_goes_on_and_on_is_given_the_time_now_and_then_and_a_name_at_the_top() {
    let mut app = app(&["general"], 60, 24, Theme::new(true));
    (0..40).for_each(|seq| happened(&mut app, "general", seq + 1, "ann", minute(seq), says("x")));
    let screen = text(&drawn(&mut app, 60, 24));
    let times: Vec<&str> =
        screen.lines().filter_map(|row| row.split_once('│')?.1.split_once(" ann")).map(|it| it.0).collect();
    assert_eq!(times, ["09:35", "09:40", "09:45", "09:50"], "{screen}");
    assert_eq!(screen.lines().nth(1).map(|row| row.contains("09:35 ann")), Some(true), "{screen}");
}

#[test]
fn nobody_can_write_what_looks_like_a_name() {
    let mut app = app(&["general"], 24, 12, Theme::new(true));
    happened(&mut app, "general", 1, "joe", minute(0), says("two\nlines\nann: fake line"));
    happened(&mut app, "general", 2, "ann", minute(0), says("oops"));
    happened(&mut app, "general", 3, "ann", minute(0), Body::Deleted { seq: 2 });
    let screen = drawn(&mut app, 24, 12);
    insta::assert_snapshot!(text(&screen));
    let head = text(&screen).lines().position(|row| row.ends_with("joe")).unwrap();
    assert_eq!(screen[(6, head as u16)].fg, app.theme.author("joe").fg.unwrap());
}

#[test]
fn above_the_oldest_message_it_says_why_there_is_nothing() {
    let mut app = app(&["general"], 80, 10, Theme::new(true));
    joined(&mut app, "general", 0, 0);
    let reset = Verdict::Reset(grpc_chat_client::ResetReason::Epoch);
    let again =
        Joined { room: "general".parse().unwrap(), verdict: reset, epoch: 2, start: 9, head: 9, oldest: 1, read: 9 };
    app.update(Update::Joined(again), Instant::now());
    app.update(Update::CaughtUp { room: "general".parse().unwrap(), seq: 9 }, Instant::now());
    let seen = |app: &mut App| text(&drawn(app, 80, 10));
    assert!(seen(&mut app).contains("reading older messages"));
    happened(&mut app, "general", 10, "ann", minute(0), says("new"));
    assert!(seen(&mut app).contains("── reading older messages ──"));
    app.update(Update::Connection(ConnectionState::Connecting), Instant::now());
    assert!(seen(&mut app).contains("── older messages cannot be read while offline ──"));
    let page = grpc_chat_client::Page { events: Vec::new(), epoch: 2, head: 10, more: false };
    app.page("general", crate::tui::room::Wanted::Older(10), Ok(page));
    assert!(seen(&mut app).contains("── the history begins anew · Tuesday"), "{}", seen(&mut app));
}

#[test]
fn a_text_that_is_too_long_is_told_before_it_is_sent() {
    let mut app = app(&["general"], 80, 10, Theme::new(true));
    app.input(Input::Paste("x".repeat(9_000)), Instant::now());
    assert!(text(&drawn(&mut app, 80, 10)).contains("too long: 9000 bytes of at most 8192"));
}

#[test]
fn the_way_back_to_the_newest_is_one_that_works() {
    let mut app = app(&["general"], 80, 10, Theme::new(true));
    (1..50).for_each(|seq| happened(&mut app, "general", seq, "ann", minute(seq), says("x")));
    app.settle();
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
fn what_is_on_its_way_to_a_message_is_seen_there() {
    let mut app = app(&["general"], 60, 10, Theme::new(false));
    for (seq, said) in [(1, "first"), (2, "second"), (3, "third")] {
        happened(&mut app, "general", seq, "sam", minute(0), says(said));
    }
    for change in [
        Change::Edit { seq: 1, text: "better".to_owned() },
        Change::Delete { seq: 2 },
        Change::React { seq: 3, reaction: "👍".to_owned(), remove: false },
    ] {
        app.rooms[0].unsent.push(Draft::new("general".parse::<RoomId>().unwrap(), change));
    }
    let screen = text(&drawn(&mut app, 60, 10));
    for there in ["better (to be edited…)", "message to be deleted…", "third", "👍 …"] {
        assert!(screen.contains(there), "{there}: {screen}");
    }
    assert!(!screen.contains("first") && !screen.contains("second"), "{screen}");
}

#[test]
fn what_the_user_is_doing_goes_before_what_happened_elsewhere() {
    let mut app = app(&["general"], 40, 12, Theme::new(false));
    for seq in 1..40 {
        happened(&mut app, "general", seq, "sam", minute(seq), says("line"));
    }
    app.say(true, "something has happened elsewhere");
    press(&mut app, KeyCode::Up, KeyModifiers::ALT);
    press(&mut app, KeyCode::Char('d'), KeyModifiers::NONE);
    assert!(text(&drawn(&mut app, 40, 12)).contains("d again to erase it"));
    press(&mut app, KeyCode::Esc, KeyModifiers::NONE);
    press(&mut app, KeyCode::Esc, KeyModifiers::NONE);
    press(&mut app, KeyCode::PageUp, KeyModifiers::NONE);
    happened(&mut app, "general", 40, "ann", minute(40), says("below"));
    for (width, there) in [(80, "↓ 1 new · End"), (40, "↓ 1 new"), (20, "↓ 1")] {
        app.input(Input::Resize(width, 12), Instant::now());
        let screen = text(&drawn(&mut app, width, 12));
        assert!(screen.contains(there), "{width}: {screen}");
    }
}

#[test]
fn no_size_is_too_small_or_makes_it_draw_outside() {
    for width in 0..50 {
        for height in 0..14 {
            for overlay in [None, Some((Overlay::Help, 3)), Some((Overlay::Who, 1))] {
                let mut app = busy(width, height, Theme::new(true));
                type_text(&mut app, "two\nlines");
                app.overlay = overlay;
                app.settle();
                press(&mut app, KeyCode::PageUp, KeyModifiers::NONE);
                press(&mut app, KeyCode::Up, KeyModifiers::CONTROL);
                drawn(&mut app, width, height);
            }
        }
    }
}

#[test]
fn without_colours_there_are_none() {
    let mut app = busy(90, 24, Theme::new(false));
    press(&mut app, KeyCode::Up, KeyModifiers::CONTROL);
    let screen = drawn(&mut app, 90, 24);
    assert!(screen.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    let mut app = busy(90, 24, Theme::new(true));
    assert!(drawn(&mut app, 90, 24).content.iter().any(|cell| cell.fg != Color::Reset));
}

#[test]
fn whatever_is_done_in_whatever_order_it_goes_on() {
    let keys = [
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Tab,
        KeyCode::BackTab,
        KeyCode::PageUp,
        KeyCode::PageDown,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::Left,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::Backspace,
        KeyCode::Delete,
    ];
    let modifiers =
        [KeyModifiers::NONE, KeyModifiers::NONE, KeyModifiers::CONTROL, KeyModifiers::ALT, KeyModifiers::SHIFT];
    let words =
        ["@", "/join ", "/edit", "/delete", "/react A", "/leave", "/rooms", "?", "dd", "r", "e", "+", "漢字\n👩‍👩‍👧"];
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut width, mut height) = (80, 24);
        let mut app = busy(width, height, Theme::new(true));
        let (mut seq, mut epoch) = (100, 1);
        for _ in 0..150 {
            let now = Instant::now();
            let room = ["general", "team/ops", "random"][random.usize(..3)];
            match random.u8(..20) {
                0..6 => press(&mut app, keys[random.usize(..keys.len())], modifiers[random.usize(..modifiers.len())]),
                6..9 => type_text(&mut app, words[random.usize(..words.len())]),
                9 => press(
                    &mut app,
                    KeyCode::Char(['n', 'p', 'c', 'z', 'w', 'u'][random.usize(..6)]),
                    KeyModifiers::CONTROL,
                ),
                10 => press(&mut app, KeyCode::Char(['1', '2', '9', 'a', 'b'][random.usize(..5)]), KeyModifiers::ALT),
                11..13 => {
                    let kind =
                        [MouseEventKind::ScrollUp, MouseEventKind::ScrollDown, MouseEventKind::Down(MouseButton::Left)];
                    let (kind, modifiers) = (kind[random.usize(..3)], KeyModifiers::NONE);
                    let (column, row) = (random.u16(..width.max(1)), random.u16(..height.max(1)));
                    app.input(Input::Mouse(MouseEvent { kind, column, row, modifiers }), now);
                }
                13 => {
                    (width, height) = (random.u16(..100), random.u16(..30));
                    app.input(Input::Resize(width, height), now);
                }
                14..17 => {
                    seq += 1;
                    let of = random.u64(1..=seq);
                    let body =
                        [says("@sam and\nmore"), reacts(of, "A"), Body::Deleted { seq: of }][random.usize(..3)].clone();
                    happened(&mut app, room, seq, ["ann", "sam"][random.usize(..2)], minute(seq), body);
                }
                17 => {
                    epoch += random.u64(..2);
                    let verdict = Verdict::Recovered;
                    let joined = Joined {
                        room: room.parse().unwrap(),
                        verdict,
                        epoch,
                        start: seq,
                        head: seq,
                        oldest: 1,
                        read: 0,
                    };
                    app.update(Update::Joined(joined), now);
                    app.update(Update::CaughtUp { room: room.parse().unwrap(), seq }, now);
                }
                18 => {
                    let why = Refused::new(grpc_chat_client::Code::PermissionDenied, "no".to_owned());
                    app.update(Update::JoinRefused { room: room.parse().unwrap(), why }, now);
                }
                _ => app.input([Input::FocusLost, Input::FocusGained][random.usize(..2)].clone(), now),
            }
            if random.bool() {
                app.settle();
                drawn(&mut app, width, height);
            }
            app.effects();
        }
    }
}

/// Every control character there is, and sequences that begin with one.
fn hostile() -> Vec<String> {
    let controls = (0..0x20).chain(0x7F..0xA0).chain([0x202A, 0x202E, 0x2066, 0x2069, 0x2028, 0x2029]);
    let mut all: Vec<String> = controls.map(|code| format!("a{}b", char::from_u32(code).unwrap())).collect();
    for sequence in
        ["[2J", "[31m", "]0;title\u{7}", "]52;c;aGk=\u{7}", "P$q\"p\u{1b}\\", "_app\u{1b}\\", "^pm\u{1b}\\", "c"]
    {
        all.push(format!("\u{1b}{sequence}"));
    }
    all.push("\u{9b}31m\u{9d}0;title\u{9c}\u{90}q\u{9c}".to_owned());
    all.push(format!("a{}", "\u{301}".repeat(10_000)));
    all
}

#[test]
fn nothing_hostile_is_drawn_wherever_it_comes_from() {
    let now = Instant::now();
    for bad in hostile() {
        let mut app = app(&["general"], 80, 16, Theme::new(true));
        let bad = || bad.clone();
        happened(&mut app, "general", 1, &bad(), minute(0), says(&bad()));
        let answer = Body::Posted { text: bad(), reply_to: Some(1), erased: false };
        happened(&mut app, "general", 2, &bad(), minute(0), answer);
        happened(&mut app, "general", 3, &bad(), minute(0), reacts(2, &bad()));
        app.update(Update::Present { room: "general".parse().unwrap(), users: vec![bad()], count: 1 }, now);
        app.update(Update::Typing { room: "general".parse().unwrap(), users: vec![bad()] }, now);
        app.listed(vec![bad()]);
        app.editor.paste(&bad());
        for step in 0..4 {
            match step {
                0 => {}
                1 => app.overlay = Some((Overlay::Who, 0)),
                2 => app.say(true, bad()),
                _ => {
                    app.overlay = None;
                    let why = Refused::new(grpc_chat_client::Code::Unknown, bad());
                    let draft = Draft::new("general".parse::<RoomId>().unwrap(), Change::post("x"));
                    app.update(Update::Refused { draft, why: why.clone() }, now);
                    app.update(Update::Connection(ConnectionState::Failed(why)), now);
                }
            }
            let screen = drawn(&mut app, 80, 16);
            for cell in &screen.content {
                let steers = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
                assert!(!cell.symbol().contains(steers), "{:?}", cell.symbol());
                assert!(cell.symbol().chars().count() <= MAX_CELL_CHARS);
            }
        }
    }
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
    app.settle();
}
