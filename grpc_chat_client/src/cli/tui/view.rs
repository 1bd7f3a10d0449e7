//! Draws the screen; changes nothing of what is on it.

mod overlay;

use grpc_chat_client::{ConnectionState, sanitize};
use ratatui::Frame;
use ratatui::buffer::{Buffer, CellWidth};
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::app::{App, Overlay, beginning, older};
use super::messages::{self, Look};
use super::notices::Notice;
use super::room::{Mode, Room};
use super::text::{MAX_CELL_CHARS, cells, clean, cut, cut_middle, width, width_of};

/// From this width on the rooms have a column of their own, and how wide it is.
const WIDE: u16 = 60;
const ROOMS: u16 = 20;

/// From this height on there are lines beside messages, composer and status.
const TALL: u16 = 6;

/// Before the composer's first row.
const PROMPT: &str = "› ";

/// Where things are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Areas {
    pub(crate) title: Rect,
    pub(crate) rooms: Rect,
    pub(crate) messages: Rect,
    /// Typing, candidates, hints and notices.
    pub(crate) hint: Rect,
    pub(crate) composer: Rect,
    pub(crate) status: Rect,
}

/// Where things are in a terminal of this size, with as many rows for the composer as it needs.
pub(crate) fn areas(app: &mut App) -> Areas {
    let (full_width, height) = (app.size.width, app.size.height);
    let indent = (PROMPT.chars().count() as u16).min(full_width.saturating_sub(1));
    let columns = full_width.saturating_sub(indent);
    let tall = height >= TALL;
    let (title, hint, status) = (u16::from(tall), u16::from(tall), u16::from(height >= 2));
    let free = height.saturating_sub(title + hint + status);
    let most = (free / 2).clamp(1, 10).min(free);
    let composer = app.editor.rows(columns.into(), most.into()) as u16;
    let left = if full_width >= WIDE { ROOMS } else { 0 };
    let middle = free - composer;
    let row = |y, height| Rect { x: 0, y, width: full_width, height };
    Areas {
        title: row(0, title),
        rooms: Rect { width: left.saturating_sub(1), ..row(title, middle) },
        messages: Rect { x: left, y: title, width: full_width - left, height: middle },
        hint: row(title + middle, hint),
        composer: Rect { x: indent, y: title + middle + hint, width: columns, height: composer },
        status: row(title + middle + hint + composer, status),
    }
}

/// Draws everything. Answers where the cursor is, if it is to be seen.
pub(crate) fn draw(frame: &mut Frame<'_>, app: &mut App) -> Option<Position> {
    app.size = frame.area().as_size();
    let areas = areas(app);
    title(app, areas.title, frame.buffer_mut());
    rooms(app, areas, frame.buffer_mut());
    if let Some(room) = app.room() {
        talk(app, room, areas.messages, frame.buffer_mut());
    }
    hint(app, areas.hint, frame.buffer_mut());
    status(app, areas.status, frame.buffer_mut());
    let cursor = composer(app, areas.composer, frame.buffer_mut());
    if let Some((overlay, from)) = app.overlay {
        let lines = match overlay {
            Overlay::Help => overlay::help(app, frame.buffer_mut(), from),
            Overlay::Who => overlay::who(app, frame.buffer_mut(), from),
            Overlay::Rooms => overlay::rooms(app, frame.buffer_mut(), from),
        };
        // No further than to its last line.
        app.overlay = Some((overlay, from.min(lines)));
    }
    guard(frame.buffer_mut());
    app.overlay.is_none().then_some(cursor)
}

/// The last word on what reaches the terminal: whatever was drawn, no cell has anything in it that could steer it.
fn guard(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        let symbol = cell.symbol();
        if symbol.len() == 1 && symbol.as_bytes()[0] >= b' ' {
            continue;
        }
        let safe = sanitize(symbol);
        if safe != symbol || safe.chars().nth(MAX_CELL_CHARS).is_some() {
            let safe: String = safe.chars().filter(|c| *c != '\n' && *c != '\t').take(MAX_CELL_CHARS).collect();
            cell.set_symbol(if safe.is_empty() { " " } else { &safe });
        }
    }
}

