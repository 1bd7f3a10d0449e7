//! Text as cells of a terminal: cleaned of control characters, measured, cut and wrapped. Pure.

use std::borrow::Cow;
use std::ops::Range;

use grpc_chat_client::sanitize;
use ratatui::buffer::CellWidth;
use unicode_segmentation::UnicodeSegmentation;

/// Columns between tab stops.
const TAB: usize = 4;

/// The most characters of one cell. The longest emoji have ten; any number of accents can follow a letter.
pub(crate) const MAX_CELL_CHARS: usize = 16;

/// Returns a line of text for the screen: tabs become spaces, control characters U+FFFD, and accents beyond
/// [`MAX_CELL_CHARS`] are left out.
pub(crate) fn clean(line: &str) -> Cow<'_, str> {
    if is_printable_ascii(line) {
        return Cow::Borrowed(line);
    }
    let safe = sanitize(line);
    let (mut cleaned, mut column) = (String::with_capacity(safe.len()), 0);
    for cell in safe.graphemes(true) {
        match cell {
            "\t" => {
                let spaces = TAB - column % TAB;
                cleaned.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            // The text is one line; a newline that is left in it is a space.
            "\n" | "\r\n" => cleaned.push(' '),
            cell => {
                cleaned.extend(cell.chars().take(MAX_CELL_CHARS));
                column += width_of(cell);
            }
        }
    }
    Cow::Owned(cleaned)
}

/// Returns the columns that a cell takes. A tab takes one in the composer, where it does not become spaces.
pub(crate) fn width_of(cell: &str) -> usize {
    match cell {
        "\t" => 1,
        cell if cell.contains(char::is_control) => 0,
        cell => cell.cell_width().into(),
    }
}

/// Splits a line into the parts that terminals keep in cells of their own. In a cluster of several letters each letter has
/// a cell, together with its marks: that is how terminals measure it. An emoji of several characters has one cell.
pub(crate) fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.graphemes(true).flat_map(letters)
}

fn letters(cluster: &str) -> impl Iterator<Item = &str> {
    let columns = |c: char| width_of(c.encode_utf8(&mut [0; 4]));
    let is_flag = |c: char| ('\u{1F1E6}'..='\u{1F1FF}').contains(&c);
    let several = cluster.len() > 1
        && !cluster.contains(is_flag)
        && cluster.chars().map(columns).sum::<usize>() == width_of(cluster);
    let mut rest = cluster;
    std::iter::from_fn(move || {
        let next = rest.char_indices().skip(1).find(|(_, c)| several && columns(*c) > 0);
        let (letter, after) = rest.split_at(next.map_or(rest.len(), |(at, _)| at));
        rest = after;
        (!letter.is_empty()).then_some(letter)
    })
}

/// Returns the columns that a line takes.
pub(crate) fn width(line: &str) -> usize {
    if is_printable_ascii(line) {
        return line.len();
    }
    line.graphemes(true).map(width_of).sum()
}

/// Returns as much of the beginning of a line as fits, with an ellipsis if that is not all of it.
pub(crate) fn cut(line: &str, columns: usize) -> Cow<'_, str> {
    if width(line) <= columns {
        return Cow::Borrowed(line);
    }
    let mut kept = String::new();
    let mut left = columns.saturating_sub(1);
    for cell in line.graphemes(true) {
        match left.checked_sub(width_of(cell)) {
            Some(rest) => left = rest,
            None => break,
        }
        kept.push_str(cell);
    }
    if columns > 0 {
        kept.push('…');
    }
    Cow::Owned(kept)
}

/// Returns a name with an ellipsis in its middle if it does not fit: names in a list often differ at their ends.
pub(crate) fn cut_middle(name: &str, columns: usize) -> Cow<'_, str> {
    if width(name) <= columns {
        return Cow::Borrowed(name);
    }
    let mut left = columns.saturating_sub(1) / 2;
    let beginning = cut(name, columns - left);
    let mut end = name.len();
    for (at, cell) in name.grapheme_indices(true).rev() {
        match left.checked_sub(width_of(cell)) {
            Some(rest) => (left, end) = (rest, at),
            None => break,
        }
    }
    Cow::Owned(format!("{beginning}{}", &name[end..]))
}

