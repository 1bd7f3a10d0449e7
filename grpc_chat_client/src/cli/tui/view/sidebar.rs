//! The columns at the sides: the rooms, and the people who are here.

use grpc_chat_client::RoomId;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;

use super::paint::{labels, put, put_right, put_text, rule, sign, width_of_all};
use crate::tui::app::App;
use crate::tui::layout::HEADING;
use crate::tui::room::Room;
use crate::tui::text::{clean, cut_middle};
use crate::tui::theme::Theme;

pub(super) fn rooms(app: &App, area: Rect, theme: Theme, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let shown = app.shown_rooms();
    let joined = app.rooms.len();
    let others = app.others.as_deref().unwrap_or_default();
    let mut rows = area.rows();
    if shown.above
        && let Some(row) = rows.next()
    {
        hidden("↑", shown.from, &app.rooms[..shown.from.min(joined)], theme, row, buffer);
    }
    for line in shown.from..shown.upto {
        let Some(row) = rows.next() else { return };
        match (app.rooms.get(line), line.checked_sub(joined + HEADING)) {
            (Some(room), _) => joined_room(room, line == app.current, theme, row, buffer),
            (None, None) => heading("others", theme, row, buffer),
            (None, Some(other)) => {
                let name = others.get(other).map_or("", RoomId::as_str);
                entry("  ", name, theme.faint(), &[], row, buffer);
            }
        }
    }
    let below = app.room_lines() - shown.upto;
    if below > 0
        && let Some(row) = rows.next()
    {
        hidden("↓", below, &app.rooms[shown.upto.min(joined)..], theme, row, buffer);
    }
}

pub(super) fn people(app: &App, area: Rect, theme: Theme, buffer: &mut Buffer) {
    let Some(room) = app.room().filter(|_| !area.is_empty()) else { return };
    let unlisted = usize::try_from(room.present_count).unwrap_or_default().saturating_sub(room.present.len());
    let fit = if unlisted > 0 || room.present.len() > area.height.into() { area.height - 1 } else { area.height };
    let listed = room.present.len().min(fit.into());
    for (user, row) in room.present.iter().zip(area.rows()).take(listed) {
        let place = Rect { x: row.x + 1, width: row.width.saturating_sub(2), ..row };
        let name = author(app, user, theme);
        put_text(&name.content, name.style, place, buffer);
        if room.typing.contains(user) {
            put_right(&[Span::styled(" …", theme.faint())], place, buffer);
        }
    }
    let more = unlisted + room.present.len() - listed;
    if more > 0
        && let Some(row) = area.rows().nth(listed)
    {
        let text = if room.present.is_empty() { " too many to list".to_owned() } else { format!(" and {more} more") };
        put_text(&text, theme.faint(), row, buffer);
    }
}

/// A user's name in their colour; this user's own is the accent.
pub(super) fn author<'a>(app: &App, user: &'a str, theme: Theme) -> Span<'a> {
    Span::styled(clean(user), author_style(app, user, theme))
}

pub(super) fn author_style(app: &App, user: &str, theme: Theme) -> Style {
    if user == app.me { theme.accent() } else { theme.author(app.authors.slot(user)) }
}

/// The number of unread messages, as it stands after a room's name.
pub(super) fn badge(unread: usize, more: bool, mentioned: bool, theme: Theme) -> Vec<Span<'static>> {
    if unread == 0 {
        return Vec::new();
    }
    let (start, end) = theme.chip_ends();
    let (at, more) = (if mentioned { "@" } else { "" }, if more { "+" } else { "" });
    vec![Span::styled(format!("{start}{at}{unread}{more}{end}"), theme.badge(mentioned))]
}

/// A room that this user is in.
fn joined_room(room: &Room, current: bool, theme: Theme, row: Rect, buffer: &mut Buffer) {
    let unread = if current && room.anchor.is_none() { 0 } else { room.unread };
    let mut marks = Vec::new();
    if !room.shelved.text().is_empty() {
        marks.push(Span::styled("✎ ", theme.faint()));
    }
    marks.extend(badge(unread, room.more_unread, room.mentioned, theme));
    let style = match (current, unread) {
        (true, _) => theme.accent(),
        (false, 0) => Style::new(),
        (false, _) => theme.strong(),
    };
    entry(if current { "▌ " } else { "  " }, &room.id, style, &marks, row, buffer);
}

/// A line of the frame across the column, with a word on it.
fn heading(word: &str, theme: Theme, row: Rect, buffer: &mut Buffer) {
    rule(row, theme.line(), buffer);
    sign("├", row.x - 1, row.y, theme.line(), buffer);
    sign("┤", row.right(), row.y, theme.line(), buffer);
    labels(&[Span::styled(word, theme.faint())], &[], row, buffer);
}

/// A row that stands for lines that do not fit.
fn hidden(arrow: &str, lines: usize, rooms: &[Room], theme: Theme, row: Rect, buffer: &mut Buffer) {
    let unread = rooms.iter().map(|room| room.unread).sum();
    let mentioned = rooms.iter().any(|room| room.mentioned);
    entry("  ", &format!("{arrow} {lines}"), theme.faint(), &badge(unread, false, mentioned, theme), row, buffer);
}

fn entry(mark: &'static str, name: &str, style: Style, marks: &[Span<'_>], row: Rect, buffer: &mut Buffer) {
    let row = Rect { width: row.width.saturating_sub(1), ..row };
    put_right(marks, row, buffer);
    let columns = usize::from(row.width).saturating_sub(width_of_all(marks) + 3);
    let name = clean(name);
    put(&[Span::styled(mark, style), Span::styled(cut_middle(&name, columns), style)], row, buffer);
}
