//! The state of the screen: it takes updates and input, and returns what is to be done. Pure.

mod actions;
mod input;
mod rooms;

use std::collections::HashSet;
use std::time::Duration;

use grpc_chat_client::{Change, ConnectionState, Draft, MsgId, Page, Refused, RoomId, Seq, Update, sanitize};
use jiff::tz::TimeZone;
use ratatui::layout::Size;
use tokio::time::Instant;

use super::authors::Authors;
use super::editor::Editor;
use super::layout::{self, Areas};
use super::messages::RowContext;
use super::notices::{self, Notices};
use super::overlay::{Kind, Lists, Overlay};
use super::room::{Mode, PageRequest, Room, Viewport};
use super::slash::Completion;

/// How often the service is asked to note how far the user has read.
const MARK_READ: Duration = Duration::from_secs(2);

/// Resets of rooms within this time are reported once.
const TOGETHER: Duration = Duration::from_secs(10);

/// The longest text until the service says what it takes.
const MAX_TEXT_BYTES: usize = 8 * 1024;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Join(RoomId),
    Leave(RoomId),
    /// Post it, and call [`App::not_sent`] if that fails.
    Post(Draft),
    /// Read a page, and call [`App::page`].
    Page {
        room: RoomId,
        request: PageRequest,
    },
    MarkRead {
        room: RoomId,
        seq: Seq,
    },
    Typing(RoomId),
    /// List the rooms, and call [`App::listed`].
    ListRooms,
    /// Save which rooms the user is in.
    SaveRooms,
    /// Draw everything again, whatever the terminal shows.
    Redraw,
    Quit,
}

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) me: String,
    /// The service's URL.
    pub(crate) server: String,
    pub(crate) zone: TimeZone,
    /// The rooms that the user is in.
    pub(crate) rooms: Vec<Room>,
    pub(crate) current: usize,
    /// The first line of the list of rooms that is shown.
    pub(crate) rooms_from: usize,
    /// Rooms that the user is not in; `None` until they are listed.
    pub(crate) others: Option<Vec<RoomId>>,
    pub(crate) authors: Authors,
    pub(crate) connection: ConnectionState,
    pub(crate) retry_at: Option<Instant>,
    /// Why there is no connection.
    trouble: Option<String>,
    pub(crate) unsent: usize,
    /// Why the service could not store them.
    delay: Option<String>,
    /// Unsent drafts of an earlier run. Their events may have come to that run already.
    inherited: HashSet<MsgId>,
    pub(crate) editor: Editor,
    pub(crate) mode: Mode,
    pub(crate) overlay: Option<Overlay>,
    pub(crate) notices: Notices,
    /// Until when the same key again quits.
    quit_until: Option<Instant>,
    /// Until when further resets are not reported.
    reset_until: Option<Instant>,
    /// What Tab goes through, and which candidate is in the composer.
    pub(crate) completion: Option<(Completion, usize)>,
    /// The message that the same key again deletes.
    pub(crate) deleting: Option<Seq>,
    pub(crate) size: Size,
    pub(crate) now: Instant,
    /// The terminal has the focus, as far as it reports that.
    focused: bool,
    pub(crate) max_text_bytes: usize,
    mark_at: Instant,
    typing_at: Instant,
    effects: Vec<Effect>,
}

impl App {
    /// Returns the screen of a user who is to join these rooms, in a terminal of this size with so many colours for
    /// authors. Without a room it begins with a list of them.
    pub(crate) fn new(me: &str, rooms: &[RoomId], zone: TimeZone, colours: usize, size: Size, now: Instant) -> Self {
        let mut app = Self {
            me: me.to_owned(),
            server: String::new(),
            zone,
            rooms: rooms.iter().map(|room| Room::new(room.clone())).collect(),
            current: 0,
            rooms_from: 0,
            others: None,
            authors: Authors::new(colours),
            connection: ConnectionState::Connecting,
            retry_at: None,
            trouble: None,
            unsent: 0,
            delay: None,
            inherited: HashSet::new(),
            editor: Editor::default(),
            mode: Mode::Post,
            overlay: rooms.is_empty().then(|| Overlay::new(Kind::Rooms)),
            notices: Notices::new(now),
            quit_until: None,
            reset_until: None,
            completion: None,
            deleting: None,
            size,
            now,
            focused: true,
            max_text_bytes: MAX_TEXT_BYTES,
            mark_at: now,
            typing_at: now,
            effects: Vec::new(),
        };
        app.resize(size);
        app.effects.extend(rooms.iter().map(|room| Effect::Join(room.clone())));
        app
    }

