//! The contract of a history, told to every store.

mod model;

use std::sync::Arc;

use tempfile::TempDir;
use tokio::sync::mpsc;

use super::embedded::{Embedded, Options};
use super::memory::Memory;
use super::{AppendError, Appended, History, Look, Page, ReadError};
use crate::model::{Change, ClientMsgId, Draft, Durability, Event, RoomId, Seq, UserId};

/// What a test needs of a store.
struct Store {
    history: Arc<dyn History>,
    committed: mpsc::Receiver<Vec<Event>>,
    /// Where it is, if it is on disk.
    dir: Option<TempDir>,
}

#[derive(Clone, Copy)]
struct Bounds {
    /// Asks that may wait for the writer.
    queued: usize,
    /// Batches that may wait for whoever is told.
    told: usize,
}

const WIDE: Bounds = Bounds { queued: 4_096, told: 4_096 };
const WHOLE: Page = Page { events: usize::MAX, bytes: usize::MAX };

fn memory(bounds: Bounds) -> Store {
    let (tell, committed) = mpsc::channel(bounds.told);
    Store { history: Arc::new(Memory::with_queue(tell, bounds.queued)), committed, dir: None }
}

fn embedded(bounds: Bounds) -> Store {
    embedded_in(tempfile::tempdir().unwrap(), bounds)
}

fn embedded_in(dir: TempDir, bounds: Bounds) -> Store {
    let (tell, committed) = mpsc::channel(bounds.told);
    let options = Options { durability: Durability::Written, accept_loss: false };
    let history = Embedded::with_queue(dir.path(), options, tell, bounds.queued).unwrap();
    Store { history: Arc::new(history), committed, dir: Some(dir) }
}

impl Store {
    /// Closed and opened again, where that keeps anything.
    async fn reopened(self) -> Self {
        if self.dir.is_none() {
            return self;
        }
        self.history.close().await;
        embedded_in(self.dir.unwrap(), WIDE)
    }

    async fn say(&self, draft: Draft) -> Result<Appended, AppendError> {
        self.history.append(draft).await
    }

    async fn all(&self, room: &str) -> Vec<Event> {
        self.history.read_after(&room_id(room), 0, WHOLE).await.unwrap()
    }

    /// What has been told so far.
    fn told(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.committed.try_recv().ok()).flatten().collect()
    }
}

fn room_id(room: &str) -> RoomId {
    RoomId::new(room).unwrap()
}

fn user_id(user: &str) -> UserId {
    UserId::new(user).unwrap()
}

fn draft(room: &str, sender: &str, id: u64, change: Change) -> Draft {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&id.to_be_bytes());
    Draft {
        room: room_id(room),
        sender: user_id(sender),
        device: None,
        client_msg_id: ClientMsgId(bytes),
        change,
        epoch: 0,
    }
}

fn text(text: &str) -> Change {
    Change::Post { text: text.to_owned(), reply_to: None }
}

fn reply(seq: Seq, text: &str) -> Change {
    Change::Post { text: text.to_owned(), reply_to: Some(seq) }
}

fn edit(seq: Seq, text: &str) -> Change {
    Change::Edit { seq, text: text.to_owned() }
}

fn delete(seq: Seq) -> Change {
    Change::Delete { seq }
}

fn react(seq: Seq) -> Change {
    Change::React { seq, reaction: "👍".to_owned(), remove: false }
}

fn seqs(events: &[Event]) -> Vec<Seq> {
    events.iter().map(|event| event.seq).collect()
}

/// Every sentence below, told to the store that `$open` opens.
macro_rules! fulfils_the_contract {
    ($store:ident: $($sentence:ident)*) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $sentence() {
                    super::$sentence(super::$store).await;
                }
            )*
        }
    };
}

macro_rules! sentences {
    ($($tokens:tt)*) => {
        fulfils_the_contract!(memory: $($tokens)*);
        fulfils_the_contract!(embedded: $($tokens)*);
    };
}

sentences! {
    what_one_caller_appends_is_stored_in_that_order
    seqs_are_dense_and_everything_is_told_once_in_order
    what_is_stored_is_read_as_it_was_asked
    a_repeat_is_a_duplicate_and_other_content_a_conflict
    ids_are_per_room_and_sender
    only_messages_that_exist_can_be_talked_about
    only_the_author_edits_and_deletes
    what_is_about_another_life_is_refused_unless_it_is_a_repeat
    deleting_erases_a_message_and_its_edits
    pages_are_bounded_by_events_and_bytes
    rooms_are_listed_by_id_in_pages
    read_marks_only_go_up
    an_unknown_room_is_empty
    a_full_channel_makes_the_store_wait
    a_full_queue_is_overload
    closing_stores_what_was_accepted_and_takes_nothing_more
    nobody_listening_is_no_reason_to_stop
}

