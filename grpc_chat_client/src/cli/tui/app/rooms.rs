//! From room to room. Pure.

use super::super::editor::Aside;
use super::super::room::{Mode, Room};
use super::super::view;
use super::{App, Effect};

/// What the names of rooms begin with that `bench` makes.
const BENCH: &str = "bench/";

impl App {
    /// The rooms that there are.
    pub(crate) fn listed(&mut self, rooms: Vec<String>) {
        self.others = rooms;
        // What measurements have left behind is nobody's room.
        self.others.retain(|it| !it.starts_with(BENCH) && self.rooms.iter().all(|room| room.name != *it));
    }

    pub(super) fn click(&mut self, row: usize) {
        match row.checked_sub(self.rooms.len()) {
            None => self.switch(row),
            // Below the joined rooms there is a line, then the others.
            Some(below) => {
                if let Some(other) = below.checked_sub(1).and_then(|index| self.others.get(index)).cloned() {
                    self.join(&other);
                }
            }
        }
    }

    pub(super) fn join(&mut self, room: &str) {
        if let Some(index) = self.index(room) {
            return self.switch(index);
        }
        self.others.retain(|other| other != room);
        self.rooms.push(Room::new(room));
        self.effects.extend([Effect::Join(room.to_owned()), Effect::Keep]);
        self.switch(self.rooms.len() - 1);
    }

    pub(super) fn step(&mut self, by: isize) {
        let count = self.rooms.len();
        if count > 0 {
            self.switch((self.current + count).saturating_add_signed(by) % count);
        }
    }

    /// To a room with something unread, first to one that speaks to the user.
    pub(super) fn next_unread(&mut self) {
        let count = self.rooms.len();
        let others = || (1..count).map(|step| (self.current + step) % count);
        let urgent = others().find(|index| self.rooms[*index].mentioned);
        match urgent.or_else(|| others().find(|index| self.rooms[*index].unread > 0)) {
            Some(index) => self.switch(index),
            None => self.answer("there is nothing unread in other rooms"),
        }
    }

    /// Lines of the column of rooms: those joined, and below a line the others.
    pub(crate) fn room_lines(&self) -> usize {
        self.rooms.len() + if self.others.is_empty() { 0 } else { 1 + self.others.len() }
    }

    /// Scrolls the column of rooms as little as it takes for the current one to be seen.
    pub(super) fn reveal(&mut self) {
        let height = self.areas().rooms.height;
        let shown = view::shown_rooms(self, height);
        if self.current < shown.from {
            self.rooms_from = self.current;
        } else if self.current >= shown.upto {
            // Two rows stand for what is above and below.
            self.rooms_from = (self.current + 3).saturating_sub(height.into());
        }
    }

    pub(super) fn switch(&mut self, index: usize) {
        if index >= self.rooms.len() || index == self.current {
            return;
        }
        // Not only when it is time: it was seen.
        self.mark();
        if let Some(left) = self.rooms.get_mut(self.current) {
            (left.selected, left.new_after) = (None, None);
            // What is written stays in the room for which it is.
            (left.aside, left.mode) = (self.editor.exchange(Aside::default()), self.mode);
        }
        self.current = index;
        self.enter_room();
    }

    /// Answers whether something was being written there. Up brings it back.
    pub(super) fn remove(&mut self, index: usize) -> bool {
        let left = self.rooms.remove(index);
        self.effects.push(Effect::Keep);
        let here = index == self.current;
        let written = if here { self.editor.take() } else { left.aside.text().to_owned() };
        let lost = !written.is_empty();
        self.editor.remember(written);
        if left.joined && !left.name.starts_with(BENCH) {
            self.others.push(left.name);
            self.others.sort();
        }
        if self.current > index || self.current == self.rooms.len() {
            self.current = self.current.saturating_sub(1);
        }
        if here {
            self.enter_room();
        }
        lost
    }

    /// Goes on in the room that is the current one now.
    fn enter_room(&mut self) {
        (self.completion, self.erasing) = (None, None);
        let Some(room) = self.rooms.get_mut(self.current) else { return };
        self.mode = std::mem::replace(&mut room.mode, Mode::Say);
        self.editor.exchange(std::mem::take(&mut room.aside));
        room.enter();
        self.reveal();
    }
}
