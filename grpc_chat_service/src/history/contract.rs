//! The contract of a history, run against every store.

mod changes;
mod handles;
mod model;

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;

use super::embedded::{Embedded, Options};
use super::memory::MemoryStore;
use super::queue::REQUEST_BYTES;
use super::{
    Admission, AppendError, Appended, Appending, Expected, Following, History, Page, Position, Published, ReadError,
    RoomQuery, RoomState,
};
use crate::limits::{HistoryLimits, StorageLimits};
use crate::model::{Account, Change, ClientMsgId, DeviceId, Draft, Durability, Event, RoomId, Seq, UserId};
use changes::*;

/// The rooms of these tests.
const ROOMS: [&str; 8] = ["a", "a/b", "a.b", "b", "b/c", "d", "new", "Z"];

/// A handle on a store under test.
struct Store {
    history: Arc<dyn History>,
    published: mpsc::Receiver<Published>,
    /// Keeps all rooms followed.
    _following: Vec<Following>,
    /// Its directory, if it is on disk.
    dir: Option<TempDir>,
}

#[derive(Clone, Copy)]
struct Bounds {
    /// Requests that may wait for the writer.
    queued: usize,
    /// What may wait in the channel.
    published: usize,
}

/// Returns limits with room for as many requests with a text of one byte.
fn admission(bounds: Bounds) -> Admission {
    let bytes = bounds.queued * (REQUEST_BYTES + 1);
    Admission { limits: HistoryLimits { queue_bytes: bytes, queue_bytes_per_account: bytes }, ..Admission::default() }
}

/// All of these tests ask on one account.
fn account() -> Account {
    Account { user: Some(user_id("ann")), network: [127, 0, 0, 1].into() }
}

const WIDE: Bounds = Bounds { queued: 4_096, published: 4_096 };
const WHOLE: Page = Page { events: usize::MAX, bytes: usize::MAX };

fn memory(bounds: Bounds) -> Store {
    memory_of(&MemoryStore::new(), bounds)
}

/// One of two handles. The other one is idle, and nobody receives what is published to it.
fn shared_memory(bounds: Bounds) -> Store {
    let store = MemoryStore::new();
    std::mem::forget(memory_of(&store, bounds));
    memory_of(&store, bounds)
}

fn memory_of(store: &MemoryStore, bounds: Bounds) -> Store {
    let (publisher, published) = mpsc::channel(bounds.published);
    Store::new(store.open(admission(bounds), publisher), published, None)
}

fn embedded(bounds: Bounds) -> Store {
    embedded_in(tempfile::tempdir().unwrap(), bounds)
}

fn embedded_in(dir: TempDir, bounds: Bounds) -> Store {
    let (publisher, published) = mpsc::channel(bounds.published);
    let options = Options { durability: Durability::Written, accept_loss: false };
    let history = Embedded::open(dir.path(), options, admission(bounds), publisher).unwrap();
    Store::new(history, published, Some(dir))
}

impl Store {
    fn new(history: impl History, published: mpsc::Receiver<Published>, dir: Option<TempDir>) -> Self {
        let following = ROOMS.map(|room| history.follow(&room_id(room))).into();
        Self { history: Arc::new(history), published, _following: following, dir }
    }

    /// Closes and reopens the store, if it is on disk.
    async fn reopened(self) -> Self {
        if self.dir.is_none() {
            return self;
        }
        self.history.close().await;
        embedded_in(self.dir.unwrap(), WIDE)
    }

    async fn append(&self, draft: Draft) -> Result<Appended, AppendError> {
        self.request(draft).await
    }

    /// Requests an append without waiting for it.
    fn request(&self, draft: Draft) -> Appending {
        self.history.append(&account(), draft, Expected::default())
    }

    async fn all(&self, room: &str) -> Vec<Event> {
        self.history.read_after(room_id(room), 0, WHOLE).await.unwrap()
    }

    async fn head(&self, room: &str) -> Seq {
        self.history.room_state(RoomQuery::head(room_id(room))).await.unwrap().head
    }

    async fn mark_read(&self, room: &str, user: &str, seq: Seq) -> Result<Seq, AppendError> {
        self.history.mark_read(&account(), room_id(room), user_id(user), seq).await
    }

    async fn read_mark(&self, room: &str, user: &str) -> Seq {
        let query = RoomQuery { user: Some(user_id(user)), ..RoomQuery::head(room_id(room)) };
        self.history.room_state(query).await.unwrap().read
    }