type Open = fn(Bounds) -> Store;

async fn what_one_caller_appends_is_stored_in_that_order(open: Open) {
    let store = open(WIDE);
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..8 {
        let history = Arc::clone(&store.history);
        callers.spawn(async move {
            let sender = format!("user{caller}");
            let asked: Vec<_> = (0..50).map(|n| history.append(draft("a", &sender, n, text("x")))).collect();
            let mut seqs = Vec::new();
            for answer in asked {
                seqs.push(answer.await.unwrap().seq);
            }
            assert!(seqs.is_sorted(), "{seqs:?}");
        });
    }
    callers.join_all().await;
    assert_eq!(seqs(&store.all("a").await), (1..=400).collect::<Vec<_>>());
}

async fn seqs_are_dense_and_everything_is_told_once_in_order(open: Open) {
    let mut store = open(WIDE);
    let rooms = ["a", "b/c", "d"];
    let asked: Vec<_> =
        (0..300).map(|n| store.history.append(draft(rooms[n as usize % 3], "ann", n, text("x")))).collect();
    for (n, answer) in asked.into_iter().enumerate() {
        let appended = answer.await.unwrap();
        assert_eq!((appended.seq, appended.duplicate), (n as u64 / 3 + 1, false));
    }
    let told = store.told();
    for room in rooms {
        let told: Vec<_> = told.iter().filter(|event| event.draft.room == room_id(room)).cloned().collect();
        let read = store.all(room).await;
        assert_eq!(told, read);
        assert_eq!(seqs(&read), (1..=100).collect::<Vec<_>>());
        assert!(read.iter().all(|event| event.prev_seq + 1 == event.seq));
        assert!(read.is_sorted_by_key(|event| event.time));
    }
    assert_eq!(told.len(), 300);
    store = store.reopened().await;
    assert_eq!(store.say(draft("a", "ann", 900, text("x"))).await.unwrap().seq, 101);
    assert_eq!(store.told().len(), 1);
}

async fn what_is_stored_is_read_as_it_was_asked(open: Open) {
    let store = open(WIDE);
    let mut drafts = vec![
        draft("a", "ann", 1, text("漢字 👩‍👩‍👧‍👦\n\t\u{202e}")),
        draft("a", "bob", 1, reply(1, "yes")),
        draft("a", "ann", 2, edit(1, &"long ".repeat(1_600))),
        draft("a", "bob", 3, react(1)),
        draft("a", "bob", 4, Change::React { seq: 1, reaction: "👍".to_owned(), remove: true }),
        draft("a", "bob", 5, delete(2)),
    ];
    drafts[0].device = Some(user_id("phone"));
    for draft in &drafts {
        store.say(draft.clone()).await.unwrap();
    }
    drafts[1].change = reply(1, "");
    let store = store.reopened().await;
    let read = store.all("a").await;
    assert_eq!(read.iter().map(|event| event.draft.clone()).collect::<Vec<_>>(), drafts);
    assert_eq!(read.iter().map(|event| event.erased).collect::<Vec<_>>(), [false, true, false, false, false, false]);
    assert!(read[0].time > 1_700_000_000_000);
}

async fn a_repeat_is_a_duplicate_and_other_content_a_conflict(open: Open) {
    let mut store = open(WIDE);
    // In one batch, most likely.
    let asked = [
        store.history.append(draft("a", "ann", 1, text("one"))),
        store.history.append(draft("a", "ann", 1, text("one"))),
        store.history.append(draft("a", "ann", 1, text("two"))),
        store.history.append(draft("a", "ann", 2, react(1))),
        store.history.append(draft("a", "ann", 2, react(1))),
    ];
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await);
    }
    let first = answers[0].unwrap();
    assert_eq!(answers[1], Ok(Appended { duplicate: true, ..first }));
    assert_eq!(answers[2], Err(AppendError::Conflict));
    assert_eq!(answers[4], Ok(Appended { duplicate: true, ..answers[3].unwrap() }));
    assert_eq!(store.told().len(), 2);

    let mut store = store.reopened().await;
    let mut from_elsewhere = draft("a", "ann", 1, text("one"));
    from_elsewhere.device = Some(user_id("tablet"));
    assert_eq!(store.say(from_elsewhere).await, Ok(Appended { duplicate: true, ..first }));
    assert_eq!(store.say(draft("a", "ann", 1, text("two"))).await, Err(AppendError::Conflict));
    assert_eq!(store.say(draft("a", "ann", 1, react(1))).await, Err(AppendError::Conflict));
    assert_eq!(store.say(draft("a", "ann", 1, reply(1, "one"))).await, Err(AppendError::Conflict));
    assert_eq!(store.all("a").await.len(), 2);
    assert_eq!(store.told(), []);
}

