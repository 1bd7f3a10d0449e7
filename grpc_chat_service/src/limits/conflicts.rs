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

impl Limits {
    /// Returns the limits that are too small for others.
    #[must_use]
    pub fn conflicts(&self) -> Vec<Conflict> {
        let Self { connection, session, history, storage, .. } = self;
        let text = ("limits.session.text-bytes", session.text_bytes.saturating_add(FRAME_BYTES), "1 KiB more than ");
        let account = ("limits.history.queue-bytes-per-account", history.queue_bytes_per_account);
        let rules = [
            (
                ("limits.connection.message-bytes", connection.message_bytes),
                text,
                "a frame with such a text can be received",
            ),
            (account, text, "such a text can be stored"),
            (("limits.storage.memory-bytes", storage.memory_bytes), text, "such a text can be stored in memory"),
            (
                ("limits.history.queue-bytes", history.queue_bytes),
                (account.0, account.1, ""),
                "an account can use what it may",
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
    use crate::limits::{ConnectionLimits, HistoryLimits, SessionLimits};

    #[test]
    fn the_defaults_agree() {
        assert_eq!(Limits::default().conflicts(), []);
    }

    #[test]
    fn what_is_too_small_for_something_else_is_found() {
        let base = Limits::default();
        let with = |connection, session, history| Limits { connection, session, history, ..base };
        let message = |message_bytes| ConnectionLimits { message_bytes, ..base.connection };
        let text = |text_bytes| SessionLimits { text_bytes, ..base.session };
        let queue = |queue_bytes, queue_bytes_per_account| HistoryLimits { queue_bytes, queue_bytes_per_account };
        assert_eq!(with(message(9216), text(8192), queue(9216, 9216)).conflicts(), []);
        for (limits, keys) in [
            (
                with(message(9215), text(8192), base.history),
                ["limits.connection.message-bytes", "limits.session.text-bytes"],
            ),
            (
                with(base.connection, base.session, queue(9215, 9215)),
                ["limits.history.queue-bytes-per-account", "limits.session.text-bytes"],
            ),
            (
                with(base.connection, base.session, queue(9216, 9217)),
                ["limits.history.queue-bytes", "limits.history.queue-bytes-per-account"],
            ),
        ] {
            let found = limits.conflicts();
            assert_eq!((found.len(), found[0].keys), (1, keys));
            assert!(keys.iter().all(|key| found[0].sentence.contains(key)));
        }
        assert_eq!(with(base.connection, text(usize::MAX), base.history).conflicts().len(), 3);
    }
}
