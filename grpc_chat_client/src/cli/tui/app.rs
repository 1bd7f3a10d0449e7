//! What is on the screen and what keys do: told, it changes and says what is to be done. Pure.

mod rooms;

use std::collections::HashSet;
use std::time::Duration;

use grpc_chat_client::{Change, ConnectionState, Draft, MsgId, Page, RoomId, Seq, Update, sanitize};
use jiff::tz::TimeZone;
use ratatui::crossterm::event::{
    Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEvent, MouseEventKind,
};
use ratatui::layout::Size;
use tokio::time::Instant;

use super::editor::{Editor, Move};
use super::messages::Look;
use super::notices::Notices;
use super::room::{Mode, Room, Wanted};
use super::slash::{self, Completion, Typed};
use super::theme::Theme;
use super::view::{self, Areas};

/// How often it is told how far the user has read, and that they type.
const MARK: Duration = Duration::from_secs(2);
const TYPING: Duration = Duration::from_secs(3);

/// Rooms whose histories begin anew within this time are told of once.
const TOGETHER: Duration = Duration::from_secs(10);

/// Within which time a second Ctrl+C means it.
const TWICE: Duration = Duration::from_secs(2);

const NOTHING_TO_ANSWER: &str = "there is no message to answer";
const NOTHING_TO_REACT_TO: &str = "there is no message to react to";

/// Messages whose authors can be completed.
const AUTHORS: usize = 500;

/// Rows that one notch of a mouse wheel moves.
const WHEEL: usize = 3;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Join(String),
    Leave(String),
    /// Then tell [`App::not_taken`] if it is not.
    Post(Draft),
    /// Read a page, then tell [`App::page`].
    Page {
        room: String,
        wanted: Wanted,
    },
    Mark {
        room: String,
        seq: Seq,
    },
    Typing(String),
    /// List the rooms, then tell [`App::listed`].
    ListRooms,
    /// Write down which rooms the user is in.
    Keep,
    /// Draw everything anew, whatever the terminal shows.
    Repaint,
    Quit,
}

/// What lies over the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overlay {
    Help,
    Who,
    Rooms,
}

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) me: String,
    /// Where the service is.
    pub(crate) server: String,
    pub(crate) zone: TimeZone,
    pub(crate) theme: Theme,
    pub(crate) rooms: Vec<Room>,
    pub(crate) current: usize,
    /// How far the column of rooms is scrolled.
    pub(crate) rooms_from: usize,
    /// Rooms that there are and that are not joined.
    pub(crate) others: Vec<String>,
    pub(crate) connection: ConnectionState,
    pub(crate) retry_at: Option<Instant>,
    pub(crate) unsent: usize,
    /// Drafts of an earlier run that may be unsent.
    kept: HashSet<MsgId>,
    pub(crate) editor: Editor,
    pub(crate) mode: Mode,
    /// What lies over the messages, and how many of its lines are above what is shown.
    pub(crate) overlay: Option<(Overlay, usize)>,
    pub(crate) notices: Notices,
    /// Until when the same key again ends the program.
    quit_until: Option<Instant>,
    /// Until when a history that begins anew in another room is the same news.
    reset_until: Option<Instant>,
    /// What Tab goes through, and which of it is in the composer.
    pub(crate) completion: Option<(Completion, usize)>,
    /// The message that the same key again erases.
    pub(crate) erasing: Option<Seq>,
    pub(crate) size: Size,
    pub(crate) now: Instant,
    /// The terminal says that it has the user's attention; many never say.
    focused: bool,
    pub(crate) max_text_bytes: usize,
    mark_at: Instant,
    typing_at: Instant,
    effects: Vec<Effect>,
}

