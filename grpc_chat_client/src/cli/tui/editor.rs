//! The composer's text: a cursor between cells, lines that wrap, undo, and what was sent before. Pure.

use std::collections::VecDeque;
use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::text::{width, width_of, wrap};

/// Sent texts that Up brings back.
const REMEMBERED: usize = 200;

/// Texts that undo brings back, and the bytes of all of them.
const UNDONE: usize = 100;
const UNDONE_BYTES: usize = 1024 * 1024;

/// A text being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Editor {
    text: String,
    /// In bytes, at the edge of a cell.
    cursor: usize,
    /// The column that Up and Down try to stay in.
    column: Option<usize>,
    sent: VecDeque<String>,
    /// Which of them is shown, counted from the newest, and the text that was being written before.
    recalled: Option<(usize, String)>,
    undo: VecDeque<(String, usize)>,
    /// The last change was a typed character; the next one belongs to the same word.
    typing: bool,
    rows: Rows,
}

/// A text that is put aside while another is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelved {
    text: String,
    cursor: usize,
    undo: VecDeque<(String, usize)>,
}

impl Shelved {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// The text's rows in the composer's width.
#[derive(Clone, Debug, Default)]
struct Rows {
    columns: usize,
    /// In bytes of the text.
    rows: Vec<Range<usize>>,
    /// Where the first line begins that was changed since the rows were made; `None` if none was.
    changed: Option<usize>,
}

/// Where the cursor goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    Left,
    Right,
    WordLeft,
    WordRight,
    LineStart,
    LineEnd,
    Start,
    End,
}

impl Editor {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(crate) fn before_cursor(&self) -> &str {
        &self.text[..self.cursor]
    }

    /// Inserts a typed character.
    pub(crate) fn type_char(&mut self, c: char) {
        if !self.typing || c.is_whitespace() {
            self.save_for_undo();
        }
        self.insert(c.encode_utf8(&mut [0; 4]));
        self.typing = true;
    }

    /// Inserts text from elsewhere. Line ends of all kinds become newlines; of other control characters only tab is kept.
    pub(crate) fn paste(&mut self, text: &str) {
        self.save_for_undo();
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        self.insert(&text);
    }

    /// Replaces the bytes before the cursor, as completing a word does.
    pub(crate) fn replace_before_cursor(&mut self, bytes: usize, with: &str) {
        self.save_for_undo();
        let from = self.text.floor_char_boundary(self.cursor.saturating_sub(bytes));
        self.text.replace_range(from..self.cursor, "");
        self.cursor = from;
        self.insert(with);
    }

    /// Takes the text out, as sending it does. Up brings it back.
    pub(crate) fn take(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        self.remember(text.clone());
        self.cursor = 0;
        self.undo.clear();
        self.changed_at(0);
        text
    }

    /// Exchanges the text for another one.
    pub(crate) fn exchange(&mut self, other: Shelved) -> Shelved {
        let shelved = Shelved {
            text: std::mem::replace(&mut self.text, other.text),
            cursor: std::mem::replace(&mut self.cursor, other.cursor),
            undo: std::mem::replace(&mut self.undo, other.undo),
        };
        self.recalled = None;
        self.changed_at(0);
        shelved
    }

    /// Sets the text, with the cursor at its end.
    pub(crate) fn set(&mut self, text: &str) {
        self.save_for_undo();
        text.clone_into(&mut self.text);
        self.cursor = self.text.len();
        self.changed_at(0);
    }

    /// Keeps a text that Up brings back.
    pub(crate) fn remember(&mut self, text: String) {
        self.recalled = None;
        if text.is_empty() || self.sent.front() == Some(&text) {
            return;
        }
        self.sent.push_front(text);
        self.sent.truncate(REMEMBERED);
    }

    pub(crate) fn undo(&mut self) {
        if let Some((text, cursor)) = self.undo.pop_back() {
            (self.text, self.cursor) = (text, cursor);
            self.changed_at(0);
        }
    }

    /// Deletes what is between the cursor and there.
    pub(crate) fn delete_to(&mut self, to: Move) {
        let there = self.target(to);
        let (from, upto) = (there.min(self.cursor), there.max(self.cursor));
        if from < upto {
            self.save_for_undo();
            self.text.replace_range(from..upto, "");
            self.cursor = from;
            self.snap_cursor();
            self.changed_at(from);
        }
    }

    pub(crate) fn go(&mut self, to: Move) {
        self.cursor = self.target(to);
        (self.column, self.typing) = (None, false);
    }

    /// Goes a row up; from the first one to what was sent before.
    pub(crate) fn up(&mut self) {
        self.lay_out();
        let (row, column) = self.cursor_cell();
        let column = self.column.unwrap_or(column);
        match row.checked_sub(1) {
            Some(above) => {
                self.cursor = self.position(above, column);
                self.column = Some(column);
            }
            None => self.recall(1),
        }
    }

    /// Goes a row down; from the last one to what was sent after.
    pub(crate) fn down(&mut self) {
        self.lay_out();
        let (row, column) = self.cursor_cell();
        let column = self.column.unwrap_or(column);
        if row + 1 < self.rows.rows.len() {
            self.cursor = self.position(row + 1, column);
            self.column = Some(column);
        } else if self.recalled.is_some() {
            self.recall(-1);
        }
    }

    /// Sets how many columns rows have.
    pub(crate) fn resize(&mut self, columns: usize) {
        if columns != self.rows.columns {
            self.rows.columns = columns;
            self.changed_at(0);
        }
    }

