//! One room on the screen: what happened in it, where it is scrolled to, and what of it is new. Pure.

use grpc_chat_client::{Body, Change, Draft, Event, Joined, Page, ResetReason, Seq, Verdict};

use super::editor::Aside;
use super::messages::{self, Anchor, Look, Pending, mentions};
use super::transcript::{End, Message, Transcript};

#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: String,
    pub(crate) transcript: Transcript,
    /// The lowest row shown; `None`: the newest one, whatever comes.
    pub(crate) anchor: Option<Anchor>,
    pub(crate) selected: Option<Seq>,
    pub(crate) present: Vec<String>,
    pub(crate) count: u32,
    pub(crate) typing: Vec<String>,
    /// What was being written when the user went to another room, and what for.
    pub(crate) aside: Aside,
    pub(crate) mode: Mode,
    /// Own drafts that have not come back as events, oldest first.
    pub(crate) unsent: Vec<Draft>,
    /// Messages of others that this user has not read, and whether there are more than were looked at.
    pub(crate) unread: usize,
    pub(crate) more_unread: bool,
    /// One of them speaks to this user.
    pub(crate) mentioned: bool,
    /// Where a line is drawn: what is below was new when the room was entered.
    pub(crate) new_after: Option<Seq>,
    /// That line has not been seen yet; and it is above what is shown.
    pub(crate) new_unseen: bool,
    pub(crate) new_above: bool,
    pub(crate) read: Seq,
    /// The furthest mark that was asked for.
    pub(crate) marked: Seq,
    /// The life of the history.
    epoch: u64,
    /// Its history has begun anew while this user was there.
    pub(crate) anew: bool,
    /// It was joined at least once.
    pub(crate) joined: bool,
    /// All that was missed has come.
    pub(crate) level: bool,
    /// A page is being read; one at a time.
    pub(crate) paging: bool,
    /// The last one could not be read. It is not asked for again until the user does something.
    pub(crate) failed: bool,
}

/// What Enter does with the composer's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Say,
    Edit(Seq),
    Reply(Seq),
    /// Only a reaction.
    React(Seq),
}

/// A page that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Older(Seq),
    Newer(Seq),
}