fn title(app: &App, area: Rect, buffer: &mut Buffer) {
    let Some(room) = app.room() else { return };
    let here = match room.present.len() {
        0 => String::new(),
        listed => {
            let more = usize::try_from(room.count).unwrap_or(listed).saturating_sub(listed);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("  {} here: {}{more}", room.count, room.present.join(", "))
        }
    };
    let elsewhere = if area.width < WIDE { unread_elsewhere(app) } else { String::new() };
    let left = format!(" {}{here}", room.name);
    sides(&left, app.theme.bar(), &[elsewhere], app.theme.bar(), area, buffer);
}

/// For screens without a column of rooms.
fn unread_elsewhere(app: &App) -> String {
    let others = || app.rooms.iter().enumerate().filter(|(index, _)| *index != app.current).map(|(_, room)| room);
    let unread: usize = others().map(|room| room.unread).sum();
    let mark = if others().any(|room| room.mentioned) { "@" } else { "" };
    if unread > 0 { format!("{mark}{unread} elsewhere ") } else { String::new() }
}

fn rooms(app: &App, areas: Areas, buffer: &mut Buffer) {
    let area = areas.rooms;
    if area.width == 0 {
        return;
    }
    let edge = Rect { x: area.right(), width: 1, ..area };
    for row in edge.rows() {
        put(&Line::styled("│", app.theme.faint()), row, buffer);
    }
    let width = usize::from(area.width);
    let shown = shown_rooms(app, area.height);
    let mut lines = Vec::new();
    if shown.above {
        lines.push(hidden(app, "↑", shown.from, &app.rooms[..shown.from.min(app.rooms.len())], width));
    }
    for at in shown.from..shown.upto {
        lines.push(match (app.rooms.get(at), at.checked_sub(app.rooms.len() + 1)) {
            (Some(room), _) => joined(app, room, at == app.current, width),
            (None, None) => Line::styled("─".repeat(width), app.theme.faint()),
            (None, Some(other)) => entry(app.others.get(other).map_or("", |name| name), "", width, app.theme.faint()),
        });
    }
    let below = app.room_lines() - shown.upto;
    if below > 0 && lines.len() < area.height.into() {
        lines.push(hidden(app, "↓", below, &app.rooms[shown.upto.min(app.rooms.len())..], width));
    }
    for (line, row) in lines.iter().zip(area.rows()) {
        put(line, row, buffer);
    }
}

/// A room that this user is in.
fn joined(app: &App, room: &Room, current: bool, width: usize) -> Line<'static> {
    let unread = if current && room.anchor.is_none() { 0 } else { room.unread };
    let draft = if room.aside.text().is_empty() { "" } else { " ✎" };
    let more = if room.more_unread && unread > 0 { "+" } else { "" };
    let marks = format!("{draft}{}{more}", count(unread, room.mentioned));
    let style = if current { app.theme.bar() } else { urgency(app, unread, room.mentioned) };
    entry(&room.name, &marks, width, style)
}

/// Stands for lines of the column that there is no place for.
fn hidden(app: &App, arrow: &str, lines: usize, rooms: &[Room], width: usize) -> Line<'static> {
    let unread = rooms.iter().map(|room| room.unread).sum();
    let mentioned = rooms.iter().any(|room| room.mentioned);
    let style = if unread > 0 { urgency(app, unread, mentioned) } else { app.theme.faint() };
    entry(&format!("{arrow}{lines}"), &count(unread, mentioned), width, style)
}

fn count(unread: usize, mentioned: bool) -> String {
    if unread == 0 { String::new() } else { format!(" {}{unread}", if mentioned { "@" } else { "" }) }
}

