//! Scrolling and selecting in a room, and which pages of its history that needs. Pure.

use grpc_chat_client::Seq;

use super::{PageRequest, Room};
use crate::tui::messages::{self, Anchor, RowContext};

impl Room {
    /// Returns the page that the rows shown come close to the end of, if none is being read. It counts as being read
    /// from then on.
    pub(crate) fn needed_page(&mut self, height: usize, context: &RowContext<'_>) -> Option<PageRequest> {
        if self.paging || self.page_failed || !self.joined {
            return None;
        }
        let needed = self.page_near_the_end(height, context);
        self.paging = needed.is_some();
        needed
    }

    fn page_near_the_end(&self, height: usize, context: &RowContext<'_>) -> Option<PageRequest> {
        let Some(bottom) = self.bottom(context) else {
            return self.transcript.older().filter(|_| self.caught_up).map(PageRequest::Older);
        };
        let margin = 2 * height.max(1);
        if let Some(seq) = self.transcript.newer()
            && messages::down(&self.transcript, bottom, margin, context).1 > 0
        {
            return Some(PageRequest::Newer(seq));
        }
        let older = self.transcript.older()?;
        let top = messages::up(&self.transcript, bottom, height + margin, context);
        let oldest = self.transcript.oldest().map(|oldest| Anchor { seq: oldest.seq, row: 0 });
        (oldest == Some(top)).then_some(PageRequest::Older(older))
    }

    /// Notes whether the first new message is on the screen, or above it.
    pub(crate) fn look_for_new(&mut self, height: usize, context: &RowContext<'_>) {
        self.new_above = false;
        if !self.new_unseen {
            return;
        }
        let bottom = self.bottom(context);
        let rows = bottom.map(|it| messages::visible(&self.transcript, it, height, context)).unwrap_or_default();
        let first = self.new_after.and_then(|after| self.transcript.after(after).next());
        // There is nothing new yet, or nothing is held yet.
        let (Some((top, _)), Some(first)) = (rows.first(), first) else { return };
        self.new_above = first.seq < *top;
        self.new_unseen = self.new_above;
    }

    /// Scrolls to the first new message, as far up as messages are held.
    pub(crate) fn scroll_to_new(&mut self, height: usize, context: &RowContext<'_>) {
        let Some(first) = self.new_after.and_then(|after| self.transcript.after(after).next()) else { return };
        let top = Anchor { seq: first.seq, row: 0 };
        let (bottom, beyond) = messages::down(&self.transcript, top, height.saturating_sub(1), context);
        self.anchor = if beyond > 0 && self.transcript.newer().is_none() { None } else { Some(bottom) };
        self.deselect_if_hidden(height, context);
    }

    pub(crate) fn scroll_up(&mut self, by: usize, height: usize, context: &RowContext<'_>) {
        let Some(anchor) = self.bottom(context) else { return };
        let raised = messages::up(&self.transcript, anchor, by, context);
        // The rows above it fill the screen, as far as there are any.
        let missing = height.saturating_sub(messages::visible(&self.transcript, raised, height, context).len());
        let (settled, beyond) = messages::down(&self.transcript, raised, missing, context);
        self.anchor = if beyond > 0 && self.transcript.newer().is_none() { None } else { Some(settled) };
        if self.anchor == messages::bottom(&self.transcript, context) && self.transcript.newer().is_none() {
            self.anchor = None;
        }
        self.deselect_if_hidden(height, context);
    }

    pub(crate) fn scroll_down(&mut self, by: usize, height: usize, context: &RowContext<'_>) {
        let Some(anchor) = self.anchor else { return };
        let (lowered, beyond) = messages::down(&self.transcript, anchor, by, context);
        let at_the_end = beyond > 0 || Some(lowered) == messages::bottom(&self.transcript, context);
        self.anchor = if at_the_end && self.transcript.newer().is_none() { None } else { Some(lowered) };
        self.deselect_if_hidden(height, context);
    }

    /// Scrolls to the newest message. It may have to be read again.
    pub(crate) fn scroll_to_end(&mut self) {
        self.anchor = None;
        self.selected = None;
        if self.transcript.newer().is_some() {
            self.transcript.forget();
            self.paging = false;
        }
    }

    /// Selects the message above the selected one, or the lowest that is shown.
    pub(crate) fn select_up(&mut self, height: usize, context: &RowContext<'_>) {
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
            self.show(seq, height, context);
        }
    }

    /// Selects the message below; after the newest, nothing.
    pub(crate) fn select_down(&mut self, height: usize, context: &RowContext<'_>) {
        let Some(seq) = self.selected else { return };
        self.selected = self.transcript.after(seq).next().map(|message| message.seq);
        match self.selected {
            Some(seq) => self.show(seq, height, context),
            None => self.scroll_down(1, height, context),
        }
    }

    /// Selects nothing if the selected message is not on the screen: nobody would know what the next key is about.
    pub(crate) fn deselect_if_hidden(&mut self, height: usize, context: &RowContext<'_>) {
        let Some(seq) = self.selected else { return };
        let bottom = self.bottom(context);
        let rows = bottom.map(|it| messages::visible(&self.transcript, it, height, context)).unwrap_or_default();
        if rows.iter().all(|(of, _)| *of != seq) {
            self.selected = None;
        }
    }

    /// Scrolls as little as it takes to show a message.
    fn show(&mut self, seq: Seq, height: usize, context: &RowContext<'_>) {
        let Some(bottom) = self.bottom(context) else { return };
        let shown = messages::visible(&self.transcript, bottom, height, context);
        let message = self.transcript.get(seq);
        let rows = message.map_or(0, |message| messages::rows(message, &self.transcript, context).len());
        let seen = shown.iter().filter(|(of, _)| *of == seq).count();
        if seen == rows || seen == height {
            return;
        }
        let last = Anchor { seq, row: rows.saturating_sub(1) };
        if seq >= bottom.seq {
            self.anchor = Some(last);
        } else {
            let first = Anchor { seq, row: 0 };
            self.anchor = Some(messages::down(&self.transcript, first, height.saturating_sub(1), context).0);
        }
    }

    /// The lowest row that is shown.
    fn bottom(&self, context: &RowContext<'_>) -> Option<Anchor> {
        self.anchor.or_else(|| messages::bottom(&self.transcript, context))
    }
}
