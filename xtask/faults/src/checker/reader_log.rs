//! What one reader received in one room, across all of its streams.

use stubs::chat::v1 as pb;

use super::event::EventDigest;

/// The log of one reader in one room. Whatever breaks the order, the uniqueness or the resumption of events is a violation.
#[derive(Debug, Default)]
pub(crate) struct ReaderLog {
    epoch: u64,
    /// The seq of the last event received, or the seq at which the reader started.
    last: u64,
    phase: Phase,
    /// The events in the order in which they were received.
    events: Vec<EventDigest>,
    /// The start of the first Join.
    start: u64,
    has_joined: bool,
    /// The first Join does not use [`ReaderLog::cursor`].
    any_start: bool,
    violations: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Not joined on the current stream.
    #[default]
    Away,
    /// Joined. Everything up to this seq has to come before CaughtUp.
    CatchingUp {
        head: u64,
    },
    Live,
}

impl ReaderLog {
    /// Returns the log of a reader whose cursor is kept elsewhere: the first Joined says where it starts.
    pub(crate) fn with_any_start() -> Self {
        Self { any_start: true, ..Self::default() }
    }

    /// Returns the cursor to join with. It names the last event, so that an intact history that takes it for another one
    /// shows as a violation.
    pub(crate) fn cursor(&self) -> pb::Cursor {
        let last = self.events.last().filter(|last| last.seq == self.last);
        let client_msg_id = last.map(|last| last.id.to_vec().into()).unwrap_or_default();
        pb::Cursor { epoch: self.epoch, seq: self.last, client_msg_id }
    }

    /// Returns the seq of the last event received, or the seq at which the reader started.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Returns the cursor at which the first Join started, once it has been answered.
    pub(crate) fn start(&self) -> Option<pb::Cursor> {
        self.has_joined.then_some(pb::Cursor { epoch: self.epoch, seq: self.start, ..pb::Cursor::default() })
    }

    /// Returns all events, in the order in which they were received.
    pub(crate) fn events(&self) -> &[EventDigest] {
        &self.events
    }

    /// Returns the event with this seq, if it was received.
    pub(crate) fn event_at(&self, seq: u64) -> Option<&EventDigest> {
        self.events.binary_search_by_key(&seq, |event| event.seq).ok().map(|index| &self.events[index])
    }

    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Returns whether CaughtUp was received on the current stream.
    pub(crate) fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// Returns whether the room is not joined on the current stream.
    pub(crate) fn is_away(&self) -> bool {
        self.phase == Phase::Away
    }

    /// Records the reply to a Join with [`ReaderLog::cursor`].
    pub(crate) fn joined(&mut self, joined: &pb::Joined) {
        let pb::Joined { epoch, start_seq, head_seq, .. } = *joined;
        if self.phase != Phase::Away {
            self.violation("Joined came twice for one Join".to_owned());
        }
        let starts_anywhere = !self.has_joined && self.any_start;
        if starts_anywhere && joined.verdict() != pb::Verdict::Reset {
            self.last = start_seq;
        } else if joined.verdict() != pb::Verdict::Recovered {
            let (verdict, why) = (joined.verdict().as_str_name(), joined.reset_reason().as_str_name());
            self.violation(format!("resume after {} (epoch {}) was {verdict} ({why})", self.last, self.epoch));
        }
        if self.has_joined && epoch != self.epoch {
            self.violation(format!("the epoch changed from {} to {epoch}", self.epoch));
        }
        if start_seq != self.last {
            self.violation(format!("resume after {} starts after {start_seq}", self.last));
        }
        if head_seq < start_seq {
            self.violation(format!("Joined has head {head_seq} before start {start_seq}"));
        }
        if !self.has_joined {
            self.start = start_seq;
        }
        (self.epoch, self.last, self.has_joined) = (epoch, start_seq, true);
        self.phase = Phase::CatchingUp { head: head_seq };
    }

    /// Records an event.
    pub(crate) fn event(&mut self, event: EventDigest) {
        if self.phase == Phase::Away {
            self.violation(format!("event {} came before Joined", event.seq));
        }
        if event.seq == self.last || self.events.last().is_some_and(|last| last.seq == event.seq) {
            self.violation(format!("event {} came twice", event.seq));
        } else if event.seq < self.last {
            self.violation(format!("event {} came after {}", event.seq, self.last));
        } else if event.prev_seq != self.last {
            let (seq, prev_seq, last) = (event.seq, event.prev_seq, self.last);
            self.violation(format!("event {seq} has prev_seq {prev_seq}; the last event was {last}"));
        }
        self.last = event.seq;
        self.events.push(event);
    }

    /// Records a CaughtUp.
    pub(crate) fn caught_up(&mut self, seq: u64) {
        match self.phase {
            Phase::CatchingUp { head } if self.last < head => {
                self.violation(format!("CaughtUp came at {}, and Joined had promised {head} before it", self.last));
            }
            Phase::CatchingUp { .. } => {}
            Phase::Live => self.violation("CaughtUp came twice for one Join".to_owned()),
            Phase::Away => self.violation("CaughtUp came before Joined".to_owned()),
        }
        if seq != self.last {
            self.violation(format!("CaughtUp has seq {seq}; the last event was {}", self.last));
        }
        self.phase = Phase::Live;
    }

    /// Records the end of the stream.
    pub(crate) fn stream_ended(&mut self) {
        self.phase = Phase::Away;
    }

    fn violation(&mut self, violation: String) {
        self.violations.push(violation);
    }
}