impl App {
    pub(crate) fn new(me: &str, rooms: &[String], zone: TimeZone, theme: Theme, size: Size, now: Instant) -> Self {
        let mut app = Self {
            me: me.to_owned(),
            server: String::new(),
            zone,
            theme,
            rooms: rooms.iter().map(|room| Room::new(room)).collect(),
            current: 0,
            rooms_from: 0,
            others: Vec::new(),
            connection: ConnectionState::Connecting,
            retry_at: None,
            unsent: 0,
            kept: HashSet::new(),
            editor: Editor::default(),
            mode: Mode::Say,
            overlay: None,
            notices: Notices::new(now),
            quit_until: None,
            reset_until: None,
            completion: None,
            erasing: None,
            size,
            now,
            focused: true,
            max_text_bytes: 8 * 1024,
            mark_at: now,
            typing_at: now,
            effects: Vec::new(),
        };
        app.effects.extend(rooms.iter().map(|room| Effect::Join(room.clone())));
        app
    }

    /// What is to be done, in this order.
    pub(crate) fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// The room on the screen. There is always one, but for a moment at the very end.
    pub(crate) fn room(&self) -> Option<&Room> {
        self.rooms.get(self.current)
    }

    pub(crate) fn areas(&mut self) -> Areas {
        view::areas(self)
    }