    /// Takes what is to be done, in this order.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Returns the room on the screen, if the user is in one.
    pub(crate) fn room(&self) -> Option<&Room> {
        self.rooms.get(self.current)
    }

    pub(crate) fn is_online(&self) -> bool {
        matches!(self.connection, ConnectionState::Online { .. })
    }

    /// Returns where things are on the screen.
    pub(crate) fn areas(&self) -> Areas {
        let (_, most) = layout::composer(self.size);
        let composer = self.editor.count_rows(most.into()) as u16;
        layout::areas(self.size, composer, self.notice_rows().len() as u16)
    }

    /// Returns the rows of the current notice.
    pub(crate) fn notice_rows(&self) -> Vec<String> {
        // One column before them is for a mark, one is empty.
        let columns = usize::from(layout::notice_columns(self.size)).saturating_sub(2);
        self.notice().map(|(text, _)| notices::rows(text, columns)).unwrap_or_default()
    }

    /// Returns the current notice, and whether it is bad.
    pub(crate) fn notice(&self) -> Option<(&str, bool)> {
        let notice = self.notices.shown().map(|notice| (notice.text.as_str(), notice.bad));
        let lasting = self.trouble.as_deref().or(self.delay.as_deref());
        notice.or_else(|| lasting.map(|text| (text, true)))
    }

