//! What keys and commands do.

use std::time::Duration;

use grpc_chat_client::{Change, Draft, RoomId, Seq, Target};
use ratatui::crossterm::event::KeyCode;
use tokio::time::Instant;

use super::{App, Effect};
use crate::tui::keymap::{Action, key_for};
use crate::tui::overlay::{Kind, Overlay};
use crate::tui::room::{Mode, Room};
use crate::tui::slash::{self, Completion, Request};

/// Within which time the same key again quits.
pub(super) const TWICE: Duration = Duration::from_secs(2);

/// The newest messages whose authors can be completed.
const AUTHORS: usize = 500;

pub(super) const NOTHING_TO_REPLY_TO: &str = "there is no message to reply to";
pub(super) const NOTHING_TO_REACT_TO: &str = "there is no message to react to";

/// What the last key began that the next one may go on with.
pub(super) struct LastKey {
    completion: Option<(Completion, usize)>,
    deleting: Option<Seq>,
    quit_until: Option<Instant>,
}

impl App {
    pub(super) fn take_last_key(&mut self) -> LastKey {
        let (completion, deleting, quit_until) = (self.completion.take(), self.deleting.take(), self.quit_until.take());
        LastKey { completion, deleting, quit_until }
    }

    pub(super) fn act(&mut self, action: Action, key: KeyCode, last: LastKey) {
        match action {
            Action::Submit => self.submit(),
            Action::NewLine => self.editor.type_char('\n'),
            Action::CompleteNext => self.complete(last.completion, 1),
            Action::CompletePrevious => self.complete(last.completion, -1),
            Action::RowUp => self.editor.up(),
            Action::RowDown => self.editor.down(),
            Action::Go(to) => self.editor.go(to),
            Action::DeleteTo(to) => self.editor.delete_to(to),
            Action::Undo => self.editor.undo(),
            Action::Cancel => self.cancel(),
            Action::PageUp => self.scroll_up(self.page_rows()),
            Action::PageDown => self.scroll_down(self.page_rows()),
            Action::LineUp => self.scroll_up(1),
            Action::LineDown => self.scroll_down(1),
            Action::Newest => drop(self.with_room(|room, _, _| room.scroll_to_end())),
            Action::FirstNew => {
                self.mark();
                self.with_room(Room::scroll_to_new);
            }
            Action::SelectUp => drop(self.with_room(Room::select_up)),
            Action::SelectDown => drop(self.with_room(Room::select_down)),
            Action::Reply => self.begin(Mode::Reply, NOTHING_TO_REPLY_TO),
            Action::React => self.begin(Mode::React, NOTHING_TO_REACT_TO),
            Action::Edit => self.request(Request::Edit(None)),
            Action::Erase => self.delete_selected(last.deleting),
            Action::NextRoom => self.step(1),
            Action::PreviousRoom => self.step(-1),
            Action::NextUnread => self.next_unread(),
            Action::NumberedRoom => {
                if let KeyCode::Char(digit @ '1'..='9') = key {
                    self.switch(digit as usize - '1' as usize);
                }
            }
            Action::ListRooms => self.request(Request::ListRooms),
            Action::Help => self.request(Request::Help),
            Action::Redraw => self.effects.push(Effect::Redraw),
            Action::Interrupt => self.interrupt(last.quit_until),
            Action::EndOfInput if self.unfinished().is_none() => self.quit(),
            Action::EndOfInput => self.quit_if_pressed_twice(action, last.quit_until),
            Action::OverlayUp
            | Action::OverlayDown
            | Action::OverlayPageUp
            | Action::OverlayPageDown
            | Action::OverlayChoose
            | Action::OverlayClose => {}
        }
    }

    pub(super) fn scroll_up(&mut self, by: usize) {
        // Now, and not when it is time: the user has seen it.
        self.mark();
        self.with_room(|room, height, context| room.scroll_up(by, height, context));
    }

    pub(super) fn scroll_down(&mut self, by: usize) {
        self.with_room(|room, height, context| room.scroll_down(by, height, context));
    }

    /// Explains why nothing comes of the user's last key.
    pub(super) fn explain(&mut self, text: impl Into<String>) {
        self.notices.explain(text.into(), self.now, None);
    }

    fn page_rows(&self) -> usize {
        usize::from(self.areas().messages.height).saturating_sub(2).max(1)
    }

    /// Begins to write something about the selected message.
    fn begin(&mut self, mode: fn(Target) -> Mode, otherwise: &str) {
        let Some(room) = self.room() else { return };
        let Some(seq) = room.selected else { return };
        match room.transcript.get(seq) {
            Some(message) if !message.deleted => self.mode = mode(message.target()),
            _ => self.explain(otherwise),
        }
    }

