//! Notices: short messages to the user, and how long each is shown. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::text::{clean, cut, wrap};

/// How long a notice is shown at least that is not about the user's last key.
pub(crate) const SHOWN_FOR: Duration = Duration::from_secs(4);

/// The most notices that wait for their turn.
const WAITING: usize = 8;

/// The most rows of one notice.
const ROWS: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) text: String,
    pub(crate) bad: bool,
}

#[derive(Debug)]
pub(crate) struct Notices {
    /// About the user's last key. Shown until the next one.
    explanation: Option<Notice>,
    /// When the explanation stops being true, if it does.
    true_until: Option<Instant>,
    /// About anything else, each shown for a while.
    waiting: VecDeque<Notice>,
    /// Until when the one that is shown stays.
    until: Instant,
}

impl Notices {
    pub(crate) fn new(now: Instant) -> Self {
        Self { explanation: None, true_until: None, waiting: VecDeque::new(), until: now }
    }

    /// Returns the notice to show.
    pub(crate) fn shown(&self) -> Option<&Notice> {
        self.explanation.as_ref().or_else(|| self.waiting.front())
    }

    /// Explains why nothing comes of the user's last key. `until`: when that stops being true, if it does.
    pub(crate) fn explain(&mut self, text: String, now: Instant, until: Option<Instant>) {
        self.explanation = Some(Notice { text, bad: true });
        self.true_until = until;
        self.until = now + SHOWN_FOR;
    }

    /// Shows a notice about something else, now or when it has its turn.
    pub(crate) fn add(&mut self, bad: bool, text: String, now: Instant) {
        let notice = Notice { text, bad };
        if self.shown().is_none() {
            self.until = now + SHOWN_FOR;
        } else if self.waiting.back() == Some(&notice) {
            return;
        } else if self.waiting.len() == WAITING {
            // The one that is shown stays.
            self.waiting.remove(1);
        }
        self.waiting.push_back(notice);
    }

    /// Removes what is shown, if it has been there long enough: the user has pressed a key.
    pub(crate) fn acknowledge(&mut self, now: Instant) {
        if self.explanation.take().is_none() {
            if now < self.until {
                return;
            }
            self.waiting.pop_front();
        }
        self.until = now + SHOWN_FOR;
    }

    /// Moves on to the next notice when it is time for that.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.true_until.take_if(|until| *until <= now).is_some() {
            self.explanation = None;
            self.until = now + SHOWN_FOR;
        }
        if self.deadline().is_some_and(|due| due <= now) {
            self.acknowledge(now);
        }
    }

    /// Returns when [`Notices::tick`] is due, if it is.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let all = self.waiting.len() + usize::from(self.explanation.is_some());
        let next = (all > 1).then_some(self.until);
        [next, self.true_until].into_iter().flatten().min()
    }
}

/// Returns a notice's rows in this width; the last one is cut if there are too many.
pub(crate) fn rows(text: &str, columns: usize) -> Vec<String> {
    let text = clean(text);
    let mut rows = wrap(&text, columns);
    let Some(last) = rows.get(ROWS - 1).cloned() else {
        return rows.into_iter().map(|row| text[row].to_owned()).collect();
    };
    rows.truncate(ROWS - 1);
    let last = cut(text[last.start..].trim_end(), columns).into_owned();
    rows.into_iter().map(|row| text[row].to_owned()).chain([last]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(notices: &Notices) -> &str {
        notices.shown().map_or("", |notice| &notice.text)
    }

    #[test]
    fn each_is_shown_long_enough_and_explanations_go_first() {
        let mut now = Instant::now();
        let mut notices = Notices::new(now);
        for text in ["one", "two", "two"] {
            notices.add(true, text.to_owned(), now);
        }
        notices.acknowledge(now);
        assert_eq!(
            (shown(&notices), notices.deadline()),
            ("one", Some(now + SHOWN_FOR)),
            "a key does not take it away"
        );
        now += SHOWN_FOR;
        notices.tick(now);
        assert_eq!((shown(&notices), notices.deadline()), ("two", None));
        notices.explain("no such thing".to_owned(), now, None);
        assert_eq!(shown(&notices), "no such thing");
        notices.acknowledge(now);
        assert_eq!(shown(&notices), "two");
        notices.acknowledge(now);
        assert_eq!(shown(&notices), "two", "it was not seen meanwhile");
        now += SHOWN_FOR;
        notices.tick(now);
        assert_eq!(shown(&notices), "two", "it stays until a key is pressed");
        notices.acknowledge(now);
        assert_eq!(shown(&notices), "");
    }

    #[test]
    fn an_explanation_that_is_not_true_any_more_is_not_shown() {
        let now = Instant::now();
        let mut notices = Notices::new(now);
        notices.explain("again to quit".to_owned(), now, Some(now + SHOWN_FOR / 2));
        assert_eq!(notices.deadline(), Some(now + SHOWN_FOR / 2));
        notices.tick(now + SHOWN_FOR / 2);
        assert_eq!((shown(&notices), notices.deadline()), ("", None));
    }

    #[test]
    fn only_a_few_wait() {
        let now = Instant::now();
        let mut notices = Notices::new(now);
        (0..100).for_each(|n| notices.add(true, n.to_string(), now));
        assert_eq!((shown(&notices), notices.waiting.len()), ("0", WAITING));
        assert_eq!(notices.waiting.back().map(|last| last.text.as_str()), Some("99"));
    }

    #[test]
    fn a_long_notice_has_a_few_rows() {
        assert_eq!(rows("one two", 20), ["one two"]);
        assert_eq!(rows("one two three four", 5), ["one ", "two ", "thre…"]);
        assert_eq!(rows("one two three", 5), ["one ", "two ", "three"]);
        assert_eq!(rows("", 5), [""]);
    }
}
