//! Where things are on the screen, computed from numbers alone. Pure.
//!
//! ```text
//! ╭ title ──────────────────────────────╮      Without room for columns
//! │ rooms │ messages           │ people │      there is only the middle,
//! │       │ notice             │        │      and no frame.
//! │       ├ hint ──────────────┤        │
//! │       │ composer           │        │
//! ╰ status ─────────────────────────────╯
//! ```

use ratatui::layout::{Rect, Size};

/// From this width on the rooms have a column, and there is a frame around everything.
const WIDE: u16 = 60;

/// From this width on there is a column of the people who are in the room.
const VERY_WIDE: u16 = 120;

/// From this height on there are a title, a hint and notices, and the frame.
const TALL: u16 = 6;

/// Columns before the composer's text.
pub(crate) const PROMPT: u16 = 2;

/// Lines in the list of rooms between those that the user is in and the others.
pub(crate) const HEADING: usize = 1;

/// From this height on there is an empty row below the messages.
const ROOMY: u16 = 30;

/// The most rows of the composer.
const COMPOSER: u16 = 10;

/// Where things are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Areas {
    /// There is a frame. The columns are apart by one, where its lines are.
    pub(crate) framed: bool,
    pub(crate) title: Rect,
    pub(crate) rooms: Rect,
    pub(crate) people: Rect,
    pub(crate) messages: Rect,
    /// What has happened, and why nothing comes of what the user did.
    pub(crate) notice: Rect,
    /// Who is typing, and what the next key does.
    pub(crate) hint: Rect,
    /// Without the prompt.
    pub(crate) composer: Rect,
    pub(crate) status: Rect,
}

/// Returns how many columns the composer's text has in a terminal of this size, and how many rows at most.
pub(crate) fn composer(size: Size) -> (u16, u16) {
    let middle = middle(size);
    let most = (free_rows(size) / 2).clamp(1, COMPOSER).min(free_rows(size));
    (middle.width.saturating_sub(prompt(middle.width)), most)
}

/// Returns how many columns a notice has.
pub(crate) fn notice_columns(size: Size) -> u16 {
    middle(size).width
}

/// Returns where things are in a terminal of this size, with so many rows for the composer and for notices.
pub(crate) fn areas(size: Size, composer: u16, notice: u16) -> Areas {
    let Size { width, height } = size;
    let (framed, tall) = (is_framed(size), height >= TALL);
    let middle = middle(size);
    let edges = u16::from(tall);
    let free = free_rows(size).saturating_sub(composer);
    // Messages keep half of what is left.
    let notice = if tall { notice.min(free / 2) } else { 0 };
    let messages = free - notice;
    let padding = u16::from(height >= ROOMY && notice == 0);
    let across = |y, height| Rect { x: 0, y, width, height };
    let inside = |y, height| Rect { y, height, ..middle };
    let hint = edges + messages + notice;
    let body = height.saturating_sub(2 * edges);
    let (rooms, people) = columns(width);
    Areas {
        framed,
        title: across(0, edges),
        rooms: if framed { Rect { x: 1, y: edges, width: rooms, height: body } } else { Rect::ZERO },
        people: match people {
            columns if framed && columns > 0 => Rect { x: width - 1 - columns, y: edges, width: columns, height: body },
            _ => Rect::ZERO,
        },
        messages: inside(edges, messages.saturating_sub(padding)),
        notice: inside(edges + messages, notice),
        // Up to the lines on both sides.
        hint: match framed {
            true => Rect { x: middle.x - 2, y: hint, width: middle.width + 4, height: edges },
            false => across(hint, edges),
        },
        composer: {
            let prompt = prompt(middle.width);
            Rect { x: middle.x + prompt, width: middle.width - prompt, ..inside(hint + edges, composer) }
        },
        status: across(hint + edges + composer, u16::from(height >= 2)),
    }
}

/// Returns where a box with so many lines of so many columns is.
pub(crate) fn overlay(size: Size, columns: u16, lines: usize) -> Rect {
    let width = columns.saturating_add(4).min(size.width);
    let height = u16::try_from(lines + 2).unwrap_or(u16::MAX).min(size.height);
    Rect { x: (size.width - width) / 2, y: (size.height - height) / 2, width, height }
}