    /// Returns what overlays show.
    pub(crate) fn lists(&self) -> Lists<'_> {
        Lists { rooms: &self.rooms, current: self.current, others: self.others.as_deref() }
    }

    /// Returns how the current room is shown.
    pub(crate) fn viewport(&self) -> Viewport<'_> {
        let messages = self.areas().messages;
        let (width, height) = (messages.width.into(), messages.height.into());
        Viewport { width, height, me: &self.me, zone: &self.zone, online: self.is_online() }
    }

    /// Returns when [`App::tick`] is due, if it is.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let second = Duration::from_secs(1);
        let countdown = self.retry_at.filter(|at| *at > self.now).map(|at| at.min(self.now + second));
        let marking = self.to_mark().map(|_| self.mark_at);
        [countdown, marking, self.notices.deadline()].into_iter().flatten().min()
    }

    /// Takes that time has passed.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.now = now;
        self.finish_turn();
    }

    /// Takes what the client reports. To be followed by [`App::finish_turn`].
    pub(crate) fn update(&mut self, update: Update, now: Instant) {
        self.now = now;
        match update {
            Update::Connection(connection) => self.connection_changed(connection),
            Update::Joined(joined) => {
                let Some(index) = self.index(&joined.room) else { return };
                let current = index == self.current;
                let mode = if current { self.mode } else { self.rooms[index].mode };
                if let Some(why) = self.rooms[index].join(&joined) {
                    if current {
                        self.mode = Mode::Post;
                    }
                    // The message that an edit or a reply was about is gone.
                    let lost = mode != Mode::Post;
                    let then = if lost { "what you write there is a new message" } else { "its old messages are gone" };
                    // Rooms in which nothing is lost say it themselves, above their messages.
                    if lost || self.reset_until.is_none_or(|until| self.now >= until) {
                        self.notify(true, format!("{}: {why}; {then}", joined.room));
                    }
                    self.reset_until = Some(self.now + TOGETHER);
                }
                if let Some(others) = &mut self.others {
                    others.retain(|other| *other != joined.room);
                }
            }
            Update::JoinRefused { room, why } => {
                let gone = self.index(&room).filter(|_| self.rooms.len() > 1);
                let written = gone.is_some_and(|index| self.remove(index));
                let then = if written { "; Up brings back what you were writing" } else { "" };
                self.notify(true, format!("{room} cannot be joined: {why}{then}"));
            }
            Update::Event(event) => {
                if let Some(index) = self.index(&event.room) {
                    self.authors.see(&event.sender);
                    self.rooms[index].event(event, &self.me);
                }
            }
            Update::CaughtUp { room, .. } => {
                if let Some(index) = self.index(&room) {
                    let first = self.rooms[index].new_after.is_none();
                    self.rooms[index].caught_up = true;
                    if first && index == self.current {
                        self.rooms[index].open();
                    }
                }
            }
            Update::Present { room, users, count } => {
                if let Some(index) = self.index(&room) {
                    (self.rooms[index].present, self.rooms[index].present_count) = (users, count);
                }
            }
            Update::Typing { room, users } => {
                if let Some(index) = self.index(&room) {
                    self.rooms[index].typing = users;
                }
            }
            Update::Read { room, seq } => {
                if let Some(index) = self.index(&room) {
                    self.rooms[index].read_up_to(seq, &self.me);
                }
            }
            Update::Restored(draft) => {
                if let Some(index) = self.index(&draft.room) {
                    self.inherited.insert(draft.id);
                    self.rooms[index].unsent.push(draft);
                }
            }
            Update::Unsent(count) => self.unsent_changed(count),
            Update::SendDelayed(why) => self.delay = Some(delay(&why)),
            Update::RequestDelayed(why) => self.notify(true, format!("the service asks to wait: {why}")),
            Update::Refused { draft, why } => self.not_sent(draft, &why.to_string()),
            Update::SaveFailed(why) => {
                self.notify(
                    true,
                    format!("unsent messages cannot be saved on disk, and are lost when you quit: {why}"),
                );
            }
            _ => {}
        }
    }

    /// Takes a draft that will not be sent. Up brings its text back.
    pub(crate) fn not_sent(&mut self, draft: Draft, why: &str) {
        let Draft { id, room, change, .. } = draft;
        if let Some(index) = self.index(&room) {
            self.rooms[index].unsent.retain(|unsent| unsent.id != id);
        }
        let place = if self.room().is_some_and(|current| current.id == room) { "" } else { &format!(" in {room}") };
        match change {
            Change::Post { text, .. } | Change::Edit { text, .. } => {
                self.editor.remember(text);
                self.notify(true, format!("not sent{place}: {why}; Up brings the text back"));
            }
            Change::Delete { .. } => self.notify(true, format!("not deleted{place}: {why}")),
            _ => self.notify(true, format!("reaction not sent{place}: {why}")),
        }
    }

    /// Takes a page, or why it could not be read.
    pub(crate) fn page(&mut self, room: &RoomId, request: PageRequest, page: Result<Page, String>) {
        let Some(index) = self.index(room) else { return };
        let page = match page {
            Ok(page) => Some(page),
            Err(why) => {
                self.notify(true, format!("the history cannot be read: {why}"));
                None
            }
        };
        page.iter().flat_map(|page| &page.events).for_each(|event| self.authors.see(&event.sender));
        self.rooms[index].page(request, page);
    }

    /// Shows a notice about something that is not the user's last key.
    pub(crate) fn notify(&mut self, bad: bool, text: impl Into<String>) {
        self.notices.add(bad, text.into(), self.now);
    }

    /// Ends a turn, after everything that has come is taken: requests what the screen needs next.
    pub(crate) fn finish_turn(&mut self) {
        if self.now >= self.mark_at {
            self.mark();
        }
        self.notices.tick(self.now);
        self.editor.lay_out();
        let focused = self.focused;
        let needed = self.with_room(|room, height, context| {
            room.deselect_if_hidden(height, context);
            if focused {
                room.look_for_new(height, context);
            }
            room.needed_page(height, context).map(|request| (room.id.clone(), request))
        });
        if let Some((room, request)) = needed.flatten() {
            self.effects.push(Effect::Page { room, request });
        }
    }

    /// Takes the size of the terminal.
    pub(crate) fn resize(&mut self, size: Size) {
        self.size = size;
        self.editor.resize(layout::composer(size).0.into());
        self.reveal_current();
    }

    /// Marks what the user sees as read.
    pub(crate) fn mark(&mut self) {
        let Some((room, seq)) = self.to_mark() else { return };
        self.mark_at = self.now + MARK_READ;
        if let Some(index) = self.index(&room) {
            self.rooms[index].read_requested = seq;
            self.rooms[index].read_up_to(seq, &self.me);
        }
        self.effects.push(Effect::MarkRead { room, seq });
    }

    /// What the user sees and has not been marked as read.
    fn to_mark(&self) -> Option<(RoomId, Seq)> {
        let room = self.room().filter(|room| self.focused && room.caught_up && room.anchor.is_none())?;
        let newest = room.transcript.newest()?.seq;
        (newest > room.read.max(room.read_requested)).then(|| (room.id.clone(), newest))
    }

    fn connection_changed(&mut self, connection: ConnectionState) {
        (self.retry_at, self.delay) = (None, None);
        match &connection {
            ConnectionState::Online { user, max_text_bytes } => {
                user.clone_into(&mut self.me);
                self.max_text_bytes = *max_text_bytes;
                self.trouble = None;
                self.effects.push(Effect::ListRooms);
                self.rooms.iter_mut().for_each(|room| room.page_failed = false);
            }
            ConnectionState::Reconnecting { why, retry_in, .. } => {
                self.trouble = Some(sanitize(why).into_owned());
                self.retry_at = Some(self.now + *retry_in);
            }
            ConnectionState::Failed(why) => {
                let why = sanitize(&why.to_string()).into_owned();
                self.trouble =
                    Some(format!("disconnected for good: {why}; quit, and start the chat again when that is solved"));
            }
            _ => {}
        }
        if !matches!(connection, ConnectionState::Online { .. }) {
            for room in &mut self.rooms {
                room.typing.clear();
                (room.present, room.present_count) = (Vec::new(), 0);
            }
        }
        self.connection = connection;
    }

    fn unsent_changed(&mut self, count: usize) {
        self.unsent = count;
        if count > 0 {
            return;
        }
        self.delay = None;
        // A change that changed nothing does not come back, nor does what came to an earlier run.
        let inherited = std::mem::take(&mut self.inherited);
        let comes_back = |draft: &Draft| matches!(draft.change, Change::Post { .. }) && !inherited.contains(&draft.id);
        self.rooms.iter_mut().for_each(|room| room.unsent.retain(comes_back));
    }

    fn index(&self, room: &RoomId) -> Option<usize> {
        self.rooms.iter().position(|it| it.id == *room)
    }

    /// Changes the current room, with the height of its messages and what their rows depend on.
    fn with_room<T>(&mut self, change: impl FnOnce(&mut Room, usize, &RowContext<'_>) -> T) -> Option<T> {
        let (areas, online) = (self.areas(), self.is_online());
        let (width, height) = (areas.messages.width.into(), areas.messages.height.into());
        let Self { rooms, current, me, zone, .. } = self;
        let room = rooms.get_mut(*current)?;
        let context = room.row_context(Viewport { width, height, me, zone, online });
        Some(change(room, height, &context))
    }
}

/// Says why drafts wait, with the service's word for it.
fn delay(why: &Refused) -> String {
    let reason = if why.reason.is_empty() { String::new() } else { format!(" ({})", sanitize(&why.reason)) };
    format!("not stored yet, and sent again by itself: {}{reason}", sanitize(&why.to_string()))
}

#[cfg(test)]
mod tests;
