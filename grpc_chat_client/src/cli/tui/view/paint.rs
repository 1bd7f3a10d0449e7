//! Writes text, lines and boxes into a buffer.

use ratatui::buffer::{Buffer, CellWidth};
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;

use crate::tui::text::{cells, clean, cut, width, width_of};

/// Writes spans into the first row of an area. Not as ratatui does it, which divides text into cells differently.
pub(super) fn put(spans: &[Span<'_>], area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    let mut x = area.x;
    for span in spans {
        for cell in cells(&span.content) {
            let right = x.saturating_add(width_of(cell) as u16);
            if area.is_empty() || right > area.right() {
                return;
            }
            for at in x..right {
                buffer[(at, area.y)].reset();
            }
            if x < right {
                buffer[(x, area.y)].set_symbol(cell).set_style(span.style);
            }
            x = right;
        }
    }
}

/// Writes text into the first row of an area, with an ellipsis if it does not fit.
pub(super) fn put_text(text: &str, style: Style, area: Rect, buffer: &mut Buffer) {
    let text = clean(text);
    put(&[Span::styled(cut(&text, area.width.into()), style)], area, buffer);
}

/// Writes text so that it ends at the right edge of an area.
pub(super) fn put_right(spans: &[Span<'_>], area: Rect, buffer: &mut Buffer) {
    let columns = width_of_all(spans).min(area.width.into()) as u16;
    put(spans, Rect { x: area.right() - columns, width: columns, ..area }, buffer);
}

/// Writes a line across the first row of an area.
pub(super) fn rule(area: Rect, style: Style, buffer: &mut Buffer) {
    for x in area.left()..area.right() {
        sign("─", x, area.y, style, buffer);
    }
}

/// Writes one sign.
pub(super) fn sign(sign: &str, x: u16, y: u16, style: Style, buffer: &mut Buffer) {
    if let Some(cell) = buffer.cell_mut((x, y)) {
        cell.set_symbol(sign).set_style(style);
    }
}

/// Writes words over a line across: some at the left, and at the right the first that leave enough room, if any do. Where
/// there are shorter ones to choose from, that is half of the line.
pub(super) fn labels(left: &[Span<'_>], right: &[Vec<Span<'_>>], area: Rect, buffer: &mut Buffer) {
    // A sign of the line at both ends, and a space on both sides of words.
    let area = Rect { x: area.x + area.width.min(1), width: area.width.saturating_sub(2), ..area };
    let columns = usize::from(area.width);
    let spaces = |words: usize| if words > 0 { words + 2 } else { 0 };
    let needed = spaces(width_of_all(left)).min(if right.len() > 1 { columns / 2 } else { 10 });
    let right = right.iter().find(|right| spaces(width_of_all(right)) + needed < columns);
    let right_columns = right.map_or(0, |right| spaces(width_of_all(right))) as u16;
    if let Some(right) = right.filter(|_| right_columns > 0) {
        let place = Rect { x: area.right() - right_columns, width: right_columns, ..area };
        put(&[Span::raw(" ")], place, buffer);
        put(right, Rect { x: place.x + 1, ..place }, buffer);
        put(&[Span::raw(" ")], Rect { x: place.right() - 1, width: 1, ..place }, buffer);
    }
    let room = columns.saturating_sub(usize::from(right_columns) + usize::from(right_columns > 0));
    if room > 2 && width_of_all(left) > 0 {
        put(&[Span::raw(" ")], area, buffer);
        let mut place = Rect { x: area.x + 1, width: (room - 2) as u16, ..area };
        for (index, span) in left.iter().enumerate() {
            let last = index + 1 == left.len();
            let columns = width(&span.content) as u16;
            if columns > place.width || last {
                put_text(&span.content, span.style, place, buffer);
                place.x += columns.min(place.width);
                break;
            }
            put(std::slice::from_ref(span), place, buffer);
            (place.x, place.width) = (place.x + columns, place.width - columns);
        }
        put(&[Span::raw(" ")], Rect { width: 1, ..place }, buffer);
    }
}

/// Empties an area that something is laid over, and writes a frame around it. Returns what is inside.
pub(super) fn framed(area: Rect, title: &str, below: &str, style: Style, buffer: &mut Buffer) -> Rect {
    clear(area, buffer);
    if area.width < 2 || area.height < 2 {
        return Rect { width: 0, height: 0, ..area };
    }
    let (right, bottom) = (area.right() - 1, area.bottom() - 1);
    for y in [area.y, bottom] {
        rule(Rect { y, height: 1, ..area }, style, buffer);
    }
    for y in area.y + 1..bottom {
        sign("│", area.x, y, style, buffer);
        sign("│", right, y, style, buffer);
    }
    for (corner, x, y) in [("╭", area.x, area.y), ("╮", right, area.y), ("╰", area.x, bottom), ("╯", right, bottom)]
    {
        sign(corner, x, y, style, buffer);
    }
    let row = |y| Rect { x: area.x + 1, y, width: area.width - 2, height: 1 };
    labels(&[Span::raw(title)], &[], row(area.y), buffer);
    labels(&[Span::styled(below, style)], &[], row(bottom), buffer);
    Rect { x: area.x + 1, y: area.y + 1, width: area.width - 2, height: area.height - 2 }
}

pub(super) fn width_of_all(spans: &[Span<'_>]) -> usize {
    spans.iter().map(|span| width(&span.content)).sum()
}

/// Empties an area. Half of a wide character at its edge goes, too.
fn clear(area: Rect, buffer: &mut Buffer) {
    for y in area.top()..area.bottom() {
        if let Some(before) = area.left().checked_sub(1)
            && let Some(cell) = buffer.cell_mut((before, y))
            && cell.cell_width() > 1
        {
            cell.set_symbol(" ");
        }
        for x in area.left()..area.right() {
            if let Some(cell) = buffer.cell_mut((x, y)) {
                cell.reset();
            }
        }
    }
}
