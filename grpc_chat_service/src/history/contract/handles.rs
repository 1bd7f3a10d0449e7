//! The contract of several handles on one store, run against every store that can have them.

use super::*;

/// Opens a store twice.
type OpenTwice = fn() -> (Store, Store);

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
    };
}

contract! {
    what_one_handle_stores_the_other_reads_and_is_told
    both_handles_are_told_the_same_order
    a_repeat_through_the_other_handle_is_a_duplicate
    other_content_through_the_other_handle_is_a_conflict
    a_message_is_erased_for_both
    read_marks_are_shared_and_published_to_both
    a_handle_is_told_what_it_follows_and_no_more
    what_a_state_lacks_is_published_after_it
    a_handle_that_closes_leaves_the_other_open
}

fn memory() -> (Store, Store) {
    let store = MemoryStore::new();
    (memory_of(&store, WIDE), memory_of(&store, WIDE))
}

impl Store {
    /// The next `count` events that are published.
    async fn take(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.extend(self.next_events().await);
        }
        events
    }
}

async fn what_one_handle_stores_the_other_reads_and_is_told(open: OpenTwice) {
    let (here, mut there) = open();
    assert_eq!(*here.history.epoch().borrow(), *there.history.epoch().borrow());
    let appended = here.append(draft("a", "ann", 1, text("hi"))).await.unwrap();
    // Acknowledged by one handle, it is read through the other at once.
    let read = there.all("a").await;
    assert_eq!((read.len(), read[0].seq), (1, appended.seq));
    assert_eq!(there.take(1).await, read);
    assert_eq!(there.append(draft("a", "bob", 1, text("ho"))).await.unwrap().seq, appended.seq + 1);
}