    /// Returns how many rows the text has, or `most` if there are more.
    pub(crate) fn count_rows(&self, most: usize) -> usize {
        let mut rows = 0;
        // Not all of it is laid out for that: this is called for each key, and texts can be long.
        for line in self.text.split('\n') {
            rows += wrap(line, self.rows.columns).len();
            if rows >= most {
                return most;
            }
        }
        rows
    }

    /// Brings the rows up to date, for [`Editor::visible`] and [`Editor::cursor_cell`].
    pub(crate) fn lay_out(&mut self) {
        let Some(mut start) = self.rows.changed.take().or_else(|| self.rows.rows.is_empty().then_some(0)) else {
            return;
        };
        let mut rows = std::mem::take(&mut self.rows.rows);
        rows.truncate(rows.partition_point(|row| row.start < start));
        for line in self.text[start..].split_inclusive('\n') {
            let content = line.trim_end_matches('\n');
            let wrapped = wrap(content, self.rows.columns);
            let last = wrapped.len() - 1;
            for (index, row) in wrapped.into_iter().enumerate() {
                // The newline belongs to the last row of its line.
                let end = if index == last { line.len() } else { row.end };
                rows.push(start + row.start..start + end);
            }
            start += line.len();
        }
        if self.text.is_empty() || self.text.ends_with('\n') {
            rows.push(start..start);
        }
        self.rows.rows = rows;
    }

    /// Returns some of the rows.
    pub(crate) fn visible(&self, from: usize, count: usize) -> impl Iterator<Item = &str> {
        let rows = self.rows.rows.iter().skip(from).take(count);
        rows.map(|row| self.text.get(row.clone()).unwrap_or_default().trim_end_matches('\n'))
    }

    /// Returns the row and the column of the cursor. At the end of a full row it is in the last column.
    pub(crate) fn cursor_cell(&self) -> (usize, usize) {
        let row = self.rows.rows.iter().rposition(|row| row.start <= self.cursor).unwrap_or(0);
        let start = self.rows.rows.get(row).map_or(0, |row| row.start);
        let before = self.text.get(start..self.cursor).unwrap_or_default();
        (row, width(before).min(self.rows.columns.saturating_sub(1)))
    }

    fn insert(&mut self, text: &str) {
        let at = self.cursor;
        self.text.insert_str(at, text);
        self.cursor += text.len();
        self.snap_cursor();
        self.changed_at(at);
    }

    /// Moves the cursor to the edge of a cell: a change may have joined the cells around it.
    fn snap_cursor(&mut self) {
        while !self.is_edge(self.cursor) {
            self.cursor += 1;
        }
    }

    fn is_edge(&self, at: usize) -> bool {
        at >= self.text.len()
            || self.text.is_char_boundary(at) && {
                let start = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
                let mut edges = self.text[start..].grapheme_indices(true).map(|(edge, _)| start + edge);
                edges.find(|edge| *edge >= at) == Some(at)
            }
    }

    /// Notes that the text has changed from there on.
    fn changed_at(&mut self, at: usize) {
        (self.column, self.typing) = (None, false);
        let line = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        self.rows.changed = Some(self.rows.changed.map_or(line, |before| before.min(line)));
    }

    fn save_for_undo(&mut self) {
        self.undo.push_back((self.text.clone(), self.cursor));
        let bytes = |undo: &VecDeque<(String, usize)>| undo.iter().map(|(text, _)| text.len()).sum::<usize>();
        while self.undo.len() > UNDONE || self.undo.len() > 1 && bytes(&self.undo) > UNDONE_BYTES {
            self.undo.pop_front();
        }
    }

    fn target(&self, to: Move) -> usize {
        let (before, after) = self.text.split_at(self.cursor);
        match to {
            Move::Left => before.grapheme_indices(true).next_back().map_or(0, |(at, _)| at),
            Move::Right => self.cursor + after.graphemes(true).next().map_or(0, str::len),
            Move::WordLeft => before.unicode_word_indices().next_back().map_or(0, |(at, _)| at),
            Move::WordRight => {
                after.unicode_word_indices().next().map_or(self.text.len(), |(at, word)| self.cursor + at + word.len())
            }
            Move::LineStart => before.rfind('\n').map_or(0, |newline| newline + 1),
            Move::LineEnd => after.find('\n').map_or(self.text.len(), |newline| self.cursor + newline),
            Move::Start => 0,
            Move::End => self.text.len(),
        }
    }

    /// The position in this row that is at most this far to the right.
    fn position(&self, row: usize, column: usize) -> usize {
        let Some(row) = self.rows.rows.get(row) else { return self.text.len() };
        let (mut at, mut used) = (row.start, 0);
        for cell in self.text[row.clone()].graphemes(true) {
            let next = used + width_of(cell);
            // The end of a row that wraps is the beginning of the next one.
            if next > column || cell == "\n" || at + cell.len() >= row.end && row.end < self.text.len() {
                break;
            }
            (at, used) = (at + cell.len(), next);
        }
        at
    }

    /// Shows an older or a newer one of the sent texts; after the newest, the one that was being written.
    fn recall(&mut self, step: isize) {
        let shown = self.recalled.as_ref().map_or(0, |(shown, _)| shown + 1);
        let Some(wanted) = shown.checked_add_signed(step) else { return };
        let before = self.recalled.take().map_or_else(|| self.text.clone(), |(_, before)| before);
        match wanted.checked_sub(1) {
            None => self.set(&before),
            Some(index) => match self.sent.get(index).cloned() {
                Some(text) => {
                    self.set(&text);
                    self.recalled = Some((index, before));
                }
                None => self.recalled = shown.checked_sub(1).map(|index| (index, before)),
            },
        }
    }
}

#[cfg(test)]
mod tests;
