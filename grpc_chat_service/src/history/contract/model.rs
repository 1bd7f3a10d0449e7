//! Random histories, applied to a model and to every store: results and contents must be the same.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{Bounds, Store, device_id, embedded, memory, memory_of, room_id, user_id};
use crate::history::memory::MemoryStore;
use crate::history::{AppendError, Page, Published, RoomQuery, RoomState};
use crate::model::{Change, ClientMsgId, Draft, Event, Seq};

const ROOMS: [&str; 2] = ["a", "a/b"];
const USERS: [&str; 2] = ["ann", "bob"];
const BOUNDS: Bounds = Bounds { queued: 256, published: 256 };

#[derive(Clone, Debug)]
enum Step {
    /// Drafts requested without waiting, so that some share a commit.
    Append(Vec<Draft>),
    Mark {
        room: usize,
        user: usize,
        seq: Seq,
    },
    Reopen,
}

/// As plain as possible: a list of events for each room, searched from one end.
#[derive(Default)]
struct Model {
    rooms: HashMap<&'static str, Vec<Event>>,
    read: HashMap<(&'static str, &'static str), Seq>,
}

impl Model {
    fn append(&mut self, draft: &Draft) -> Result<(Seq, bool), AppendError> {
        let name = ROOMS.into_iter().find(|room| *room == draft.room.as_str()).unwrap();
        let events = self.rooms.entry(name).or_default();
        let same_id =
            |event: &&Event| (&event.draft.sender, event.draft.client_msg_id) == (&draft.sender, draft.client_msg_id);
        if let Some(before) = events.iter().find(same_id) {
            let repeats = before.erased || before.draft.change == draft.change;
            return if repeats { Ok((before.seq, true)) } else { Err(AppendError::Conflict) };
        }
        let target_seq = draft.change.target();
        if let Some(target_seq) = target_seq {
            let Some(target) = events.iter().find(|event| event.seq == target_seq) else {
                return Err(AppendError::NoSuchMessage);
            };
            if target.erased || !matches!(target.draft.change, Change::Post { .. }) {
                return Err(AppendError::NoSuchMessage);
            }
            let own = matches!(draft.change, Change::Edit { .. } | Change::Delete { .. });
            if own && target.draft.sender != draft.sender {
                return Err(AppendError::NotTheAuthor);
            }
        }
        if let Change::React { seq, reaction, remove } = &draft.change {
            let by_sender = |event: &&Event| {
                event.draft.sender == draft.sender
                    && matches!(&event.draft.change,
                Change::React { seq: about, reaction: with, .. } if (about, with) == (seq, reaction))
            };
            let last = events.iter().rev().find(by_sender);
            match last.map(|event| (event.seq, &event.draft.change)) {
                None if *remove => return Ok((*seq, true)),
                Some((last, Change::React { remove: was, .. })) if was == remove => return Ok((last, true)),
                _ => {}
            }
        }
        if matches!(draft.change, Change::Delete { .. }) {
            for event in events.iter_mut() {
                let seq = event.seq;
                match &mut event.draft.change {
                    Change::Post { text, .. } if Some(seq) == target_seq => {
                        event.erased = true;
                        *text = "".into();
                    }
                    Change::Edit { seq, text } if Some(*seq) == target_seq => {
                        event.erased = true;
                        *text = "".into();
                    }
                    _ => {}
                }
            }
        }
        let seq = events.len() as Seq + 1;
        events.push(Event { seq, prev_seq: seq - 1, time: 0, draft: draft.clone(), erased: false });
        Ok((seq, false))
    }

    fn mark(&mut self, room: &'static str, user: &'static str, seq: Seq) -> Result<Seq, AppendError> {
        if seq > self.rooms.get(room).map_or(0, |events| events.len() as Seq) {
            return Err(AppendError::NoSuchMessage);
        }
        let mark = self.read.entry((room, user)).or_default();
        *mark = seq.max(*mark);
        Ok(*mark)
    }
}

