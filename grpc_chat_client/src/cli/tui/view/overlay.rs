//! What lies over the messages.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::paint::{framed, put, put_right, put_text, width_of_all};
use super::sidebar::{author, badge};
use crate::tui::app::App;
use crate::tui::layout;
use crate::tui::overlay::{Kind, Line, Overlay};
use crate::tui::text::{clean, cut_middle};
use crate::tui::theme::Theme;

pub(super) fn draw(app: &App, overlay: Overlay, theme: Theme, buffer: &mut Buffer) {
    let lines = overlay.lines(app.lists(), app.size);
    let area = layout::overlay(app.size, overlay.kind.columns(app.size), lines.len());
    let rows = usize::from(area.height).saturating_sub(2);
    let from = overlay.first_shown(lines.len(), rows);
    let more = if from + rows < lines.len() { "↓ more" } else { "" };
    let inside = framed(area, overlay.kind.title(), more, theme.accent(), buffer);
    for ((index, line), row) in lines.iter().enumerate().skip(from).zip(inside.rows()) {
        let text = Rect { x: row.x + row.width.min(1), width: row.width.saturating_sub(2), ..row };
        draw_line(app, line, theme, text, buffer);
        if overlay.kind == Kind::Rooms && index == overlay.at {
            buffer.set_style(row, theme.selected());
        }
    }
}

fn draw_line(app: &App, line: &Line, theme: Theme, row: Rect, buffer: &mut Buffer) {
    match line {
        Line::Heading(words) => put_text(words, theme.accent(), row, buffer),
        Line::Help { keys, text } => put(&[Span::styled(keys, theme.strong()), Span::raw(text)], row, buffer),
        Line::Person(user) => {
            let name = author(app, user, theme);
            put_text(&name.content, name.style, row, buffer);
        }
        Line::Note(words) => put_text(words, theme.faint(), row, buffer),
        Line::Room { name, joined, unread, mentioned } => {
            let marks = match joined {
                true => badge(*unread, false, *mentioned, theme),
                false => vec![Span::styled("join", theme.faint())],
            };
            let room = usize::from(row.width).saturating_sub(width_of_all(&marks) + 1);
            let style = if *joined { theme.strong() } else { theme.faint() };
            put(&[Span::styled(cut_middle(&clean(name), room), style)], row, buffer);
            put_right(&marks, row, buffer);
        }
    }
}
