//! Writing, moving, wrapping, and getting texts back.

use super::*;

fn typed(text: &str) -> Editor {
    let mut editor = Editor::default();
    editor.resize(80);
    text.chars().for_each(|c| editor.type_char(c));
    editor
}

/// A text in rows of so many columns.
fn laid_out(text: &str, columns: usize) -> Editor {
    let mut editor = typed(text);
    editor.resize(columns);
    editor.lay_out();
    editor
}

fn visible(editor: &Editor, from: usize, count: usize) -> Vec<&str> {
    editor.visible(from, count).collect()
}

#[test]
fn the_cursor_moves_between_cells() {
    let mut editor = typed("a👩‍👩‍👧é");
    editor.delete_to(Move::Left);
    assert_eq!(editor.text(), "a👩‍👩‍👧");
    editor.go(Move::Left);
    assert_eq!(editor.before_cursor(), "a");
    editor.type_char('b');
    assert_eq!(editor.text(), "ab👩‍👩‍👧");
    editor.delete_to(Move::Right);
    assert_eq!(editor.text(), "ab");
    editor.go(Move::Start);
    editor.delete_to(Move::Left);
    editor.go(Move::Right);
    assert_eq!(editor.before_cursor(), "a");
    // An accent that is typed joins the letter before it.
    editor.type_char('\u{301}');
    assert_eq!(editor.before_cursor(), "a\u{301}");
    editor.delete_to(Move::Left);
    assert_eq!(editor.text(), "b");
}

#[test]
fn words_and_lines_are_passed_and_deleted_as_a_whole() {
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
fn a_paste_keeps_no_control_characters_and_one_kind_of_line_end() {
    let mut editor = Editor::default();
    editor.paste("a\rb\r\nc\nd\te\u{1b}[2J\u{9b}");
    assert_eq!(editor.text(), "a\nb\nc\nd\te[2J");
    editor.undo();
    assert!(editor.is_empty());
}

#[test]
fn rows_wrap_and_the_cursor_is_where_it_is_drawn() {
    let mut editor = laid_out("hello there\nyou", 6);
    assert_eq!((editor.count_rows(9), editor.count_rows(2)), (3, 2));
    assert_eq!(visible(&editor, 0, 9), ["hello ", "there", "you"]);
    assert_eq!(editor.cursor_cell(), (2, 3));
    editor.up();
    assert_eq!(editor.cursor_cell(), (1, 3));
    editor.up();
    assert_eq!(editor.cursor_cell(), (0, 3));
    editor.go(Move::End);
    editor.type_char('\n');
    editor.lay_out();
    assert_eq!(editor.cursor_cell(), (3, 0));
    assert_eq!(visible(&editor, 2, 9), ["you", ""]);
    assert_eq!(laid_out("漢字漢", 4).cursor_cell(), (1, 2));
    assert_eq!(laid_out("abcd", 4).cursor_cell(), (0, 3), "a full row");
}

#[test]
fn up_recalls_what_was_sent_and_down_what_was_being_written() {
    let mut editor = typed("one");
    assert_eq!(editor.take(), "one");
    editor.set("two");
    editor.take();
    editor.set("draft");
    editor.up();
    assert_eq!(editor.text(), "two");
    editor.up();
    assert_eq!(editor.text(), "one");
    editor.up();
    assert_eq!(editor.text(), "one", "there is no older one");
    editor.down();
    assert_eq!(editor.text(), "two");
    editor.down();
    assert_eq!(editor.text(), "draft");
    editor.down();
    assert_eq!(editor.text(), "draft");
}

#[test]
fn a_shelved_text_comes_back_with_its_cursor_and_undo() {
    let mut editor = typed("one two");
    editor.go(Move::WordLeft);
    let shelved = editor.exchange(Shelved::default());
    assert!(editor.is_empty());
    editor.undo();
    assert!(editor.is_empty(), "it is another text");
    editor.set("three");
    editor.exchange(shelved);
    assert_eq!((editor.text(), editor.before_cursor()), ("one two", "one "));
    editor.undo();
    assert_eq!(editor.text(), "one");
}

#[test]
fn no_more_is_replaced_than_there_is() {
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
        let mut editor = laid_out("", 5);
        for _ in 0..100 {
            let to = [Move::Left, Move::Right, Move::WordLeft, Move::WordRight, Move::LineStart, Move::LineEnd];
            let to = to[random.usize(..to.len())];
            match random.u8(..8) {
                0 => editor.paste(["👩‍", "é", "a b", "\n", "漢", "\u{301}"][random.usize(..6)]),
                1 => editor.type_char(['a', '\n', '\u{200d}', '👧', ' '][random.usize(..5)]),
                2 => editor.delete_to(to),
                3 => editor.up(),
                4 => editor.down(),
                5 => editor.undo(),
                6 => drop(editor.take()),
                _ => editor.go(to),
            }
            assert!(editor.is_edge(editor.cursor), "{:?} at {}", editor.text, editor.cursor);
            editor.lay_out();
            let (row, column) = editor.cursor_cell();
            assert!(row < editor.count_rows(usize::MAX) && column < 5);
            let mut other = laid_out("", 5);
            other.set(&editor.text);
            other.lay_out();
            assert_eq!(visible(&editor, 0, 99), visible(&other, 0, 99), "only what has changed is laid out");
        }
    }
}