    /// The events published since the last call.
    fn events(&mut self) -> Vec<Event> {
        let published = std::iter::from_fn(|| self.published.try_recv().ok());
        published
            .flat_map(|published| if let Published::Stored(events) = published { events } else { vec![] })
            .collect()
    }

    /// The next thing that is published.
    async fn next(&mut self) -> Published {
        let next = tokio::time::timeout(Duration::from_secs(10), self.published.recv()).await;
        next.expect("something should have been published").expect("the handle is open")
    }

    /// The next events that are published.
    async fn next_events(&mut self) -> Vec<Event> {
        match self.next().await {
            Published::Stored(events) => events,
            other => panic!("not events: {other:?}"),
        }
    }
}

fn room_id(room: &str) -> RoomId {
    RoomId::new(room).unwrap()
}

fn user_id(user: &str) -> UserId {
    UserId::new(user).unwrap()
}

fn device_id(device: &str) -> DeviceId {
    DeviceId::new(device).unwrap()
}

fn draft(room: &str, sender: &str, id: u64, change: Change) -> Draft {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&id.to_be_bytes());
    Draft { room: room_id(room), sender: user_id(sender), device: None, client_msg_id: ClientMsgId(bytes), change }
}

fn text(text: &str) -> Change {
    Change::Post { text: text.into(), reply_to: None }
}

fn reply(seq: Seq, text: &str) -> Change {
    Change::Post { text: text.into(), reply_to: Some(seq) }
}

fn edit(seq: Seq, text: &str) -> Change {
    Change::Edit { seq, text: text.into() }
}

fn delete(seq: Seq) -> Change {
    Change::Delete { seq }
}

fn react(seq: Seq) -> Change {
    Change::React { seq, reaction: "👍".to_owned(), remove: false }
}

fn unreact(seq: Seq) -> Change {
    Change::React { seq, reaction: "👍".to_owned(), remove: true }
}

fn seqs(events: &[Event]) -> Vec<Seq> {
    events.iter().map(|event| event.seq).collect()
}

/// Makes a test of every function below, for the store that `$store` opens.
macro_rules! tests_of {
    ($store:ident: $($test:ident)*) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(super::$store).await;
                }
            )*
        }
    };
}

macro_rules! contract {
    ($($tokens:tt)*) => {
        tests_of!(memory: $($tokens)*);
        tests_of!(shared_memory: $($tokens)*);
        tests_of!(embedded: $($tokens)*);
    };
}

contract! {
    appends_of_one_caller_are_stored_in_order
    seqs_are_dense_and_every_event_is_published_once_in_order
    events_are_read_as_they_were_drafted
    a_repeat_is_a_duplicate_and_other_content_a_conflict
    ids_are_per_room_and_sender
    changes_need_a_message_that_exists
    only_the_author_edits_and_deletes
    changes_of_another_epoch_are_refused_unless_they_are_repeats
    changes_of_a_forked_history_are_refused_unless_they_are_repeats
    the_state_of_a_room_finds_the_last_events_and_the_event_at_a_cursor
    all_rooms_can_be_followed_from_any_position
    deleting_erases_a_message_and_its_edits
    a_message_is_edited_a_hundred_times_and_no_more
    a_reaction_that_changes_nothing_is_not_stored
    the_reactions_of_a_store_that_was_closed_are_known
    pages_are_bounded_by_events_and_bytes
    rooms_are_listed_by_id_in_pages
    read_marks_only_go_up
    an_unknown_room_is_empty
    a_full_channel_makes_the_store_wait
    a_full_queue_is_overload
    closing_stores_what_was_accepted_and_accepts_nothing_more
    without_a_receiver_the_store_goes_on
}

type Open = fn(Bounds) -> Store;

async fn appends_of_one_caller_are_stored_in_order(open: Open) {
    let store = open(WIDE);
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..8 {
        let history = Arc::clone(&store.history);
        callers.spawn(async move {
            let sender = format!("user{caller}");
            let requested: Vec<_> = (0..50)
                .map(|n| history.append(&account(), draft("a", &sender, n, text("x")), Expected::default()))
                .collect();
            let mut seqs = Vec::new();
            for result in requested {
                seqs.push(result.await.unwrap().seq);
            }
            assert!(seqs.is_sorted(), "{seqs:?}");
        });
    }
    callers.join_all().await;
    assert_eq!(seqs(&store.all("a").await), (1..=400).collect::<Vec<_>>());
}