/// Splits a line into rows that fit, at spaces where there are some. The rows cover the whole line, and there is at least
/// one. Spaces that do not fit stay at the end of their row.
pub(crate) fn wrap(line: &str, columns: usize) -> Vec<Range<usize>> {
    let columns = columns.max(1);
    let (mut rows, mut start, mut used) = (Vec::new(), 0, 0);
    // The byte after the last space, and the columns used since.
    let mut space: Option<(usize, usize)> = None;
    for (at, cell) in line.grapheme_indices(true) {
        let (width, is_space) = (width_of(cell), cell == " ");
        if used + width > columns && at > start && !is_space {
            let (end, since) = space.filter(|(end, _)| *end > start).unwrap_or((at, 0));
            rows.push(start..end);
            (start, used, space) = (end, since, None);
            if used + width > columns && at > start {
                rows.push(start..at);
                (start, used) = (at, 0);
            }
        }
        used += width;
        if let Some((_, since)) = &mut space {
            *since += width;
        }
        if is_space {
            space = Some((at + 1, 0));
        }
    }
    rows.push(start..line.len());
    rows
}

fn is_printable_ascii(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(line: &str, columns: usize) -> Vec<&str> {
        wrap(line, columns).into_iter().map(|row| &line[row]).collect()
    }

    #[test]
    fn lines_wrap_at_spaces_where_there_are_some() {
        assert_eq!(wrapped("", 5), [""]);
        assert_eq!(wrapped("hello", 5), ["hello"]);
        assert_eq!(wrapped("hello there", 5), ["hello ", "there"]);
        assert_eq!(wrapped("a hello", 5), ["a ", "hello"]);
        assert_eq!(wrapped("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrapped("漢字漢字", 3), ["漢", "字", "漢", "字"]);
        assert_eq!(wrapped("a   b", 2), ["a   ", "b"]);
        assert_eq!(wrapped("漢", 1), ["漢"], "a cell that fits nowhere has its own row");
    }

    #[test]
    fn every_row_fits_and_nothing_is_lost() {
        let mut random = fastrand::Rng::with_seed(1);
        let cells = ["a", " ", "漢", "👩‍👩‍👧", "é", "-", "❤️", "ｶﾞ", "x\u{301}"];
        for _ in 0..5_000 {
            let line: String = (0..random.usize(..30)).map(|_| cells[random.usize(..cells.len())]).collect();
            let columns = random.usize(2..12);
            let rows = wrapped(&line, columns);
            assert_eq!(rows.concat(), line);
            for row in rows {
                assert!(width(row.trim_end_matches(' ')) <= columns, "{row:?} in {line:?}");
            }
        }
    }

    #[test]
    fn a_line_is_cut_between_cells() {
        assert_eq!(cut("hello", 5), "hello");
        assert_eq!(cut("hello!", 5), "hell…");
        assert_eq!(cut("漢字漢", 5), "漢字…");
        assert_eq!(cut("hello", 1), "…");
        assert_eq!(cut("hello", 0), "");
        assert_eq!(cut_middle("hello", 5), "hello");
        assert_eq!(cut_middle("team/infra/ops-1", 9), "team…ps-1");
        assert_eq!(cut_middle("漢字漢字", 6), "漢…字");
        assert_eq!(cut_middle("hello", 1), "…");
        assert_eq!(cut_middle("hello", 0), "");
    }

    #[test]
    fn letters_have_cells_of_their_own_and_emoji_stay_whole() {
        let parts = |line| cells(line).collect::<Vec<_>>();
        assert_eq!(parts("ab"), ["a", "b"]);
        assert_eq!(parts("क्षि"), ["क्", "ष", "ि"]);
        assert_eq!(parts("ｶﾞ"), ["ｶ", "ﾞ"]);
        assert_eq!(parts("e\u{301}漢"), ["e\u{301}", "漢"]);
        for whole in ["👍🏽", "👩‍👩‍👧", "❤️", "🇩🇪"] {
            assert_eq!(parts(whole), [whole]);
        }
        for line in ["क्षि", "ｶﾞ", "👍🏽 é", "漢字"] {
            assert_eq!(cells(line).map(width_of).sum::<usize>(), width(line));
        }
    }

    #[test]
    fn control_characters_are_replaced_and_tabs_become_spaces() {
        assert_eq!(clean("plain"), "plain");
        assert_eq!(clean("a\tb"), "a   b");
        assert_eq!(clean("漢\tb"), "漢  b");
        assert_eq!(clean("\u{1b}[31mred\u{202e}\u{9b}"), "\u{FFFD}[31mred\u{FFFD}\u{FFFD}");
        assert_eq!(clean("two\nlines"), "two lines");
        let accents = format!("a{}", "\u{301}".repeat(1_000));
        assert_eq!(clean(&accents).chars().count(), MAX_CELL_CHARS);
    }
}
