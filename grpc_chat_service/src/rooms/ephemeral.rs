//! Presence, typing and read marks of a room: state that is not stored with its events.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{RoomId, Seq, UserId};
use crate::peers::{NodeId, Signal};

/// How long a user is shown as typing after the last Typing frame.
const TYPING: Duration = Duration::from_secs(6);

/// The most users present whose names readers are sent. In a room with more, each would be sent thousands of names that nobody
/// reads, again and again, so only their number is sent.
const MAX_LISTED: usize = 256;

/// Names are sent again when no more users than this are present. Fewer than [`MAX_LISTED`], so that a few users who come and go
/// do not have all names sent to all readers each time.
const LISTED_AGAIN: usize = 192;

/// A number of users is sent at once if it has changed by one part in so many, or by more.
const NOTICEABLE: usize = 8;

/// How often a number is sent that has changed by less.
const COUNT_EVERY: Duration = Duration::from_secs(5);

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
    /// The version in which what readers are sent of who is present last changed.
    presence_version: u64,
    /// Set while there are too many users to name.
    crowd: Option<Crowd>,
    typing: HashMap<UserId, Instant>,
    /// The version in which `typing` last changed.
    typing_version: u64,
    own: Own,
    /// Who is present through other nodes.
    nodes: HashMap<NodeId, Node>,
}

/// A room with so many users present that only their number is sent.
#[derive(Debug)]
struct Crowd {
    /// The number that was sent last.
    count: usize,
    /// When that was; `None` until the time is known.
    sent: Option<Instant>,
}

#[derive(Debug, Default)]
struct Person {
    /// The user's sessions in the room on this node.
    sessions: usize,
    /// The other nodes through which the user is present.
    nodes: usize,
    /// The version in which they came or left.
    changed: u64,
    read: Seq,
    /// The version in which `read` changed.
    read_version: u64,
}

/// What other nodes have been told about this one.
#[derive(Debug, Default)]
struct Own {
    /// The version of the last signal about presence, 0 before the first.
    version: u64,
    /// Users who have come or left since.
    changed: HashSet<UserId>,
    /// Users who have typed since.
    typed: HashSet<UserId>,
}

/// What another node has told about itself.
#[derive(Debug, Default)]
struct Node {
    /// The version of its last signal about presence.
    version: u64,
    users: HashSet<UserId>,
}

/// What has changed between two versions in who is present. The same for all readers that have seen the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Presence {
    pub(crate) came: Vec<UserId>,
    pub(crate) left: Vec<UserId>,
    /// `came` lists everyone present, or nobody if there are too many, and replaces what the reader knew.
    pub(crate) snapshot: bool,
    /// How many users are present.
    pub(crate) count: usize,
}

/// What else has changed between two versions, for one reader.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Personal {
    /// Which other users are typing, if that has changed.
    pub(crate) typing: Option<Vec<UserId>>,
    /// How far the reader's own user has read, if that has changed.
    pub(crate) read: Option<Seq>,
}

/// Names a [`Presence`]: two with the same key are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PresenceKey {
    /// The version that the readers have seen; `None` for a snapshot, which is the same for all.
    seen: Option<u64>,
    version: u64,
}

impl Ephemeral {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Adds a session of `user` on this node.
    pub(super) fn enter(&mut self, user: &UserId) {
        self.change(user, |person| person.sessions += 1);
        if self.people.get(user).is_some_and(|person| person.sessions == 1) {
            self.own.changed.insert(user.clone());
        }
    }

    /// Removes a session of `user` on this node.
    pub(super) fn exit(&mut self, user: &UserId) {
        let Some(sessions) = self.people.get(user).map(|person| person.sessions).filter(|sessions| *sessions > 0)
        else {
            return;
        };
        self.change(user, |person| person.sessions = sessions - 1);
        if sessions == 1 {
            self.own.changed.insert(user.clone());
        }
    }