fn change() -> impl Strategy<Value = Change> {
    let text = || "[a-c]{1,8}";
    prop_oneof![
        4 => (text(), proptest::option::weighted(0.3, 0..8_u64))
            .prop_map(|(text, reply_to)| Change::Post { text: text.into(), reply_to }),
        2 => (1..8_u64, text()).prop_map(|(seq, text)| Change::Edit { seq, text: text.into() }),
        2 => (1..8_u64).prop_map(|seq| Change::Delete { seq }),
        2 => (1..4_u64, any::<bool>())
            .prop_map(|(seq, remove)| Change::React { seq, reaction: "+1".to_owned(), remove }),
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    (0..ROOMS.len(), 0..USERS.len(), 0..24_u8, any::<bool>(), change()).prop_map(
        |(room, sender, id, device, change)| Draft {
            room: room_id(ROOMS[room]),
            sender: user_id(USERS[sender]),
            device: device.then(|| device_id("phone")),
            client_msg_id: ClientMsgId([id; 16]),
            change,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => proptest::collection::vec(draft(), 1..8).prop_map(Step::Append),
        2 => (0..ROOMS.len(), 0..USERS.len(), 0..12_u64).prop_map(|(room, user, seq)| Step::Mark { room, user, seq }),
        1 => Just(Step::Reopen),
    ]
}

/// Without times, which the model does not know.
fn untimed(mut events: Vec<Event>) -> Vec<Event> {
    events.iter_mut().for_each(|event| event.time = 0);
    events
}

/// Applies the steps to the handles in turn.
async fn check(mut handles: Vec<Store>, steps: &[Step], page: Page) {
    let mut model = Model::default();
    let mut published: Vec<Vec<Event>> = vec![Vec::new(); handles.len()];
    let mut accepted: Vec<Draft> = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        let store = n % handles.len();
        match step {
            Step::Append(drafts) => {
                let requested: Vec<_> = drafts.iter().map(|draft| handles[store].request(draft.clone())).collect();
                for (draft, requested) in drafts.iter().zip(requested) {
                    let expected = model.append(draft);
                    let result = requested.await;
                    assert_eq!(result.map(|appended| (appended.seq, appended.duplicate)), expected, "{draft:?}");
                    if matches!(expected, Ok((_, false))) {
                        accepted.push(draft.clone());
                    }
                }
            }
            Step::Mark { room, user, seq } => {
                let marked = handles[store].mark_read(ROOMS[*room], USERS[*user], *seq).await;
                assert_eq!(marked, model.mark(ROOMS[*room], USERS[*user], *seq));
            }
            Step::Reopen => {
                let closing = handles.remove(store);
                let (reopened, events) = reopen(closing).await;
                published[store].extend(events);
                handles.insert(store, reopened);
            }
        }
    }
    for (store, mut events) in handles.iter_mut().zip(published) {
        while events.len() < accepted.len() {
            events.extend(store.next_stored().await);
        }
        assert!(store.events().is_empty(), "published twice");
        assert_eq!(events.into_iter().map(|event| event.draft).collect::<Vec<_>>(), accepted);
    }
    let (store, _) = reopen(handles.remove(0)).await;
    for room in ROOMS {
        let expected = model.rooms.remove(room).unwrap_or_default();
        assert_eq!(untimed(store.all(room).await), expected);
        assert_eq!(paged(&store, room, page, true).await, expected);
        assert_eq!(paged(&store, room, page, false).await, expected);
        let head = expected.len() as Seq;
        for user in USERS {
            let read = model.read.get(&(room, user)).copied().unwrap_or(0);
            let query = RoomQuery { user: Some(user_id(user)), ..RoomQuery::head(room_id(room)) };
            let state = store.history.room_state(query).await.unwrap();
            let expected = RoomState { head, oldest: head.min(1), read, before_last: head, id_at: None };
            assert_eq!(state, expected);
        }
    }
    store.history.close().await;
}

impl Store {
    /// The events of the next thing that is published, if it is events.
    async fn next_stored(&mut self) -> Vec<Event> {
        match self.next().await {
            Published::Stored(events) => events,
            Published::Read { .. } => Vec::new(),
            other => panic!("unexpected: {other:?}"),
        }
    }
}

/// Reopens a store, and returns the events that were published before.
async fn reopen(mut store: Store) -> (Store, Vec<Event>) {
    let events = store.events();
    (store.reopened().await, events)
}

/// Reads a room page by page, from one end to the other.
async fn paged(store: &Store, room: &str, page: Page, forward: bool) -> Vec<Event> {
    let room = room_id(room);
    let (mut events, mut at) = (Vec::new(), if forward { 0 } else { Seq::MAX });
    loop {
        let read = if forward {
            store.history.read_after(room.clone(), at, page).await.unwrap()
        } else {
            store.history.read_before(room.clone(), at, page).await.unwrap()
        };
        assert!(read.len() <= page.events);
        let Some(edge) = (if forward { read.last() } else { read.first() }) else { return untimed(events) };
        at = edge.seq;
        if forward {
            events.extend(read);
        } else {
            events.splice(..0, read);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_store_behaves_like_the_model(
        steps in proptest::collection::vec(step(), 1..16),
        events in 1..5_usize,
        bytes in 0..20_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let page = Page { events, bytes };
            check(vec![memory(BOUNDS)], &steps, page).await;
            check(vec![embedded(BOUNDS)], &steps, page).await;
            let shared = MemoryStore::new();
            check(vec![memory_of(&shared, BOUNDS), memory_of(&shared, BOUNDS)], &steps, page).await;
        });
    }
}