async fn seqs_are_dense_and_every_event_is_published_once_in_order(open: Open) {
    let mut store = open(WIDE);
    let rooms = ["a", "b/c", "d"];
    let requested: Vec<_> =
        (0..300).map(|n| store.request(draft(rooms[n as usize % 3], "ann", n, text("x")))).collect();
    for (n, result) in requested.into_iter().enumerate() {
        let appended = result.await.unwrap();
        assert_eq!((appended.seq, appended.duplicate), (n as u64 / 3 + 1, false));
    }
    let events = store.events();
    for room in rooms {
        let published: Vec<_> = events.iter().filter(|event| event.draft.room == room_id(room)).cloned().collect();
        let read = store.all(room).await;
        assert_eq!(published, read);
        assert_eq!(seqs(&read), (1..=100).collect::<Vec<_>>());
        assert!(read.iter().all(|event| event.prev_seq + 1 == event.seq));
        assert!(read.is_sorted_by_key(|event| event.time));
    }
    assert_eq!(events.len(), 300);
    store = store.reopened().await;
    assert_eq!(store.append(draft("a", "ann", 900, text("x"))).await.unwrap().seq, 101);
    assert_eq!(store.events().len(), 1);
}

async fn events_are_read_as_they_were_drafted(open: Open) {
    let store = open(WIDE);
    let mut drafts = vec![
        draft("a", "ann", 1, text("漢字 👩‍👩‍👧‍👦\n\t\u{202e}")),
        draft("a", "bob", 1, reply(1, "yes")),
        draft("a", "ann", 2, edit(1, &"long ".repeat(1_600))),
        draft("a", "bob", 3, react(1)),
        draft("a", "bob", 4, Change::React { seq: 1, reaction: "👍".to_owned(), remove: true }),
        draft("a", "bob", 5, delete(2)),
    ];
    drafts[0].device = Some(device_id("phone"));
    for draft in &drafts {
        store.append(draft.clone()).await.unwrap();
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
    let requested = [
        store.request(draft("a", "ann", 1, text("one"))),
        store.request(draft("a", "ann", 1, text("one"))),
        store.request(draft("a", "ann", 1, text("two"))),
        store.request(draft("a", "ann", 2, react(1))),
        store.request(draft("a", "ann", 2, react(1))),
    ];
    let mut results = Vec::new();
    for result in requested {
        results.push(result.await);
    }
    let first = results[0].unwrap();
    assert_eq!(results[1], Ok(Appended { duplicate: true, ..first }));
    assert_eq!(results[2], Err(AppendError::Conflict));
    assert_eq!(results[4], Ok(Appended { duplicate: true, ..results[3].unwrap() }));
    assert_eq!(store.events().len(), 2);

    let mut store = store.reopened().await;
    let mut from_elsewhere = draft("a", "ann", 1, text("one"));
    from_elsewhere.device = Some(device_id("tablet"));
    assert_eq!(store.append(from_elsewhere).await, Ok(Appended { duplicate: true, ..first }));
    assert_eq!(store.append(draft("a", "ann", 1, text("two"))).await, Err(AppendError::Conflict));
    assert_eq!(store.append(draft("a", "ann", 1, react(1))).await, Err(AppendError::Conflict));
    assert_eq!(store.append(draft("a", "ann", 1, reply(1, "one"))).await, Err(AppendError::Conflict));
    assert_eq!(store.all("a").await.len(), 2);
    assert_eq!(store.events(), []);
}

async fn ids_are_per_room_and_sender(open: Open) {
    let store = open(WIDE);
    for (room, sender) in [("a", "ann"), ("a", "bob"), ("b", "ann")] {
        assert!(!store.append(draft(room, sender, 1, text(room))).await.unwrap().duplicate);
    }
}

async fn the_state_of_a_room_finds_the_last_events_and_the_event_at_a_cursor(open: Open) {
    let store = open(WIDE);
    let ids = (1..=5).map(|n| draft("a", "ann", n, text("x")).client_msg_id).collect::<Vec<_>>();
    for n in 1..=5 {
        store.append(draft("a", "ann", n, text("x"))).await.unwrap();
    }
    let state = async |last, at| {
        let query = RoomQuery { room: room_id("a"), user: None, last, at };
        store.history.room_state(query).await.unwrap()
    };
    for (last, before_last) in [(0, 5), (1, 4), (5, 0), (6, 0), (u32::MAX, 0)] {
        assert_eq!(state(last, 0).await.before_last, before_last);
    }
    for (at, id) in [(0, None), (1, Some(ids[0])), (5, Some(ids[4])), (6, None), (u64::MAX, None)] {
        assert_eq!(state(0, at).await.id_at, id);
    }
    assert_eq!((state(0, 0).await.head, state(0, 0).await.oldest), (5, 1));
}

async fn all_rooms_can_be_followed_from_any_position(open: Open) {
    let store = open(WIDE);
    let mut position = Position::default();
    let page = Page { events: 3, bytes: usize::MAX };
    assert_eq!(store.history.since(position, page).await.unwrap().events, []);
    for n in 0..10 {
        store.append(draft(["a", "b"][n as usize % 2], "ann", n, text("12345"))).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut positions = Vec::new();
    loop {
        let feed = store.history.since(position, page).await.unwrap();
        if feed.events.is_empty() {
            assert_eq!(feed.position, position);
            break;
        }
        assert!(feed.events.len() <= 3 && feed.position > position);
        position = feed.position;
        positions.push((position, seen.len() + feed.events.len()));
        seen.extend(feed.events);
    }
    for room in ["a", "b"] {
        let of_room: Vec<_> = seen.iter().filter(|event| event.draft.room == room_id(room)).cloned().collect();
        assert_eq!(of_room, store.all(room).await);
    }
    assert_eq!(store.history.since(Position::default(), Page { events: 99, bytes: 6 }).await.unwrap().events.len(), 2);

    // What was read keeps its place, also when something is erased or added.
    store.append(draft("a", "ann", 90, delete(1))).await.unwrap();
    let store = store.reopened().await;
    for (position, read) in positions {
        let rest = store.history.since(position, WHOLE).await.unwrap().events;
        assert_eq!(rest.len(), 11 - read);
    }
    let first = store.history.since(Position::default(), page).await.unwrap().events.remove(0);
    assert!(first.erased);
}

async fn pages_are_bounded_by_events_and_bytes(open: Open) {
    let store = open(WIDE);
    for n in 1..=10 {
        store.append(draft("a", "ann", n, text("12345"))).await.unwrap();
    }
    let room = room_id("a");
    let after = async |after, events, bytes| {
        seqs(&store.history.read_after(room.clone(), after, Page { events, bytes }).await.unwrap())
    };
    let before = async |before, events, bytes| {
        seqs(&store.history.read_before(room.clone(), before, Page { events, bytes }).await.unwrap())
    };
    assert_eq!(after(0, 3, 1_000).await, [1, 2, 3]);
    assert_eq!(after(8, 3, 1_000).await, [9, 10]);
    assert_eq!(after(10, 3, 1_000).await, [0; 0]);
    assert_eq!(after(u64::MAX, 3, 1_000).await, [0; 0]);
    assert_eq!(after(0, 100, 10).await, [1, 2]);
    assert_eq!(after(0, 100, 11).await, [1, 2, 3]);
    assert_eq!(after(4, 100, 0).await, [5]);
    assert_eq!(before(11, 3, 1_000).await, [8, 9, 10]);
    assert_eq!(before(u64::MAX, 3, 1_000).await, [8, 9, 10]);
    assert_eq!(before(3, 100, 1_000).await, [1, 2]);
    assert_eq!(before(1, 100, 1_000).await, [0; 0]);
    assert_eq!(before(0, 100, 1_000).await, [0; 0]);
    assert_eq!(before(11, 100, 10).await, [9, 10]);
    assert_eq!(before(11, 100, 0).await, [10]);
}

async fn rooms_are_listed_by_id_in_pages(open: Open) {
    let store = open(WIDE);
    for room in ["b", "a/b", "a.b", "a", "Z"] {
        store.append(draft(room, "ann", 1, text("x"))).await.unwrap();
    }
    let last = store.append(draft("a", "ann", 2, text("x"))).await.unwrap();
    let page = async |after: Option<&str>, max| {
        let after = after.map(room_id);
        let rooms = store.history.rooms(after, max).await.unwrap();
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
    let mut store = store;
    for n in 1..=5 {
        store.append(draft("a", "ann", n, text("x"))).await.unwrap();
    }
    store.events();
    assert_eq!(store.mark_read("a", "ann", 0).await, Ok(0));
    assert_eq!(store.mark_read("a", "ann", 3).await, Ok(3));
    assert_eq!(store.mark_read("a", "ann", 2).await, Ok(3));
    assert_eq!(store.mark_read("a", "ann", 6).await, Err(AppendError::NoSuchMessage));
    assert_eq!(store.mark_read("a", "bob", 5).await, Ok(5));
    assert_eq!(store.mark_read("new", "ann", 0).await, Ok(0));
    assert_eq!(store.mark_read("new", "ann", 1).await, Err(AppendError::NoSuchMessage));
    for (user, seq) in [("ann", 3), ("bob", 5)] {
        let read = Published::Read { room: room_id("a"), user: user_id(user), seq };
        assert_eq!(store.next().await, read, "only marks that move are published");
    }
    assert!(store.published.try_recv().is_err());
    let store = store.reopened().await;
    assert_eq!((store.read_mark("a", "ann").await, store.read_mark("a", "bob").await), (3, 5));
    assert_eq!(store.mark_read("a", "ann", 4).await, Ok(4));
}

async fn an_unknown_room_is_empty(open: Open) {
    let store = open(WIDE);
    let query = RoomQuery { room: room_id("a"), user: Some(user_id("ann")), last: 9, at: 1 };
    assert_eq!(store.history.room_state(query).await, Ok(RoomState::default()));
    assert_eq!(store.all("a").await, []);
    assert_eq!(store.history.read_before(room_id("a"), 10, WHOLE).await, Ok(vec![]));
    assert_eq!(store.history.rooms(None, 10).await, Ok(vec![]));
    assert_ne!(*store.history.epoch().borrow(), 0);
    assert!(*store.history.healthy().borrow());
}

async fn a_full_channel_makes_the_store_wait(open: Open) {
    let mut store = open(Bounds { published: 1, ..WIDE });
    store.append(draft("a", "ann", 1, text("x"))).await.unwrap();
    let mut second = store.request(draft("a", "ann", 2, text("x")));
    let early = tokio::time::timeout(std::time::Duration::from_millis(50), &mut second).await;
    assert!(early.is_err(), "acked before it could be published: {early:?}");
    assert_eq!(seqs(&store.next_events().await), [1]);
    assert_eq!(second.await.unwrap().seq, 2);
    assert_eq!(seqs(&store.next_events().await), [2]);
}

async fn a_full_queue_is_overload(open: Open) {
    let Store { history, mut published, dir, _following } = open(Bounds { published: 1, queued: 4 });
    let store = Store { history, published: mpsc::channel(1).1, dir, _following };
    store.append(draft("a", "ann", 1, text("x"))).await.unwrap();
    // The writer now waits with one batch of unknown size.
    let requested: Vec<_> = (2..30).map(|n| store.request(draft("a", "ann", n, text("x")))).collect();
    let drain = tokio::spawn(async move { while published.recv().await.is_some() {} });
    let mut results = Vec::new();
    for result in requested {
        results.push(result.await);
    }
    let stored = results.iter().filter(|result| result.is_ok()).count();
    assert!((4..=20).contains(&stored), "{stored}");
    assert!(results.iter().all(|result| result.is_ok() || *result == Err(AppendError::Overloaded)), "{results:?}");
    assert_eq!(store.head("a").await, stored as u64 + 1);
    assert_eq!(store.append(draft("a", "ann", 90, text("x"))).await.unwrap().seq, stored as u64 + 2);
    drain.abort();
}

async fn closing_stores_what_was_accepted_and_accepts_nothing_more(open: Open) {
    let mut store = open(WIDE);
    let requested: Vec<_> = (0..100).map(|n| store.request(draft("a", "ann", n, text("x")))).collect();
    let mark = store.history.mark_read(&account(), room_id("a"), user_id("ann"), 100);
    store.history.close().await;
    store.history.close().await;
    for result in requested {
        result.await.unwrap();
    }
    assert_eq!(mark.await, Ok(100));
    assert_eq!(store.events().len(), 100);
    assert_eq!(store.append(draft("a", "ann", 200, text("x"))).await, Err(AppendError::Unavailable));
    let mark = store.history.mark_read(&account(), room_id("a"), user_id("ann"), 100);
    assert_eq!(mark.await, Err(AppendError::Unavailable));
    assert!(!*store.history.healthy().borrow());
    assert!(store.published.recv().await.is_none());
    if store.dir.is_some() {
        assert_eq!(store.history.room_state(RoomQuery::head(room_id("a"))).await, Err(ReadError::Unavailable));
        assert_eq!(store.reopened().await.all("a").await.len(), 100);
    }
}

async fn without_a_receiver_the_store_goes_on(open: Open) {
    let mut store = open(Bounds { published: 1, ..WIDE });
    store.published.close();
    for n in 0..10 {
        store.append(draft("a", "ann", n, text("x"))).await.unwrap();
    }
}
