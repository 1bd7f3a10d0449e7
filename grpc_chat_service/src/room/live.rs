//! What is true of a room just now and kept nowhere: who is here, who is typing, how far a user has read.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Seq, UserId};

/// How long a user is shown as typing after the last sign of it.
const TYPING: Duration = Duration::from_secs(6);

/// The most users a Joined or a snapshot names.
pub(crate) const MAX_NAMED: usize = 256;

/// The most users shown as typing.
const MAX_TYPING: usize = 16;

/// Users who left are remembered, for readers who have not been told, until there are so many more than present.
const MAX_GONE: usize = 1024;

/// State with a version, so that a reader is told the difference since it was last told, however long ago: nothing is
/// queued for it. Pure.
#[derive(Debug, Default)]
pub(crate) struct Live {
    version: u64,
    /// Who left before this version may have been forgotten.
    forgotten: u64,
    people: HashMap<UserId, Person>,
    /// How many of them are present.
    present: usize,
    typing: HashMap<UserId, Instant>,
    /// When `typing` last changed.
    typing_version: u64,
}

#[derive(Debug, Default)]
struct Person {
    /// Sessions of theirs in the room; 0 after they have left.
    sessions: usize,
    /// When they came or left.
    changed: u64,
    read: Seq,
    /// When `read` changed.
    read_version: u64,
}

/// What a reader has not been told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) came: Vec<UserId>,
    pub(crate) left: Vec<UserId>,
    /// `came` is everyone, and replaces what was known.
    pub(crate) snapshot: bool,
    pub(crate) count: usize,
    /// Who is typing, where that changed.
    pub(crate) typing: Option<Vec<UserId>>,
    /// How far the reader's own user has read, where that changed.
    pub(crate) read: Option<Seq>,
}

impl Live {
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn enter(&mut self, user: &UserId) {
        let person = self.people.entry(user.clone()).or_default();
        person.sessions += 1;
        if person.sessions == 1 {
            self.version += 1;
            person.changed = self.version;
            self.present += 1;
        }
    }

    pub(crate) fn exit(&mut self, user: &UserId) {
        let Some(person) = self.people.get_mut(user).filter(|person| person.sessions > 0) else {
            return;
        };
        person.sessions -= 1;
        if person.sessions == 0 {
            self.version += 1;
            person.changed = self.version;
            self.present -= 1;
            if self.typing.remove(user).is_some() {
                self.typing_version = self.version;
            }
            if self.people.len() - self.present > MAX_GONE + self.present {
                self.people.retain(|_, person| person.sessions > 0);
                self.forgotten = self.version;
            }
        }
    }

    pub(crate) fn typing(&mut self, user: &UserId, now: Instant) {
        if self.typing.insert(user.clone(), now + TYPING).is_none() {
            self.version += 1;
            self.typing_version = self.version;
        }
    }

    /// A message says that its sender is done typing.
    pub(crate) fn posted(&mut self, user: &UserId) {
        if self.typing.remove(user).is_some() {
            self.version += 1;
            self.typing_version = self.version;
        }
    }

    pub(crate) fn read(&mut self, user: &UserId, seq: Seq) {
        if let Some(person) = self.people.get_mut(user)
            && person.read < seq
        {
            self.version += 1;
            person.read = seq;
            person.read_version = self.version;
        }
    }

    /// How far a present user has read, 0 if that has not been told.
    pub(crate) fn read_mark(&self, user: &UserId) -> Seq {
        self.people.get(user).map_or(0, |person| person.read)
    }

