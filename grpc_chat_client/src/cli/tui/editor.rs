//! The composer's text: a cursor between cells, lines that wrap, and what was sent before. Pure.

use std::collections::VecDeque;

use unicode_segmentation::UnicodeSegmentation;

use super::text::{width, wrap};

/// Texts that can be got back with Up.
const REMEMBERED: usize = 200;

/// Texts that can be got back with undo, and the bytes of all of them.
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
    /// Which of them is shown, counted from the newest, and what was being written before.
    recalled: Option<(usize, String)>,
    undo: VecDeque<(String, usize)>,
    /// The last change was a typed character, which belongs to the word before it.
    typing: bool,
    rows: Rows,
}

/// A text put aside, to go on with it later.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aside {
    text: String,
    cursor: usize,
    undo: VecDeque<(String, usize)>,
}

impl Aside {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// The text's rows in a certain width.
#[derive(Clone, Debug, Default)]
struct Rows {
    width: usize,
    /// In bytes of the text.
    rows: Vec<std::ops::Range<usize>>,
    /// Where the first line begins that was changed since, if any was.
    changed: Option<usize>,
}

/// Where to go.
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

    /// What is before the cursor.
    pub(crate) fn before_cursor(&self) -> &str {
        &self.text[..self.cursor]
    }

    /// One key's character.
    pub(crate) fn type_char(&mut self, c: char) {
        if !self.typing || c.is_whitespace() {
            self.remember_for_undo();
        }
        self.put(c.encode_utf8(&mut [0; 4]));
        self.typing = true;
    }

    /// Text from elsewhere. The ends of lines come in three kinds; of other control characters only tab is kept.
    pub(crate) fn paste(&mut self, text: &str) {
        self.remember_for_undo();
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        self.put(&text);
    }

    /// Replaces the bytes before the cursor, as completing a word does.
    pub(crate) fn replace_before_cursor(&mut self, bytes: usize, with: &str) {
        self.remember_for_undo();
        let from = self.text.floor_char_boundary(self.cursor.saturating_sub(bytes));
        self.text.replace_range(from..self.cursor, "");
        self.cursor = from;
        self.put(with);
    }

    /// Takes the text out, as sending it does; it can be got back.
    pub(crate) fn take(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        self.remember(text.clone());
        self.cursor = 0;
        self.undo.clear();
        self.changed(0);
        text
    }

    /// Leaves the text for another, or for none.
    pub(crate) fn exchange(&mut self, other: Aside) -> Aside {
        let aside = Aside {
            text: std::mem::replace(&mut self.text, other.text),
            cursor: std::mem::replace(&mut self.cursor, other.cursor),
            undo: std::mem::replace(&mut self.undo, other.undo),
        };
        self.recalled = None;
        self.changed(0);
        aside
    }