impl Room {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            transcript: Transcript::default(),
            anchor: None,
            selected: None,
            present: Vec::new(),
            count: 0,
            typing: Vec::new(),
            aside: Aside::default(),
            mode: Mode::Say,
            unsent: Vec::new(),
            unread: 0,
            more_unread: false,
            mentioned: false,
            new_after: None,
            new_unseen: false,
            new_above: false,
            read: 0,
            marked: 0,
            epoch: 0,
            anew: false,
            joined: false,
            level: false,
            paging: false,
            failed: false,
        }
    }

    /// Answers why the room's history begins anew, if it does.
    pub(crate) fn join(&mut self, joined: &Joined) -> Option<String> {
        self.level = false;
        let first = !std::mem::replace(&mut self.joined, true);
        let reset = match joined.verdict {
            Verdict::Reset(why) => Some(why),
            // Whatever it is called: seqs mean other messages now.
            _ if !first && joined.epoch != self.epoch => Some(ResetReason::Epoch),
            _ => None,
        };
        self.epoch = joined.epoch;
        self.anew |= reset == Some(ResetReason::Epoch);
        if first || reset.is_some() {
            let complete = joined.start < joined.oldest.max(1);
            self.transcript = Transcript::starting(joined.start, complete);
            (self.anchor, self.selected, self.new_after) = (None, None, None);
            (self.unread, self.mentioned, self.marked) = (0, false, 0);
            self.read = joined.read;
            self.more_unread = joined.start > joined.read;
            self.paging = false;
        }
        if reset.is_some() {
            // They were sent to the history that is gone, or will come from the new one.
            self.unsent.clear();
            self.mode = Mode::Say;
        }
        self.read = self.read.max(joined.read);
        reset.map(|why| why.to_string())
    }

    pub(crate) fn event(&mut self, event: Event, me: &str) {
        self.unsent.retain(|draft| draft.id != event.id);
        let mut erased = false;
        match &event.body {
            Body::Posted { text, reply_to, erased: false } if event.sender != me && event.seq > self.read => {
                self.unread += 1;
                self.mentioned |= self.speaks_to(text, *reply_to, me);
            }
            Body::Deleted { seq } | Body::Edited { seq, erased: true, .. } => {
                erased = self.news(me).any(|message| message.seq == *seq);
            }
            _ => {}
        }
        let edited = matches!(event.body, Body::Edited { .. });
        self.typing.retain(|user| *user != event.sender);
        self.transcript.live(event);
        if edited {
            self.mentioned |= self.is_spoken_to(me);
        }
        if erased {
            self.unread = self.unread.saturating_sub(1);
            self.mentioned = self.is_spoken_to(me);
        }
        self.trim();
    }

    /// What others have said and this user has not read, as far as it is held.
    fn news(&self, me: &str) -> impl Iterator<Item = &Message> {
        self.transcript.after(self.read).filter(move |message| message.sender != me && !message.deleted)
    }

    fn is_spoken_to(&self, me: &str) -> bool {
        self.news(me).any(|it| self.speaks_to(&it.text, it.reply_to, me))
    }

    /// Whether a text is said to this user.
    fn speaks_to(&self, text: &str, reply_to: Option<Seq>, me: &str) -> bool {
        mentions(text, me) || reply_to.and_then(|seq| self.transcript.get(seq)).is_some_and(|it| it.sender == me)
    }

    /// This user has read further, here or elsewhere.
    pub(crate) fn read_up_to(&mut self, seq: Seq, me: &str) {
        if seq <= self.read {
            return;
        }
        self.read = seq;
        self.more_unread = false;
        self.unread = self.news(me).count();
        self.mentioned = self.is_spoken_to(me);
    }

    /// The user looks at the room: what is unread is marked as new.
    pub(crate) fn enter(&mut self) {
        self.new_after = (self.unread > 0).then_some(self.read);
        self.new_unseen = self.new_after.is_some();
    }

    /// What is shown may reach up to where new messages begin.
    pub(crate) fn look_for_new(&mut self, height: usize, look: &Look<'_>) {
        self.new_above = false;
        if !self.new_unseen {
            return;
        }
        let bottom = self.anchor.or_else(|| messages::bottom(&self.transcript, look));
        let rows = bottom.map(|bottom| messages::visible(&self.transcript, bottom, height, look)).unwrap_or_default();
        let first = self.new_after.and_then(|after| self.transcript.after(after).next());
        // There is nothing new yet, or nothing is held yet.
        let (Some((top, _)), Some(first)) = (rows.first(), first) else { return };
        self.new_above = first.seq < *top;
        self.new_unseen = self.new_above;
    }

    /// Shows where new messages begin, as far up as they are held.
    pub(crate) fn scroll_to_new(&mut self, height: usize, look: &Look<'_>) {
        let Some(first) = self.new_after.and_then(|after| self.transcript.after(after).next()) else { return };
        let top = Anchor { seq: first.seq, row: 0 };
        let (bottom, beyond) = messages::down(&self.transcript, top, height.saturating_sub(1), look);
        self.anchor = if beyond > 0 && self.transcript.newer().is_none() { None } else { Some(bottom) };
        self.lose_sight(height, look);
    }

    pub(crate) fn page(&mut self, wanted: Wanted, page: Option<Page>) {
        self.paging = false;
        let Some(page) = page else {
            self.failed = true;
            return;
        };
        match wanted {
            Wanted::Older(place) => self.transcript.older_page(place, page),
            Wanted::Newer(place) => self.transcript.newer_page(place, page),
        }
        self.trim();
    }

    /// A page that the rows shown are near the end of.
    pub(crate) fn wanted(&mut self, height: usize, look: &Look<'_>) -> Option<Wanted> {
        if self.paging || self.failed || !self.joined {
            return None;
        }
        let Some(anchor) = self.anchor.or_else(|| messages::bottom(&self.transcript, look)) else {
            return self.transcript.older().filter(|_| self.level).map(|place| self.ask(Wanted::Older(place)));
        };
        let margin = 2 * height.max(1);
        if let Some(place) = self.transcript.newer()
            && messages::down(&self.transcript, anchor, margin, look).1 > 0
        {
            return Some(self.ask(Wanted::Newer(place)));
        }
        if let Some(place) = self.transcript.older() {
            let top = messages::up(&self.transcript, anchor, height + margin, look);
            let oldest = self.transcript.oldest().map(|oldest| Anchor { seq: oldest.seq, row: 0 });
            if oldest == Some(top) {
                return Some(self.ask(Wanted::Older(place)));
            }
        }
        None
    }

    pub(crate) fn scroll_up(&mut self, by: usize, height: usize, look: &Look<'_>) {
        let Some(anchor) = self.anchor.or_else(|| messages::bottom(&self.transcript, look)) else { return };
        let raised = messages::up(&self.transcript, anchor, by, look);
        // The rows above it fill the screen, as far as there are any.
        let missing = height.saturating_sub(messages::visible(&self.transcript, raised, height, look).len());
        let (settled, beyond) = messages::down(&self.transcript, raised, missing, look);
        self.anchor = if beyond > 0 && self.transcript.newer().is_none() { None } else { Some(settled) };
        if self.anchor == messages::bottom(&self.transcript, look) && self.transcript.newer().is_none() {
            self.anchor = None;
        }
        self.lose_sight(height, look);
    }

    pub(crate) fn scroll_down(&mut self, by: usize, height: usize, look: &Look<'_>) {
        let Some(anchor) = self.anchor else { return };
        let (lowered, beyond) = messages::down(&self.transcript, anchor, by, look);
        let at_the_end = beyond > 0 || Some(lowered) == messages::bottom(&self.transcript, look);
        self.anchor = if at_the_end && self.transcript.newer().is_none() { None } else { Some(lowered) };
        self.lose_sight(height, look);
    }

    /// What cannot be seen is not selected: nobody would know what the next key is about.
    pub(crate) fn lose_sight(&mut self, height: usize, look: &Look<'_>) {
        let Some(seq) = self.selected else { return };
        let bottom = self.anchor.or_else(|| messages::bottom(&self.transcript, look));
        let shown = bottom.map(|bottom| messages::visible(&self.transcript, bottom, height, look)).unwrap_or_default();
        if shown.iter().all(|(of, _)| *of != seq) {
            self.selected = None;
        }
    }

    /// To the newest message. It may have to be read again.
    pub(crate) fn scroll_to_end(&mut self) {
        self.anchor = None;
        self.selected = None;
        if self.transcript.newer().is_some() {
            self.transcript.forget();
            self.paging = false;
        }
    }

    /// Selects the message above the one that is selected, or the newest.
    pub(crate) fn select_up(&mut self, height: usize, look: &Look<'_>) {
        let above = match self.selected {
            Some(seq) => self.transcript.back_from(seq.saturating_sub(1)).next(),
            None => match self.anchor {
                Some(anchor) => self.transcript.get(anchor.seq),
                None => self.transcript.newest(),
            },
        };
        if let Some(above) = above {
            let seq = above.seq;
            self.selected = Some(seq);
            self.show(seq, height, look);
        }
    }

    /// Selects the message below; after the newest nothing.
    pub(crate) fn select_down(&mut self, height: usize, look: &Look<'_>) {
        let Some(seq) = self.selected else { return };
        self.selected = self.transcript.after(seq).next().map(|message| message.seq);
        match self.selected {
            Some(seq) => self.show(seq, height, look),
            None => self.scroll_down(1, height, look),
        }
    }

    /// Scrolls as little as it takes for the message to be seen.
    fn show(&mut self, seq: Seq, height: usize, look: &Look<'_>) {
        let Some(bottom) = self.anchor.or_else(|| messages::bottom(&self.transcript, look)) else { return };
        let shown = messages::visible(&self.transcript, bottom, height, look);
        let rows = self.transcript.get(seq).map_or(0, |message| messages::rows(message, &self.transcript, look).len());
        let seen = shown.iter().filter(|(of, _)| *of == seq).count();
        if seen == rows || seen == height {
            return;
        }
        let last = Anchor { seq, row: rows.saturating_sub(1) };
        if seq >= bottom.seq {
            self.anchor = Some(last);
        } else {
            let first = Anchor { seq, row: 0 };
            self.anchor = Some(messages::down(&self.transcript, first, height.saturating_sub(1), look).0);
        }
    }

    /// Whether a message is about to be deleted.
    pub(crate) fn is_going(&self, seq: Seq) -> bool {
        self.unsent.iter().any(|draft| draft.change == Change::Delete { seq })
    }

    /// What a message says, or will say when it is edited.
    pub(crate) fn text_of(&self, seq: Seq) -> Option<String> {
        let edited = self.unsent.iter().rev().find_map(|draft| match &draft.change {
            Change::Edit { seq: of, text } if *of == seq => Some(text.clone()),
            _ => None,
        });
        edited.or_else(|| self.transcript.get(seq).map(|message| message.text.clone()))
    }

    /// What is on its way to messages.
    pub(crate) fn pending(&self) -> Vec<(Seq, Pending)> {
        let pending = |draft: &Draft| match &draft.change {
            Change::Edit { seq, text } => Some((*seq, Pending::Text(text.clone()))),
            Change::Delete { seq } => Some((*seq, Pending::Gone)),
            Change::React { seq, reaction, remove: false } => Some((*seq, Pending::Reaction(reaction.clone()))),
            _ => None,
        };
        self.unsent.iter().filter_map(pending).collect()
    }

    /// Nothing is selected, and the user's last message is on its way: what is said about "the last one" is not about the
    /// one before it.
    pub(crate) fn last_is_unsent(&self) -> bool {
        self.selected.is_none() && self.unsent.iter().any(|draft| matches!(draft.change, Change::Post { .. }))
    }

    /// The message that a command is about: the one selected, or the last one that fits.
    pub(crate) fn meant(&self, fits: impl Fn(&Message) -> bool) -> Option<Seq> {
        match self.selected {
            Some(seq) => self.transcript.get(seq).filter(|message| fits(message)).map(|message| message.seq),
            None => self.transcript.messages().rev().find(|message| fits(message)).map(|message| message.seq),
        }
    }

    fn ask(&mut self, wanted: Wanted) -> Wanted {
        self.paging = true;
        wanted
    }

    /// Cuts the window where the user does not look.
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
