//! One run, as everyone in it shares it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use grpc_chat_client::{ConnectionState, Events, ParseError, RoomId, Update, sanitize};
use tokio_util::sync::CancellationToken;

use super::pace::{Ticket, nanoseconds};
use super::stamp::Stamp;
use super::tally::Tally;

/// The clock of a bench: one process, so one clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since it was started.
    pub(super) fn now(self) -> u64 {
        nanoseconds(self.0.elapsed())
    }
}

/// What everyone in a run shares.
#[derive(Debug)]
pub(super) struct Run {
    /// Tells its messages from those of other runs.
    id: u32,
    /// Bytes of text in a message.
    pub(super) size: usize,
    pub(super) clock: Clock,
    pub(super) tally: Tally,
    /// Nothing more is to be sent.
    pub(super) over: CancellationToken,
    /// Messages sent.
    sent: AtomicU64,
    /// Answers that what was sent so far leads to.
    expected: AtomicU64,
    /// Sessions that were lost and opened again.
    reconnects: AtomicU64,
    /// Why a session was lost last.
    trouble: Mutex<Option<String>>,
}

impl Run {
    pub(super) fn new(size: usize) -> Result<Self, String> {
        Ok(Self {
            id: fastrand::u32(..),
            size,
            clock: Clock::start(),
            tally: Tally::new()?,
            over: CancellationToken::new(),
            sent: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
            trouble: Mutex::default(),
        })
    }

    /// A room of its own.
    ///
    /// # Errors
    ///
    /// None: the id is one that a room may have.
    pub(super) fn room(&self) -> Result<RoomId, String> {
        format!("bench/{:08x}", self.id).parse().map_err(|error: ParseError| error.to_string())
    }

    /// A message leaves now, by this ticket. Answers its time.
    pub(super) fn leaves(&self, ticket: Ticket) -> u64 {
        let now = self.clock.now();
        match ticket {
            Ticket::Now => now,
            Ticket::Due(due) => {
                self.tally.left(due, now);
                due
            }
        }
    }

    /// The text of a message.
    pub(super) fn text(&self, sender: u32, number: u64, at: u64) -> String {
        Stamp { bench: self.id, sender, number, at }.text(self.size)
    }

    /// The stamp of a text, if it is of this run.
    pub(super) fn read(&self, text: &str) -> Option<Stamp> {
        Stamp::read(text, self.size).filter(|stamp| stamp.bench == self.id)
    }

    /// A message was sent that leads to so many answers.
    pub(super) fn sent(&self, answers: u64) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.expected.fetch_add(answers, Ordering::Relaxed);
    }

    pub(super) fn messages_sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Answers that are still to come.
    pub(super) fn under_way(&self) -> u64 {
        self.expected.load(Ordering::Relaxed).saturating_sub(self.tally.count())
    }

    pub(super) fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps count of a client's sessions until it is over.
    pub(super) async fn attend(self: Arc<Self>, mut events: Events) {
        let mut watch = Watch::default();
        while let Some(update) = events.next().await {
            if let Update::Connection(connection) = update {
                watch.told(&self, &connection);
            }
        }
    }
}

/// A client's connection, as it changes.
#[derive(Debug, Default)]
pub(super) struct Watch {
    was_online: bool,
}

impl Watch {
    pub(super) fn told(&mut self, run: &Run, connection: &ConnectionState) {
        match connection {
            ConnectionState::Online { .. } => {
                let again = std::mem::replace(&mut self.was_online, true);
                run.reconnects.fetch_add(u64::from(again), Ordering::Relaxed);
            }
            ConnectionState::Reconnecting { why, .. } => {
                *run.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(sanitize(why).into_owned());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_other_runs_are_not_ours() {
        let (one, other) = (Run::new(64).unwrap(), Run::new(64).unwrap());
        let text = one.text(3, 7, 99);
        let Stamp { sender, number, at, .. } = one.read(&text).unwrap();
        assert_eq!((text.len(), sender, number, at), (64, 3, 7, 99));
        assert_eq!(other.read(&text), None);
        assert_eq!(one.read("Hi"), None);
        one.room().unwrap();
    }

    #[test]
    fn the_time_of_a_message_that_was_due_is_when_it_was_due() {
        let run = Run::new(64).unwrap();
        assert_eq!(run.leaves(Ticket::Due(5)), 5);
        let before = run.clock.now();
        assert!((before..=run.clock.now() + 1_000_000_000).contains(&run.leaves(Ticket::Now)));
    }

    #[test]
    fn sessions_after_the_first_are_reconnects() {
        let run = Run::new(64).unwrap();
        let mut watch = Watch::default();
        let online = ConnectionState::Online { user: "sam".to_owned(), max_text_bytes: 1 };
        let waiting =
            ConnectionState::Reconnecting { why: "it\u{1b} is away".to_owned(), retry_in: std::time::Duration::ZERO };
        for connection in [&online, &waiting, &ConnectionState::Connecting, &waiting, &online] {
            watch.told(&run, connection);
        }
        assert_eq!(run.reconnects(), 1);
        assert_eq!(run.trouble().as_deref(), Some("it\u{FFFD} is away"));
    }
}