async fn both_handles_are_told_the_same_order(open: OpenTwice) {
    let (mut here, mut there) = open();
    let mut requested = Vec::new();
    for n in 0..200 {
        requested.push(here.request(draft("a", "ann", n, text("x"))));
        requested.push(there.request(draft("a", "bob", n, text("x"))));
        if n % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut acked = Vec::new();
    for result in requested {
        acked.push(result.await.unwrap().seq);
    }
    acked.sort_unstable();
    assert_eq!(acked, (1..=400).collect::<Vec<_>>());
    let (at_here, at_there) = (here.take(400).await, there.take(400).await);
    assert_eq!(seqs(&at_here), (1..=400).collect::<Vec<_>>());
    assert_eq!(at_here, at_there);
    assert_eq!(at_here, here.all("a").await);
}

async fn a_repeat_through_the_other_handle_is_a_duplicate(open: OpenTwice) {
    let (mut here, mut there) = open();
    let first = here.append(draft("a", "ann", 1, text("hi"))).await.unwrap();
    let again = there.append(draft("a", "ann", 1, text("hi"))).await;
    assert_eq!(again, Ok(Appended { duplicate: true, ..first }));
    // Also when both are under way at the same time.
    let both = [here.request(draft("a", "ann", 2, text("ho"))), there.request(draft("a", "ann", 2, text("ho")))];
    let [one, other] = both;
    let (one, other) = (one.await.unwrap(), other.await.unwrap());
    assert_eq!(one.seq, other.seq);
    assert_ne!(one.duplicate, other.duplicate);
    assert_eq!((here.take(2).await.len(), there.take(2).await.len()), (2, 2));
    assert!(here.events().is_empty() && there.events().is_empty());
}

async fn other_content_through_the_other_handle_is_a_conflict(open: OpenTwice) {
    let (here, there) = open();
    here.append(draft("a", "ann", 1, text("hi"))).await.unwrap();
    assert_eq!(there.append(draft("a", "ann", 1, text("ho"))).await, Err(AppendError::Conflict));
    assert_eq!(there.append(draft("a", "bob", 1, edit(1, "ho"))).await, Err(AppendError::NotTheAuthor));
    assert_eq!(here.all("a").await.len(), 1);
}

async fn a_message_is_erased_for_both(open: OpenTwice) {
    let (here, mut there) = open();
    here.append(draft("a", "ann", 1, text("secret"))).await.unwrap();
    there.append(draft("a", "ann", 2, delete(1))).await.unwrap();
    for store in [&here, &there] {
        assert!(store.all("a").await[0].erased);
        assert_eq!(store.append(draft("a", "ann", 3, react(1))).await, Err(AppendError::NoSuchMessage));
    }
    assert_eq!(seqs(&there.take(2).await), [1, 2]);
}

async fn read_marks_are_shared_and_published_to_both(open: OpenTwice) {
    let (mut here, mut there) = open();
    here.append(draft("a", "ann", 1, text("x"))).await.unwrap();
    here.append(draft("a", "ann", 2, text("x"))).await.unwrap();
    here.take(2).await;
    there.take(2).await;
    assert_eq!(here.mark_read("a", "bob", 2).await, Ok(2));
    assert_eq!(there.mark_read("a", "bob", 1).await, Ok(2));
    assert_eq!(there.read_mark("a", "bob").await, 2);
    let read = Published::Read { room: room_id("a"), user: user_id("bob"), seq: 2 };
    assert_eq!(here.next().await, read);
    assert_eq!(there.next().await, read);
}

async fn a_handle_is_told_what_it_follows_and_no_more(open: OpenTwice) {
    let (here, there) = open();
    let Store { history, mut published, _following, .. } = there;
    drop(_following);
    let one = history.follow(&room_id("a"));
    let same = history.follow(&room_id("a"));
    let mut id = 0;
    let mut post = async |room| {
        id += 1;
        here.append(draft(room, "ann", id, text("x"))).await.unwrap();
    };
    post("b").await;
    post("a").await;
    drop(one);
    post("a").await;
    drop(same);
    post("a").await;
    let last = history.follow(&room_id("d"));
    post("d").await;
    let mut told = Vec::new();
    while told.last().is_none_or(|(room, _)| room != "d") {
        let Some(Published::Stored(events)) = published.recv().await else { panic!("only events were stored") };
        told.extend(events.into_iter().map(|event| (event.draft.room.to_string(), event.seq)));
    }
    assert_eq!(told, [("a".to_owned(), 1), ("a".to_owned(), 2), ("d".to_owned(), 1)]);
    drop(last);
}

/// However the two overlap, a reader that follows a room, reads its state, and then takes what is published misses nothing.
async fn what_a_state_lacks_is_published_after_it(open: OpenTwice) {
    let (here, there) = open();
    let Store { history, mut published, _following, .. } = there;
    drop(_following);
    let writing = tokio::spawn(async move {
        for n in 0..500 {
            here.append(draft("a", "ann", n, text("x"))).await.unwrap();
        }
    });
    for _ in 0..20 {
        let following = history.follow(&room_id("a"));
        let state = history.room_state(RoomQuery::head(room_id("a"))).await.unwrap();
        let mut next = state.head + 1;
        for _ in 0..5 {
            let received = tokio::time::timeout(Duration::from_millis(200), published.recv()).await;
            let Ok(Some(Published::Stored(events))) = received else { break };
            // What is left of an earlier following may come first.
            for event in events {
                if event.seq >= next {
                    assert_eq!(event.seq, next);
                    next += 1;
                }
            }
        }
        drop(following);
    }
    writing.await.unwrap();
}

async fn a_handle_that_closes_leaves_the_other_open(open: OpenTwice) {
    let (here, mut there) = open();
    let last = here.request(draft("a", "ann", 1, text("x")));
    here.history.close().await;
    assert!(last.await.is_ok());
    assert_eq!(here.append(draft("a", "ann", 2, text("x"))).await, Err(AppendError::Unavailable));
    assert!(*there.history.healthy().borrow());
    assert_eq!(there.append(draft("a", "ann", 3, text("x"))).await.unwrap().seq, 2);
    assert_eq!(seqs(&there.take(2).await), [1, 2]);
}

#[tokio::test]
async fn a_handle_that_falls_behind_is_told_where_the_room_is() {
    let store = MemoryStore::with_backlog(4);
    let (here, mut there) = (memory_of(&store, WIDE), memory_of(&store, Bounds { published: 1, ..WIDE }));
    for n in 0..100 {
        here.append(draft("a", "ann", n, text("x"))).await.unwrap();
    }
    // The handle has been told some events, and of the others only where they end.
    let mut told = 0;
    loop {
        match there.next().await {
            Published::Stored(events) => {
                for event in events {
                    assert_eq!(event.seq, told + 1);
                    told = event.seq;
                }
            }
            Published::Ahead { head, .. } => {
                assert!(head > told);
                told = head;
            }
            other => panic!("unexpected: {other:?}"),
        }
        if told == 100 {
            break;
        }
    }
    here.append(draft("a", "ann", 100, text("x"))).await.unwrap();
    assert_eq!(seqs(&there.take(1).await), [101]);
}

#[tokio::test]
async fn events_that_are_no_longer_kept_are_expired() {
    let store = MemoryStore::new();
    let mut here = memory_of(&store, WIDE);
    for n in 1..=10 {
        here.append(draft("a", "ann", n, text("x"))).await.unwrap();
    }
    here.events();
    store.expire(&room_id("a"), 6);
    assert_eq!(here.next().await, Published::Erased { room: room_id("a") });
    let after = async |after| here.history.read_after(room_id("a"), after, WHOLE).await;
    assert_eq!(after(4).await, Err(ReadError::Expired { oldest: 6 }));
    assert_eq!(after(0).await, Err(ReadError::Expired { oldest: 6 }));
    assert_eq!(seqs(&after(5).await.unwrap()), [6, 7, 8, 9, 10]);
    assert_eq!(seqs(&after(8).await.unwrap()), [9, 10]);
    assert_eq!(seqs(&here.history.read_before(room_id("a"), 8, WHOLE).await.unwrap()), [6, 7]);
    assert_eq!(here.history.read_before(room_id("a"), 6, WHOLE).await, Ok(vec![]));
    let query = RoomQuery { last: 99, at: 5, ..RoomQuery::head(room_id("a")) };
    let state = here.history.room_state(query).await.unwrap();
    assert_eq!((state.head, state.oldest, state.before_last, state.id_at), (10, 6, 5, None));
    assert_eq!(here.history.since(Position::default(), WHOLE).await.unwrap().events.len(), 5);
    assert_eq!(here.append(draft("a", "ann", 99, react(5))).await, Err(AppendError::NoSuchMessage));
    // The newest event is always kept: it says where the room is.
    store.expire(&room_id("a"), 99);
    assert_eq!(here.head("a").await, 10);
}
