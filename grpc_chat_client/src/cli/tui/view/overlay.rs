//! What lies over the messages until a key is pressed.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Widget};

use super::{clear, put};
use crate::tui::app::App;
use crate::tui::slash::COMMANDS;
use crate::tui::text::{clean, cut, cut_middle, width, wrap};

const KEYS: [(&str, &str); 14] = [
    ("Enter", "send"),
    ("Alt+Enter, Ctrl+J", "a new line"),
    ("Up, Down", "what you sent before, at the edge of the text"),
    ("Tab", "complete a /command or an @name"),
    ("PageUp, PageDown, wheel", "scroll; End: the newest, Home: the first new one"),
    ("Ctrl+Up, Alt+Up", "select a message; then r e d + for answer, edit, delete, react"),
    ("Ctrl+N, Ctrl+P, Alt+1…9", "another room"),
    ("Alt+A", "the next room with something unread, first those that speak to you"),
    ("Ctrl+W, Ctrl+U, Ctrl+K", "delete a word, to the line's start, to its end"),
    ("Ctrl+Z", "undo"),
    ("Esc", "give up an edit; back to the newest message"),
    ("Ctrl+L", "draw the screen anew"),
    ("Ctrl+C", "clear the text; without one, twice to quit"),
    ("?", "this help, when nothing is written"),
];

/// Answers how many lines there are beyond those shown.
pub(super) fn help(app: &App, buffer: &mut Buffer, from: usize) -> usize {
    let keys = KEYS.map(|(keys, what)| (keys.to_owned(), what));
    let commands = COMMANDS.map(|(name, rest, what)| (format!("{name} {rest}"), what));
    let widest = keys.iter().chain(&commands).map(|(name, _)| width(name)).max().unwrap_or_default();
    let inner = usize::from(buffer.area.width).saturating_sub(4).min(76);
    let first = widest.min(inner / 2);
    let mut lines = Vec::new();
    for (name, what) in keys.iter().chain(&commands) {
        let name = cut(name.trim_end(), first);
        let gap = " ".repeat(first + 2 - width(&name));
        for (index, row) in wrap(what, inner.saturating_sub(first + 2)).into_iter().enumerate() {
            let head = if index == 0 { format!("{name}{gap}") } else { " ".repeat(first + 2) };
            lines.push(Line::from(vec![Span::styled(head, app.theme.strong()), Span::raw(what[row].to_owned())]));
        }
    }
    lay(app, "keys and commands", lines, inner, buffer, from)
}

/// Answers how many lines there are beyond those shown.
pub(super) fn who(app: &App, buffer: &mut Buffer, from: usize) -> usize {
    let Some(room) = app.room() else { return 0 };
    let inner = usize::from(buffer.area.width).saturating_sub(4).min(40);
    let name = |user: &String| Line::styled(cut(&clean(user), inner).into_owned(), app.theme.author(user));
    let mut lines: Vec<Line<'_>> = room.present.iter().map(name).collect();
    let unlisted = usize::try_from(room.count).unwrap_or_default().saturating_sub(room.present.len());
    if unlisted > 0 {
        lines.push(Line::raw(format!("and {unlisted} more")));
    }
    if lines.is_empty() {
        lines.push(Line::raw("it is not known who is here"));
    }
    lay(app, "here", lines, inner, buffer, from)
}

/// Answers how many lines there are beyond those shown.
pub(super) fn rooms(app: &App, buffer: &mut Buffer, from: usize) -> usize {
    let inner = usize::from(buffer.area.width).saturating_sub(4).min(60);
    let mut lines = Vec::new();
    for room in &app.rooms {
        let speaks = if room.mentioned { ", and to you" } else { "" };
        let marks = if room.unread > 0 { format!("  {} unread{speaks}", room.unread) } else { String::new() };
        let name = clean(&room.name);
        let name = cut_middle(&name, inner.saturating_sub(width(&marks))).into_owned();
        lines.push(Line::from(vec![Span::styled(name, app.theme.strong()), Span::raw(marks)]));
    }
    for other in &app.others {
        lines.push(Line::styled(cut_middle(&clean(other), inner).into_owned(), app.theme.faint()));
    }
    lay(app, "rooms that you are in, and others", lines, inner, buffer, from)
}

/// A box in the middle, as high as it has to be and can be.
fn lay(app: &App, title: &str, lines: Vec<Line<'_>>, inner: usize, buffer: &mut Buffer, from: usize) -> usize {
    let screen = buffer.area;
    let width = u16::try_from(inner + 4).unwrap_or(u16::MAX).min(screen.width);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(screen.height);
    let area =
        Rect { x: screen.x + (screen.width - width) / 2, y: screen.y + (screen.height - height) / 2, width, height };
    clear(area, buffer);
    let hidden = lines.len().saturating_sub(usize::from(height).saturating_sub(2));
    let from = from.min(hidden);
    let mut block = Block::bordered().border_style(app.theme.faint()).title(format!(" {title} "));
    if from < hidden {
        block = block.title_bottom(" ↓ more ");
    }
    let within = block.inner(area);
    block.render(area, buffer);
    let within = Rect { x: within.x + within.width.min(1), width: within.width.saturating_sub(2), ..within };
    for (line, row) in lines.into_iter().skip(from).zip(within.rows()) {
        put(&line, row, buffer);
    }
    hidden
}
