//! One room on the screen: its messages, what is unread, and what is on its way to it. Pure.

mod scroll;

use grpc_chat_client::{Body, Change, Draft, Event, Joined, Page, ResetReason, RoomId, Seq, Target, Verdict};
use jiff::tz::TimeZone;

use super::editor::Shelved;
use super::mention;
use super::messages::{Anchor, Columns, Pending, RowContext};
use super::text::width;
use super::transcript::{End, Message, Transcript};

/// From this height on there is an empty row between what different authors say.
const SPACED: usize = 16;

#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) id: RoomId,
    pub(crate) transcript: Transcript,
    /// The lowest row shown; `None`: the newest one, also when others come.
    pub(crate) anchor: Option<Anchor>,
    pub(crate) selected: Option<Seq>,
    pub(crate) present: Vec<String>,
    /// How many are present. `present` may list fewer.
    pub(crate) present_count: u32,
    pub(crate) typing: Vec<String>,
    /// What was being written when the user went to another room, and how it was meant.
    pub(crate) shelved: Shelved,
    pub(crate) mode: Mode,
    /// Own drafts that have not come back as events, oldest first.
    pub(crate) unsent: Vec<Draft>,
    /// Messages of others that this user has not read, and whether there may be older ones.
    pub(crate) unread: usize,
    pub(crate) more_unread: bool,
    /// One of them mentions this user, or replies to them.
    pub(crate) mentioned: bool,
    /// What is after this event was new when the room was opened.
    pub(crate) new_after: Option<Seq>,
    /// The first new message has not been on the screen yet; and it is above what is shown.
    pub(crate) new_unseen: bool,
    pub(crate) new_above: bool,
    /// How far this user has read.
    pub(crate) read: Seq,
    /// How far the service was asked to note that.
    pub(crate) read_requested: Seq,
    epoch: u64,
    /// The history has begun anew while this user was in the room.
    restarted: bool,
    /// It was joined at least once.
    pub(crate) joined: bool,
    /// All events that were missed have come.
    pub(crate) caught_up: bool,
    /// A page is being read; one at a time.
    paging: bool,
    /// The last page could not be read. No other is requested until the user does something.
    pub(crate) page_failed: bool,
}

/// What Enter does with the composer's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Post,
    Edit(Target),
    Reply(Target),
    React(Target),
}

/// A page of the history that is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageRequest {
    /// The one that ends before this event.
    Older(Seq),
    /// The one that begins after this event.
    Newer(Seq),
}

/// Where and for whom a room is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Viewport<'a> {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) me: &'a str,
    pub(crate) zone: &'a TimeZone,
    pub(crate) online: bool,
}

impl Room {
    pub(crate) fn new(id: RoomId) -> Self {
        Self {
            id,
            transcript: Transcript::default(),
            anchor: None,
            selected: None,
            present: Vec::new(),
            present_count: 0,
            typing: Vec::new(),
            shelved: Shelved::default(),
            mode: Mode::Post,
            unsent: Vec::new(),
            unread: 0,
            more_unread: false,
            mentioned: false,
            new_after: None,
            new_unseen: false,
            new_above: false,
            read: 0,
            read_requested: 0,
            epoch: 0,
            restarted: false,
            joined: false,
            caught_up: false,
            paging: false,
            page_failed: false,
        }
    }

    /// Takes that the room is joined. Returns why its messages are gone, if they are.
    pub(crate) fn join(&mut self, joined: &Joined) -> Option<ResetReason> {
        self.caught_up = false;
        let first = !std::mem::replace(&mut self.joined, true);
        let reset = match joined.verdict {
            Verdict::Reset(why) => Some(why),
            // Whatever the verdict: in another epoch seqs belong to other messages.
            _ if !first && joined.epoch != self.epoch => Some(ResetReason::Epoch),
            _ => None,
        };
        self.epoch = joined.epoch;
        self.restarted |= reset == Some(ResetReason::Epoch);
        if first || reset.is_some() {
            let complete = joined.start < joined.oldest.max(1);
            self.transcript = Transcript::starting(joined.start, complete);
            (self.anchor, self.selected, self.new_after) = (None, None, None);
            (self.unread, self.mentioned, self.read_requested) = (0, false, 0);
            self.read = joined.read;
            self.more_unread = joined.start > joined.read;
            self.paging = false;
        }
        if reset.is_some() {
            // They were sent to the history that is gone, or will come from the new one.
            self.unsent.clear();
            self.mode = Mode::Post;
        }
        self.read = self.read.max(joined.read);
        reset
    }

    /// Takes an event that has come live.
    pub(crate) fn event(&mut self, event: Event, me: &str) {
        self.unsent.retain(|draft| draft.id != event.id);
        let mut erased = false;
        match &event.body {
            Body::Posted { text, reply_to, erased: false } if event.sender != me && event.seq > self.read => {
                self.unread += 1;
                self.mentioned |= self.addresses(text, *reply_to, me);
            }
            Body::Deleted { seq } | Body::Edited { seq, erased: true, .. } => {
                erased = self.unread_messages(me).any(|message| message.seq == *seq);
            }
            _ => {}
        }
        let edited = matches!(event.body, Body::Edited { .. });
        self.typing.retain(|user| *user != event.sender);
        self.transcript.live(event);
        if edited {
            self.mentioned |= self.has_unread_mention(me);
        }
        if erased {
            self.unread = self.unread.saturating_sub(1);
            self.mentioned = self.has_unread_mention(me);
        }
        self.trim();
    }

