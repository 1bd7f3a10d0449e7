//! Presence, typing and read marks of a room: state that is not stored with its events.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Seq, UserId};

/// How long a user is shown as typing after the last Typing frame.
const TYPING: Duration = Duration::from_secs(6);

/// The most users that Joined or a snapshot lists.
const MAX_LISTED: usize = 256;

/// The most users shown as typing.
const MAX_TYPING: usize = 16;

/// Users who left are kept, for readers who have not seen that yet, until there are this many more of them than users
/// present.
const MAX_GONE: usize = 1024;

/// State with a version, so that a reader can be sent the difference since the version it has seen, however old: nothing
/// is queued for it. Pure.
#[derive(Debug, Default)]
pub(super) struct Ephemeral {
    version: u64,
    /// Users who left before this version may have been removed.
    removed_before: u64,
    people: HashMap<UserId, Person>,
    /// How many of them are present.
    present: usize,
    typing: HashMap<UserId, Instant>,
    /// The version in which `typing` last changed.
    typing_version: u64,
}

#[derive(Debug, Default)]
struct Person {
    /// The user's sessions in the room; 0 after they have left.
    sessions: usize,
    /// The version in which they came or left.
    changed: u64,
    read: Seq,
    /// The version in which `read` changed.
    read_version: u64,
}

/// What has changed between two versions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Delta {
    pub(crate) came: Vec<UserId>,
    pub(crate) left: Vec<UserId>,
    /// `came` lists everyone present and replaces what the reader knew.
    pub(crate) snapshot: bool,
    /// How many users are present.
    pub(crate) count: usize,
    /// Who is typing, if that has changed.
    pub(crate) typing: Option<Vec<UserId>>,
    /// How far the reader's own user has read, if that has changed.
    pub(crate) read: Option<Seq>,
}

impl Ephemeral {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn enter(&mut self, user: &UserId) {
        let person = self.people.entry(user.clone()).or_default();
        person.sessions += 1;
        if person.sessions == 1 {
            self.version += 1;
            person.changed = self.version;
            self.present += 1;
        }
    }

