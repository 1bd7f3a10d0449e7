//! How much to read at once.

use crate::model::Event;

/// How much to read at once. Text here is that of messages, edits and reactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The most events; at least 1.
    pub events: usize,
    /// The page ends with the event whose text brings the total to this many bytes.
    pub bytes: usize,
}

impl Page {
    /// Takes as many of `events` as fit.
    pub(super) fn fill<'a>(self, events: impl Iterator<Item = &'a Event>) -> Vec<Event> {
        let mut filling = Filling::new(self);
        let mut filled = Vec::new();
        for event in events {
            if filling.is_full() {
                break;
            }
            filling.add(event);
            filled.push(event.clone());
        }
        filled
    }
}

/// The fill level of a page.
#[derive(Debug)]
pub(super) struct Filling {
    page: Page,
    events: usize,
    bytes: usize,
}

impl Filling {
    pub(super) fn new(page: Page) -> Self {
        Self { page, events: 0, bytes: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.events > 0 && (self.events >= self.page.events || self.bytes >= self.page.bytes)
    }

    pub(super) fn add(&mut self, event: &Event) {
        self.events += 1;
        self.bytes += event.draft.change.text_bytes();
    }
}
