//! The text being written, and what could complete it.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::Span;

use super::paint::{framed, put, put_text};
use crate::tui::app::App;
use crate::tui::layout::{Areas, PROMPT};
use crate::tui::room::Mode;
use crate::tui::slash::{self, Candidate};
use crate::tui::text::{clean, width};
use crate::tui::theme::Theme;

/// The most candidates that are shown at once.
const CANDIDATES: u16 = 10;

/// Draws the text. Returns where the cursor is.
pub(super) fn draw(app: &App, area: Rect, theme: Theme, buffer: &mut Buffer) -> Position {
    let columns = usize::from(area.width);
    let (row, column) = app.editor.cursor_cell();
    let from = (row + 1).saturating_sub(area.height.into());
    let prompt =
        Rect { x: area.x.saturating_sub(PROMPT), width: PROMPT.min(area.x), height: area.height.min(1), ..area };
    if !prompt.is_empty() {
        put(&[Span::styled("›", theme.accent())], prompt, buffer);
    }
    if app.editor.is_empty() && area.height > 0 {
        put_text(&placeholder(app), theme.faint(), area, buffer);
    }
    for (line, row) in app.editor.visible(from, area.height.into()).zip(area.rows()) {
        // A tab is one cell here, so that the cursor is where it seems to be.
        let line = line.replace('\t', "→");
        put(&[Span::raw(clean(&line))], row, buffer);
    }
    let inside = |at: usize, length: u16| u16::try_from(at).unwrap_or(u16::MAX).min(length.saturating_sub(1));
    let row = row.saturating_sub(from);
    Position { x: area.x + inside(column.min(columns), area.width), y: area.y + inside(row, area.height) }
}

fn placeholder(app: &App) -> String {
    match (app.mode, app.room()) {
        (Mode::Reply(_), _) => "your reply".to_owned(),
        (Mode::React(_), _) => "an emoji, such as 👍".to_owned(),
        (Mode::Edit(_), _) => "the new text".to_owned(),
        (Mode::Post, Some(room)) => format!("say something in {}", room.id),
        (Mode::Post, None) => "/join ROOM".to_owned(),
    }
}

/// Draws what Tab goes through, or the commands that fit what has been typed, in a box above the composer.
pub(super) fn candidates(app: &App, areas: &Areas, theme: Theme, buffer: &mut Buffer) {
    let commands;
    let (candidates, chosen): (&[Candidate], _) = match &app.completion {
        Some((completion, chosen)) => (&completion.candidates, Some(*chosen)),
        None if app.mode == Mode::Post => {
            commands = slash::commands_like(app.editor.text());
            (&commands, None)
        }
        None => return,
    };
    let above = areas.messages.height + areas.notice.height;
    let rows = u16::try_from(candidates.len()).unwrap_or(u16::MAX).min(CANDIDATES).min(above.saturating_sub(2));
    if rows == 0 || candidates.is_empty() {
        return;
    }
    let name = |it: &Candidate| clean(it.text.trim_end_matches([' ', ','])).into_owned();
    let widest = candidates.iter().map(|it| width(&name(it))).max().unwrap_or_default();
    let docs = candidates.iter().map(|it| width(it.doc)).max().unwrap_or_default();
    let columns = widest + if docs > 0 { docs + 2 } else { 0 };
    let columns = u16::try_from(columns + 4).unwrap_or(u16::MAX).min(areas.messages.width);
    let place = Rect { x: areas.messages.x, y: areas.messages.y + above - rows - 2, width: columns, height: rows + 2 };
    // The chosen one is visible, and the ones before it if there is room.
    let from = chosen.map_or(0, |chosen| (chosen + 1).saturating_sub(rows.into()));
    let below = candidates.len().saturating_sub(from + usize::from(rows));
    let more = if below > 0 { format!("↓ {below} more") } else { String::new() };
    let inside = framed(place, "", &more, theme.line(), buffer);
    for ((index, candidate), row) in candidates.iter().enumerate().skip(from).zip(inside.rows()) {
        let whole = row;
        let row = Rect { x: row.x + row.width.min(1), width: row.width.saturating_sub(2), ..row };
        let name = name(candidate);
        let style = if chosen == Some(index) { theme.strong() } else { theme.accent() };
        put_text(&name, style, row, buffer);
        let used = (widest + 2).min(row.width.into()) as u16;
        put_text(candidate.doc, theme.faint(), Rect { x: row.x + used, width: row.width - used, ..row }, buffer);
        if chosen == Some(index) {
            buffer.set_style(whole, theme.selected());
        }
    }
}