async fn ids_are_per_room_and_sender(open: Open) {
    let store = open(WIDE);
    for (room, sender) in [("a", "ann"), ("a", "bob"), ("b", "ann")] {
        assert!(!store.say(draft(room, sender, 1, text(room))).await.unwrap().duplicate);
    }
}

async fn only_messages_that_exist_can_be_talked_about(open: Open) {
    let store = open(WIDE);
    store.say(draft("a", "ann", 1, text("hi"))).await.unwrap();
    store.say(draft("a", "ann", 2, react(1))).await.unwrap();
    store.say(draft("a", "ann", 3, text("gone"))).await.unwrap();
    store.say(draft("a", "ann", 4, delete(3))).await.unwrap();
    let mut id = 100;
    // Before the first, a reaction, an erased one, a deletion, after the last, and what fits no column.
    for seq in [0, 2, 3, 4, 5, u64::MAX] {
        for change in [reply(seq, "x"), edit(seq, "x"), delete(seq), react(seq)] {
            id += 1;
            assert_eq!(store.say(draft("a", "ann", id, change)).await, Err(AppendError::NoSuchMessage), "{seq}");
        }
    }
    assert_eq!(store.say(draft("new", "ann", 1, reply(1, "x"))).await, Err(AppendError::NoSuchMessage));
    assert_eq!(store.all("a").await.len(), 4);
    assert_eq!(store.history.rooms(None, 10).await.unwrap().len(), 1);
}

async fn only_the_author_edits_and_deletes(open: Open) {
    let store = open(WIDE);
    store.say(draft("a", "ann", 1, text("hi"))).await.unwrap();
    assert_eq!(store.say(draft("a", "bob", 1, edit(1, "ho"))).await, Err(AppendError::NotTheAuthor));
    assert_eq!(store.say(draft("a", "bob", 2, delete(1))).await, Err(AppendError::NotTheAuthor));
    store.say(draft("a", "bob", 3, react(1))).await.unwrap();
    store.say(draft("a", "bob", 4, reply(1, "ho"))).await.unwrap();
    store.say(draft("a", "ann", 2, edit(1, "ho"))).await.unwrap();
    store.say(draft("a", "ann", 3, delete(1))).await.unwrap();
}

async fn what_is_about_another_life_is_refused_unless_it_is_a_repeat(open: Open) {
    let store = open(WIDE);
    let epoch = store.history.epoch();
    let of = |epoch, draft| Draft { epoch, ..draft };
    store.say(of(epoch ^ 1, draft("a", "ann", 1, text("hi")))).await.unwrap();
    for (id, change) in [reply(1, "x"), edit(1, "x"), react(1), delete(1)].into_iter().enumerate() {
        let asked = draft("a", "ann", id as u64 + 2, change);
        assert_eq!(store.say(of(epoch ^ 1, asked.clone())).await, Err(AppendError::OtherEpoch));
        let stored = store.say(of(epoch, asked.clone())).await.unwrap();
        // It is the same draft, and here it is, whatever its sender knows of this life.
        let again = store.say(of(epoch ^ 1, asked)).await.unwrap();
        assert_eq!((again.seq, again.duplicate), (stored.seq, true));
    }
    assert_eq!(store.say(of(epoch ^ 1, draft("new", "ann", 9, react(1)))).await, Err(AppendError::OtherEpoch));
    assert!(store.all("a").await.iter().all(|event| event.draft.epoch == 0), "it is not stored");
}

