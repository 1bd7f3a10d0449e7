//! Messages as rows of the screen, and moving over them. Pure: how rows look is decided where they are drawn.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use grpc_chat_client::Seq;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::mention;
use super::text::{clean, cut, width, wrap};
use super::transcript::{Message, Transcript};

/// Messages of one author that follow each other within this time stand under one name.
const TOGETHER: Duration = Duration::from_secs(5 * 60);

/// An author who goes on for longer than that is named again after a pause.
const PAUSE: Duration = Duration::from_secs(60);

/// ` 09:15`, at the right.
const TIME: usize = 6;

/// A space and a bar between name and text.
const BAR: usize = 2;

/// The widest that a name's column is, and the widest that text is: longer lines are hard to read.
const NAME: usize = 14;
const TEXT: usize = 120;

/// Below this width a name has a row of its own.
const NARROW: usize = 30;

/// What rows depend on, beside the message.
#[derive(Clone, Debug)]
pub(crate) struct RowContext<'a> {
    pub(crate) columns: Columns,
    /// There is an empty row above each name.
    pub(crate) spaced: bool,
    pub(crate) me: &'a str,
    pub(crate) zone: &'a TimeZone,
    /// A line is drawn above the first message after this one.
    pub(crate) new_after: Option<Seq>,
    /// What stands in place of messages that are older than those held, and above the very first one.
    pub(crate) older: &'static str,
    pub(crate) beginning: &'static str,
    /// What this user has done to messages and the service has not stored yet.
    pub(crate) pending: Vec<(Seq, Pending)>,
}

/// A change of a message that the service has not stored yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    Text(String),
    Deletion,
    Reaction(String),
}

/// How the width is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    /// For names. 0: they have rows of their own.
    pub(crate) name: usize,
    pub(crate) text: usize,
}

/// The lowest row that is shown: a message, and which of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) seq: Seq,
    pub(crate) row: usize,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Gap,
    /// A line across where a day begins.
    Day(String),
    /// A line across above what is new.
    New,
    /// The author's name and the time, where there is no column for names.
    Name,
    Content {
        /// The author's name stands before it, and if this is set the time after it.
        named: bool,
        timed: bool,
        content: Content,
    },
}

/// What is in a row beside the names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The beginning of the message that this one replies to. The sender is empty if it is not known.
    Quote {
        sender: String,
        text: String,
    },
    /// Text, the parts of it that mention this user, and a remark after it.
    Text {
        text: String,
        mentions: Vec<Range<usize>>,
        remark: &'static str,
    },
    /// Text that is not stored yet.
    Unsent(String),
    /// A remark in place of text, or below it.
    Remark(&'static str),
    Reactions(Vec<Chip>),
}

/// A reaction, with how many have reacted so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chip {
    pub(crate) text: String,
    /// This user is one of them.
    pub(crate) own: bool,
}

impl Columns {
    /// Divides a width, if the longest name has so many columns.
    pub(crate) fn of(width: usize, longest_name: usize) -> Self {
        if width < NARROW {
            return Self { name: 0, text: width.saturating_sub(BAR).max(1) };
        }
        let name = longest_name.clamp(3, NAME).min(width / 5);
        Self { name, text: (width - name - BAR - TIME).min(TEXT) }
    }

    /// Before the text.
    pub(crate) fn gutter(self) -> usize {
        if self.name == 0 { BAR } else { self.name + BAR }
    }

    /// All of them.
    pub(crate) fn total(self) -> usize {
        self.gutter() + self.text + if self.name == 0 { 0 } else { TIME }
    }
}