    /// Shows a user of this node as typing, unless the room is so full that nobody is shown.
    pub(super) fn typing(&mut self, user: &UserId, now: Instant) {
        if self.crowd.is_some() {
            return;
        }
        self.own.typed.insert(user.clone());
        self.show_typing(user, now);
    }

    /// Returns what to tell the other nodes: what has changed on this one since the last call.
    pub(super) fn signals(&mut self, room: &RoomId) -> Vec<Signal> {
        let mut signals = Vec::new();
        let changed = std::mem::take(&mut self.own.changed);
        if !changed.is_empty() {
            self.own.version += 1;
            let (version, room) = (self.own.version, room.clone());
            let is_here = |user: &UserId| self.people.get(user).is_some_and(|person| person.sessions > 0);
            // The first signal is complete, so that later ones have something to refer to.
            signals.push(if version == 1 {
                self.whole(&room)
            } else {
                let (came, left) = changed.into_iter().partition(is_here);
                Signal::Changed { room, version, came, left }
            });
        }
        let typed = std::mem::take(&mut self.own.typed);
        signals.extend(typed.into_iter().map(|user| Signal::Typing { room: room.clone(), user }));
        signals
    }

    /// Returns all that other nodes can know of who is present through this one.
    pub(super) fn whole(&self, room: &RoomId) -> Signal {
        let here = self.people.iter().filter(|(_, person)| person.sessions > 0);
        let users = here.map(|(user, _)| user.clone()).collect();
        Signal::Present { room: room.clone(), version: self.own.version, users }
    }

    /// Applies a signal about presence or typing from another node. Returns `false` if an earlier one is missing.
    pub(super) fn apply(&mut self, node: NodeId, signal: Signal, now: Instant) -> bool {
        match signal {
            Signal::Present { version, users, .. } => {
                let known = self.nodes.remove(&node).unwrap_or_default();
                let users: HashSet<_> = users.into_iter().collect();
                users.difference(&known.users).for_each(|user| self.change(user, |person| person.nodes += 1));
                known.users.difference(&users).for_each(|user| self.left_node(user));
                self.nodes.insert(node, Node { version, users });
            }
            Signal::Changed { version, came, left, .. } => {
                let Some(known) = self.nodes.get_mut(&node).filter(|known| known.version + 1 == version) else {
                    return false;
                };
                known.version = version;
                let came: Vec<_> = came.into_iter().filter(|user| known.users.insert(user.clone())).collect();
                let left: Vec<_> = left.into_iter().filter(|user| known.users.remove(user)).collect();
                came.iter().for_each(|user| self.change(user, |person| person.nodes += 1));
                left.iter().for_each(|user| self.left_node(user));
            }
            Signal::Typing { user, .. } => self.show_typing(&user, now),
            Signal::Alive | Signal::Ask { .. } => {}
        }
        true
    }