    /// Takes a page, or that it could not be read.
    pub(crate) fn page(&mut self, request: PageRequest, page: Option<Page>) {
        self.paging = false;
        let Some(page) = page else {
            self.page_failed = true;
            return;
        };
        match request {
            PageRequest::Older(seq) => self.transcript.older_page(seq, page),
            PageRequest::Newer(seq) => self.transcript.newer_page(seq, page),
        }
        self.trim();
    }

    /// Takes that this user has read up to there, here or elsewhere.
    pub(crate) fn read_up_to(&mut self, seq: Seq, me: &str) {
        if seq <= self.read {
            return;
        }
        self.read = seq;
        self.more_unread = false;
        self.unread = self.unread_messages(me).count();
        self.mentioned = self.has_unread_mention(me);
    }

    /// Marks what is unread as new: the user opens the room.
    pub(crate) fn open(&mut self) {
        self.new_after = (self.unread > 0).then_some(self.read);
        self.new_unseen = self.new_after.is_some();
    }

    /// Returns what its messages' rows depend on.
    pub(crate) fn row_context<'a>(&self, viewport: Viewport<'a>) -> RowContext<'a> {
        let Viewport { width: columns, height, me, zone, online } = viewport;
        RowContext {
            columns: Columns::of(columns, self.transcript.longest_name().max(width(me))),
            spaced: height >= SPACED,
            me,
            zone,
            new_after: self.new_after,
            older: self.older_text(online),
            beginning: if self.restarted { "the history begins anew" } else { "the beginning" },
            pending: self.pending(),
        }
    }

    /// What is shown in place of messages that are older than those held.
    pub(crate) fn older_text(&self, online: bool) -> &'static str {
        match (online, self.page_failed) {
            (false, _) => "older messages cannot be read while offline",
            (true, true) => "older messages could not be read",
            (true, false) => "reading older messages",
        }
    }

    /// Whether a message is about to be deleted.
    pub(crate) fn is_being_deleted(&self, seq: Seq) -> bool {
        self.unsent.iter().any(|draft| matches!(draft.change, Change::Delete { target } if target.seq == seq))
    }

    /// Returns a message's text, or the one that it is about to get.
    pub(crate) fn text_of(&self, seq: Seq) -> Option<String> {
        let edited = self.unsent.iter().rev().find_map(|draft| match &draft.change {
            Change::Edit { target, text } if target.seq == seq => Some(text.clone()),
            _ => None,
        });
        edited.or_else(|| self.transcript.get(seq).map(|message| message.text.clone()))
    }

    /// Whether the user's last message is unsent, and no other one is selected. A command about "the last one" then must
    /// not hit the one before it.
    pub(crate) fn last_is_unsent(&self) -> bool {
        self.selected.is_none() && self.unsent.iter().any(|draft| matches!(draft.change, Change::Post { .. }))
    }

    /// Returns the message that a command is about: the selected one, or the last one that fits.
    pub(crate) fn target(&self, fits: impl Fn(&Message) -> bool) -> Option<Target> {
        let message = match self.selected {
            Some(seq) => self.transcript.get(seq).filter(|message| fits(message)),
            None => self.transcript.messages().rev().find(|message| fits(message)),
        };
        message.map(Message::target)
    }

    /// The changes that are on their way to messages.
    fn pending(&self) -> Vec<(Seq, Pending)> {
        let pending = |draft: &Draft| match &draft.change {
            Change::Edit { target, text } => Some((target.seq, Pending::Text(text.clone()))),
            Change::Delete { target } => Some((target.seq, Pending::Deletion)),
            Change::React { target, reaction, remove: false } => {
                Some((target.seq, Pending::Reaction(reaction.clone())))
            }
            _ => None,
        };
        self.unsent.iter().filter_map(pending).collect()
    }

    /// The unread messages of others that are held.
    fn unread_messages(&self, me: &str) -> impl Iterator<Item = &Message> {
        self.transcript.after(self.read).filter(move |message| message.sender != me && !message.deleted)
    }

    fn has_unread_mention(&self, me: &str) -> bool {
        self.unread_messages(me).any(|it| self.addresses(&it.text, it.reply_to, me))
    }

    /// Whether a message mentions this user, or replies to them.
    fn addresses(&self, text: &str, reply_to: Option<Seq>, me: &str) -> bool {
        !mention::find(text, me).is_empty()
            || reply_to.and_then(|seq| self.transcript.get(seq)).is_some_and(|it| it.sender == me)
    }

    /// Cuts the window at the end that is further from what the user reads.
    fn trim(&mut self) {
        if !self.transcript.is_large() {
            return;
        }
        let end = match self.anchor {
            Some(anchor) => {
                let above = self.transcript.back_from(anchor.seq).count();
                if above * 2 < self.transcript.len() { End::Newer } else { End::Older }
            }
            None => End::Older,
        };
        self.transcript.trim(end);
    }
}