/// Returns a message's rows: a line for its day where that begins, what it replies to, the text, and reactions.
pub(crate) fn rows(message: &Message, transcript: &Transcript, context: &RowContext<'_>) -> Vec<Row> {
    let before = transcript.back_from(message.seq.saturating_sub(1)).next();
    let day = date(message.time, context.zone);
    let new_day = before.is_none_or(|before| date(before.time, context.zone) != day);
    let new_from_here = context.new_after.is_some_and(|seq| message.seq > seq && before.is_none_or(|it| it.seq <= seq));
    let continues = !new_day && !new_from_here && before.is_some_and(|before| continues(before, message));
    let mut rows = Vec::new();
    if context.spaced && before.is_some() && !continues {
        rows.push(Row::Gap);
    }
    if new_day {
        let day = day.map_or_else(String::new, day_text);
        rows.push(Row::Day(match (before, transcript.older()) {
            (None, Some(_)) => context.older.to_owned(),
            (None, None) => format!("{} · {day}", context.beginning),
            (Some(_), _) => day,
        }));
    }
    if new_from_here {
        rows.push(Row::New);
    }
    let mut named = !continues;
    if context.columns.name == 0 && std::mem::take(&mut named) {
        rows.push(Row::Name);
    }
    // The time is there once a minute, not once a name.
    let mut timed = named && (new_day || before.is_none_or(|before| minute(before.time) != minute(message.time)));
    rows.extend(contents(message, transcript, context).into_iter().map(|content| Row::Content {
        named: std::mem::take(&mut named),
        timed: std::mem::take(&mut timed),
        content,
    }));
    rows
}

/// Returns the rows of texts that this user has posted and the service has not stored yet.
pub(crate) fn unsent_rows<'a>(
    texts: impl Iterator<Item = &'a String>,
    transcript: &Transcript,
    context: &RowContext<'_>,
) -> Vec<Row> {
    let columns = context.columns;
    let continues = transcript.newest().is_some_and(|newest| newest.sender == context.me);
    let mut named = columns.name > 0 && !continues;
    let mut rows = Vec::new();
    if context.spaced && named && transcript.newest().is_some() {
        rows.push(Row::Gap);
    }
    for text in texts {
        let mut first = true;
        for line in text.split('\n').map(clean) {
            for row in wrap(&line, columns.text) {
                let content = Content::Unsent(line[row].trim_end_matches(' ').to_owned());
                let (named, timed) = (std::mem::take(&mut named), std::mem::take(&mut first));
                rows.push(Row::Content { named, timed, content });
            }
        }
    }
    if rows.iter().all(|row| *row == Row::Gap) {
        rows.clear();
    }
    rows
}

/// Returns the rows that end at the anchor, as many as fit; fewer if that is all there is.
pub(crate) fn visible(
    transcript: &Transcript,
    anchor: Anchor,
    height: usize,
    context: &RowContext<'_>,
) -> Vec<(Seq, Row)> {
    let mut upwards = Vec::with_capacity(height);
    for message in transcript.back_from(anchor.seq) {
        let mut rows = rows(message, transcript, context);
        if message.seq == anchor.seq {
            rows.truncate(anchor.row + 1);
        }
        upwards.extend(rows.into_iter().rev().map(|row| (message.seq, row)));
        if upwards.len() >= height {
            break;
        }
    }
    upwards.truncate(height);
    upwards.reverse();
    // Who speaks is shown, and when, though that has scrolled away.
    let first = upwards.iter_mut().map(|(_, row)| row).find(|row| matches!(row, Row::Content { .. }));
    if let Some(Row::Content { named, timed, .. }) = first.filter(|_| context.columns.name > 0) {
        (*named, *timed) = (true, true);
    }
    upwards
}

/// Returns the anchor so many rows further up; the first row of all if there are not so many.
pub(crate) fn up(transcript: &Transcript, anchor: Anchor, by: usize, context: &RowContext<'_>) -> Anchor {
    let anchor = on_a_row(transcript, anchor, context);
    let Some(mut left) = by.checked_sub(anchor.row) else { return Anchor { row: anchor.row - by, ..anchor } };
    let mut top = Anchor { row: 0, ..anchor };
    for message in transcript.back_from(anchor.seq.saturating_sub(1)) {
        if left == 0 {
            break;
        }
        let count = rows(message, transcript, context).len();
        top = Anchor { seq: message.seq, row: count.saturating_sub(left) };
        left = left.saturating_sub(count);
    }
    top
}