    /// Forgets who has stopped typing. Whether somebody still is.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let before = self.typing.len();
        self.typing.retain(|_, until| *until > now);
        if self.typing.len() < before {
            self.version += 1;
            self.typing_version = self.version;
        }
        !self.typing.is_empty()
    }

    /// Present users, by id, and how many there are in all.
    pub(crate) fn present(&self) -> (Vec<UserId>, usize) {
        let mut present: Vec<_> =
            self.people.iter().filter(|(_, person)| person.sessions > 0).map(|(user, _)| user.clone()).collect();
        present.sort_unstable();
        present.truncate(MAX_NAMED);
        (present, self.present)
    }

    /// What has changed since `seen`, for a reader of this user.
    pub(crate) fn since(&self, seen: u64, me: &UserId) -> News {
        let mut news = News { count: self.present, ..News::default() };
        if seen < self.forgotten {
            news.snapshot = true;
            news.came = self.present().0;
        } else {
            for (user, person) in self.people.iter().filter(|(_, person)| person.changed > seen) {
                if person.sessions > 0 {
                    news.came.push(user.clone());
                } else {
                    news.left.push(user.clone());
                }
            }
            news.came.sort_unstable();
            news.left.sort_unstable();
            if news.came.len() + news.left.len() > MAX_NAMED {
                news.snapshot = true;
                news.came = self.present().0;
                news.left = Vec::new();
            }
        }
        if self.typing_version > seen {
            let mut typing: Vec<_> = self.typing.keys().filter(|user| *user != me).cloned().collect();
            typing.sort_unstable();
            typing.truncate(MAX_TYPING);
            news.typing = Some(typing);
        }
        news.read = self.people.get(me).filter(|person| person.read_version > seen).map(|person| person.read);
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn names(users: &[UserId]) -> Vec<&str> {
        users.iter().map(UserId::as_str).collect()
    }

    #[test]
    fn a_user_is_present_from_the_first_session_to_the_last() {
        let mut live = Live::default();
        live.enter(&user("ann"));
        let seen = live.version();
        live.enter(&user("ann"));
        assert_eq!(live.version(), seen, "a second session is no news");
        live.exit(&user("ann"));
        assert_eq!(live.version(), seen);
        live.exit(&user("ann"));
        let news = live.since(seen, &user("bob"));
        assert_eq!((names(&news.left), news.count), (vec!["ann"], 0));
        live.exit(&user("ann"));
        assert_eq!(live.present().1, 0);
    }

    #[test]
    fn coming_and_going_between_two_looks_is_told_as_where_it_ended() {
        let mut live = Live::default();
        live.enter(&user("ann"));
        live.exit(&user("ann"));
        live.enter(&user("ann"));
        assert_eq!(names(&live.since(0, &user("bob")).came), ["ann"]);
        live.exit(&user("ann"));
        assert_eq!(names(&live.since(0, &user("bob")).left), ["ann"]);
    }

    #[test]
    fn a_reader_from_before_what_is_remembered_gets_everyone_present() {
        let mut live = Live::default();
        live.enter(&user("ann"));
        for n in 0..2 * MAX_GONE {
            let passing = user(&format!("u{n}"));
            live.enter(&passing);
            live.exit(&passing);
        }
        let news = live.since(0, &user("bob"));
        assert!(news.snapshot);
        assert_eq!((names(&news.came), news.count), (vec!["ann"], 1));
        assert!(live.people.len() <= MAX_GONE + 3, "{}", live.people.len());
    }

    #[test]
    fn typing_ends_with_the_message_with_time_and_with_leaving() {
        let now = Instant::now();
        let mut live = Live::default();
        live.enter(&user("ann"));
        let typing = |live: &Live, seen| live.since(seen, &user("bob")).typing;
        live.typing(&user("ann"), now);
        assert_eq!(typing(&live, 0), Some(vec![user("ann")]));
        assert_eq!(live.since(0, &user("ann")).typing, Some(vec![]), "not told of oneself");
        let seen = live.version();
        live.typing(&user("ann"), now);
        assert_eq!(live.version(), seen, "still typing is no news");
        live.posted(&user("ann"));
        assert_eq!(typing(&live, seen), Some(vec![]));

        live.typing(&user("ann"), now);
        assert!(live.expire(now + TYPING / 2));
        assert!(!live.expire(now + TYPING));
        let seen = live.version();
        assert_eq!(typing(&live, seen - 1), Some(vec![]));
        assert_eq!(typing(&live, seen), None);

        live.typing(&user("ann"), now);
        live.exit(&user("ann"));
        assert_eq!(typing(&live, seen), Some(vec![]));
    }

    #[test]
    fn a_read_mark_is_told_to_the_same_user_and_only_forward() {
        let mut live = Live::default();
        live.enter(&user("ann"));
        let seen = live.version();
        live.read(&user("ann"), 5);
        live.read(&user("ann"), 3);
        live.read(&user("nobody"), 3);
        assert_eq!(live.since(seen, &user("ann")).read, Some(5));
        assert_eq!(live.since(seen, &user("bob")).read, None);
    }
}