fn urgency(app: &App, unread: usize, mentioned: bool) -> Style {
    match (unread, mentioned) {
        (0, _) => Style::new(),
        (_, true) => app.theme.news(),
        (_, false) => app.theme.strong(),
    }
}

fn entry(name: &str, marks: &str, columns: usize, style: Style) -> Line<'static> {
    let name = clean(name);
    let name = cut_middle(&name, columns.saturating_sub(width(marks) + 1));
    let gap = columns.saturating_sub(width(&name) + width(marks) + 1);
    Line::styled(format!(" {name}{}{marks}", " ".repeat(gap)), style)
}

/// Which lines of the column of rooms are shown, and whether the first row stands for those above them. If there are any
/// below, the last row stands for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) from: usize,
    pub(crate) upto: usize,
    pub(crate) above: bool,
}

pub(crate) fn shown_rooms(app: &App, height: u16) -> Shown {
    let (height, lines) = (usize::from(height), app.room_lines());
    if lines <= height {
        return Shown { from: 0, upto: lines, above: false };
    }
    if height < 3 {
        let from = (app.current + 1).saturating_sub(height);
        return Shown { from, upto: from + height, above: false };
    }
    let from = app.rooms_from.min(lines + 1 - height);
    let above = from > 0;
    let free = height - usize::from(above);
    let upto = if from + free < lines { from + free - 1 } else { lines };
    Shown { from, upto, above }
}

fn talk(app: &App, room: &Room, area: Rect, buffer: &mut Buffer) {
    let pending = room.pending();
    let look = Look {
        pending: &pending,
        width: area.width.into(),
        me: &app.me,
        zone: &app.zone,
        theme: app.theme,
        new_after: room.new_after,
        selected: room.selected,
        older: older(&app.connection, room),
        beginning: beginning(room),
    };
    let height = usize::from(area.height);
    // What is unsent is below the newest message.
    let mut unsent = Vec::new();
    if room.anchor.is_none() {
        for draft in &room.unsent {
            if let grpc_chat_client::Change::Post { text, .. } = &draft.change {
                unsent.extend(messages::unsent_rows(text, &look));
            }
        }
        unsent.drain(..unsent.len().saturating_sub(height));
    }
    let left = height - unsent.len();
    let anchor = room.anchor.or_else(|| messages::bottom(&room.transcript, &look));
    let mut lines: Vec<Line<'_>> = match anchor {
        Some(anchor) => {
            let rows = messages::visible(&room.transcript, anchor, left, &look);
            rows.into_iter().map(|(_, line)| line).collect()
        }
        None => Vec::new(),
    };
    lines.append(&mut unsent);
    if lines.is_empty() {
        let words = match (room.joined, room.transcript.older()) {
            (true, None) if room.level => "nobody has said anything here yet",
            (true, None) => "reading what was said",
            (true, Some(_)) => look.older,
            (false, _) => "not there yet",
        };
        lines.push(Line::styled(words, app.theme.faint()));
    }
    let above = area.height.saturating_sub(lines.len() as u16);
    for (line, row) in lines.into_iter().zip(area.rows().skip(above.into())) {
        put(&line, row, buffer);
    }
}

