//! Messages as rows of the screen, and moving over them. Pure.

use std::time::{Duration, SystemTime};

use grpc_chat_client::Seq;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::text::{clean, cut, width, wrap};
use super::theme::Theme;
use super::transcript::{Message, Transcript};

/// Messages of one author that follow each other within this time stand under one name.
const TOGETHER: Duration = Duration::from_secs(5 * 60);

const PAUSE: Duration = Duration::from_secs(60);

/// `09:15 `.
const TIME: usize = 6;

/// Below this width there is no room for columns: a name has a row of its own, and what is said stands further in, so
/// that nobody can write what looks like a name.
const NARROW: usize = 30;
const INDENT: usize = 2;

/// What rows depend on, beside the message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look<'a> {
    pub(crate) width: usize,
    pub(crate) me: &'a str,
    pub(crate) zone: &'a TimeZone,
    pub(crate) theme: Theme,
    /// A line is drawn above the first message after this one.
    pub(crate) new_after: Option<Seq>,
    pub(crate) selected: Option<Seq>,
    /// What is said in place of messages that are older than those held.
    pub(crate) older: &'static str,
    /// And above the first one of all.
    pub(crate) beginning: &'static str,
    /// What is on its way to messages.
    pub(crate) pending: &'a [(Seq, Pending)],
}

/// What this user has done to a message, and the service has not said that it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    Text(String),
    Gone,
    Reaction(String),
}

/// The lowest row that is shown: a message, and which of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) seq: Seq,
    pub(crate) row: usize,
}

