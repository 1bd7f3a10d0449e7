//! The messages of the current room, and notices below them.

use grpc_chat_client::Change;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Span;

use super::paint::{put, put_right, put_text, rule, width_of_all};
use super::sidebar::author_style;
use crate::tui::app::App;
use crate::tui::messages::{self, Chip, Columns, Content, Row, RowContext, clock};
use crate::tui::room::Room;
use crate::tui::text::{clean, cut, width};
use crate::tui::theme::Theme;
use crate::tui::transcript::Message;

/// Stands before every row of a message, in its author's colour.
const BAR: &str = "▎";

pub(super) fn draw(app: &App, area: Rect, theme: Theme, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let Some(room) = app.room() else {
        if app.overlay.is_none() {
            centred("join a room: /join ROOM, or choose one with /rooms", theme, area, buffer);
        }
        return;
    };
    let context = room.row_context(app.viewport());
    let height = usize::from(area.height);
    let unsent = unsent_rows(room, &context, height);
    let bottom = room.anchor.or_else(|| messages::bottom(&room.transcript, &context));
    let rows = bottom.map(|bottom| messages::visible(&room.transcript, bottom, height - unsent.len(), &context));
    let rows = rows.unwrap_or_default();
    if rows.is_empty() && unsent.is_empty() {
        return centred(nothing_yet(app, room), theme, area, buffer);
    }
    let painter = Painter { app, theme, columns: context.columns, selected: room.selected };
    let mut places = area.rows().skip(height - rows.len() - unsent.len());
    for ((seq, row), place) in rows.iter().zip(&mut places) {
        painter.row(row, room.transcript.get(*seq), place, buffer);
    }
    for (row, place) in unsent.iter().zip(places) {
        painter.row(row, None, place, buffer);
    }
}

/// Draws the current notice.
pub(super) fn notice(app: &App, area: Rect, theme: Theme, buffer: &mut Buffer) {
    let Some((_, bad)) = app.notice() else { return };
    let style = if bad { theme.bad() } else { theme.good() };
    for (index, (text, row)) in app.notice_rows().iter().zip(area.rows()).enumerate() {
        let mark = if index == 0 { "▲ " } else { "  " };
        put(&[Span::styled(mark, style), Span::raw(text.as_str())], row, buffer);
    }
}

/// The rows of unsent messages, which stand below the newest one. If there are too many, the last.
fn unsent_rows(room: &Room, context: &RowContext<'_>, height: usize) -> Vec<Row> {
    if room.anchor.is_some() {
        return Vec::new();
    }
    let texts = room.unsent.iter().filter_map(|draft| match &draft.change {
        Change::Post { text, .. } => Some(text),
        _ => None,
    });
    let mut rows = messages::unsent_rows(texts, &room.transcript, context);
    rows.drain(..rows.len().saturating_sub(height));
    rows
}

fn nothing_yet(app: &App, room: &Room) -> &'static str {
    match (room.joined, room.transcript.older()) {
        (true, None) if room.caught_up => "nobody has said anything here yet",
        (true, None) => "reading messages",
        (true, Some(_)) => room.older_text(app.is_online()),
        (false, _) => "joining",
    }
}

fn centred(words: &str, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let columns = area.width.min(width(words) as u16);
    let place = Rect { x: area.x + (area.width - columns) / 2, y: area.y + area.height / 2, width: columns, height: 1 };
    put_text(words, theme.faint(), place, buffer);
}

struct Painter<'a> {
    app: &'a App,
    theme: Theme,
    columns: Columns,
    selected: Option<u64>,
}

