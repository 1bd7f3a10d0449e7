//! From what people write to rows of cells: safe, and as wide as a terminal will draw them. Pure.

use std::borrow::Cow;
use std::ops::Range;

use grpc_chat_client::sanitize;
use ratatui::buffer::CellWidth;
use unicode_segmentation::UnicodeSegmentation;

/// Columns between tab stops.
const TAB: usize = 4;

/// The most characters of one cell. The longest emoji have ten; accents can be heaped on a letter without end.
pub(crate) const MAX_CELL_CHARS: usize = 16;

/// One line of text for the screen: tabs become spaces, what steers a terminal becomes U+FFFD, heaps of accents end.
pub(crate) fn clean(line: &str) -> Cow<'_, str> {
    if line.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
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
            // Only what is one line is cleaned; whatever is left of another is a space.
            "\n" | "\r\n" => cleaned.push(' '),
            cell => {
                cleaned.extend(cell.chars().take(MAX_CELL_CHARS));
                column += width_of(cell);
            }
        }
    }
    Cow::Owned(cleaned)
}

/// Columns that a cell's text takes. A tab is one where it is not made into spaces, in the composer.
pub(crate) fn width_of(cell: &str) -> usize {
    match cell {
        "\t" => 1,
        cell if cell.contains(char::is_control) => 0,
        cell => cell.cell_width().into(),
    }
}

/// A line in the parts that a terminal keeps in cells of their own. Of a cluster of letters each has one, with the marks
/// that belong to it: that is how wide terminals think it is. An emoji is one, whatever it is made of.
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

/// Columns that a line takes.
pub(crate) fn width(line: &str) -> usize {
    line.graphemes(true).map(width_of).sum()
}

/// The beginning of a line, with an ellipsis if that is not all of it.
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

/// A name with an ellipsis in its middle if that is not all of it: names in a list often differ at their ends.
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

/// Where to break a line so that each row fits, at spaces where there are some. The rows cover the line, and there is at
/// least one. A space that does not fit hangs at the end of its row.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(line: &str, columns: usize) -> Vec<&str> {
        wrap(line, columns).into_iter().map(|row| &line[row]).collect()
    }

    #[test]
    fn lines_break_at_spaces_where_there_are_some() {
        assert_eq!(wrapped("", 5), [""]);
        assert_eq!(wrapped("hello", 5), ["hello"]);
        assert_eq!(wrapped("hello there", 5), ["hello ", "there"]);
        assert_eq!(wrapped("a hello", 5), ["a ", "hello"]);
        assert_eq!(wrapped("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrapped("漢字漢字", 3), ["漢", "字", "漢", "字"]);
        assert_eq!(wrapped("a   b", 2), ["a   ", "b"]);
        assert_eq!(wrapped("漢", 1), ["漢"], "what fits nowhere has a row of its own");
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
    fn what_steers_a_terminal_is_taken_out_and_tabs_are_spaces() {
        assert_eq!(clean("plain"), "plain");
        assert_eq!(clean("a\tb"), "a   b");
        assert_eq!(clean("漢\tb"), "漢  b");
        assert_eq!(clean("\u{1b}[31mred\u{202e}\u{9b}"), "\u{FFFD}[31mred\u{FFFD}\u{FFFD}");
        assert_eq!(clean("two\nlines"), "two lines");
        let heap = format!("a{}", "\u{301}".repeat(1_000));
        assert_eq!(clean(&heap).chars().count(), MAX_CELL_CHARS);
    }
}
