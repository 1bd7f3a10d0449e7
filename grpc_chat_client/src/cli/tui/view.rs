//! Draws the state of the screen, and changes nothing of it.

mod composer;
mod conversation;
mod frame;
mod overlay;
mod paint;
mod sidebar;

use grpc_chat_client::sanitize;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Position;

use super::app::App;
use super::text::MAX_CELL_CHARS;
use super::theme::Theme;

/// Draws everything. Returns where the cursor is, if it is visible.
pub(crate) fn draw(frame: &mut Frame<'_>, app: &App, theme: Theme) -> Option<Position> {
    let buffer = frame.buffer_mut();
    let areas = app.areas();
    frame::draw(app, &areas, theme, buffer);
    sidebar::rooms(app, areas.rooms, theme, buffer);
    sidebar::people(app, areas.people, theme, buffer);
    conversation::draw(app, areas.messages, theme, buffer);
    conversation::notice(app, areas.notice, theme, buffer);
    let cursor = composer::draw(app, areas.composer, theme, buffer);
    composer::candidates(app, &areas, theme, buffer);
    if let Some(over) = app.overlay {
        overlay::draw(app, over, theme, buffer);
    }
    guard(buffer);
    app.overlay.is_none().then_some(cursor)
}

/// Replaces control characters that are left in any cell: the last check before the terminal.
fn guard(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        let symbol = cell.symbol();
        if symbol.len() == 1 && symbol.as_bytes()[0] >= b' ' {
            continue;
        }
        let safe = sanitize(symbol);
        if safe != symbol || safe.chars().nth(MAX_CELL_CHARS).is_some() {
            let safe: String = safe.chars().filter(|c| *c != '\n' && *c != '\t').take(MAX_CELL_CHARS).collect();
            cell.set_symbol(if safe.is_empty() { " " } else { &safe });
        }
    }
}

#[cfg(test)]
mod tests;