/// Returns the anchor so many rows further down, and by how many rows it falls short of that.
pub(crate) fn down(transcript: &Transcript, anchor: Anchor, by: usize, context: &RowContext<'_>) -> (Anchor, usize) {
    let Some(message) = transcript.get(anchor.seq) else { return (anchor, by) };
    let anchor = on_a_row(transcript, anchor, context);
    let below = rows(message, transcript, context).len().saturating_sub(anchor.row + 1);
    let Some(mut left) = by.checked_sub(below).filter(|left| *left > 0) else {
        return (Anchor { row: anchor.row + by, ..anchor }, 0);
    };
    let mut bottom = Anchor { row: anchor.row + below, ..anchor };
    for message in transcript.after(anchor.seq) {
        let count = rows(message, transcript, context).len();
        bottom = Anchor { seq: message.seq, row: left.min(count).saturating_sub(1) };
        left = left.saturating_sub(count);
        if left == 0 {
            break;
        }
    }
    (bottom, left)
}

/// Returns the last row of the newest message.
pub(crate) fn bottom(transcript: &Transcript, context: &RowContext<'_>) -> Option<Anchor> {
    let newest = transcript.newest()?;
    Some(Anchor { seq: newest.seq, row: rows(newest, transcript, context).len().saturating_sub(1) })
}

/// Returns the time of day, as `09:15`.
pub(crate) fn clock(time: SystemTime, zone: &TimeZone) -> String {
    match Timestamp::try_from(time) {
        Ok(time) => time.to_zoned_datetime(zone.clone()).strftime("%H:%M").to_string(),
        Err(_) => String::new(),
    }
}

/// In another width, or with another text, the message may have fewer rows than it had.
fn on_a_row(transcript: &Transcript, anchor: Anchor, context: &RowContext<'_>) -> Anchor {
    let count = transcript.get(anchor.seq).map_or(0, |message| rows(message, transcript, context).len());
    Anchor { row: anchor.row.min(count.saturating_sub(1)), ..anchor }
}

fn contents(message: &Message, transcript: &Transcript, context: &RowContext<'_>) -> Vec<Content> {
    let columns = context.columns.text;
    let mut contents = Vec::new();
    if let Some(to) = message.reply_to {
        let (sender, text) = match transcript.get(to) {
            Some(it) if it.deleted => (it.sender.as_str(), "message deleted"),
            Some(it) => (it.sender.as_str(), it.text.lines().next().unwrap_or_default()),
            None => ("", "an earlier message"),
        };
        contents.push(Content::Quote { sender: clean(sender).into_owned(), text: clean(text).into_owned() });
    }
    let pending = || context.pending.iter().filter(|(seq, _)| *seq == message.seq).map(|(_, pending)| pending);
    let edit = pending().filter_map(|it| if let Pending::Text(text) = it { Some(text) } else { None }).next_back();
    if message.deleted {
        contents.push(Content::Remark("message deleted"));
    } else if pending().any(|it| *it == Pending::Deletion) {
        contents.push(Content::Remark("message to be deleted…"));
    } else {
        contents.extend(text_rows(edit.unwrap_or(&message.text), columns, context.me));
        match (edit, message.edited) {
            (Some(_), _) => add_remark(&mut contents, "(to be edited…)", columns),
            (None, true) => add_remark(&mut contents, "(edited)", columns),
            (None, false) => {}
        }
    }
    let mut chips: Vec<Chip> = Vec::new();
    for (reaction, users) in &message.reactions {
        chips.push(Chip { text: format!("{} {}", clean(reaction), users.len()), own: users.contains(context.me) });
    }
    for pending in pending() {
        if let Pending::Reaction(reaction) = pending {
            chips.push(Chip { text: format!("{} …", clean(reaction)), own: true });
        }
    }
    contents.extend(chip_rows(chips, columns));
    contents
}

/// All lines of a text as rows. Mentions are looked for in the whole text: where a row begins says nothing.
fn text_rows(text: &str, columns: usize, me: &str) -> Vec<Content> {
    let cleaned = text.split('\n').map(clean).collect::<Vec<_>>().join("\n");
    let mentions = mention::find(&cleaned, me);
    let mut rows = Vec::new();
    let mut line_start = 0;
    for line in cleaned.split('\n') {
        for row in wrap(line, columns) {
            let text = line[row.clone()].trim_end_matches(' ');
            let start = line_start + row.start;
            let inside = |at: usize| at.saturating_sub(start).min(text.len());
            let here = mentions.iter().map(|mention| inside(mention.start)..inside(mention.end));
            let mentions = here.filter(|mention| !mention.is_empty()).collect();
            rows.push(Content::Text { text: text.to_owned(), mentions, remark: "" });
        }
        line_start += line.len() + 1;
    }
    rows
}