/// Returns how many columns a box can have that should have so many.
pub(crate) fn overlay_columns(size: Size, wanted: u16) -> u16 {
    size.width.saturating_sub(4).min(wanted)
}

/// Which lines of a list are shown in a column of this height, and whether its first row stands for those above. If there
/// are any below, its last row stands for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) from: usize,
    pub(crate) upto: usize,
    pub(crate) above: bool,
}

/// Returns which of so many lines are shown from one on. `current` is shown where there is no room to scroll.
pub(crate) fn shown(lines: usize, from: usize, current: usize, height: u16) -> Shown {
    let height = usize::from(height);
    if lines <= height {
        return Shown { from: 0, upto: lines, above: false };
    }
    if height < 3 {
        let from = (current + 1).saturating_sub(height);
        return Shown { from, upto: from + height, above: false };
    }
    let from = from.min(lines + 1 - height);
    let above = from > 0;
    let free = height - usize::from(above);
    let upto = if from + free < lines { from + free - 1 } else { lines };
    Shown { from, upto, above }
}

impl Shown {
    /// Returns which line is in this row, if one is.
    pub(crate) fn line(self, row: u16) -> Option<usize> {
        let line = (self.from + usize::from(row)).checked_sub(self.above.into())?;
        (self.from..self.upto).contains(&line).then_some(line)
    }
}

fn is_framed(size: Size) -> bool {
    size.width >= WIDE && size.height >= TALL
}

/// The widths of the columns beside the middle, if there is a frame.
fn columns(width: u16) -> (u16, u16) {
    match width {
        160.. => (26, 24),
        VERY_WIDE.. => (22, 18),
        100.. => (22, 0),
        _ => (18, 0),
    }
}

/// The columns for messages, notices and the composer, with a space at both sides if there is a frame.
fn middle(size: Size) -> Rect {
    if !is_framed(size) {
        return Rect { x: 0, y: 0, width: size.width, height: 0 };
    }
    let (rooms, people) = columns(size.width);
    let right = if people > 0 { people + 1 } else { 0 };
    Rect { x: rooms + 3, y: 0, width: size.width - (rooms + 3) - right - 2, height: 0 }
}

fn prompt(columns: u16) -> u16 {
    PROMPT.min(columns.saturating_sub(1))
}

/// Rows for messages, notices and the composer.
fn free_rows(size: Size) -> u16 {
    match size.height {
        height @ ..TALL => height.saturating_sub(u16::from(height >= 2)),
        height => height - 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overlaps_and_nothing_is_outside() {
        for width in (0..70).chain(95..125).chain(155..165) {
            for height in 0..40 {
                let size = Size { width, height };
                let (_, most) = composer(size);
                for (composer, notice) in [(1, 0), (1, 3), (most, 3)] {
                    let Areas { title, rooms, people, messages, notice, hint, composer, status, .. } =
                        areas(size, composer.min(most), notice);
                    let all = [title, rooms, people, messages, notice, hint, composer, status];
                    let all: Vec<Rect> = all.into_iter().filter(|area| !area.is_empty()).collect();
                    let screen = Rect { x: 0, y: 0, width, height };
                    for (index, area) in all.iter().enumerate() {
                        assert_eq!(area.intersection(screen), *area, "{size:?}");
                        for other in &all[..index] {
                            assert!(!area.intersects(*other), "{size:?}: {area:?} {other:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_of_a_list_is_a_line_or_stands_for_those_that_are_hidden() {
        let all = shown(3, 0, 0, 5);
        assert_eq!([0, 2, 3].map(|row| all.line(row)), [Some(0), Some(2), None]);
        let some = shown(20, 5, 6, 6);
        assert_eq!([0, 1, 4, 5].map(|row| some.line(row)), [None, Some(5), Some(8), None]);
        let end = shown(20, 99, 6, 6);
        assert_eq!([0, 1, 5].map(|row| end.line(row)), [None, Some(15), Some(19)]);
    }
}