fn hint(app: &App, area: Rect, buffer: &mut Buffer) {
    let Some(room) = app.room() else { return };
    let faint = app.theme.faint();
    let loud = |notice: &Notice| if notice.bad { app.theme.bad() } else { app.theme.good() };
    // What the user is doing goes before what has happened elsewhere.
    if let Some(answer) = app.notices.answered() {
        return sides(&answer.text, loud(answer), &[], faint, area, buffer);
    }
    let (length, most) = (app.editor.text().len(), app.max_text_bytes);
    if length > most {
        let words = format!("too long: {length} bytes of at most {most}");
        return sides(&words, app.theme.bad(), &[], faint, area, buffer);
    }
    if let Some((completion, current)) = &app.completion {
        let shown = |candidate: &String| clean(candidate.trim_end_matches([' ', ','])).into_owned();
        let mut spans = Vec::new();
        // From the first one with which the current one can still be seen.
        let mut left = usize::from(area.width);
        let fit = completion.candidates[..=*current].iter().rev().take_while(|candidate| {
            let fits = left.checked_sub(width(&shown(candidate)) + 1);
            left = fits.unwrap_or(0);
            fits.is_some()
        });
        let from = (*current + 1).saturating_sub(fit.count().max(1));
        for (index, candidate) in completion.candidates.iter().enumerate().skip(from) {
            let style = if index == *current { app.theme.bar() } else { faint };
            spans.push(Span::styled(shown(candidate), style));
            spans.push(Span::raw(" "));
        }
        return put(&Line::from(spans), area, buffer);
    }
    let of = |seq| room.transcript.get(seq).map_or("a message", |message| message.sender.as_str());
    let notice = app.notices.shown().filter(|_| app.mode == Mode::Say && app.erasing.is_none() && !app.selecting());
    let doing = || match app.mode {
        Mode::Edit(_) => "editing · Enter saves · Esc gives up".to_owned(),
        Mode::Reply(seq) => format!("answering {} · Enter sends · Esc gives up", of(seq)),
        Mode::React(seq) => format!("a reaction for {} · Enter sends · Esc gives up", of(seq)),
        Mode::Say if app.erasing.is_some() => "d again to erase it · any other key keeps it".to_owned(),
        Mode::Say if app.selecting() => "r answer · e edit · d delete · + react · Esc back".to_owned(),
        Mode::Say => match &room.typing[..] {
            [] => String::new(),
            [user] => format!("{user} is typing…"),
            [one, other] => format!("{one} and {other} are typing…"),
            [one, rest @ ..] => format!("{one} and {} others are typing…", rest.len()),
        },
    };
    let newest = match (app.editor.is_empty(), app.mode) {
        (true, _) => "End",
        (false, Mode::Say) => "Esc",
        (false, _) => "PageDown",
    };
    let back = match (room.anchor, room.unread) {
        (None, _) if room.new_above && app.editor.is_empty() => {
            vec!["more new ones above · Home for the first ".to_owned(), "↑ Home ".to_owned(), "↑ ".to_owned()]
        }
        (None, _) => Vec::new(),
        (Some(_), 0) => {
            vec![format!("scrolled back · {newest} for the newest "), format!("↓ {newest} "), "↓ ".to_owned()]
        }
        (Some(_), new) => vec![
            format!("scrolled back, {new} new below · {newest} for the newest "),
            format!("↓ {new} new · {newest} "),
            format!("↓ {new} "),
        ],
    };
    let (left, style) = notice.map_or_else(|| (doing(), faint), |notice| (notice.text.clone(), loud(notice)));
    sides(&left, style, &back, faint, area, buffer);
}

fn status(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = app.theme;
    let (mark, style, words) = match &app.connection {
        ConnectionState::Online { user, .. } => ("●", theme.good(), format!("{user} at {}", app.server)),
        ConnectionState::Connecting => ("◌", theme.news(), "connecting…".to_owned()),
        ConnectionState::Draining => {
            ("◌", theme.news(), "the service is leaving; waiting for it to come back".to_owned())
        }
        ConnectionState::Reconnecting { why, .. } => {
            let left = app.retry_at.map_or(0, |at| at.saturating_duration_since(app.now).as_secs() + 1);
            ("○", theme.bad(), format!("offline, next try in {left} s: {why}"))
        }
        ConnectionState::Failed(why) => ("✖", theme.bad(), format!("over: {why}")),
        ConnectionState::Closed => ("✖", theme.bad(), "closed".to_owned()),
    };
    let unsent = match app.unsent {
        0 => String::new(),
        count => format!(" · {count} unsent"),
    };
    let help = if area.width >= 30 { "  ? help " } else { "" };
    let room = usize::from(area.width).saturating_sub(2 + width(&unsent) + width(help));
    let words = cut(&clean(&words), room).into_owned();
    let mut spans = vec![Span::styled(format!("{mark} "), style), Span::raw(words), Span::styled(unsent, theme.news())];
    let used: usize = spans.iter().map(|span| width(&span.content)).sum();
    let gap = usize::from(area.width).saturating_sub(used + width(help));
    spans.push(Span::raw(" ".repeat(gap)));
    spans.push(Span::styled(help, theme.faint()));
    put(&Line::from(spans), area, buffer);
}