/// A message's rows: a line for its day where that begins, whom it answers, the text, and who reacted.
pub(crate) fn rows(message: &Message, transcript: &Transcript, look: &Look<'_>) -> Vec<Line<'static>> {
    let before = transcript.back_from(message.seq.saturating_sub(1)).next();
    let day = date(message.time, look.zone);
    let new_day = before.is_none_or(|before| date(before.time, look.zone) != day);
    let new_from_here = look.new_after.is_some_and(|seq| message.seq > seq && before.is_none_or(|it| it.seq <= seq));
    let mut rows = Vec::new();
    if new_day {
        let day = day.map_or_else(String::new, day_text);
        let words = match (before, transcript.older()) {
            (None, Some(_)) => look.older.to_owned(),
            (None, None) => format!("{} · {day}", look.beginning),
            (Some(_), _) => day,
        };
        rows.push(rule(&words, look.width, look.theme.faint()));
    }
    if new_from_here {
        rows.push(rule("new", look.width, look.theme.news()));
    }
    let continues = !new_day && !new_from_here && before.is_some_and(|before| continues(before, message));
    let columns = Columns::of(look.width);
    let mut body = body(message, transcript, columns.text, look);
    if look.selected == Some(message.seq) {
        for line in &mut body {
            let filled = width(&text_of(line));
            line.spans.push(Span::raw(" ".repeat(columns.text.saturating_sub(filled))));
            for span in &mut line.spans {
                span.style = span.style.patch(look.theme.selected());
            }
        }
    }
    let mut head = (!continues).then(|| columns.head(message, look));
    if columns.name == 0 {
        rows.extend(head.take().map(Line::from));
    }
    for mut line in body {
        let head = head.take().unwrap_or_else(|| columns.no_head());
        line.spans.splice(0..0, head);
        rows.push(line);
    }
    rows
}

/// A draft's rows, which has no place yet.
pub(crate) fn unsent_rows(text: &str, look: &Look<'_>) -> Vec<Line<'static>> {
    let columns = Columns::of(look.width);
    let mut rows = Vec::new();
    for (index, row) in wrapped(text, columns.text).into_iter().enumerate() {
        let mut spans = columns.no_head();
        if index == 0 && columns.name > 0 {
            spans = vec![Span::styled(format!("{:<TIME$}", "…"), look.theme.faint())];
            spans.push(Span::styled(columns.name_text(look.me), look.theme.faint()));
        }
        spans.push(Span::styled(row, look.theme.faint().add_modifier(Modifier::ITALIC)));
        rows.push(Line::from(spans));
    }
    rows
}

/// The rows that end at the anchor, as many as fit; fewer if that is all there is.
pub(crate) fn visible(
    transcript: &Transcript,
    anchor: Anchor,
    height: usize,
    look: &Look<'_>,
) -> Vec<(Seq, Line<'static>)> {
    let mut upwards = Vec::with_capacity(height);
    for message in transcript.back_from(anchor.seq) {
        let mut rows = rows(message, transcript, look);
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
    // Who speaks is seen, and when, though that has scrolled away.
    let columns = Columns::of(look.width);
    if columns.name > 0
        && let Some((seq, top)) = upwards.first_mut()
        && let Some(message) = transcript.get(*seq)
        && top.spans.starts_with(&columns.no_head())
    {
        top.spans.splice(0..1, columns.head(message, look));
    }
    upwards
}

/// The anchor so many rows further up; the first row of all if there are not so many.
pub(crate) fn up(transcript: &Transcript, anchor: Anchor, by: usize, look: &Look<'_>) -> Anchor {
    let anchor = on_a_row(transcript, anchor, look);
    let Some(mut left) = by.checked_sub(anchor.row) else { return Anchor { row: anchor.row - by, ..anchor } };
    let mut top = Anchor { row: 0, ..anchor };
    for message in transcript.back_from(anchor.seq.saturating_sub(1)) {
        if left == 0 {
            break;
        }
        let count = rows(message, transcript, look).len();
        top = Anchor { seq: message.seq, row: count.saturating_sub(left) };
        left = left.saturating_sub(count);
    }
    top
}

/// The anchor so many rows further down, and how many rows there were not.
pub(crate) fn down(transcript: &Transcript, anchor: Anchor, by: usize, look: &Look<'_>) -> (Anchor, usize) {
    let Some(message) = transcript.get(anchor.seq) else { return (anchor, by) };
    let anchor = on_a_row(transcript, anchor, look);
    let below = rows(message, transcript, look).len().saturating_sub(anchor.row + 1);
    let Some(mut left) = by.checked_sub(below).filter(|left| *left > 0) else {
        return (Anchor { row: anchor.row + by, ..anchor }, 0);
    };
    let mut bottom = Anchor { row: anchor.row + below, ..anchor };
    for message in transcript.after(anchor.seq) {
        let count = rows(message, transcript, look).len();
        bottom = Anchor { seq: message.seq, row: left.min(count).saturating_sub(1) };
        left = left.saturating_sub(count);
        if left == 0 {
            break;
        }
    }
    (bottom, left)
}

/// In another width, or with another text, the message may have fewer rows than it had.
fn on_a_row(transcript: &Transcript, anchor: Anchor, look: &Look<'_>) -> Anchor {
    let count = transcript.get(anchor.seq).map_or(0, |message| rows(message, transcript, look).len());
    Anchor { row: anchor.row.min(count.saturating_sub(1)), ..anchor }
}

/// The last row of the newest message.
pub(crate) fn bottom(transcript: &Transcript, look: &Look<'_>) -> Option<Anchor> {
    let newest = transcript.newest()?;
    Some(Anchor { seq: newest.seq, row: rows(newest, transcript, look).len().saturating_sub(1) })
}

/// How the width is divided.
#[derive(Clone, Copy, Debug)]
struct Columns {
    /// 0: there are no columns.
    name: usize,
    text: usize,
}

impl Columns {
    fn of(width: usize) -> Self {
        if width < NARROW {
            return Self { name: 0, text: width.saturating_sub(INDENT).max(1) };
        }
        let name = (width / 6).clamp(7, 13);
        Self { name, text: width - TIME - name }
    }

    fn head(self, message: &Message, look: &Look<'_>) -> Vec<Span<'static>> {
        let time = Span::styled(format!("{:<TIME$}", clock(message.time, look.zone)), look.theme.faint());
        vec![time, Span::styled(self.name_text(&message.sender), look.theme.author(&message.sender))]
    }

    fn no_head(self) -> Vec<Span<'static>> {
        vec![Span::raw(" ".repeat(if self.name == 0 { INDENT } else { TIME + self.name }))]
    }

    fn name_text(self, name: &str) -> String {
        let name = clean(name);
        let columns = if self.name == 0 { (self.text + INDENT).saturating_sub(TIME) } else { self.name - 1 };
        let name = cut(&name, columns);
        format!("{name}{}", " ".repeat(self.name.saturating_sub(width(&name))))
    }
}

fn body(message: &Message, transcript: &Transcript, columns: usize, look: &Look<'_>) -> Vec<Line<'static>> {
    let theme = look.theme;
    let mut rows = Vec::new();
    if let Some(to) = message.reply_to {
        let quoted = match transcript.get(to) {
            Some(it) if it.deleted => format!("↳ {}: message deleted", it.sender),
            Some(it) => format!("↳ {}: {}", it.sender, it.text.lines().next().unwrap_or_default()),
            None => "↳ an earlier message".to_owned(),
        };
        rows.push(Line::styled(cut(&clean(&quoted), columns).into_owned(), theme.faint()));
    }
    let pending = || look.pending.iter().filter(|(seq, _)| *seq == message.seq).map(|(_, pending)| pending);
    let text = pending().filter_map(|it| if let Pending::Text(text) = it { Some(text) } else { None }).next_back();
    if message.deleted {
        rows.push(Line::styled("message deleted", theme.faint().add_modifier(Modifier::ITALIC)));
    } else if pending().any(|it| *it == Pending::Gone) {
        rows.push(Line::styled("message to be deleted…", theme.faint().add_modifier(Modifier::ITALIC)));
    } else {
        let said = text.unwrap_or(&message.text);
        rows.extend(wrapped(said, columns).into_iter().map(|row| Line::from(marked(&row, look.me, theme))));
        let mark = match (text, message.edited) {
            (Some(_), _) => " (to be edited…)",
            (None, true) => " (edited)",
            (None, false) => "",
        };
        if !mark.is_empty()
            && let Some(last) = rows.last_mut()
        {
            if width(&text_of(last)) + mark.len() <= columns {
                last.spans.push(Span::styled(mark, theme.faint()));
            } else {
                rows.push(Line::styled(mark.trim_start(), theme.faint()));
            }
        }
    }
    let mut reactions: Vec<String> =
        message.reactions.iter().map(|(reaction, users)| format!("{} {}", clean(reaction), users.len())).collect();
    reactions.extend(
        pending().filter_map(|it| if let Pending::Reaction(it) = it { Some(format!("{} …", clean(it))) } else { None }),
    );
    if !reactions.is_empty() {
        let mine = message.reactions.values().any(|users| users.contains(look.me));
        let style = if mine { theme.strong() } else { theme.faint() };
        rows.extend(wrapped(&reactions.join("  "), columns).into_iter().map(|row| Line::styled(row, style)));
    }
    rows
}

/// A row with what is said to this user made visible: their name after an `@`, or at the beginning with `:` or `,` after it.
fn marked(row: &str, me: &str, theme: Theme) -> Vec<Span<'static>> {
    let mention = format!("@{me}").to_ascii_lowercase();
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    // What ends a sentence could be part of a name, too.
    let ends =
        |after: &str| !after.trim_start_matches(['.', '_', '-']).starts_with(|c: char| c.is_ascii_alphanumeric());
    let mut spans = Vec::new();
    let mut rest = row;
    let mut plain = String::new();
    if let Some((name, after)) = row.split_at_checked(me.len())
        && name.eq_ignore_ascii_case(me)
        && after.starts_with([':', ','])
    {
        // An empty one before it, as before any other.
        spans.extend([Span::raw(""), Span::styled(name.to_owned(), theme.news())]);
        rest = after;
    }
    // Names are ASCII: the same bytes in either case.
    let lower = row.to_ascii_lowercase();
    while let Some(at) = lower[row.len() - rest.len()..].find(&mention) {
        let (before, found, after) = (&rest[..at], &rest[at..at + mention.len()], &rest[at + mention.len()..]);
        plain.push_str(before);
        let whole = !before.ends_with(part_of_name) && ends(after);
        if whole {
            spans.push(Span::raw(std::mem::take(&mut plain)));
            spans.push(Span::styled(found.to_owned(), theme.news()));
        } else {
            plain.push_str(found);
        }
        rest = after;
    }
    plain.push_str(rest);
    spans.push(Span::raw(plain));
    spans
}

/// Whether a text speaks to somebody.
pub(crate) fn mentions(text: &str, user: &str) -> bool {
    marked(text, user, Theme::new(false)).len() > 1
}

/// All lines of a text as rows.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut rows = Vec::new();
    for line in text.split('\n') {
        let line = clean(line);
        rows.extend(wrap(&line, columns).into_iter().map(|row| line[row].trim_end_matches(' ').to_owned()));
    }
    rows
}

fn continues(before: &Message, message: &Message) -> bool {
    let apart = message.time.duration_since(before.time).unwrap_or_default();
    // Somebody who goes on and on is given the time now and then, in a pause.
    let part = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / TOGETHER.as_secs()
    };
    let on_and_on = apart >= PAUSE && part(before.time) != part(message.time);
    before.sender == message.sender && apart < TOGETHER && !on_and_on
}

/// A line across, with words in its middle.
fn rule(words: &str, columns: usize, style: Style) -> Line<'static> {
    let words = if words.is_empty() { String::new() } else { format!(" {words} ") };
    let words = cut(&words, columns).into_owned();
    let left = columns.saturating_sub(width(&words));
    let (before, after) = (left / 2, left - left / 2);
    Line::styled(format!("{}{words}{}", "─".repeat(before), "─".repeat(after)), style)
}

fn text_of(line: &Line<'_>) -> String {
    line.spans.iter().map(|span| span.content.as_ref()).collect()
}

fn date(time: SystemTime, zone: &TimeZone) -> Option<Date> {
    Timestamp::try_from(time).ok().map(|time| time.to_zoned_datetime(zone.clone()).date())
}

fn day_text(day: Date) -> String {
    day.strftime("%A, %-d %B %Y").to_string()
}

fn clock(time: SystemTime, zone: &TimeZone) -> String {
    match Timestamp::try_from(time) {
        Ok(time) => time.to_zoned_datetime(zone.clone()).strftime("%H:%M").to_string(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_mention_whatever_ends_the_sentence() {
        for text in
            ["@sam", "ask @sam.", "@sam...", "@sam-", "(@sam)", "@sam, @ann", "@sam_\n", "@Sam", "SAM: hi", "sam, hi"]
        {
            assert!(mentions(text, "sam"), "{text}");
        }
        for text in ["@samantha", "@sam.smith", "@sam-2", "a@sam", "sam", "@sam._x", "samt: x", "ask sam: x", "sä: x"]
        {
            assert!(!mentions(text, "sam"), "{text}");
        }
    }
}
