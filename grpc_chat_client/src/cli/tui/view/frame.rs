//! The frame, and the labels in its lines: the room's title, the hint, and the state of the connection.

use grpc_chat_client::{ConnectionState, Target};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Span;

use super::paint::{labels, rule, sign, width_of_all};
use super::sidebar::author;
use crate::tui::app::App;
use crate::tui::keymap::{Action, key_for, selection_hint};
use crate::tui::layout::Areas;
use crate::tui::room::{Mode, Room};
use crate::tui::text::{clean, cut_middle};
use crate::tui::theme::Theme;

pub(super) fn draw(app: &App, areas: &Areas, theme: Theme, buffer: &mut Buffer) {
    lines(areas, theme.line(), buffer);
    title(app, areas, theme, buffer);
    let words = |row| if areas.framed { between_corners(row) } else { row };
    hint(app, words(areas.hint), theme, buffer);
    status(app, words(areas.status), theme, buffer);
}

fn lines(areas: &Areas, style: Style, buffer: &mut Buffer) {
    let Areas { title, rooms, people, hint, status, .. } = *areas;
    for row in [title, hint, status].into_iter().filter(|row| !row.is_empty()) {
        rule(row, style, buffer);
    }
    if !areas.framed {
        return;
    }
    let (left, right, top, bottom) = (title.left(), title.right() - 1, title.y, status.y);
    let between = [Some(rooms.right()), (!people.is_empty()).then(|| people.x - 1)];
    for y in top + 1..bottom {
        for x in between.iter().flatten().copied().chain([left, right]) {
            sign("│", x, y, style, buffer);
        }
    }
    for x in between.into_iter().flatten() {
        sign("┬", x, top, style, buffer);
        sign("┴", x, bottom, style, buffer);
    }
    for (corner, x, y) in [
        ("╭", left, top),
        ("╮", right, top),
        ("╰", left, bottom),
        ("╯", right, bottom),
        ("├", hint.left(), hint.y),
        ("┤", hint.right() - 1, hint.y),
    ] {
        sign(corner, x, y, style, buffer);
    }
}

fn between_corners(row: Rect) -> Rect {
    Rect { x: row.x + 1, width: row.width.saturating_sub(2), ..row }
}

fn title(app: &App, areas: &Areas, theme: Theme, buffer: &mut Buffer) {
    let row = areas.title;
    if row.is_empty() {
        return;
    }
    let over = |area: Rect| Rect { x: area.x, width: area.width, ..row };
    let middle = if areas.framed { over(between_corners(areas.hint)) } else { row };
    if !areas.rooms.is_empty() {
        labels(&[Span::styled("rooms", theme.faint())], &[], over(areas.rooms), buffer);
    }
    let Some(room) = app.room() else { return };
    let columns = usize::from(middle.width).saturating_sub(4);
    let name = clean(&room.id);
    let name = Span::styled(cut_middle(&name, columns), theme.accent());
    let here = if room.present_count > 0 { format!("{} here", room.present_count) } else { String::new() };
    if !areas.people.is_empty() {
        labels(&[name], &[], middle, buffer);
        let words = if here.is_empty() { "people".to_owned() } else { here };
        return labels(&[Span::styled(words, theme.faint())], &[], over(areas.people), buffer);
    }
    let mut right = Vec::new();
    if !areas.framed {
        right.extend(unread_elsewhere(app, theme));
    }
    let room_for = columns.saturating_sub(width_of_all(std::slice::from_ref(&name)) + 3);
    right.extend(people(app, room, &here, room_for, theme));
    right.push(vec![Span::styled(here, theme.faint())]);
    labels(&[name], &right, middle, buffer);
}

/// How many are here, and the names of the others as far as they fit.
fn people<'a>(app: &'a App, room: &'a Room, here: &str, columns: usize, theme: Theme) -> Option<Vec<Span<'a>>> {
    let mut spans = vec![Span::styled(format!("{here} · "), theme.faint())];
    let mut others = room.present.iter().filter(|user| **user != app.me).peekable();
    others.peek()?;
    while let Some(user) = others.next() {
        let more = if others.peek().is_some() { ", " } else { "" };
        spans.push(author(app, user, theme));
        if width_of_all(&spans) + 3 > columns {
            spans.pop();
            spans.push(Span::styled("…", theme.faint()));
            break;
        }
        spans.push(Span::styled(more, theme.faint()));
    }
    (spans.len() > 2).then_some(spans)
}

/// The unread messages in other rooms, for screens without a column of rooms.
fn unread_elsewhere(app: &App, theme: Theme) -> Option<Vec<Span<'static>>> {
    let others = || app.rooms.iter().enumerate().filter(|(index, _)| *index != app.current).map(|(_, room)| room);
    let unread: usize = others().map(|room| room.unread).sum();
    let mentioned = others().any(|room| room.mentioned);
    let words = format!("{}{unread} elsewhere", if mentioned { "@" } else { "" });
    (unread > 0).then(|| vec![Span::styled(words, if mentioned { theme.alert() } else { theme.strong() })])
}