    /// Another text, with the cursor at its end.
    pub(crate) fn set(&mut self, text: &str) {
        self.remember_for_undo();
        text.clone_into(&mut self.text);
        self.cursor = self.text.len();
        self.changed(0);
    }

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
            self.changed(0);
        }
    }

    pub(crate) fn backspace(&mut self) {
        self.delete_to(Move::Left);
    }

    pub(crate) fn delete(&mut self) {
        self.delete_to(Move::Right);
    }

    /// Deletes between the cursor and there.
    pub(crate) fn delete_to(&mut self, to: Move) {
        let there = self.place(to);
        let (from, upto) = (there.min(self.cursor), there.max(self.cursor));
        if from < upto {
            self.remember_for_undo();
            self.text.replace_range(from..upto, "");
            self.cursor = from;
            self.settle(from);
        }
    }

    pub(crate) fn go(&mut self, to: Move) {
        self.cursor = self.place(to);
        (self.column, self.typing) = (None, false);
    }

    /// A row up; from the first one to what was sent before.
    pub(crate) fn up(&mut self, columns: usize) {
        let (row, column) = self.cursor_cell(columns);
        let column = self.column.unwrap_or(column);
        match row.checked_sub(1) {
            Some(above) => {
                self.cursor = self.at(above, column);
                self.column = Some(column);
            }
            None => self.recall(1),
        }
    }

    /// A row down; from the last one to what was sent after.
    pub(crate) fn down(&mut self, columns: usize) {
        let (row, column) = self.cursor_cell(columns);
        let column = self.column.unwrap_or(column);
        if row + 1 < self.rows.rows.len() {
            self.cursor = self.at(row + 1, column);
            self.column = Some(column);
        } else if self.recalled.is_some() {
            self.recall(-1);
        }
    }

    /// How many rows the text has in this width, or `most` if there are more.
    pub(crate) fn rows(&self, columns: usize, most: usize) -> usize {
        let mut rows = 0;
        // Not all of it is laid out for that: it is asked for each key, and texts can be long.
        for line in self.text.split('\n') {
            rows += wrap(line, columns).len();
            if rows >= most {
                return most;
            }
        }
        rows
    }

    /// Some of its rows.
    pub(crate) fn visible(&mut self, columns: usize, from: usize, count: usize) -> Vec<&str> {
        self.lay_out(columns);
        let rows = self.rows.rows.iter().skip(from).take(count);
        rows.map(|row| self.text[row.clone()].trim_end_matches('\n')).collect()
    }

    /// The row and the column of the cursor. A full row's end is in its last column.
    pub(crate) fn cursor_cell(&mut self, columns: usize) -> (usize, usize) {
        self.lay_out(columns);
        let row = self.rows.rows.iter().rposition(|row| row.start <= self.cursor).unwrap_or(0);
        let start = self.rows.rows.get(row).map_or(0, |row| row.start);
        (row, width(&self.text[start..self.cursor]).min(columns.saturating_sub(1)))
    }

    fn put(&mut self, text: &str) {
        let at = self.cursor;
        self.text.insert_str(at, text);
        self.cursor += text.len();
        self.settle(at);
    }

    /// What was put in or taken out may have joined the cells around it.
    fn settle(&mut self, at: usize) {
        while !self.is_edge(self.cursor) {
            self.cursor += 1;
        }
        self.changed(at);
    }

    fn is_edge(&self, at: usize) -> bool {
        at >= self.text.len()
            || self.text.is_char_boundary(at) && {
                let start = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
                let mut edges = self.text[start..].grapheme_indices(true).map(|(edge, _)| start + edge);
                edges.find(|edge| *edge >= at) == Some(at)
            }
    }

    /// The text is another one from there on.
    fn changed(&mut self, at: usize) {
        (self.column, self.typing) = (None, false);
        let line = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        self.rows.changed = Some(self.rows.changed.map_or(line, |before| before.min(line)));
    }

    fn remember_for_undo(&mut self) {
        self.undo.push_back((self.text.clone(), self.cursor));
        let bytes = |undo: &VecDeque<(String, usize)>| undo.iter().map(|(text, _)| text.len()).sum::<usize>();
        while self.undo.len() > UNDONE || self.undo.len() > 1 && bytes(&self.undo) > UNDONE_BYTES {
            self.undo.pop_front();
        }
    }

    fn place(&self, to: Move) -> usize {
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

    /// The cursor's place in this row, at most this far to the right.
    fn at(&self, row: usize, column: usize) -> usize {
        let Some(row) = self.rows.rows.get(row) else { return self.text.len() };
        let (mut at, mut used) = (row.start, 0);
        for cell in self.text[row.clone()].graphemes(true) {
            let next = used + super::text::width_of(cell);
            // The end of a row that wraps is the beginning of the next one.
            if next > column || cell == "\n" || at + cell.len() >= row.end && row.end < self.text.len() {
                break;
            }
            (at, used) = (at + cell.len(), next);
        }
        at
    }

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

    fn lay_out(&mut self, columns: usize) {
        let mut start = match self.rows.changed {
            _ if self.rows.width != columns || self.rows.rows.is_empty() => 0,
            Some(line) => line,
            None => return,
        };
        let mut rows = std::mem::take(&mut self.rows.rows);
        rows.truncate(rows.partition_point(|row| row.start < start));
        for line in self.text[start..].split_inclusive('\n') {
            let content = line.trim_end_matches('\n');
            let wrapped = wrap(content, columns);
            let last = wrapped.len() - 1;
            for (index, row) in wrapped.into_iter().enumerate() {
                // The newline belongs to its last row.
                let end = if index == last { line.len() } else { row.end };
                rows.push(start + row.start..start + end);
            }
            start += line.len();
        }
        if self.text.is_empty() || self.text.ends_with('\n') {
            rows.push(start..start);
        }
        self.rows = Rows { width: columns, rows, changed: None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Editor {
        let mut editor = Editor::default();
        text.chars().for_each(|c| editor.type_char(c));
        editor
    }

    #[test]
    fn the_cursor_moves_between_cells() {
        let mut editor = typed("a👩‍👩‍👧é");
        editor.backspace();
        assert_eq!(editor.text(), "a👩‍👩‍👧");
        editor.go(Move::Left);
        assert_eq!(editor.before_cursor(), "a");
        editor.type_char('b');
        assert_eq!(editor.text(), "ab👩‍👩‍👧");
        editor.delete();
        assert_eq!(editor.text(), "ab");
        editor.go(Move::Start);
        editor.backspace();
        editor.go(Move::Right);
        assert_eq!(editor.before_cursor(), "a");
        // An accent that is typed joins the letter before it.
        editor.type_char('\u{301}');
        assert_eq!(editor.before_cursor(), "a\u{301}");
        editor.backspace();
        assert_eq!(editor.text(), "b");
    }

    #[test]
    fn words_and_lines_are_passed_and_deleted_whole() {
        let mut editor = typed("one two\nthree four");
        editor.go(Move::WordLeft);
        assert_eq!(editor.before_cursor(), "one two\nthree ");
        editor.go(Move::LineStart);
        assert_eq!(editor.before_cursor(), "one two\n");
        editor.delete_to(Move::WordRight);
        assert_eq!(editor.text(), "one two\n four");
        editor.go(Move::End);
        editor.delete_to(Move::LineStart);
        assert_eq!(editor.text(), "one two\n");
        editor.go(Move::Start);
        editor.delete_to(Move::LineEnd);
        assert_eq!(editor.text(), "\n");
        editor.undo();
        editor.undo();
        assert_eq!(editor.text(), "one two\n four");
    }

    #[test]
    fn a_paste_is_text_whatever_its_lines_end_with() {
        let mut editor = Editor::default();
        editor.paste("a\rb\r\nc\nd\te\u{1b}[2J\u{9b}");
        assert_eq!(editor.text(), "a\nb\nc\nd\te[2J");
        editor.undo();
        assert!(editor.is_empty());
    }

    #[test]
    fn rows_wrap_and_the_cursor_is_where_it_is_drawn() {
        let mut editor = typed("hello there\nyou");
        assert_eq!((editor.rows(6, 9), editor.rows(6, 2)), (3, 2));
        assert_eq!(editor.visible(6, 0, 9), ["hello ", "there", "you"]);
        assert_eq!(editor.cursor_cell(6), (2, 3));
        editor.up(6);
        assert_eq!(editor.cursor_cell(6), (1, 3));
        editor.up(6);
        assert_eq!(editor.cursor_cell(6), (0, 3));
        editor.go(Move::End);
        editor.type_char('\n');
        assert_eq!(editor.cursor_cell(6), (3, 0));
        assert_eq!(editor.visible(6, 2, 9), ["you", ""]);
        let mut editor = typed("漢字漢");
        assert_eq!(editor.cursor_cell(4), (1, 2));
        let mut editor = typed("abcd");
        assert_eq!(editor.cursor_cell(4), (0, 3), "a full row");
    }

    #[test]
    fn what_was_sent_comes_back_and_what_was_being_written_too() {
        let mut editor = typed("one");
        assert_eq!(editor.take(), "one");
        editor.set("two");
        editor.take();
        editor.set("draft");
        editor.up(80);
        assert_eq!(editor.text(), "two");
        editor.up(80);
        assert_eq!(editor.text(), "one");
        editor.up(80);
        assert_eq!(editor.text(), "one", "there is no older one");
        editor.down(80);
        assert_eq!(editor.text(), "two");
        editor.down(80);
        assert_eq!(editor.text(), "draft");
        editor.down(80);
        assert_eq!(editor.text(), "draft");
    }

    #[test]
    fn a_text_that_is_put_aside_comes_back_with_its_cursor_and_what_can_be_undone() {
        let mut editor = typed("one two");
        editor.go(Move::WordLeft);
        let aside = editor.exchange(Aside::default());
        assert!(editor.is_empty());
        editor.undo();
        assert!(editor.is_empty(), "it is another text");
        editor.set("three");
        editor.exchange(aside);
        assert_eq!((editor.text(), editor.before_cursor()), ("one two", "one "));
        editor.undo();
        assert_eq!(editor.text(), "one");
    }

    #[test]
    fn what_is_replaced_before_the_cursor_is_never_more_than_there_is() {
        let mut editor = typed("é");
        editor.replace_before_cursor(1, "x");
        assert_eq!(editor.text(), "x");
        editor.replace_before_cursor(9, "y");
        assert_eq!(editor.text(), "y");
    }

    #[test]
    fn undo_goes_back_word_by_word() {
        let mut editor = typed("one two");
        editor.undo();
        assert_eq!(editor.text(), "one");
        editor.undo();
        assert_eq!(editor.text(), "");
        editor.undo();
        assert_eq!(editor.text(), "");
    }

    #[test]
    fn random_keys_never_leave_the_cursor_inside_a_cell() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let mut editor = Editor::default();
            for _ in 0..100 {
                let to = [Move::Left, Move::Right, Move::WordLeft, Move::WordRight, Move::LineStart, Move::LineEnd];
                let to = to[random.usize(..to.len())];
                match random.u8(..8) {
                    0 => editor.paste(["👩‍", "é", "a b", "\n", "漢", "\u{301}"][random.usize(..6)]),
                    1 => editor.type_char(['a', '\n', '\u{200d}', '👧', ' '][random.usize(..5)]),
                    2 => editor.delete_to(to),
                    3 => editor.up(5),
                    4 => editor.down(5),
                    5 => editor.undo(),
                    6 => drop(editor.take()),
                    _ => editor.go(to),
                }
                assert!(editor.is_edge(editor.cursor), "{:?} at {}", editor.text, editor.cursor);
                let (row, column) = editor.cursor_cell(5);
                assert!(row < editor.rows(5, usize::MAX) && column < 5);
                let mut anew = Editor::default();
                anew.set(&editor.text);
                assert_eq!(editor.visible(5, 0, 99), anew.visible(5, 0, 99), "what is laid out bit by bit");
            }
        }
    }
}