/// Puts a remark after the last row of a text, or below it if there is no room.
fn add_remark(contents: &mut Vec<Content>, words: &'static str, columns: usize) {
    match contents.last_mut() {
        Some(Content::Text { text, remark, .. }) if width(text) + 1 + width(words) <= columns => *remark = words,
        _ => contents.push(Content::Remark(words)),
    }
}

/// As many chips in a row as fit, each with its two ends and a space after it.
fn chip_rows(chips: Vec<Chip>, columns: usize) -> Vec<Content> {
    let mut rows: Vec<Vec<Chip>> = Vec::new();
    let mut left = 0;
    for chip in chips {
        let chip = Chip { text: cut(&chip.text, columns.saturating_sub(2)).into_owned(), ..chip };
        let needed = width(&chip.text) + 2;
        match rows.last_mut().filter(|_| needed <= left) {
            Some(row) => row.push(chip),
            None => {
                rows.push(vec![chip]);
                left = columns;
            }
        }
        left = left.saturating_sub(needed + 1);
    }
    rows.into_iter().map(Content::Reactions).collect()
}

fn continues(before: &Message, message: &Message) -> bool {
    let apart = message.time.duration_since(before.time).unwrap_or_default();
    let part = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / TOGETHER.as_secs()
    };
    let is_long = apart >= PAUSE && part(before.time) != part(message.time);
    before.sender == message.sender && apart < TOGETHER && !is_long
}

fn minute(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / 60
}

fn date(time: SystemTime, zone: &TimeZone) -> Option<Date> {
    Timestamp::try_from(time).ok().map(|time| time.to_zoned_datetime(zone.clone()).date())
}

fn day_text(day: Date) -> String {
    day.strftime("%A, %-d %B %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_at_the_beginning_of_a_row_is_no_mention() {
        let rows = text_rows("so I said to sam, hi\nsam: hi, @sam", 13, "sam");
        let mentioned: Vec<(&str, Vec<&str>)> = rows
            .iter()
            .map(|row| match row {
                Content::Text { text, mentions, .. } => {
                    (text.as_str(), mentions.iter().map(|mention| &text[mention.clone()]).collect())
                }
                _ => panic!("{row:?}"),
            })
            .collect();
        assert_eq!(mentioned, [("so I said to", vec![]), ("sam, hi", vec![]), ("sam: hi, @sam", vec!["@sam"])]);
    }

    #[test]
    fn what_is_counted_as_a_mention_is_shown_as_one() {
        let mut random = fastrand::Rng::with_seed(1);
        let parts = ["@sam", "sam", ":", ", ", " ", "\n", "\t", "x", "漢字", "\u{1b}[2J", "e\u{301}", "."];
        for _ in 0..5_000 {
            let text: String = (0..random.usize(..12)).map(|_| parts[random.usize(..parts.len())]).collect();
            let rows = text_rows(&text, random.usize(1..12), "sam");
            let shown = rows.iter().any(|row| matches!(row, Content::Text { mentions, .. } if !mentions.is_empty()));
            assert_eq!(shown, !mention::find(&text, "sam").is_empty(), "{text:?}");
        }
    }

    #[test]
    fn chips_that_do_not_fit_begin_another_row() {
        let chips = || (0..5).map(|n| Chip { text: format!("👍 {n}"), own: false }).collect::<Vec<_>>();
        let count = |columns| {
            let rows = chip_rows(chips(), columns);
            rows.iter().map(|row| if let Content::Reactions(chips) = row { chips.len() } else { 0 }).collect::<Vec<_>>()
        };
        assert_eq!(count(80), [5]);
        assert_eq!(count(13), [2, 2, 1]);
        assert_eq!(count(12), [1, 1, 1, 1, 1]);
        assert_eq!(count(1), [1, 1, 1, 1, 1], "what fits nowhere is cut");
    }
}