fn hint(app: &App, area: Rect, theme: Theme, buffer: &mut Buffer) {
    let Some(room) = app.room().filter(|_| !area.is_empty()) else { return };
    let (words, style) = doing(app, room, theme);
    let back: Vec<Vec<Span<'_>>> =
        way_back(app, room).into_iter().map(|words| vec![Span::styled(words, hint_style(theme))]).collect();
    labels(&[Span::styled(words, style)], &back, area, buffer);
}

/// What the user is doing and the keys for that; otherwise who is typing.
fn doing(app: &App, room: &Room, theme: Theme) -> (String, Style) {
    let (length, most) = (app.editor.text().len(), app.max_text_bytes);
    if length > most {
        return (format!("too long: {length} bytes of at most {most}"), theme.bad());
    }
    let of = |target: Target| room.transcript.get(target.seq).map_or("a message", |message| message.sender.as_str());
    let (enter, esc) = (key_for(Action::Submit), key_for(Action::Cancel));
    let words = match app.mode {
        Mode::Edit(_) => format!("editing · {enter} saves · {esc} gives up"),
        Mode::Reply(target) => format!("replying to {} · {enter} sends · {esc} gives up", of(target)),
        Mode::React(target) => format!("reacting to {} · {enter} sends · {esc} gives up", of(target)),
        Mode::Post if app.deleting.is_some() => {
            format!("{} again deletes it · any other key keeps it", key_for(Action::Erase))
        }
        Mode::Post if app.is_selecting() => selection_hint(),
        Mode::Post if app.editor.text() == "?" => format!("{enter} sends it · {} is for help", key_for(Action::Help)),
        Mode::Post => return (typing(&room.typing), theme.faint()),
    };
    (words, hint_style(theme))
}

fn hint_style(theme: Theme) -> Style {
    theme.accent().remove_modifier(Modifier::BOLD)
}

fn typing(users: &[String]) -> String {
    match users {
        [] => String::new(),
        [user] => format!("{user} is typing…"),
        [one, other] => format!("{one} and {other} are typing…"),
        [one, rest @ ..] => format!("{one} and {} others are typing…", rest.len()),
    }
}

/// The keys that go to the newest message, or to the first new one; the longest wording first.
fn way_back(app: &App, room: &Room) -> Vec<String> {
    let newest = key_for(match (app.editor.is_empty(), app.mode) {
        (true, _) => Action::Newest,
        (false, Mode::Post) => Action::Cancel,
        (false, _) => Action::PageDown,
    });
    match (room.anchor, room.unread) {
        (None, _) if room.new_above && app.editor.is_empty() => {
            let first = key_for(Action::FirstNew);
            vec![format!("↑ more new · {first} for the first"), format!("↑ {first}"), "↑".to_owned()]
        }
        (None, _) => Vec::new(),
        (Some(_), 0) => {
            vec![format!("scrolled back · {newest} for the newest"), format!("↓ {newest}"), "↓".to_owned()]
        }
        (Some(_), new) => vec![
            format!("scrolled back, {new} new below · {newest} for the newest"),
            format!("↓ {new} new · {newest}"),
            format!("↓ {new}"),
        ],
    }
}

fn status(app: &App, area: Rect, theme: Theme, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let (mark, style, words) = match &app.connection {
        ConnectionState::Online { .. } => ("●", theme.good(), app.me.clone()),
        ConnectionState::Connecting => ("◌", theme.alert(), "connecting…".to_owned()),
        ConnectionState::Draining => ("◌", theme.alert(), "the service is shutting down; waiting for it".to_owned()),
        ConnectionState::Reconnecting { .. } => {
            let left = app.retry_at.map_or(0, |at| at.saturating_duration_since(app.now).as_secs() + 1);
            ("○", theme.bad(), format!("offline, next try in {left} s"))
        }
        ConnectionState::Failed(_) => ("✖", theme.bad(), "disconnected".to_owned()),
        ConnectionState::Closed => ("✖", theme.bad(), "closed".to_owned()),
    };
    let words = clean(&words).into_owned();
    let mut left = vec![Span::styled(format!("{mark} "), style), Span::raw(words)];
    if app.unsent > 0 {
        left.push(Span::styled(format!(" · {} unsent", app.unsent), theme.alert()));
    }
    left.push(Span::styled(format!(" · {}", clean(&app.server)), theme.faint()));
    let help = vec![Span::styled(format!("{} help", key_for(Action::Help)), theme.faint())];
    labels(&left, &[help], area, buffer);
}
