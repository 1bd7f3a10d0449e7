//! Presence and typing by cases, and two nodes that tell each other.

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
    let delta = ephemeral.presence_since(seen);
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
    assert_eq!(names(&ephemeral.presence_since(0).came), ["ann"]);
    ephemeral.exit(&user("ann"));
    assert_eq!(names(&ephemeral.presence_since(0).left), ["ann"]);
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
    let delta = ephemeral.presence_since(0);
    assert!(delta.snapshot);
    assert_eq!((names(&delta.came), delta.count), (vec!["ann"], 1));
    assert!(ephemeral.people.len() <= MAX_GONE + 3, "{}", ephemeral.people.len());
}

#[test]
fn typing_ends_with_the_message_with_time_and_with_leaving() {
    let now = Instant::now();
    let mut ephemeral = Ephemeral::default();
    ephemeral.enter(&user("ann"));
    let typing = |ephemeral: &Ephemeral, seen| ephemeral.personal_since(seen, &user("bob")).typing;
    ephemeral.typing(&user("ann"), now);
    assert_eq!(typing(&ephemeral, 0), Some(vec![user("ann")]));
    assert_eq!(ephemeral.personal_since(0, &user("ann")).typing, Some(vec![]), "a user does not see themselves");
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
    assert_eq!(ephemeral.personal_since(seen, &user("ann")).read, Some(5));
    assert_eq!(ephemeral.personal_since(seen, &user("bob")).read, None);
}

/// Two nodes with the same room open; what one sends, the other applies.
struct Nodes {
    room: RoomId,
    here: Ephemeral,
    there: Ephemeral,
    now: Instant,
}

const HERE: NodeId = NodeId(1);

impl Nodes {
    fn new() -> Self {
        let room = RoomId::new("a").unwrap();
        Self { room, here: Ephemeral::default(), there: Ephemeral::default(), now: Instant::now() }
    }

    /// Delivers what has changed here. Returns whether nothing was missing.
    fn deliver(&mut self) -> bool {
        let signals = self.here.signals(&self.room);
        signals.into_iter().all(|signal| self.there.apply(HERE, signal, self.now))
    }

    fn lose(&mut self) {
        self.here.signals(&self.room);
    }

    fn seen_there(&self) -> Vec<String> {
        self.there.present().0.iter().map(UserId::to_string).collect()
    }
}

#[test]
fn users_of_another_node_are_present_until_they_leave_it() {
    let mut nodes = Nodes::new();
    for name in ["ann", "bob"] {
        nodes.here.enter(&user(name));
    }
    nodes.there.enter(&user("bob"));
    assert!(nodes.deliver());
    assert_eq!(nodes.seen_there(), ["ann", "bob"]);
    for name in ["ann", "bob"] {
        nodes.here.exit(&user(name));
    }
    assert!(nodes.deliver());
    assert_eq!(nodes.seen_there(), ["bob"], "bob is still present through the other node");
    nodes.there.exit(&user("bob"));
    assert_eq!(nodes.seen_there(), [""; 0]);
}

#[test]
fn a_lost_signal_is_noticed_and_the_whole_state_replaces_what_was_known() {
    let mut nodes = Nodes::new();
    nodes.here.enter(&user("ann"));
    assert!(nodes.deliver());
    nodes.here.exit(&user("ann"));
    nodes.here.enter(&user("bob"));
    nodes.lose();
    nodes.here.enter(&user("kim"));
    assert!(!nodes.deliver());
    assert_eq!(nodes.seen_there(), ["ann"]);
    let whole = nodes.here.whole(&nodes.room);
    assert!(nodes.there.apply(HERE, whole, nodes.now));
    assert_eq!(nodes.seen_there(), ["bob", "kim"]);
    nodes.here.exit(&user("bob"));
    assert!(nodes.deliver());
    assert_eq!(nodes.seen_there(), ["kim"]);
}

#[test]
fn a_node_that_was_never_heard_before_is_asked_for_its_whole_state() {
    let mut nodes = Nodes::new();
    nodes.here.enter(&user("ann"));
    nodes.lose();
    nodes.here.enter(&user("bob"));
    assert!(!nodes.deliver());
}

#[test]
fn users_of_a_node_that_has_stopped_are_gone() {
    let mut nodes = Nodes::new();
    nodes.here.enter(&user("ann"));
    nodes.here.enter(&user("bob"));
    nodes.there.enter(&user("bob"));
    assert!(nodes.deliver());
    let seen = nodes.there.version();
    nodes.there.node_stopped(HERE);
    assert_eq!(nodes.seen_there(), ["bob"]);
    assert_eq!(names(&nodes.there.presence_since(seen).left), ["ann"]);
    nodes.there.node_stopped(HERE);
}

