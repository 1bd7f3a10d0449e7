//! Terminals of every size, and random input.

use super::*;

#[test]
fn every_size_can_be_drawn() {
    for width in 0..50 {
        for height in 0..14 {
            for overlay in
                [None, Some(Overlay { kind: Kind::Help, at: 3 }), Some(Overlay { kind: Kind::People, at: 1 })]
            {
                let mut app = busy(width, height);
                type_text(&mut app, "two\nlines");
                app.overlay = overlay;
                app.finish_turn();
                press(&mut app, KeyCode::PageUp, KeyModifiers::NONE);
                press(&mut app, KeyCode::Up, KeyModifiers::CONTROL);
                drawn(&mut app, width, height);
            }
        }
    }
}

#[test]
fn random_use_never_fails() {
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
        let mut app = busy(width, height);
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
                        room: id(room),
                        verdict,
                        epoch,
                        start: seq,
                        start_id: None,
                        head: seq,
                        oldest: 1,
                        read: 0,
                    };
                    app.update(Update::Joined(joined), now);
                    app.update(Update::CaughtUp { room: id(room), seq }, now);
                }
                18 => {
                    let why = Refused::new(grpc_chat_client::Code::PermissionDenied, "no".to_owned());
                    app.update(Update::JoinRefused { room: id(room), why }, now);
                }
                _ => app.input([Input::FocusLost, Input::FocusGained][random.usize(..2)].clone(), now),
            }
            if random.bool() {
                app.finish_turn();
                drawn(&mut app, width, height);
            }
            app.take_effects();
        }
    }
}