    /// When [`App::tick`] is due, if it is.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let second = Duration::from_secs(1);
        let counting = self.retry_at.filter(|at| *at > self.now).map(|at| at.min(self.now + second));
        let marking = self.to_mark().map(|_| self.mark_at);
        [counting, marking, self.notices.deadline()].into_iter().flatten().min()
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.now = now;
        self.settle();
    }

    /// The client has told something. [`App::settle`] is to be called after that.
    pub(crate) fn update(&mut self, update: Update, now: Instant) {
        self.now = now;
        match update {
            Update::Connection(connection) => self.connected(connection),
            Update::Joined(joined) => {
                let Some(index) = self.index(&joined.room) else { return };
                let current = index == self.current;
                let mode = if current { self.mode } else { self.rooms[index].mode };
                if let Some(why) = self.rooms[index].join(&joined) {
                    if current {
                        self.mode = Mode::Say;
                    }
                    // What an edit or an answer was about has another message in its place.
                    let lost = mode != Mode::Say;
                    let then = if lost { "what you write there is a new message" } else { "what was here is gone" };
                    // Where nothing is lost in others, too, their messages say so.
                    if lost || self.reset_until.is_none_or(|until| self.now >= until) {
                        self.say(true, format!("{}: {why}; {then}", joined.room));
                    }
                    self.reset_until = Some(self.now + TOGETHER);
                }
                self.others.retain(|other| joined.room != other.as_str());
            }
            Update::JoinRefused { room, why } => {
                let gone = self.index(&room).filter(|_| self.rooms.len() > 1);
                let lost = gone.is_some_and(|index| self.remove(index));
                let kept = if lost { "; Up brings back what you were writing" } else { "" };
                self.say(true, format!("{room} cannot be joined: {why}{kept}"));
            }
            Update::Event(event) => {
                if let Some(index) = self.index(&event.room) {
                    self.rooms[index].event(event, &self.me);
                }
            }
            Update::CaughtUp { room, .. } => {
                if let Some(index) = self.index(&room) {
                    let first = self.rooms[index].new_after.is_none();
                    self.rooms[index].level = true;
                    if first && index == self.current {
                        self.rooms[index].enter();
                    }
                }
            }
            Update::Present { room, users, count } => {
                if let Some(index) = self.index(&room) {
                    (self.rooms[index].present, self.rooms[index].count) = (users, count);
                }
            }
            Update::Typing { room, users } => {
                if let Some(index) = self.index(&room) {
                    self.rooms[index].typing = users;
                }
            }
            Update::Read { room, seq } => {
                if let Some(index) = self.index(&room) {
                    self.rooms[index].read_up_to(seq, &self.me);
                }
            }
            Update::Restored(draft) => {
                if let Some(index) = self.index(&draft.room) {
                    self.kept.insert(draft.id);
                    self.rooms[index].unsent.push(draft);
                }
            }
            Update::Unsent(count) => {
                self.unsent = count;
                if count == 0 {
                    // A change that changed nothing does not come back, and nor does what came to an earlier run.
                    let kept = std::mem::take(&mut self.kept);
                    let comes =
                        |draft: &Draft| matches!(draft.change, Change::Post { .. }) && !kept.contains(&draft.id);
                    self.rooms.iter_mut().for_each(|room| room.unsent.retain(comes));
                }
            }
            Update::Refused { draft, why } => self.not_taken(draft, &why.to_string()),
            Update::SaveFailed(why) => {
                self.say(true, format!("what is unsent cannot be kept on disk, and is lost when you leave: {why}"));
            }
            _ => {}
        }
    }

    /// A draft is not on its way any more. Its text can be got back with Up.
    pub(crate) fn not_taken(&mut self, draft: Draft, why: &str) {
        let Draft { id, room, change, .. } = draft;
        if let Some(index) = self.index(&room) {
            self.rooms[index].unsent.retain(|unsent| unsent.id != id);
        }
        let place =
            if self.room().is_some_and(|current| room == current.name.as_str()) { "" } else { &format!(" in {room}") };
        match change {
            Change::Post { text, .. } | Change::Edit { text, .. } => {
                self.editor.remember(text);
                self.say(true, format!("not sent{place}: {why}; Up brings the text back"));
            }
            Change::Delete { .. } => self.say(true, format!("not deleted{place}: {why}")),
            _ => self.say(true, format!("no reaction{place}: {why}")),
        }
    }

    /// A page has come, or could not be read.
    pub(crate) fn page(&mut self, room: &str, wanted: Wanted, page: Result<Page, String>) {
        let Some(index) = self.index(room) else { return };
        let page = match page {
            Ok(page) => Some(page),
            Err(why) => {
                self.say(true, format!("the history cannot be read: {why}"));
                None
            }
        };
        self.rooms[index].page(wanted, page);
    }

    /// Says what has happened elsewhere.
    pub(crate) fn say(&mut self, bad: bool, text: impl Into<String>) {
        self.notices.say(bad, text.into(), self.now);
    }

    /// Says why nothing comes of what the user has just done.
    fn answer(&mut self, text: impl Into<String>) {
        self.notices.answer(text.into(), self.now, None);
    }

    /// To be called when all that is known has been told: asks for what the screen needs next.
    pub(crate) fn settle(&mut self) {
        if self.now >= self.mark_at {
            self.mark();
        }
        self.notices.tick(self.now);
        let height = self.areas().messages.height.into();
        let focused = self.focused;
        let wanted = self.with_room(|room, look| {
            room.lose_sight(height, look);
            if focused {
                room.look_for_new(height, look);
            }
            room.wanted(height, look).map(|wanted| (room.name.clone(), wanted))
        });
        if let Some((room, wanted)) = wanted.flatten() {
            self.effects.push(Effect::Page { room, wanted });
        }
    }

    /// The user has done something. [`App::settle`] is to be called after that.
    pub(crate) fn input(&mut self, input: Input, now: Instant) {
        self.now = now;
        if let Some(room) = self.rooms.get_mut(self.current) {
            room.failed = false;
        }
        match input {
            Input::Key(key) if key.kind != KeyEventKind::Release => self.key(key),
            Input::Paste(text) => {
                self.notices.heard(self.now);
                self.overlay = None;
                self.editor.paste(&text);
                (self.completion, self.erasing) = (None, None);
            }
            Input::Mouse(mouse) => self.mouse(mouse),
            Input::Resize(width, height) => {
                self.size = Size { width, height };
                self.reveal();
            }
            Input::FocusGained => {
                self.focused = true;
                if let Some(room) = self.rooms.get_mut(self.current) {
                    room.new_after = room.new_after.filter(|seq| room.transcript.after(*seq).next().is_some());
                }
            }
            Input::FocusLost => {
                self.focused = false;
                // What comes from now on is new when the user comes back.
                if let Some(room) = self.rooms.get_mut(self.current).filter(|room| room.level && room.anchor.is_none())
                {
                    room.new_after = room.transcript.newest().map(|newest| newest.seq);
                    room.new_unseen = true;
                }
            }
            Input::Key(_) => {}
        }
    }

    fn mouse(&mut self, mouse: MouseEvent) {
        (self.completion, self.erasing) = (None, None);
        if let Some((overlay, from)) = self.overlay.take() {
            self.overlay = match mouse.kind {
                MouseEventKind::ScrollUp => Some((overlay, from.saturating_sub(WHEEL))),
                MouseEventKind::ScrollDown => Some((overlay, from + WHEEL)),
                MouseEventKind::Down(_) => None,
                _ => Some((overlay, from)),
            };
            return;
        }
        let areas = self.areas();
        let height = areas.messages.height.into();
        let over_rooms = areas.rooms.contains((mouse.column, mouse.row).into());
        match mouse.kind {
            MouseEventKind::ScrollUp if over_rooms => {
                self.rooms_from = view::shown_rooms(self, areas.rooms.height).from.saturating_sub(WHEEL);
            }
            MouseEventKind::ScrollDown if over_rooms => {
                self.rooms_from = view::shown_rooms(self, areas.rooms.height).from + WHEEL;
            }
            MouseEventKind::ScrollUp => self.scroll_up(WHEEL, height),
            MouseEventKind::ScrollDown => {
                self.with_room(|room, look| room.scroll_down(WHEEL, height, look));
            }
            MouseEventKind::Down(_) if over_rooms => {
                let shown = view::shown_rooms(self, areas.rooms.height);
                let line = shown.from + usize::from(mouse.row - areas.rooms.y);
                match line.checked_sub(shown.above.into()) {
                    Some(line) if (shown.from..shown.upto).contains(&line) => self.click(line),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn key(&mut self, key: KeyEvent) {
        self.notices.heard(self.now);
        if let Some((overlay, from)) = self.overlay.take() {
            let page = usize::from(self.size.height / 2).max(1);
            let from = match key.code {
                KeyCode::Up => from.saturating_sub(1),
                KeyCode::Down => from + 1,
                KeyCode::PageUp => from.saturating_sub(page),
                KeyCode::PageDown | KeyCode::Char(' ') => from + page,
                // It is closed, and that is all that these do.
                KeyCode::Esc | KeyCode::Enter | KeyCode::F(1) | KeyCode::Char('?' | 'q') => return,
                // Somebody goes on writing.
                _ => {
                    self.key(key);
                    return;
                }
            };
            self.overlay = Some((overlay, from));
            return;
        }
        let (completing, erasing) = (self.completion.take(), self.erasing.take());
        let quit_until = self.quit_until.take();
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        let shift = key.modifiers.contains(KeyModifiers::SHIFT);
        let areas = self.areas();
        let (height, columns) = (usize::from(areas.messages.height), usize::from(areas.composer.width));
        let page = height.saturating_sub(2).max(1);
        if self.selecting() && !control && !alt && self.selection_key(key.code, erasing, height) {
            return;
        }
        match key.code {
            KeyCode::Enter if alt || shift => self.editor.type_char('\n'),
            KeyCode::Char('j') if control => self.editor.type_char('\n'),
            KeyCode::Enter => self.enter(),
            KeyCode::Esc => self.escape(),
            KeyCode::Tab => self.complete(completing, 1),
            KeyCode::BackTab => self.complete(completing, -1),
            KeyCode::F(1) => self.overlay = Some((Overlay::Help, 0)),
            KeyCode::Char('?') if self.editor.is_empty() && !control && !alt => self.overlay = Some((Overlay::Help, 0)),

            KeyCode::Char('c') if control && self.editor.is_empty() && self.mode == Mode::Say => {
                if quit_until.is_some_and(|until| self.now < until) {
                    return self.quit();
                }
                self.asks_again("Ctrl+C again to quit");
            }
            KeyCode::Char('c') if control => {
                self.editor.take();
                self.mode = Mode::Say;
            }
            KeyCode::Char('d') if control && self.editor.is_empty() => {
                let sure = quit_until.is_some_and(|until| self.now < until);
                if sure || self.unfinished().is_none() { self.quit() } else { self.asks_again("Ctrl+D again to quit") }
            }
            KeyCode::Char('l') if control => self.effects.push(Effect::Repaint),

            KeyCode::PageUp => self.scroll_up(page, height),
            KeyCode::PageDown => drop(self.with_room(|room, look| room.scroll_down(page, height, look))),
            KeyCode::Up if shift => self.scroll_up(1, height),
            KeyCode::Down if shift => drop(self.with_room(|room, look| room.scroll_down(1, height, look))),
            KeyCode::End if control && !self.editor.is_empty() => self.editor.go(Move::End),
            KeyCode::End if self.editor.is_empty() => {
                self.with_room(|room, _| room.scroll_to_end());
            }
            KeyCode::Home if self.editor.is_empty() && !control => {
                self.mark();
                self.with_room(|room, look| room.scroll_to_new(height, look));
            }
            KeyCode::Up if control || alt => drop(self.with_room(|room, look| room.select_up(height, look))),
            KeyCode::Down if control || alt => drop(self.with_room(|room, look| room.select_down(height, look))),
            KeyCode::Char('a') if alt => self.next_unread(),
            KeyCode::Char('n') if control => self.step(1),
            KeyCode::Char('p') if control => self.step(-1),
            KeyCode::Char(digit @ '1'..='9') if alt => self.switch(digit as usize - '1' as usize),

            KeyCode::Up => self.editor.up(columns),
            KeyCode::Down => self.editor.down(columns),
            KeyCode::Left if control || alt => self.editor.go(Move::WordLeft),
            KeyCode::Right if control || alt => self.editor.go(Move::WordRight),
            KeyCode::Left => self.editor.go(Move::Left),
            KeyCode::Right => self.editor.go(Move::Right),
            KeyCode::Home if control => self.editor.go(Move::Start),
            KeyCode::Home => self.editor.go(Move::LineStart),
            KeyCode::End => self.editor.go(Move::LineEnd),
            KeyCode::Char('a') if control => self.editor.go(Move::LineStart),
            KeyCode::Char('e') if control => self.editor.go(Move::LineEnd),
            KeyCode::Char('b') if alt => self.editor.go(Move::WordLeft),
            KeyCode::Char('f') if alt => self.editor.go(Move::WordRight),
            KeyCode::Backspace if control || alt => self.editor.delete_to(Move::WordLeft),
            KeyCode::Char('w') if control => self.editor.delete_to(Move::WordLeft),
            KeyCode::Char('d') if alt => self.editor.delete_to(Move::WordRight),
            KeyCode::Char('u') if control => self.editor.delete_to(Move::LineStart),
            KeyCode::Char('k') if control => self.editor.delete_to(Move::LineEnd),
            // What terminals send for Ctrl+_ and Ctrl+/.
            KeyCode::Char('z' | '7' | '_') if control => self.editor.undo(),
            KeyCode::Backspace => self.editor.backspace(),
            KeyCode::Char('h') if control => self.editor.backspace(),
            KeyCode::Delete => self.editor.delete(),
            KeyCode::Char('d') if control => self.editor.delete(),
            KeyCode::Char(c) if !control && !alt => self.type_char(c),
            _ => {}
        }
    }

    fn scroll_up(&mut self, by: usize, height: usize) {
        // Not only when it is time: it was seen.
        self.mark();
        self.with_room(|room, look| room.scroll_up(by, height, look));
    }

    fn type_char(&mut self, c: char) {
        self.editor.type_char(c);
        let command = self.editor.text().starts_with('/');
        if !command && self.now >= self.typing_at && self.room().is_some_and(|room| room.joined) {
            self.typing_at = self.now + TYPING;
            self.effects.extend(self.rooms.get(self.current).map(|room| Effect::Typing(room.name.clone())));
        }
    }

    /// A message is selected, and nothing is being written.
    pub(crate) fn selecting(&self) -> bool {
        self.editor.is_empty() && self.mode == Mode::Say && self.room().is_some_and(|room| room.selected.is_some())
    }

    /// Keys for the selected message. Answers whether it was one.
    fn selection_key(&mut self, key: KeyCode, erasing: Option<Seq>, height: usize) -> bool {
        // It may have scrolled away since it was drawn.
        self.with_room(|room, look| room.lose_sight(height, look));
        let Some(room) = self.room() else { return false };
        let Some(seq) = room.selected else { return false };
        let message = room.transcript.get(seq);
        let (deleted, mine) = message.map_or((true, false), |it| (it.deleted, it.sender == self.me));
        match key {
            KeyCode::Char('r') | KeyCode::Enter if deleted => self.answer(NOTHING_TO_ANSWER),
            KeyCode::Char('+') if deleted => self.answer(NOTHING_TO_REACT_TO),
            KeyCode::Char('r') | KeyCode::Enter => self.mode = Mode::Reply(seq),
            KeyCode::Char('+') => self.mode = Mode::React(seq),
            KeyCode::Char('e') => self.typed(Typed::Edit(None)),
            // A letter that erases could be the first one of a text.
            KeyCode::Char('d') | KeyCode::Delete if mine && !deleted && erasing != Some(seq) => {
                self.erasing = Some(seq);
            }
            KeyCode::Char('d') | KeyCode::Delete => {
                self.typed(Typed::Delete);
                if let Some(room) = self.rooms.get_mut(self.current).filter(|_| mine) {
                    room.selected = None;
                }
            }
            KeyCode::Up | KeyCode::Char('k') => drop(self.with_room(|room, look| room.select_up(height, look))),
            KeyCode::Down | KeyCode::Char('j') => drop(self.with_room(|room, look| room.select_down(height, look))),
            _ => return false,
        }
        true
    }

    fn escape(&mut self) {
        if self.mode != Mode::Say {
            self.mode = Mode::Say;
            self.editor.take();
        } else if let Some(room) = self.rooms.get_mut(self.current) {
            match room.selected.take() {
                Some(_) => {}
                None => room.scroll_to_end(),
            }
        }
    }

    fn enter(&mut self) {
        let text = self.editor.text();
        if text.trim().is_empty() {
            if let Mode::Edit(_) = self.mode {
                self.answer("a message needs a text; Esc gives up, and d on a message erases it");
            }
            return;
        }
        if self.mode == Mode::Say
            && let Typed::Wrong(why) = slash::parse(text)
        {
            return self.answer(why);
        }
        if text.len() > self.max_text_bytes {
            let (length, most) = (text.len(), self.max_text_bytes);
            return self.answer(format!("too long by {} bytes ({length} of at most {most})", length - most));
        }
        // The ends of lines that come with what is pasted are nothing said.
        let text = self.editor.take().trim_end_matches('\n').to_owned();
        match std::mem::replace(&mut self.mode, Mode::Say) {
            Mode::Say => self.typed(slash::parse(&text)),
            Mode::Edit(seq) => self.post(Change::Edit { seq, text }),
            Mode::Reply(seq) => self.post(Change::Post { text, reply_to: Some(seq) }),
            Mode::React(seq) => self.react(seq, text.trim()),
        }
        if let Some(room) = self.rooms.get_mut(self.current) {
            room.selected = None;
        }
    }

    fn typed(&mut self, typed: Typed) {
        let about_own = matches!(typed, Typed::Edit(_) | Typed::Delete);
        if about_own && self.room().is_some_and(Room::last_is_unsent) {
            return self.answer("your last message is not sent yet; for another one select it with Alt+Up");
        }
        let me = self.me.clone();
        let mine = |room: &Room| room.meant(|it| it.sender == me && !it.deleted && !room.is_going(it.seq));
        let any = |room: &Room| room.meant(|message| !message.deleted);
        match typed {
            Typed::Text(text) => {
                if let Some(room) = self.rooms.get_mut(self.current) {
                    room.scroll_to_end();
                }
                self.post(Change::post(text));
            }
            Typed::Join(room) => self.join(&room),
            Typed::Leave(room) => {
                let left = room.map_or(Some(self.current), |room| self.index(&room));
                match left {
                    Some(_) if self.rooms.len() == 1 => self.answer("this is the only room; /quit leaves the chat"),
                    Some(index) => {
                        self.effects.push(Effect::Leave(self.rooms[index].name.clone()));
                        self.remove(index);
                    }
                    None => self.answer("you are not in that room"),
                }
            }
            Typed::Edit(text) => match (self.room().and_then(mine), text) {
                (Some(seq), Some(text)) => self.post(Change::Edit { seq, text }),
                (Some(seq), None) => {
                    let text = self.room().and_then(|room| room.text_of(seq)).unwrap_or_default();
                    self.editor.set(&text);
                    self.mode = Mode::Edit(seq);
                }
                (None, _) => self.not_mine("edit"),
            },
            Typed::Delete => match self.room().and_then(mine) {
                Some(seq) => self.post(Change::Delete { seq }),
                None => self.not_mine("delete"),
            },
            Typed::React(reaction) => match self.room().and_then(any) {
                Some(seq) => self.react(seq, &reaction),
                None => self.answer(NOTHING_TO_REACT_TO),
            },
            Typed::Reply(text) => match self.room().and_then(any) {
                Some(seq) => self.post(Change::Post { text, reply_to: Some(seq) }),
                None => self.answer(NOTHING_TO_ANSWER),
            },
            Typed::Who => self.overlay = Some((Overlay::Who, 0)),
            Typed::Rooms => {
                self.effects.push(Effect::ListRooms);
                self.overlay = Some((Overlay::Rooms, 0));
            }
            Typed::Help => self.overlay = Some((Overlay::Help, 0)),
            Typed::Quit => self.quit(),
            Typed::Wrong(why) => self.answer(why),
        }
    }

    /// Why there is nothing to do this to.
    fn not_mine(&mut self, what: &str) {
        let selected = self.room().and_then(|room| room.transcript.get(room.selected?)).map(|it| it.deleted);
        let going = self.room().is_some_and(|room| room.selected.is_some_and(|seq| room.is_going(seq)));
        match selected {
            Some(false) if going => self.answer("that message is about to be deleted"),
            Some(true) => self.answer("that message is deleted"),
            Some(false) => self.answer("that message is not yours"),
            None => self.answer(format!("there is no message of yours to {what} here")),
        }
    }

    /// The same reaction again takes it back.
    fn react(&mut self, seq: Seq, reaction: &str) {
        let Some(room) = self.room() else { return };
        let users = room.transcript.get(seq).and_then(|message| message.reactions.get(reaction));
        let there = users.is_some_and(|users| users.contains(&self.me));
        // The last one that is on its way counts.
        let on_its_way = room.unsent.iter().rev().find_map(|draft| match &draft.change {
            Change::React { seq: of, reaction: other, remove } if *of == seq && other == reaction => Some(!remove),
            _ => None,
        });
        let remove = on_its_way.unwrap_or(there);
        self.post(Change::React { seq, reaction: reaction.to_owned(), remove });
    }

    fn post(&mut self, change: Change) {
        let Some(room) = self.rooms.get_mut(self.current) else { return };
        // Rooms are checked when they are entered.
        let Ok(id) = room.name.parse::<RoomId>() else { return };
        let draft = Draft::new(id, change);
        room.unsent.push(draft.clone());
        self.effects.push(Effect::Post(draft));
        // A message ends its author's typing: of the next one it is told at once.
        self.typing_at = self.now;
    }

    fn complete(&mut self, completing: Option<(Completion, usize)>, step: isize) {
        let (completion, next) = match completing {
            Some((completion, index)) => {
                let count = completion.candidates.len();
                let next = index.saturating_add_signed(step.rem_euclid(count as isize)) % count;
                (completion, next)
            }
            None => {
                let joins = self.editor.before_cursor().starts_with("/join ");
                if joins {
                    // There may be others by now.
                    self.effects.push(Effect::ListRooms);
                }
                let room = self.room();
                let present = room.into_iter().flat_map(|room| room.present.iter().map(String::as_str));
                let said = room.into_iter().flat_map(|room| room.transcript.messages().rev().take(AUTHORS));
                let present = present.chain(said.map(|message| message.sender.as_str()));
                // One can go to a room one is in, and only leave one of those.
                let others = self.others.iter().filter(|_| joins).map(String::as_str);
                let rooms = others.chain(self.rooms.iter().map(|room| room.name.as_str()));
                match slash::complete(self.editor.before_cursor(), present, rooms) {
                    Some(completion) => (completion, 0),
                    None => return,
                }
            }
        };
        let Some(word) = completion.candidates.get(next).cloned() else { return };
        self.editor.replace_before_cursor(completion.replaced, &word);
        if completion.candidates.len() > 1 {
            self.completion = Some((Completion { replaced: word.len(), ..completion }, next));
        }
    }

    /// A room in which something is being written that leaving would lose.
    fn unfinished(&self) -> Option<&str> {
        let writing = |(index, room): &(usize, &Room)| match *index == self.current {
            true => !self.editor.is_empty(),
            false => !room.aside.text().is_empty(),
        };
        self.rooms.iter().enumerate().find(writing).map(|(_, room)| room.name.as_str())
    }

    /// The same key once more quits; what would be lost is said.
    fn asks_again(&mut self, words: &str) {
        let lost = self.unfinished().map(|room| format!("; what you are writing in {room} is lost"));
        let until = self.now + TWICE;
        self.quit_until = Some(until);
        self.notices.answer(format!("{words}{}", lost.unwrap_or_default()), self.now, Some(until));
    }

    fn quit(&mut self) {
        self.mark();
        self.effects.push(Effect::Quit);
    }

    fn connected(&mut self, connection: ConnectionState) {
        self.retry_at = None;
        match &connection {
            ConnectionState::Online { user, max_text_bytes } => {
                user.clone_into(&mut self.me);
                self.max_text_bytes = *max_text_bytes;
                self.effects.push(Effect::ListRooms);
                self.rooms.iter_mut().for_each(|room| room.failed = false);
            }
            ConnectionState::Reconnecting { retry_in, .. } => self.retry_at = Some(self.now + *retry_in),
            ConnectionState::Failed(why) => {
                let why = sanitize(&why.to_string()).into_owned();
                self.say(true, format!("the service says: {why}"));
            }
            _ => {}
        }
        if !matches!(connection, ConnectionState::Online { .. }) {
            for room in &mut self.rooms {
                room.typing.clear();
                (room.present, room.count) = (Vec::new(), 0);
            }
        }
        self.connection = connection;
    }

    /// What the user sees is marked as read.
    pub(crate) fn mark(&mut self) {
        let Some((room, seq)) = self.to_mark() else { return };
        self.mark_at = self.now + MARK;
        if let Some(index) = self.index(&room) {
            self.rooms[index].marked = seq;
            self.rooms[index].read_up_to(seq, &self.me);
        }
        self.effects.push(Effect::Mark { room, seq });
    }

    /// What the user sees and has not been marked as read.
    fn to_mark(&self) -> Option<(String, Seq)> {
        let room = self.room().filter(|room| self.focused && room.level && room.anchor.is_none())?;
        let newest = room.transcript.newest()?.seq;
        (newest > room.read.max(room.marked)).then(|| (room.name.clone(), newest))
    }

    fn index(&self, room: &str) -> Option<usize> {
        self.rooms.iter().position(|it| it.name == room)
    }

    /// The current room, and how it is looked at.
    fn with_room<T>(&mut self, change: impl FnOnce(&mut Room, &Look<'_>) -> T) -> Option<T> {
        let width = self.areas().messages.width.into();
        let Self { rooms, current, me, zone, theme, connection, .. } = self;
        let room = rooms.get_mut(*current)?;
        let (new_after, selected) = (room.new_after, room.selected);
        let (older, beginning, pending) = (older(connection, room), beginning(room), &room.pending()[..]);
        Some(change(room, &Look { width, me, zone, theme: *theme, new_after, selected, older, beginning, pending }))
    }
}

/// What there is to say about messages that are older than those held.
pub(crate) fn older(connection: &ConnectionState, room: &Room) -> &'static str {
    match connection {
        ConnectionState::Online { .. } if room.failed => "older messages could not be read",
        ConnectionState::Online { .. } => "reading older messages",
        _ => "older messages cannot be read while offline",
    }
}

pub(crate) fn beginning(room: &Room) -> &'static str {
    if room.anew { "the history begins anew" } else { "the beginning" }
}

#[cfg(test)]
mod tests;