impl Painter<'_> {
    /// Draws one row of a message. Without a message it is of an unsent one of this user.
    fn row(&self, row: &Row, message: Option<&Message>, place: Rect, buffer: &mut Buffer) {
        let place = Rect { width: place.width.min(self.columns.total() as u16), ..place };
        let author = message.map_or(self.app.me.as_str(), |message| message.sender.as_str());
        let style = author_style(self.app, author, self.theme);
        match row {
            Row::Gap => {}
            Row::Day(words) => self.across(words, self.theme.faint(), self.theme.line(), place, buffer),
            Row::New => self.across("new", self.theme.alert(), self.theme.alert(), place, buffer),
            Row::Name => {
                let time = message.map(|message| clock(message.time, &self.app.zone)).unwrap_or_default();
                let name = clean(author);
                let name = cut(&name, usize::from(place.width).saturating_sub(width(&time) + 1));
                put(&[Span::styled(name, style), Span::styled(format!(" {time}"), self.theme.faint())], place, buffer);
            }
            Row::Content { named, timed, content } => {
                let gutter = self.columns.gutter() as u16;
                let name = Rect { width: self.columns.name as u16, ..place };
                if *named {
                    let author = clean(author);
                    put_right(&[Span::styled(cut(&author, self.columns.name), style)], name, buffer);
                }
                let bar =
                    Rect { x: place.x + gutter.saturating_sub(if self.columns.name > 0 { 1 } else { 2 }), ..place };
                put(&[Span::styled(BAR, style.remove_modifier(Modifier::BOLD))], bar.intersection(place), buffer);
                if *timed {
                    let time = message.map_or("…".to_owned(), |message| clock(message.time, &self.app.zone));
                    put_right(&[Span::styled(time, self.theme.faint())], place, buffer);
                }
                let text = Rect { x: place.x + gutter, width: place.width.saturating_sub(gutter), ..place };
                put(&self.content(content), text.intersection(place), buffer);
                if self.selected.is_some() && self.selected == message.map(|message| message.seq) {
                    buffer.set_style(place, self.theme.selected());
                }
            }
        }
    }

    fn content<'a>(&self, content: &'a Content) -> Vec<Span<'a>> {
        let theme = self.theme;
        match content {
            Content::Quote { sender, text } => {
                let style = author_style(self.app, sender, theme).remove_modifier(Modifier::BOLD);
                let apart = if sender.is_empty() { "" } else { " " };
                let room = self.columns.text.saturating_sub(2 + width(sender) + width(apart));
                vec![
                    Span::styled("╭ ", theme.line()),
                    Span::styled(cut(sender, self.columns.text.saturating_sub(2)), style),
                    Span::styled(apart, theme.faint()),
                    Span::styled(cut(text, room), theme.faint()),
                ]
            }
            Content::Text { text, mentions, remark } => {
                let mut spans = Vec::new();
                let mut from = 0;
                for mention in mentions {
                    spans.push(Span::raw(&text[from..mention.start]));
                    spans.push(Span::styled(&text[mention.clone()], theme.alert()));
                    from = mention.end;
                }
                spans.push(Span::raw(&text[from..]));
                if !remark.is_empty() {
                    spans.push(Span::styled(format!(" {remark}"), theme.faint()));
                }
                spans
            }
            Content::Unsent(text) => vec![Span::styled(text.as_str(), theme.faint().add_modifier(Modifier::ITALIC))],
            Content::Remark(words) => vec![Span::styled(*words, theme.faint().add_modifier(Modifier::ITALIC))],
            Content::Reactions(chips) => {
                let (start, end) = theme.chip_ends();
                let chip = |Chip { text, own }: &Chip| Span::styled(format!("{start}{text}{end}"), theme.chip(*own));
                chips.iter().flat_map(|it| [chip(it), Span::raw(" ")]).collect()
            }
        }
    }

    /// A line across with words in its middle.
    fn across(&self, words: &str, style: Style, line: Style, place: Rect, buffer: &mut Buffer) {
        rule(place, line, buffer);
        let words = [Span::styled(format!(" {words} "), style)];
        let columns = (width_of_all(&words) as u16).min(place.width);
        put(&words, Rect { x: place.x + (place.width - columns) / 2, width: columns, ..place }, buffer);
    }
}
