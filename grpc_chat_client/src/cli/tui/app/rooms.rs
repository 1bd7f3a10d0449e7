//! From room to room.

use grpc_chat_client::RoomId;

use super::{App, Effect};
use crate::tui::editor::Shelved;
use crate::tui::layout::{self, HEADING, Shown};
use crate::tui::room::{Mode, Room};

/// The prefix of the rooms that `bench` makes.
const BENCH: &str = "bench/";

impl App {
    /// Takes the list of all rooms.
    pub(crate) fn listed(&mut self, mut rooms: Vec<RoomId>) {
        // The rooms of measurements are of no interest.
        rooms.retain(|it| !it.starts_with(BENCH) && self.rooms.iter().all(|room| room.id != *it));
        self.others = Some(rooms);
    }

    /// Returns which lines of the list of rooms are shown.
    pub(crate) fn shown_rooms(&self) -> Shown {
        layout::shown(self.room_lines(), self.rooms_from, self.current, self.areas().rooms.height)
    }

    /// Returns how many lines the list of rooms has.
    pub(crate) fn room_lines(&self) -> usize {
        let others = self.others.as_ref().map_or(0, Vec::len);
        self.rooms.len() + if others == 0 { 0 } else { HEADING + others }
    }

    /// Goes to the room in this line of the list, or joins it.
    pub(super) fn click_room(&mut self, line: usize) {
        let joined = self.rooms.len();
        if line < joined {
            self.choose_room(line);
        } else if let Some(other) = line.checked_sub(joined + HEADING) {
            self.choose_room(joined + other);
        }
    }

    /// Goes to one of the user's rooms, or joins one of the others, which are counted after them.
    pub(super) fn choose_room(&mut self, index: usize) {
        let other = |index: usize| self.others.as_ref()?.get(index).cloned();
        match index.checked_sub(self.rooms.len()) {
            None => self.switch(index),
            Some(index) => {
                if let Some(other) = other(index) {
                    self.join(&other);
                }
            }
        }
    }

    pub(super) fn join(&mut self, room: &RoomId) {
        if let Some(index) = self.index(room) {
            return self.switch(index);
        }
        if let Some(others) = &mut self.others {
            others.retain(|other| other != room);
        }
        self.rooms.push(Room::new(room.clone()));
        self.effects.extend([Effect::Join(room.clone()), Effect::SaveRooms]);
        if self.rooms.len() > 1 {
            self.switch(self.rooms.len() - 1);
        }
    }

    pub(super) fn step(&mut self, by: isize) {
        let count = self.rooms.len();
        if count > 0 {
            self.switch((self.current + count).saturating_add_signed(by) % count);
        }
    }

    /// Goes to a room with something unread, first to one where the user is mentioned.
    pub(super) fn next_unread(&mut self) {
        let count = self.rooms.len();
        let others = || (1..count).map(|step| (self.current + step) % count);
        let mentioned = others().find(|index| self.rooms[*index].mentioned);
        match mentioned.or_else(|| others().find(|index| self.rooms[*index].unread > 0)) {
            Some(index) => self.switch(index),
            None => self.explain("there is nothing unread in other rooms"),
        }
    }

    /// Scrolls the list of rooms as little as it takes to show the current one.
    pub(super) fn reveal_current(&mut self) {
        let shown = self.shown_rooms();
        if self.current < shown.from {
            self.rooms_from = self.current;
        } else if self.current >= shown.upto {
            // Two rows stand for what is above and below.
            self.rooms_from = (self.current + 3).saturating_sub(self.areas().rooms.height.into());
        }
    }

    pub(super) fn switch(&mut self, index: usize) {
        if index >= self.rooms.len() || index == self.current {
            return;
        }
        // Now, and not when it is time: the user has seen it.
        self.mark();
        if let Some(left) = self.rooms.get_mut(self.current) {
            (left.selected, left.new_after) = (None, None);
            // What is being written stays in the room for which it is.
            (left.shelved, left.mode) = (self.editor.exchange(Shelved::default()), self.mode);
        }
        self.current = index;
        self.open_current();
    }

    /// Removes a room. Returns whether something was being written there; Up brings it back.
    pub(super) fn remove(&mut self, index: usize) -> bool {
        let removed = self.rooms.remove(index);
        self.effects.push(Effect::SaveRooms);
        let was_current = index == self.current;
        let written = if was_current { self.editor.take() } else { removed.shelved.text().to_owned() };
        let was_writing = !written.is_empty();
        self.editor.remember(written);
        if removed.joined && !removed.id.starts_with(BENCH) {
            let others = self.others.get_or_insert_default();
            others.push(removed.id);
            others.sort();
        }
        if self.current > index || self.current == self.rooms.len() {
            self.current = self.current.saturating_sub(1);
        }
        if was_current {
            self.open_current();
        }
        was_writing
    }

    fn open_current(&mut self) {
        (self.completion, self.deleting) = (None, None);
        let Some(room) = self.rooms.get_mut(self.current) else { return };
        self.mode = std::mem::replace(&mut room.mode, Mode::Post);
        self.editor.exchange(std::mem::take(&mut room.shelved));
        room.open();
        self.reveal_current();
    }
}
