//! Keys, the mouse and pastes.

use std::time::Duration;

use ratatui::crossterm::event::{
    Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEvent, MouseEventKind,
};
use ratatui::layout::Size;
use tokio::time::Instant;

use super::{App, Effect};
use crate::tui::keymap::{self, Action, Context};
use crate::tui::layout;
use crate::tui::overlay::{Kind, Overlay};
use crate::tui::room::{Mode, Room};

/// Rows that one notch of a mouse wheel moves.
pub(super) const WHEEL: usize = 3;

/// The time between two notifications that the user is typing.
const TYPING: Duration = Duration::from_secs(3);

impl App {
    /// Takes what the user does. To be followed by [`App::finish_turn`].
    pub(crate) fn input(&mut self, input: Input, now: Instant) {
        self.now = now;
        if let Some(room) = self.rooms.get_mut(self.current) {
            room.page_failed = false;
        }
        match input {
            Input::Key(key) if key.kind != KeyEventKind::Release => self.key(key),
            Input::Key(_) => {}
            Input::Paste(text) => {
                self.notices.acknowledge(self.now);
                self.overlay = None;
                self.editor.paste(&text);
                (self.completion, self.deleting) = (None, None);
            }
            Input::Mouse(mouse) => self.mouse(mouse),
            Input::Resize(width, height) => self.resize(Size { width, height }),
            Input::FocusGained => {
                self.focused = true;
                if let Some(room) = self.rooms.get_mut(self.current) {
                    room.new_after = room.new_after.filter(|seq| room.transcript.after(*seq).next().is_some());
                }
            }
            Input::FocusLost => {
                self.focused = false;
                // What comes from now on is new when the user comes back.
                let room = self.rooms.get_mut(self.current);
                if let Some(room) = room.filter(|room| room.caught_up && room.anchor.is_none()) {
                    room.new_after = room.transcript.newest().map(|newest| newest.seq);
                    room.new_unseen = true;
                }
            }
        }
    }

    /// Whether keys are about the selected message: one is selected, and nothing is being written.
    pub(crate) fn is_selecting(&self) -> bool {
        self.editor.is_empty() && self.mode == Mode::Post && self.room().is_some_and(|room| room.selected.is_some())
    }

    fn key(&mut self, key: KeyEvent) {
        self.notices.acknowledge(self.now);
        if self.overlay.is_some() {
            if let Some(action) = keymap::find(key, |context| context == Context::Overlay) {
                return self.overlay_action(action);
            }
            // The user goes on writing.
            self.overlay = None;
        }
        // It may have scrolled away since it was drawn.
        self.with_room(Room::deselect_if_hidden);
        let (selecting, empty) = (self.is_selecting(), self.editor.is_empty());
        let found = keymap::find(key, |context| match context {
            Context::Overlay => false,
            Context::Selection => selecting,
            Context::Empty => empty,
            Context::Always => true,
        });
        let last = self.take_last_key();
        match (found, key.code) {
            (Some(action), _) => self.act(action, key.code, last),
            (None, KeyCode::Char(c)) if !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => {
                self.type_char(c);
            }
            (None, _) => {}
        }
    }

    /// Inserts a character, and notifies others that the user is typing.
    pub(super) fn type_char(&mut self, c: char) {
        self.editor.type_char(c);
        let command = self.editor.text().starts_with('/');
        if !command && self.now >= self.typing_at && self.room().is_some_and(|room| room.joined) {
            self.typing_at = self.now + TYPING;
            self.effects.extend(self.rooms.get(self.current).map(|room| Effect::Typing(room.id.clone())));
        }
    }

    fn overlay_action(&mut self, action: Action) {
        let Some(mut overlay) = self.overlay.take() else { return };
        let (lines, rows) = self.overlay_extent(overlay);
        let page = rows.saturating_sub(1).max(1) as isize;
        match action {
            Action::OverlayUp => overlay.step(-1, lines, rows),
            Action::OverlayDown => overlay.step(1, lines, rows),
            Action::OverlayPageUp => overlay.step(-page, lines, rows),
            Action::OverlayPageDown => overlay.step(page, lines, rows),
            Action::OverlayChoose if overlay.kind == Kind::Rooms => return self.choose_room(overlay.at),
            _ => return,
        }
        self.overlay = Some(overlay);
    }

    /// How many lines an overlay has, and how many rows to show them in.
    fn overlay_extent(&self, overlay: Overlay) -> (usize, usize) {
        let lines = overlay.lines(self.lists(), self.size).len();
        let area = layout::overlay(self.size, overlay.kind.columns(self.size), lines);
        (lines, usize::from(area.height).saturating_sub(2))
    }

    fn mouse(&mut self, mouse: MouseEvent) {
        (self.completion, self.deleting) = (None, None);
        if let Some(overlay) = self.overlay.take() {
            return self.mouse_over(overlay, mouse);
        }
        let areas = self.areas();
        let over_rooms = areas.rooms.contains((mouse.column, mouse.row).into());
        let shown = self.shown_rooms();
        match mouse.kind {
            MouseEventKind::ScrollUp if over_rooms => self.rooms_from = shown.from.saturating_sub(WHEEL),
            MouseEventKind::ScrollDown if over_rooms => self.rooms_from = shown.from + WHEEL,
            MouseEventKind::ScrollUp => self.scroll_up(WHEEL),
            MouseEventKind::ScrollDown => self.scroll_down(WHEEL),
            MouseEventKind::Down(_) if over_rooms => {
                if let Some(line) = shown.line(mouse.row - areas.rooms.y) {
                    self.click_room(line);
                }
            }
            _ => {}
        }
    }

    fn mouse_over(&mut self, mut overlay: Overlay, mouse: MouseEvent) {
        let (lines, rows) = self.overlay_extent(overlay);
        match mouse.kind {
            MouseEventKind::ScrollUp => overlay.step(-(WHEEL as isize), lines, rows),
            MouseEventKind::ScrollDown => overlay.step(WHEEL as isize, lines, rows),
            MouseEventKind::Down(_) => {
                let area = layout::overlay(self.size, overlay.kind.columns(self.size), lines);
                let inside = area.contains((mouse.column, mouse.row).into());
                let row = usize::from(mouse.row).checked_sub(usize::from(area.y) + 1).filter(|row| *row < rows);
                if let (Kind::Rooms, true, Some(row)) = (overlay.kind, inside, row) {
                    self.choose_room(overlay.first_shown(lines, rows) + row);
                }
                return;
            }
            _ => {}
        }
        self.overlay = Some(overlay);
    }
}