async fn deleting_erases_a_message_and_its_edits(open: Open) {
    let mut store = open(WIDE);
    store.say(draft("a", "ann", 1, text("secret one"))).await.unwrap();
    store.say(draft("a", "bob", 1, text("said by bob"))).await.unwrap();
    store.say(draft("a", "ann", 2, edit(1, "secret two"))).await.unwrap();
    store.say(draft("a", "bob", 2, edit(2, "kept"))).await.unwrap();
    store.say(draft("a", "ann", 3, edit(1, &"secret three".repeat(1_000)))).await.unwrap();
    store.told();
    let deleted = store.say(draft("a", "ann", 4, delete(1))).await.unwrap();
    assert_eq!(deleted.seq, 6);
    assert_eq!(store.told().len(), 1);

    let store = store.reopened().await;
    let read = store.all("a").await;
    let texts: Vec<_> = read
        .iter()
        .map(|event| match &event.draft.change {
            Change::Post { text, .. } | Change::Edit { text, .. } => (text.as_str(), event.erased),
            _ => ("-", event.erased),
        })
        .collect();
    assert_eq!(texts, [("", true), ("said by bob", false), ("", true), ("kept", false), ("", true), ("-", false)]);

    // Any repeat of what is erased, and a repeat of the deletion, is a duplicate.
    for (id, change) in [(1, text("secret one")), (1, text("other")), (2, edit(1, "other")), (4, delete(1))] {
        assert!(store.say(draft("a", "ann", id, change)).await.unwrap().duplicate);
    }
    assert_eq!(store.say(draft("a", "ann", 5, delete(1))).await, Err(AppendError::NoSuchMessage));

    store.history.close().await;
    if let Some(dir) = &store.dir {
        for file in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"secret"));
        }
    }
}

async fn pages_are_bounded_by_events_and_bytes(open: Open) {
    let store = open(WIDE);
    for n in 1..=10 {
        store.say(draft("a", "ann", n, text("12345"))).await.unwrap();
    }
    let room = room_id("a");
    let after = async |after, events, bytes| {
        seqs(&store.history.read_after(&room, after, Page { events, bytes }).await.unwrap())
    };
    let before = async |before, events, bytes| {
        seqs(&store.history.read_before(&room, before, Page { events, bytes }).await.unwrap())
    };
    assert_eq!(after(0, 3, 1_000).await, [1, 2, 3]);
    assert_eq!(after(8, 3, 1_000).await, [9, 10]);
    assert_eq!(after(10, 3, 1_000).await, []);
    assert_eq!(after(u64::MAX, 3, 1_000).await, []);
    assert_eq!(after(0, 100, 10).await, [1, 2]);
    assert_eq!(after(0, 100, 11).await, [1, 2, 3]);
    assert_eq!(after(4, 100, 0).await, [5]);
    assert_eq!(before(11, 3, 1_000).await, [8, 9, 10]);
    assert_eq!(before(u64::MAX, 3, 1_000).await, [8, 9, 10]);
    assert_eq!(before(3, 100, 1_000).await, [1, 2]);
    assert_eq!(before(1, 100, 1_000).await, []);
    assert_eq!(before(0, 100, 1_000).await, []);
    assert_eq!(before(11, 100, 10).await, [9, 10]);
    assert_eq!(before(11, 100, 0).await, [10]);
}

async fn rooms_are_listed_by_id_in_pages(open: Open) {
    let store = open(WIDE);
    for room in ["b", "a/b", "a.b", "a", "Z"] {
        store.say(draft(room, "ann", 1, text("x"))).await.unwrap();
    }
    let last = store.say(draft("a", "ann", 2, text("x"))).await.unwrap();
    let page = async |after: Option<&str>, max| {
        let after = after.map(room_id);
        let rooms = store.history.rooms(after.as_ref(), max).await.unwrap();
        rooms.iter().map(|room| room.room.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 100).await, ["Z", "a", "a.b", "a/b", "b"]);
    assert_eq!(page(None, 2).await, ["Z", "a"]);
    assert_eq!(page(Some("a"), 2).await, ["a.b", "a/b"]);
    assert_eq!(page(Some("a/a"), 100).await, ["a/b", "b"]);
    assert_eq!(page(Some("b"), 100).await, [""; 0]);
    let rooms = store.history.rooms(None, 2).await.unwrap();
    assert_eq!((rooms[1].head, rooms[1].time), (2, last.time));
}