    pub(super) fn exit(&mut self, user: &UserId) {
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
                self.removed_before = self.version;
            }
        }
    }

    pub(super) fn typing(&mut self, user: &UserId, now: Instant) {
        if self.typing.insert(user.clone(), now + TYPING).is_none() {
            self.version += 1;
            self.typing_version = self.version;
        }
    }

    /// The user has sent a message, and so has finished typing it.
    pub(super) fn stop_typing(&mut self, user: &UserId) {
        if self.typing.remove(user).is_some() {
            self.version += 1;
            self.typing_version = self.version;
        }
    }

    pub(super) fn read(&mut self, user: &UserId, seq: Seq) {
        if let Some(person) = self.people.get_mut(user)
            && person.read < seq
        {
            self.version += 1;
            person.read = seq;
            person.read_version = self.version;
        }
    }

    /// Returns how far a present user has read, as far as that was reported while the room was open; else 0.
    pub(super) fn read_mark(&self, user: &UserId) -> Seq {
        self.people.get(user).map_or(0, |person| person.read)
    }

    /// Removes users who have stopped typing. Returns whether anyone still is.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let before = self.typing.len();
        self.typing.retain(|_, until| *until > now);
        if self.typing.len() < before {
            self.version += 1;
            self.typing_version = self.version;
        }
        !self.typing.is_empty()
    }

    /// Returns the users present, by id and at most 256, and how many there are in total.
    pub(super) fn present(&self) -> (Vec<UserId>, usize) {
        let mut present: Vec<_> =
            self.people.iter().filter(|(_, person)| person.sessions > 0).map(|(user, _)| user.clone()).collect();
        present.sort_unstable();
        present.truncate(MAX_LISTED);
        (present, self.present)
    }

    /// Returns what has changed since version `seen`, for a reader that belongs to user `me`.
    pub(super) fn since(&self, seen: u64, me: &UserId) -> Delta {
        let mut delta = Delta { count: self.present, ..Delta::default() };
        if seen < self.removed_before {
            delta.snapshot = true;
            delta.came = self.present().0;
        } else {
            for (user, person) in self.people.iter().filter(|(_, person)| person.changed > seen) {
                if person.sessions > 0 {
                    delta.came.push(user.clone());
                } else {
                    delta.left.push(user.clone());
                }
            }
            delta.came.sort_unstable();
            delta.left.sort_unstable();
            if delta.came.len() + delta.left.len() > MAX_LISTED {
                delta.snapshot = true;
                delta.came = self.present().0;
                delta.left = Vec::new();
            }
        }
        if self.typing_version > seen {
            let mut typing: Vec<_> = self.typing.keys().filter(|user| *user != me).cloned().collect();
            typing.sort_unstable();
            typing.truncate(MAX_TYPING);
            delta.typing = Some(typing);
        }
        delta.read = self.people.get(me).filter(|person| person.read_version > seen).map(|person| person.read);
        delta
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
        let mut ephemeral = Ephemeral::default();
        ephemeral.enter(&user("ann"));
        let seen = ephemeral.version();
        ephemeral.enter(&user("ann"));
        assert_eq!(ephemeral.version(), seen, "a second session changes nothing");
        ephemeral.exit(&user("ann"));
        assert_eq!(ephemeral.version(), seen);
        ephemeral.exit(&user("ann"));
        let delta = ephemeral.since(seen, &user("bob"));
        assert_eq!((names(&delta.left), delta.count), (vec!["ann"], 0));
        ephemeral.exit(&user("ann"));
        assert_eq!(ephemeral.present().1, 0);
    }

    #[test]
    fn only_the_final_state_of_several_changes_is_in_the_delta() {
        let mut ephemeral = Ephemeral::default();
        ephemeral.enter(&user("ann"));
        ephemeral.exit(&user("ann"));
        ephemeral.enter(&user("ann"));
        assert_eq!(names(&ephemeral.since(0, &user("bob")).came), ["ann"]);
        ephemeral.exit(&user("ann"));
        assert_eq!(names(&ephemeral.since(0, &user("bob")).left), ["ann"]);
    }

    #[test]
    fn a_reader_older_than_what_is_kept_gets_a_snapshot() {
        let mut ephemeral = Ephemeral::default();
        ephemeral.enter(&user("ann"));
        for n in 0..2 * MAX_GONE {
            let passing = user(&format!("u{n}"));
            ephemeral.enter(&passing);
            ephemeral.exit(&passing);
        }
        let delta = ephemeral.since(0, &user("bob"));
        assert!(delta.snapshot);
        assert_eq!((names(&delta.came), delta.count), (vec!["ann"], 1));
        assert!(ephemeral.people.len() <= MAX_GONE + 3, "{}", ephemeral.people.len());
    }

    #[test]
    fn typing_ends_with_the_message_with_time_and_with_leaving() {
        let now = Instant::now();
        let mut ephemeral = Ephemeral::default();
        ephemeral.enter(&user("ann"));
        let typing = |ephemeral: &Ephemeral, seen| ephemeral.since(seen, &user("bob")).typing;
        ephemeral.typing(&user("ann"), now);
        assert_eq!(typing(&ephemeral, 0), Some(vec![user("ann")]));
        assert_eq!(ephemeral.since(0, &user("ann")).typing, Some(vec![]), "a user does not see themselves");
        let seen = ephemeral.version();
        ephemeral.typing(&user("ann"), now);
        assert_eq!(ephemeral.version(), seen, "still typing changes nothing");
        ephemeral.stop_typing(&user("ann"));
        assert_eq!(typing(&ephemeral, seen), Some(vec![]));

        ephemeral.typing(&user("ann"), now);
        assert!(ephemeral.expire(now + TYPING / 2));
        assert!(!ephemeral.expire(now + TYPING));
        let seen = ephemeral.version();
        assert_eq!(typing(&ephemeral, seen - 1), Some(vec![]));
        assert_eq!(typing(&ephemeral, seen), None);

        ephemeral.typing(&user("ann"), now);
        ephemeral.exit(&user("ann"));
        assert_eq!(typing(&ephemeral, seen), Some(vec![]));
    }

    #[test]
    fn a_read_mark_only_moves_forward_and_is_seen_by_its_own_user() {
        let mut ephemeral = Ephemeral::default();
        ephemeral.enter(&user("ann"));
        let seen = ephemeral.version();
        ephemeral.read(&user("ann"), 5);
        ephemeral.read(&user("ann"), 3);
        ephemeral.read(&user("nobody"), 3);
        assert_eq!(ephemeral.since(seen, &user("ann")).read, Some(5));
        assert_eq!(ephemeral.since(seen, &user("bob")).read, None);
    }
}