/// Answers where the cursor is.
fn composer(app: &mut App, area: Rect, buffer: &mut Buffer) -> Position {
    let faint = app.theme.faint();
    let columns = usize::from(area.width);
    let (row, column) = app.editor.cursor_cell(columns);
    let from = (row + 1).saturating_sub(area.height.into());
    let prompt = Rect { x: 0, width: area.x, height: area.height.min(1), ..area };
    put(&Line::styled(PROMPT, app.theme.strong()), prompt, buffer);
    if app.editor.is_empty() && area.height > 0 {
        let words = match app.mode {
            Mode::Reply(_) => "your answer",
            Mode::React(_) => "an emoji, such as 👍",
            Mode::Edit(_) => "what it is to say instead",
            Mode::Say => "say something, or ? for help",
        };
        put(&Line::styled(cut(words, columns).into_owned(), faint), Rect { height: 1, ..area }, buffer);
    }
    let lines: Vec<String> = app.editor.visible(columns, from, area.height.into()).into_iter().map(shown).collect();
    for (line, row) in lines.into_iter().zip(area.rows()) {
        if !line.is_empty() {
            put(&Line::raw(line), row, buffer);
        }
    }
    let inside = |at: usize, length: u16| u16::try_from(at).unwrap_or(u16::MAX).min(length.saturating_sub(1));
    let row = row.saturating_sub(from);
    Position { x: area.x + inside(column, area.width), y: area.y + inside(row, area.height) }
}

/// A row of the composer, cell for cell: a tab is one there, so that the cursor is where it seems to be.
fn shown(row: &str) -> String {
    clean(&row.replace('\t', "→")).into_owned()
}

/// Words at both ends of a line. At the right the first that leave enough room for those at the left, if any do; where
/// there are shorter ones to choose from that is half of the line.
fn sides(left: &str, loud: Style, right: &[String], faint: Style, area: Rect, buffer: &mut Buffer) {
    let columns = usize::from(area.width);
    let left = clean(left);
    let needed = width(&left).min(if right.len() > 1 { columns / 2 } else { 10 });
    let right = right.iter().find(|right| width(right) + needed < columns).map_or("", String::as_str);
    let apart = usize::from(!right.is_empty());
    let left = cut(&left, columns.saturating_sub(width(right) + apart)).into_owned();
    let gap = columns.saturating_sub(width(&left) + width(right));
    let gap = Span::styled(" ".repeat(gap), faint);
    put(&Line::from(vec![Span::styled(left, loud), gap, Span::styled(right.to_owned(), faint)]), area, buffer);
}

/// Not ratatui's own way to draw a line, which has other ideas of what belongs into one cell.
fn put(line: &Line<'_>, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    let area = Rect { height: area.height.min(1), ..area };
    buffer.set_style(area, line.style);
    let mut x = area.x;
    for span in &line.spans {
        let style = line.style.patch(span.style);
        for cell in cells(&span.content) {
            let right = x.saturating_add(width_of(cell) as u16);
            if area.is_empty() || right > area.right() {
                return;
            }
            for at in x..right {
                buffer[(at, area.y)].reset();
            }
            if x < right {
                buffer[(x, area.y)].set_symbol(cell).set_style(style);
            }
            x = right;
        }
    }
}

/// Empties an area that something is laid over. Half of a wide character at its edge goes, too.
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

#[cfg(test)]
mod tests;
