//! Limits that contradict each other.

use super::Limits;

/// A limit that is too small for another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The keys of the two in the configuration file.
    pub keys: [&'static str; 2],
    /// What has to hold, and why, with the names of the keys.
    pub sentence: String,
}

/// Bytes of a frame besides its text, at most: ids, a `client_msg_id`, numbers and field headers.
const FRAME_BYTES: usize = 1024;

/// Bytes of the longest page besides its texts: a page has up to 1,000 events of 256 bytes.
const PAGE_ITEMS_BYTES: usize = 256 * 1024;

/// A page counts twice, and one network may take an eighth of the budget.
const PAGE_SHARE: usize = 16;

impl Limits {
    /// Returns the limits that are too small for others.
    #[must_use]
    pub fn conflicts(&self) -> Vec<Conflict> {
        let Self { connection, session, room, memory, history, storage, .. } = self;
        let text = ("limits.session.text-bytes", session.text_bytes.saturating_add(FRAME_BYTES), "1 KiB more than ");
        let pages = room.page_bytes.saturating_add(PAGE_ITEMS_BYTES).saturating_mul(PAGE_SHARE);
        let whole = |key, bytes| (key, bytes, "");
        let account = "limits.history.queue-bytes-per-account";
        let rules = [
            (
                ("limits.connection.message-bytes", connection.message_bytes),
                text,
                "a frame with such a text can be received",
            ),
            ((account, history.queue_bytes_per_account), text, "such a text can be stored"),
            (("limits.storage.memory-bytes", storage.memory_bytes), text, "such a text can be stored in memory"),
            (
                ("limits.history.queue-bytes", history.queue_bytes),
                whole(account, history.queue_bytes_per_account),
                "an account can use what it may",
            ),
            (
                ("limits.memory.page-bytes", memory.page_bytes),
                ("limits.room.page-bytes", pages, "4 MiB more than 16 times "),
                "a page fits into the share of one network",
            ),
            (
                ("limits.memory.tail-bytes", memory.tail_bytes),
                whole("limits.room.tail-bytes", room.tail_bytes),
                "a room can use what it may",
            ),
            (
                ("limits.memory.reply-bytes", memory.reply_bytes),
                whole("limits.session.unread-reply-bytes", session.unread_reply_bytes),
                "a session can use what it may",
            ),
            (
                ("limits.memory.request-bytes", memory.request_bytes),
                whole("limits.connection.message-bytes", connection.message_bytes),
                "a call can receive such a message",
            ),
        ];
        let broken = rules.into_iter().filter(|((_, size), (_, least, _), _)| size < least);
        broken
            .map(|((key, _), (than, _, more), purpose)| Conflict {
                keys: [key, than],
                sentence: format!("{key} has to be at least {more}{than}, so that {purpose}"),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::HistoryLimits;

    #[test]
    fn the_defaults_agree() {
        assert_eq!(Limits::default().conflicts(), []);
    }

    #[test]
    fn what_is_too_small_for_something_else_is_found() {
        let conflict = |change: fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            limits.conflicts()
        };
        let fitting: fn(&mut Limits) = |limits| {
            limits.connection.message_bytes = 9216;
            limits.history = HistoryLimits { queue_bytes: 9216, queue_bytes_per_account: 9216 };
            limits.memory.page_bytes = 8 << 20;
            limits.memory.tail_bytes = limits.room.tail_bytes;
        };
        assert_eq!(conflict(fitting), []);
        let changes: [(fn(&mut Limits), _); 8] = [
            (|limits| limits.connection.message_bytes = 9215, "message-bytes"),
            (|limits| limits.history.queue_bytes_per_account = 9215, "queue-bytes-per-account"),
            (|limits| limits.storage.memory_bytes = 9215, "memory-bytes"),
            (|limits| limits.history.queue_bytes = 9216, "queue-bytes"),
            (|limits| limits.memory.page_bytes = (8 << 20) - 1, "page-bytes"),
            (|limits| limits.memory.tail_bytes = 1023 << 10, "tail-bytes"),
            (|limits| limits.memory.reply_bytes = 255 << 10, "reply-bytes"),
            (|limits| limits.memory.request_bytes = 64 << 10, "request-bytes"),
        ];
        for (change, key) in changes {
            let found = conflict(change);
            assert_eq!(found.len(), 1, "{key}: {found:?}");
            let Conflict { keys, sentence } = &found[0];
            assert!(keys[0].ends_with(key), "{keys:?}");
            assert!(keys.iter().all(|key| sentence.contains(key)), "{sentence}");
        }
        assert_eq!(conflict(|limits| limits.session.text_bytes = usize::MAX).len(), 3);
    }
}