    /// Deletes the selected message, if it was asked about. A letter that deletes could be the first one of a text.
    fn delete_selected(&mut self, asked: Option<Seq>) {
        let Some(room) = self.room() else { return };
        let Some(seq) = room.selected else { return };
        let message = room.transcript.get(seq);
        let (deleted, mine) = message.map_or((true, false), |it| (it.deleted, it.sender == self.me));
        if mine && !deleted && asked != Some(seq) {
            self.deleting = Some(seq);
            return;
        }
        self.request(Request::Delete);
        if let Some(room) = self.rooms.get_mut(self.current).filter(|_| mine) {
            room.selected = None;
        }
    }

    fn cancel(&mut self) {
        if self.mode != Mode::Post {
            self.mode = Mode::Post;
            self.editor.take();
        } else if let Some(room) = self.rooms.get_mut(self.current)
            && room.selected.take().is_none()
        {
            room.scroll_to_end();
        }
    }

    fn submit(&mut self) {
        let text = self.editor.text();
        if text.trim().is_empty() {
            if let Mode::Edit(_) = self.mode {
                self.explain("a message needs a text; Esc gives up the edit, and d on a message deletes it");
            }
            return;
        }
        let parsed = if self.mode == Mode::Post { slash::parse(text) } else { Ok(Request::Post(text.to_owned())) };
        match parsed {
            Err(why) => return self.explain(why),
            Ok(Request::Post(_)) if self.rooms.is_empty() => {
                return self.explain("you are not in a room; /join ROOM, or choose one with /rooms");
            }
            Ok(_) => {}
        }
        if text.len() > self.max_text_bytes {
            let (length, most) = (text.len(), self.max_text_bytes);
            return self.explain(format!("too long by {} bytes ({length} of at most {most})", length - most));
        }
        // Newlines at the end come with what is pasted.
        let text = self.editor.take().trim_end_matches('\n').to_owned();
        match std::mem::replace(&mut self.mode, Mode::Post) {
            Mode::Post => match slash::parse(&text) {
                Ok(request) => self.request(request),
                Err(why) => self.explain(why),
            },
            Mode::Edit(target) => self.post(Change::Edit { target, text }),
            Mode::Reply(target) => self.post(Change::reply(target, text)),
            Mode::React(target) => self.react(target, text.trim()),
        }
        if let Some(room) = self.rooms.get_mut(self.current) {
            room.selected = None;
        }
    }

    fn request(&mut self, request: Request) {
        let about_own = matches!(request, Request::Edit(_) | Request::Delete);
        if about_own && self.room().is_some_and(Room::last_is_unsent) {
            return self.explain("your last message is not sent yet; for another one select it with Alt+Up");
        }
        let me = self.me.clone();
        let own = |room: &Room| room.target(|it| it.sender == me && !it.deleted && !room.is_being_deleted(it.seq));
        let any = |room: &Room| room.target(|message| !message.deleted);
        match request {
            Request::Post(text) => {
                if let Some(room) = self.rooms.get_mut(self.current) {
                    room.scroll_to_end();
                }
                self.post(Change::post(text));
            }
            Request::Join(room) => self.join(&room),
            Request::Leave(room) => self.leave(room.as_ref()),
            Request::Edit(text) => match (self.room().and_then(own), text) {
                (Some(target), Some(text)) => self.post(Change::Edit { target, text }),
                (Some(target), None) => {
                    let text = self.room().and_then(|room| room.text_of(target.seq)).unwrap_or_default();
                    self.editor.set(&text);
                    self.mode = Mode::Edit(target);
                }
                (None, _) => self.explain_not_own("edit"),
            },
            Request::Delete => match self.room().and_then(own) {
                Some(target) => self.post(Change::Delete { target }),
                None => self.explain_not_own("delete"),
            },
            Request::React(reaction) => match self.room().and_then(any) {
                Some(target) => self.react(target, &reaction),
                None => self.explain(NOTHING_TO_REACT_TO),
            },
            Request::Reply(text) => match self.room().and_then(any) {
                Some(target) => self.post(Change::reply(target, text)),
                None => self.explain(NOTHING_TO_REPLY_TO),
            },
            Request::ListPeople => self.overlay = Some(Overlay::new(Kind::People)),
            Request::ListRooms => {
                self.effects.push(Effect::ListRooms);
                self.overlay = Some(Overlay { kind: Kind::Rooms, at: self.current });
            }
            Request::Help => self.overlay = Some(Overlay::new(Kind::Help)),
            Request::Quit => self.quit(),
        }
    }

    /// Leaves this room, or another.
    fn leave(&mut self, room: Option<&RoomId>) {
        match room.map_or(Some(self.current), |room| self.index(room)) {
            Some(_) if self.rooms.len() <= 1 => self.explain("this is the only room; /quit leaves the chat"),
            Some(index) => {
                self.effects.push(Effect::Leave(self.rooms[index].id.clone()));
                self.remove(index);
            }
            None => self.explain("you are not in that room"),
        }
    }

