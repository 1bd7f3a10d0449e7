//! What is said to the user in one line, and for how long. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How long something stays that the user did not ask for, whatever keys come meanwhile; and how much of it there is.
pub(crate) const STAYS: Duration = Duration::from_secs(4);
const WAITING: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) text: String,
    pub(crate) bad: bool,
}

#[derive(Debug)]
pub(crate) struct Notices {
    /// What came of what the user has just done, until the next key.
    answer: Option<Notice>,
    /// Or until then, if it is not so any more.
    answer_until: Option<Instant>,
    /// What has happened elsewhere, each for a while.
    waiting: VecDeque<Notice>,
    /// Until when the one that is shown stays.
    until: Instant,
}

impl Notices {
    pub(crate) fn new(now: Instant) -> Self {
        Self { answer: None, answer_until: None, waiting: VecDeque::new(), until: now }
    }

    pub(crate) fn shown(&self) -> Option<&Notice> {
        self.answer.as_ref().or_else(|| self.waiting.front())
    }

    pub(crate) fn answered(&self) -> Option<&Notice> {
        self.answer.as_ref()
    }

    pub(crate) fn answer(&mut self, text: String, now: Instant, so_until: Option<Instant>) {
        self.answer = Some(Notice { text, bad: true });
        self.answer_until = so_until;
        self.until = now + STAYS;
    }

    pub(crate) fn say(&mut self, bad: bool, text: String, now: Instant) {
        let notice = Notice { text, bad };
        if self.shown().is_none() {
            self.until = now + STAYS;
        } else if self.waiting.back() == Some(&notice) {
            return;
        } else if self.waiting.len() == WAITING {
            // Not the one that is being read.
            self.waiting.remove(1);
        }
        self.waiting.push_back(notice);
    }

    /// The user goes on: what has been there long enough need not stay.
    pub(crate) fn heard(&mut self, now: Instant) {
        if self.answer.take().is_none() {
            if now < self.until {
                return;
            }
            self.waiting.pop_front();
        }
        self.until = now + STAYS;
    }

    /// The next one has its turn.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.answer_until.take_if(|until| *until <= now).is_some() {
            self.answer = None;
            self.until = now + STAYS;
        }
        if self.deadline().is_some_and(|due| due <= now) {
            self.heard(now);
        }
    }

    /// When [`Notices::tick`] is due, if it is.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let all = self.waiting.len() + usize::from(self.answer.is_some());
        let next = (all > 1).then_some(self.until);
        [next, self.answer_until].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(notices: &Notices) -> &str {
        notices.shown().map_or("", |notice| &notice.text)
    }

    #[test]
    fn each_is_there_long_enough_and_what_was_asked_goes_first() {
        let mut now = Instant::now();
        let mut notices = Notices::new(now);
        for text in ["one", "two", "two"] {
            notices.say(true, text.to_owned(), now);
        }
        notices.heard(now);
        assert_eq!((shown(&notices), notices.deadline()), ("one", Some(now + STAYS)), "a key does not take it away");
        now += STAYS;
        notices.tick(now);
        assert_eq!((shown(&notices), notices.deadline()), ("two", None));
        notices.answer("no such thing".to_owned(), now, None);
        assert_eq!(shown(&notices), "no such thing");
        notices.heard(now);
        assert_eq!(shown(&notices), "two");
        notices.heard(now);
        assert_eq!(shown(&notices), "two", "it was not seen meanwhile");
        now += STAYS;
        notices.tick(now);
        assert_eq!(shown(&notices), "two", "it stays until a key is pressed");
        notices.heard(now);
        assert_eq!(shown(&notices), "");
    }

    #[test]
    fn what_is_not_so_any_more_is_not_said_any_more() {
        let now = Instant::now();
        let mut notices = Notices::new(now);
        notices.answer("again to quit".to_owned(), now, Some(now + STAYS / 2));
        assert_eq!(notices.deadline(), Some(now + STAYS / 2));
        notices.tick(now + STAYS / 2);
        assert_eq!((shown(&notices), notices.deadline()), ("", None));
    }

    #[test]
    fn there_are_never_many() {
        let now = Instant::now();
        let mut notices = Notices::new(now);
        (0..100).for_each(|n| notices.say(true, n.to_string(), now));
        assert_eq!((shown(&notices), notices.waiting.len()), ("0", WAITING));
        assert_eq!(notices.waiting.back().map(|last| last.text.as_str()), Some("99"));
    }
}