    /// Removes those who are present through a node that has stopped.
    pub(super) fn node_stopped(&mut self, node: NodeId) {
        for user in self.nodes.remove(&node).unwrap_or_default().users {
            self.left_node(&user);
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

    fn left_node(&mut self, user: &UserId) {
        self.change(user, |person| person.nodes = person.nodes.saturating_sub(1));
    }

    /// Changes where a user is present.
    fn change(&mut self, user: &UserId, change: impl FnOnce(&mut Person)) {
        let person = self.people.entry(user.clone()).or_default();
        let before = person.is_present();
        change(person);
        if person.is_present() == before {
            return;
        }
        if self.crowd.is_none() {
            self.version += 1;
            self.presence_version = self.version;
        }
        person.changed = self.version;
        if before {
            self.present -= 1;
            if self.typing.remove(user).is_some() {
                self.typing_version = self.version;
            }
        } else {
            self.present += 1;
        }
        if self.people.len() - self.present > MAX_GONE + self.present {
            self.people.retain(|_, person| person.is_present());
            self.removed_before = self.version;
        }
        match &self.crowd {
            None if self.present > MAX_LISTED => self.begin_counting(),
            Some(_) if self.present <= LISTED_AGAIN => self.end_counting(),
            _ => {}
        }
    }

    /// There are too many users to name.
    fn begin_counting(&mut self) {
        self.version += 1;
        self.presence_version = self.version;
        self.crowd = Some(Crowd { count: self.present, sent: None });
        self.own.typed.clear();
        if !self.typing.is_empty() {
            self.typing.clear();
            self.typing_version = self.version;
        }
    }

    /// Users are named again. No reader knows who they are.
    fn end_counting(&mut self) {
        self.version += 1;
        self.presence_version = self.version;
        self.removed_before = self.version;
        self.crowd = None;
    }

    /// Decides whether readers are sent the number of users in a large room. Returns whether this has to be asked again: the
    /// number has changed, by too little to be sent so soon.
    pub(super) fn count(&mut self, now: Instant) -> bool {
        let Some(crowd) = &mut self.crowd else { return false };
        let sent = *crowd.sent.get_or_insert(now);
        let by = self.present.abs_diff(crowd.count);
        if by == 0 {
            return false;
        }
        if now < sent + COUNT_EVERY && by < crowd.count / NOTICEABLE {
            return true;
        }
        *crowd = Crowd { count: self.present, sent: Some(now) };
        self.version += 1;
        self.presence_version = self.version;
        false
    }

    fn show_typing(&mut self, user: &UserId, now: Instant) {
        if self.crowd.is_none() && self.typing.insert(user.clone(), now + TYPING).is_none() {
            self.version += 1;
            self.typing_version = self.version;
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

    /// Returns the users present, by id, or nobody if there are too many to name; and how many there are.
    pub(super) fn present(&self) -> (Vec<UserId>, usize) {
        if self.crowd.is_some() {
            return (Vec::new(), self.present);
        }
        let mut present: Vec<_> =
            self.people.iter().filter(|(_, person)| person.is_present()).map(|(user, _)| user.clone()).collect();
        present.sort_unstable();
        (present, self.present)
    }

    /// Returns the key of what [`Ephemeral::presence_since`] returns; `None` if nothing has changed.
    pub(super) fn presence_key(&self, seen: u64) -> Option<PresenceKey> {
        let is_snapshot = self.crowd.is_some() || seen < self.removed_before;
        let key = PresenceKey { seen: (!is_snapshot).then_some(seen), version: self.presence_version };
        (self.presence_version > seen).then_some(key)
    }

    /// Returns what has changed since version `seen` in who is present.
    pub(super) fn presence_since(&self, seen: u64) -> Presence {
        let snapshot = |(came, count)| Presence { came, left: Vec::new(), snapshot: true, count };
        if self.crowd.is_some() || seen < self.removed_before {
            return snapshot(self.present());
        }
        let changed = self.people.iter().filter(|(_, person)| person.changed > seen);
        let (mut came, mut left): (Vec<_>, Vec<_>) = changed.partition(|(_, person)| person.is_present());
        if came.len() + left.len() > MAX_LISTED {
            return snapshot(self.present());
        }
        let names = |people: &mut Vec<(&UserId, &Person)>| {
            let mut names: Vec<_> = people.drain(..).map(|(user, _)| user.clone()).collect();
            names.sort_unstable();
            names
        };
        Presence { came: names(&mut came), left: names(&mut left), snapshot: false, count: self.present }
    }

    /// Returns what else has changed since version `seen`, for a reader that belongs to user `me`.
    pub(super) fn personal_since(&self, seen: u64, me: &UserId) -> Personal {
        let typing = (self.typing_version > seen).then(|| {
            let mut typing: Vec<_> = self.typing.keys().filter(|user| *user != me).cloned().collect();
            typing.sort_unstable();
            typing.truncate(MAX_TYPING);
            typing
        });
        let read = self.people.get(me).filter(|person| person.read_version > seen).map(|person| person.read);
        Personal { typing, read }
    }
}

impl Person {
    fn is_present(&self) -> bool {
        self.sessions + self.nodes > 0
    }
}

#[cfg(test)]
mod tests;