    /// Explains why there is no message for this to be done to.
    fn explain_not_own(&mut self, what: &str) {
        let selected = self.room().and_then(|room| room.transcript.get(room.selected?)).map(|it| it.deleted);
        let going = self.room().is_some_and(|room| room.selected.is_some_and(|seq| room.is_being_deleted(seq)));
        match selected {
            Some(false) if going => self.explain("that message is about to be deleted"),
            Some(true) => self.explain("that message is deleted"),
            Some(false) => self.explain("that message is not yours"),
            None => self.explain(format!("there is no message of yours to {what} here")),
        }
    }

    /// Reacts, or takes the same reaction back.
    fn react(&mut self, message: Target, reaction: &str) {
        let Some(room) = self.room() else { return };
        let users = room.transcript.get(message.seq).and_then(|message| message.reactions.get(reaction));
        let stored = users.is_some_and(|users| users.contains(&self.me));
        // The last one that is on its way counts.
        let pending = room.unsent.iter().rev().find_map(|draft| match &draft.change {
            Change::React { target, reaction: other, remove } if target.seq == message.seq && other == reaction => {
                Some(!remove)
            }
            _ => None,
        });
        let remove = pending.unwrap_or(stored);
        self.post(Change::React { target: message, reaction: reaction.to_owned(), remove });
    }

    fn post(&mut self, change: Change) {
        let Some(room) = self.rooms.get_mut(self.current) else { return };
        let draft = Draft::new(room.id.clone(), change);
        room.unsent.push(draft.clone());
        self.effects.push(Effect::Post(draft));
        // A message ends its author's typing. The next one is notified at once.
        self.typing_at = self.now;
    }

    fn complete(&mut self, completing: Option<(Completion, usize)>, step: isize) {
        let (completion, next) = match completing {
            Some((completion, index)) => {
                let count = completion.candidates.len();
                let next = index.saturating_add_signed(step.rem_euclid(count as isize)) % count;
                (completion, next)
            }
            None => match self.candidates() {
                Some(completion) => (completion, 0),
                None => return,
            },
        };
        let Some(word) = completion.candidates.get(next).map(|candidate| candidate.text.clone()) else { return };
        self.editor.replace_before_cursor(completion.replaced, &word);
        if completion.candidates.len() > 1 {
            self.completion = Some((Completion { replaced: word.len(), ..completion }, next));
        }
    }

    fn candidates(&mut self) -> Option<Completion> {
        let joining = slash::is_joining(self.editor.before_cursor());
        if joining {
            // There may be others by now.
            self.effects.push(Effect::ListRooms);
        }
        let room = self.room();
        let present = room.into_iter().flat_map(|room| room.present.iter().map(String::as_str));
        let authors = room.into_iter().flat_map(|room| room.transcript.messages().rev().take(AUTHORS));
        let users = present.chain(authors.map(|message| message.sender.as_str()));
        // One can join any room, and only leave one's own.
        let others = self.others.iter().flatten().filter(|_| joining).map(RoomId::as_str);
        let rooms = others.chain(self.rooms.iter().map(|room| room.id.as_str()));
        slash::complete(self.editor.before_cursor(), users, rooms)
    }

    /// Deletes the text; without one, quits when pressed twice.
    fn interrupt(&mut self, quit_until: Option<Instant>) {
        if self.editor.is_empty() && self.mode == Mode::Post {
            return self.quit_if_pressed_twice(Action::Interrupt, quit_until);
        }
        self.editor.take();
        self.mode = Mode::Post;
    }

    /// Quits if the same key was pressed just before; otherwise says what would be lost.
    fn quit_if_pressed_twice(&mut self, action: Action, quit_until: Option<Instant>) {
        if quit_until.is_some_and(|until| self.now < until) {
            return self.quit();
        }
        let lost = self.unfinished().map(|room| format!("; what you are writing in {room} is lost"));
        let until = self.now + TWICE;
        self.quit_until = Some(until);
        let text = format!("{} again to quit{}", key_for(action), lost.unwrap_or_default());
        self.notices.explain(text, self.now, Some(until));
    }

    /// Returns a room in which something is being written, which quitting would lose.
    fn unfinished(&self) -> Option<&str> {
        let writing = |(index, room): &(usize, &Room)| match *index == self.current {
            true => !self.editor.is_empty(),
            false => !room.shelved.text().is_empty(),
        };
        self.rooms.iter().enumerate().find(writing).map(|(_, room)| room.id.as_str())
    }

    fn quit(&mut self) {
        self.mark();
        self.effects.push(Effect::Quit);
    }
}