async fn read_marks_only_go_up(open: Open) {
    let store = open(WIDE);
    let (room, ann, bob) = (room_id("a"), user_id("ann"), user_id("bob"));
    for n in 1..=5 {
        store.say(draft("a", "ann", n, text("x"))).await.unwrap();
    }
    let mark = async |user: &UserId, seq| store.history.mark_read(room.clone(), user.clone(), seq).await;
    assert_eq!(mark(&ann, 0).await, Ok(0));
    assert_eq!(mark(&ann, 3).await, Ok(3));
    assert_eq!(mark(&ann, 2).await, Ok(3));
    assert_eq!(mark(&ann, 6).await, Err(AppendError::NoSuchMessage));
    assert_eq!(mark(&bob, 5).await, Ok(5));
    assert_eq!(store.history.mark_read(room_id("new"), ann.clone(), 0).await, Ok(0));
    assert_eq!(store.history.mark_read(room_id("new"), ann.clone(), 1).await, Err(AppendError::NoSuchMessage));
    let store = store.reopened().await;
    assert_eq!(store.history.look(&room, Some(&ann)).await, Ok(Look { head: 5, oldest: 1, read: 3 }));
    assert_eq!(store.history.look(&room, Some(&bob)).await, Ok(Look { head: 5, oldest: 1, read: 5 }));
    assert_eq!(store.history.mark_read(room.clone(), ann.clone(), 4).await, Ok(4));
}

async fn an_unknown_room_is_empty(open: Open) {
    let store = open(WIDE);
    assert_eq!(store.history.look(&room_id("a"), Some(&user_id("ann"))).await, Ok(Look::default()));
    assert_eq!(store.all("a").await, []);
    assert_eq!(store.history.read_before(&room_id("a"), 10, WHOLE).await, Ok(vec![]));
    assert_eq!(store.history.rooms(None, 10).await, Ok(vec![]));
    assert_ne!(store.history.epoch(), 0);
    assert!(*store.history.healthy().borrow());
}

async fn a_full_channel_makes_the_store_wait(open: Open) {
    let mut store = open(Bounds { told: 1, ..WIDE });
    store.say(draft("a", "ann", 1, text("x"))).await.unwrap();
    let mut second = store.history.append(draft("a", "ann", 2, text("x")));
    let early = tokio::time::timeout(std::time::Duration::from_millis(50), &mut second).await;
    assert!(early.is_err(), "acked before it could be told: {early:?}");
    assert_eq!(seqs(&store.committed.recv().await.unwrap()), [1]);
    assert_eq!(second.await.unwrap().seq, 2);
    assert_eq!(seqs(&store.committed.recv().await.unwrap()), [2]);
}

async fn a_full_queue_is_overload(open: Open) {
    let Store { history, mut committed, dir } = open(Bounds { told: 1, queued: 4 });
    let store = Store { history, committed: mpsc::channel(1).1, dir };
    store.say(draft("a", "ann", 1, text("x"))).await.unwrap();
    // The writer now waits with one batch in its hands, of which nobody can say how large it is.
    let asked: Vec<_> = (2..30).map(|n| store.history.append(draft("a", "ann", n, text("x")))).collect();
    let drain = tokio::spawn(async move { while committed.recv().await.is_some() {} });
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await);
    }
    let stored = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!((4..=20).contains(&stored), "{stored}");
    assert!(answers.iter().all(|answer| answer.is_ok() || *answer == Err(AppendError::Overloaded)), "{answers:?}");
    assert_eq!(store.history.look(&room_id("a"), Some(&user_id("ann"))).await.unwrap().head, stored as u64 + 1);
    assert_eq!(store.say(draft("a", "ann", 90, text("x"))).await.unwrap().seq, stored as u64 + 2);
    drain.abort();
}

async fn closing_stores_what_was_accepted_and_takes_nothing_more(open: Open) {
    let mut store = open(WIDE);
    let asked: Vec<_> = (0..100).map(|n| store.history.append(draft("a", "ann", n, text("x")))).collect();
    let mark = store.history.mark_read(room_id("a"), user_id("ann"), 100);
    store.history.close().await;
    store.history.close().await;
    for answer in asked {
        answer.await.unwrap();
    }
    assert_eq!(mark.await, Ok(100));
    assert_eq!(store.told().len(), 100);
    assert_eq!(store.say(draft("a", "ann", 200, text("x"))).await, Err(AppendError::Unavailable));
    let mark = store.history.mark_read(room_id("a"), user_id("ann"), 100);
    assert_eq!(mark.await, Err(AppendError::Unavailable));
    assert!(!*store.history.healthy().borrow());
    assert!(store.committed.recv().await.is_none());
    if store.dir.is_some() {
        assert_eq!(store.history.look(&room_id("a"), Some(&user_id("ann"))).await, Err(ReadError::Unavailable));
        assert_eq!(store.reopened().await.all("a").await.len(), 100);
    }
}

async fn nobody_listening_is_no_reason_to_stop(open: Open) {
    let mut store = open(Bounds { told: 1, ..WIDE });
    store.committed.close();
    for n in 0..10 {
        store.say(draft("a", "ann", n, text("x"))).await.unwrap();
    }
}