#[test]
fn typing_is_shown_on_other_nodes_until_the_message_comes() {
    let mut nodes = Nodes::new();
    nodes.here.enter(&user("ann"));
    nodes.here.typing(&user("ann"), nodes.now);
    assert!(nodes.deliver());
    assert_eq!(nodes.there.personal_since(0, &user("bob")).typing, Some(vec![user("ann")]));
    nodes.there.stop_typing(&user("ann"));
    assert_eq!(nodes.there.personal_since(0, &user("bob")).typing, Some(vec![]));
    assert!(nodes.here.signals(&nodes.room).is_empty(), "everything was sent once");
}

/// A room with this many users present, besides ann.
fn crowded(others: usize) -> Ephemeral {
    let mut ephemeral = Ephemeral::default();
    ephemeral.enter(&user("ann"));
    (0..others).for_each(|n| ephemeral.enter(&user(&format!("u{n:04}"))));
    ephemeral
}

#[test]
fn users_over_256_are_counted_and_named_again_when_there_are_clearly_fewer() {
    let now = Instant::now();
    let mut ephemeral = crowded(MAX_LISTED - 1);
    let seen = ephemeral.version();
    assert_eq!((ephemeral.present().0.len(), ephemeral.present().1), (256, 256));
    ephemeral.enter(&user("bob"));
    assert_eq!(ephemeral.present(), (Vec::new(), 257));
    let crowd = Presence { snapshot: true, count: 257, ..Presence::default() };
    assert_eq!(ephemeral.presence_since(seen), crowd);
    assert_eq!(ephemeral.presence_key(seen), ephemeral.presence_key(0), "all are sent the same");
    assert!(!ephemeral.count(now));
    let seen = ephemeral.version();

    for n in 0..257 - LISTED_AGAIN - 1 {
        ephemeral.exit(&user(&format!("u{n:04}")));
        ephemeral.count(now);
    }
    assert_eq!(ephemeral.present(), (Vec::new(), LISTED_AGAIN + 1), "a few fewer change nothing");
    ephemeral.exit(&user("bob"));
    let named = ephemeral.presence_since(seen);
    assert_eq!((named.snapshot, named.came.len(), named.count), (true, LISTED_AGAIN, LISTED_AGAIN));
    let seen = ephemeral.version();
    ephemeral.enter(&user("bob"));
    assert_eq!(names(&ephemeral.presence_since(seen).came), ["bob"]);
}

#[test]
fn a_number_is_sent_when_it_has_changed_noticeably_or_for_long() {
    let mut now = Instant::now();
    let mut ephemeral = crowded(1_000);
    ephemeral.count(now);
    ephemeral.enter(&user("bob"));
    while ephemeral.count(now) {
        now += Duration::from_millis(250);
    }
    let seen = ephemeral.version();
    assert_eq!(ephemeral.presence_key(seen), None);
    // One user who comes and goes.
    let mut sent = 0;
    for tick in 0..400 {
        if tick % 2 == 0 {
            ephemeral.exit(&user("bob"));
        } else {
            ephemeral.enter(&user("bob"));
        }
        let before = ephemeral.version();
        ephemeral.count(now);
        sent += ephemeral.version() - before;
        now += Duration::from_millis(250);
    }
    assert!(sent <= 100 / 5, "{sent} in 100 s");
    while ephemeral.count(now) {
        now += Duration::from_millis(250);
    }
    let seen = ephemeral.version();
    (0..100).for_each(|n| ephemeral.exit(&user(&format!("u{n:04}"))));
    assert!(ephemeral.count(now), "it waits");
    assert_eq!(ephemeral.presence_key(seen), None);
    (100..200).for_each(|n| ephemeral.exit(&user(&format!("u{n:04}"))));
    assert!(!ephemeral.count(now));
    assert!(ephemeral.presence_key(seen).is_some(), "a fifth has gone");
}

#[test]
fn nobody_is_shown_as_typing_among_too_many() {
    let now = Instant::now();
    let mut ephemeral = crowded(MAX_LISTED - 1);
    ephemeral.typing(&user("ann"), now);
    let seen = ephemeral.version();
    ephemeral.enter(&user("bob"));
    assert_eq!(ephemeral.personal_since(seen, &user("bob")).typing, Some(vec![]));
    let seen = ephemeral.version();
    ephemeral.typing(&user("ann"), now);
    assert!(!ephemeral.expire(now));
    assert_eq!(ephemeral.personal_since(seen, &user("bob")), Personal::default());
    assert!(!ephemeral.signals(&RoomId::new("a").unwrap()).iter().any(|it| matches!(it, Signal::Typing { .. })));
}
