//! What keys and updates do to the screen, and what is then to be done.

mod reading;
mod rooms;
mod sending;
mod writing;

use std::time::SystemTime;

use grpc_chat_client::{Body, Code, Event, Joined, MsgId, Refused, ResetReason, Target, Verdict};
use ratatui::crossterm::event::{
    Event as Input, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

use super::actions::{NOTHING_TO_REACT_TO, NOTHING_TO_REPLY_TO, TWICE};
use super::input::WHEEL;
use super::*;
use crate::tui::layout::Shown;
use crate::tui::messages;
use crate::tui::notices::SHOWN_FOR;

/// The screen of Sam, and the time there.
struct User {
    app: App,
    now: Instant,
}

impl User {
    /// Sam is in these rooms, which are empty, and online.
    fn new(rooms: &[&str]) -> Self {
        let rooms = ids(rooms);
        let (size, now) = (Size { width: 80, height: 24 }, Instant::now());
        let mut user = Self { app: App::new("sam", &rooms, TimeZone::UTC, 16, size, now), now };
        assert_eq!(user.app.take_effects(), rooms.iter().map(|room| Effect::Join(room.clone())).collect::<Vec<_>>());
        user.receives(Update::Connection(ConnectionState::Online { user: "sam".to_owned(), max_text_bytes: 100 }));
        for room in &rooms {
            user.joins(room, Verdict::Live, 0, 0);
        }
        user.app.take_effects();
        user
    }

    fn receives(&mut self, update: Update) {
        self.app.update(update, self.now);
        self.app.finish_turn();
    }

    fn joins(&mut self, room: &str, verdict: Verdict, start: Seq, read: Seq) {
        let head = start;
        let joined = Joined { room: id(room), verdict, epoch: 1, start, start_id: None, head, oldest: 1, read };
        self.receives(Update::Joined(joined));
        self.receives(Update::CaughtUp { room: id(room), seq: head });
    }

    fn event(seq: Seq, sender: &str, body: Body) -> Event {
        let (room, time) = (id("general"), SystemTime::UNIX_EPOCH);
        Event {
            room,
            seq,
            prev_seq: seq - 1,
            time,
            sender: sender.to_owned(),
            device: String::new(),
            id: msg_id(seq),
            body,
        }
    }

    fn happens(&mut self, seq: Seq, sender: &str, body: Body) {
        self.receives(Update::Event(Self::event(seq, sender, body)));
    }

    fn says(&mut self, seq: Seq, sender: &str, text: &str) {
        self.happens(seq, sender, posted(text));
    }

    fn press(&mut self, code: KeyCode) {
        self.press_with(code, KeyModifiers::NONE);
    }

    fn control(&mut self, key: char) {
        self.press_with(KeyCode::Char(key), KeyModifiers::CONTROL);
    }

    fn press_with(&mut self, code: KeyCode, modifiers: KeyModifiers) {
        self.does(Input::Key(KeyEvent::new(code, modifiers)));
    }

    fn does(&mut self, input: Input) {
        self.app.input(input, self.now);
        self.app.finish_turn();
    }

    fn types(&mut self, text: &str) {
        text.chars().for_each(|c| self.press(KeyCode::Char(c)));
    }

    fn enters(&mut self, text: &str) {
        self.types(text);
        self.press(KeyCode::Enter);
    }

    /// Takes the effects, and returns the changes that are to be posted.
    fn posted(&mut self) -> Vec<Change> {
        let change = |effect| if let Effect::Post(draft) = effect { Some(draft.change) } else { None };
        self.app.take_effects().into_iter().filter_map(change).collect()
    }

    fn notice(&self) -> &str {
        self.app.notice().map_or("", |(text, _)| text)
    }

    /// Moves on to the next notice, if there is one, and returns it.
    fn next_notice(&mut self) -> &str {
        self.now += SHOWN_FOR;
        self.app.tick(self.now);
        self.notice()
    }

    /// Rooms that Sam is not in.
    fn others(&self) -> &[RoomId] {
        self.app.others.as_deref().unwrap_or_default()
    }

    fn room(&self) -> &Room {
        self.app.room().unwrap()
    }
}

fn id(room: &str) -> RoomId {
    room.parse().unwrap()
}

/// The id of the event with this seq.
fn msg_id(seq: Seq) -> MsgId {
    MsgId(u128::from(seq).to_be_bytes())
}

/// What names the message with this seq in a change.
fn target(seq: Seq) -> Target {
    Target { seq, id: Some(msg_id(seq)) }
}

fn ids(rooms: &[&str]) -> Vec<RoomId> {
    rooms.iter().map(|room| id(room)).collect()
}

fn mouse(kind: MouseEventKind, column: u16, row: u16) -> Input {
    Input::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
}

fn posted(text: &str) -> Body {
    Body::Posted { text: text.to_owned(), reply_to: None, erased: false }
}
