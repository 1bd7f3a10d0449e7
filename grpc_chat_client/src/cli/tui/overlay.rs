//! What lies over the messages until it is closed: help, the people in a room, and all rooms. Pure.

use std::ops::Range;

use grpc_chat_client::RoomId;
use ratatui::layout::Size;

use super::keymap::{MOUSE, SECTIONS};
use super::layout;
use super::room::Room;
use super::slash::COMMANDS;
use super::text::{width, wrap};

/// The most columns of the names of keys.
const KEYS: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overlay {
    pub(crate) kind: Kind,
    /// The chosen line of the rooms, or the first line that is shown of the others.
    pub(crate) at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Help,
    People,
    Rooms,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Heading(&'static str),
    /// A row of the names of keys or of a command, up to its column's end, and one of what they do.
    Help {
        keys: String,
        text: String,
    },
    Person(String),
    Room {
        name: String,
        joined: bool,
        unread: usize,
        mentioned: bool,
    },
    Note(String),
}

/// What overlays show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lists<'a> {
    pub(crate) rooms: &'a [Room],
    pub(crate) current: usize,
    /// The rooms that this user is not in; `None` if they have not been listed yet.
    pub(crate) others: Option<&'a [RoomId]>,
}

impl Kind {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Help => "keys and commands",
            Self::People => "people",
            Self::Rooms => "rooms",
        }
    }

    /// Returns how many columns its lines have in a terminal of this size.
    pub(crate) fn columns(self, size: Size) -> u16 {
        let wanted = match self {
            Self::Help => 76,
            Self::People => 40,
            Self::Rooms => 56,
        };
        layout::overlay_columns(size, wanted)
    }
}

impl Overlay {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, at: 0 }
    }

    /// Returns all its lines, in a terminal of this size.
    pub(crate) fn lines(self, lists: Lists<'_>, size: Size) -> Vec<Line> {
        match self.kind {
            Kind::Help => help(self.kind.columns(size).into()),
            Kind::People => people(lists.rooms.get(lists.current)),
            Kind::Rooms => rooms(lists),
        }
    }

    /// Returns the first line that is shown, if there are so many lines and rows.
    pub(crate) fn first_shown(self, lines: usize, rows: usize) -> usize {
        let last = lines.saturating_sub(rows);
        match self.kind {
            Kind::Rooms => self.at.saturating_sub(rows / 2).min(last),
            Kind::Help | Kind::People => self.at.min(last),
        }
    }

    /// Moves by so many lines, as far as there are some.
    pub(crate) fn step(&mut self, by: isize, lines: usize, rows: usize) {
        let last = match self.kind {
            Kind::Rooms => lines.saturating_sub(1),
            Kind::Help | Kind::People => lines.saturating_sub(rows),
        };
        self.at = self.at.min(last).saturating_add_signed(by).min(last);
    }
}

fn help(columns: usize) -> Vec<Line> {
    let mut sections: Vec<(&str, Vec<(String, &str)>)> = Vec::new();
    let commands = COMMANDS.iter().map(|it| (format!("{} {}", it.name, it.argument).trim_end().to_owned(), it.doc));
    sections.push(("Commands", commands.collect()));
    for (title, bindings) in SECTIONS {
        sections.push((title, bindings.iter().map(|binding| (binding.names(), binding.help)).collect()));
    }
    sections.push(("The mouse", MOUSE.map(|(what, help)| (what.to_owned(), help)).to_vec()));
    let entries = || sections.iter().flat_map(|(_, entries)| entries);
    let widest = entries().map(|(keys, _)| width(keys)).max().unwrap_or_default();
    let first = widest.min(KEYS).min(columns / 2);
    let rest = columns.saturating_sub(first + 2);
    let mut lines = Vec::new();
    for (title, entries) in &sections {
        if !lines.is_empty() {
            lines.push(Line::Note(String::new()));
        }
        lines.push(Line::Heading(title));
        for (keys, help) in entries {
            let (left, right) = (wrap(keys, first), wrap(help, rest));
            for row in 0..left.len().max(right.len()) {
                let part =
                    |text: &str, rows: &[Range<usize>]| rows.get(row).map(|it| text[it.clone()].trim_end().to_owned());
                let keys = part(keys, &left).unwrap_or_default();
                let gap = " ".repeat((first + 2).saturating_sub(width(&keys)));
                lines.push(Line::Help { keys: format!("{keys}{gap}"), text: part(help, &right).unwrap_or_default() });
            }
        }
    }
    lines
}

fn people(room: Option<&Room>) -> Vec<Line> {
    let Some(room) = room else { return vec![Line::Note("you are not in a room".to_owned())] };
    let mut lines: Vec<Line> = room.present.iter().cloned().map(Line::Person).collect();
    let unlisted = usize::try_from(room.present_count).unwrap_or_default().saturating_sub(room.present.len());
    if unlisted > 0 {
        lines.push(Line::Note(match room.present.is_empty() {
            true => format!("{unlisted} are here, too many to list"),
            false => format!("and {unlisted} more"),
        }));
    }
    if lines.is_empty() {
        lines.push(Line::Note("it is not known who is here".to_owned()));
    }
    lines
}

fn rooms(lists: Lists<'_>) -> Vec<Line> {
    let joined = lists.rooms.iter().map(|room| Line::Room {
        name: room.id.to_string(),
        joined: true,
        unread: room.unread,
        mentioned: room.mentioned,
    });
    let others = lists.others.unwrap_or_default().iter();
    let others = others.map(|name| Line::Room { name: name.to_string(), joined: false, unread: 0, mentioned: false });
    let mut lines: Vec<Line> = joined.chain(others).collect();
    if lines.is_empty() {
        lines.push(Line::Note(match lists.others {
            Some(_) => "there is no room yet; /join NAME makes one".to_owned(),
            None => "the service has not listed its rooms yet".to_owned(),
        }));
    }
    lines
}
