//! Hostile text: it controls no terminal, and cannot be mistaken for something else.

use super::*;

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
fn control_characters_are_drawn_nowhere() {
    let now = Instant::now();
    for bad in hostile() {
        let mut app = app(&["general"], 80, 16);
        let bad = || bad.clone();
        happened(&mut app, "general", 1, &bad(), minute(0), says(&bad()));
        let answer = Body::Posted { text: bad(), reply_to: Some(1), erased: false };
        happened(&mut app, "general", 2, &bad(), minute(0), answer);
        happened(&mut app, "general", 3, &bad(), minute(0), reacts(2, &bad()));
        app.update(Update::Present { room: id("general"), users: vec![bad()], count: 1 }, now);
        app.update(Update::Typing { room: id("general"), users: vec![bad()] }, now);
        app.editor.paste(&bad());
        for step in 0..4 {
            match step {
                0 => {}
                1 => app.overlay = Some(Overlay { kind: Kind::People, at: 0 }),
                2 => app.notify(true, bad()),
                _ => {
                    app.overlay = None;
                    let why = Refused::new(grpc_chat_client::Code::Unknown, bad());
                    let draft = Draft::new(id("general"), Change::post("x"));
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

#[test]
fn nobody_can_write_what_looks_like_a_name() {
    let mut app = app(&["general"], 24, 12);
    happened(&mut app, "general", 1, "joe", minute(0), says("two\nlines\nann: fake line"));
    happened(&mut app, "general", 2, "ann", minute(0), says("oops"));
    happened(&mut app, "general", 3, "ann", minute(0), Body::Deleted { seq: 2 });
    let screen = drawn(&mut app, 24, 12);
    insta::assert_snapshot!(text(&screen));
    let head = text(&screen).lines().position(|row| row.starts_with("joe")).unwrap();
    assert_eq!(screen[(0, head as u16)].fg, coloured().author(app.authors.slot("joe")).fg.unwrap());
}
