//! What changes of a message do, and when they are refused.

use super::*;

pub(super) async fn changes_need_a_message_that_exists(open: Open) {
    let store = open(WIDE);
    store.append(draft("a", "ann", 1, text("hi"))).await.unwrap();
    store.append(draft("a", "ann", 2, react(1))).await.unwrap();
    store.append(draft("a", "ann", 3, text("gone"))).await.unwrap();
    store.append(draft("a", "ann", 4, delete(3))).await.unwrap();
    let mut id = 100;
    // Before the first, a reaction, an erased message, a deletion, after the last, and beyond any column.
    for seq in [0, 2, 3, 4, 5, u64::MAX] {
        for change in [reply(seq, "x"), edit(seq, "x"), delete(seq), react(seq)] {
            id += 1;
            assert_eq!(store.append(draft("a", "ann", id, change)).await, Err(AppendError::NoSuchMessage), "{seq}");
        }
    }
    assert_eq!(store.append(draft("new", "ann", 1, reply(1, "x"))).await, Err(AppendError::NoSuchMessage));
    assert_eq!(store.all("a").await.len(), 4);
    assert_eq!(store.history.rooms(None, 10).await.unwrap().len(), 1);
}

pub(super) async fn only_the_author_edits_and_deletes(open: Open) {
    let store = open(WIDE);
    store.append(draft("a", "ann", 1, text("hi"))).await.unwrap();
    assert_eq!(store.append(draft("a", "bob", 1, edit(1, "ho"))).await, Err(AppendError::NotTheAuthor));
    assert_eq!(store.append(draft("a", "bob", 2, delete(1))).await, Err(AppendError::NotTheAuthor));
    store.append(draft("a", "bob", 3, react(1))).await.unwrap();
    store.append(draft("a", "bob", 4, reply(1, "ho"))).await.unwrap();
    store.append(draft("a", "ann", 2, edit(1, "ho"))).await.unwrap();
    store.append(draft("a", "ann", 3, delete(1))).await.unwrap();
}

pub(super) async fn changes_of_another_epoch_are_refused_unless_they_are_repeats(open: Open) {
    let store = open(WIDE);
    let epoch = *store.history.epoch().borrow();
    let append = |epoch, draft| store.history.append(&account(), draft, Expected { epoch: Some(epoch), target: None });
    append(epoch ^ 1, draft("a", "ann", 1, text("hi"))).await.unwrap();
    for (id, change) in [reply(1, "x"), edit(1, "x"), react(1), delete(1)].into_iter().enumerate() {
        let requested = draft("a", "ann", id as u64 + 2, change);
        assert_eq!(append(epoch ^ 1, requested.clone()).await, Err(AppendError::OtherEpoch));
        let stored = append(epoch, requested.clone()).await.unwrap();
        // It is the same draft, and it is stored in this epoch, whatever its sender knows of it.
        let again = append(epoch ^ 1, requested).await.unwrap();
        assert_eq!((again.seq, again.duplicate), (stored.seq, true));
    }
    assert_eq!(append(epoch ^ 1, draft("new", "ann", 9, react(1))).await, Err(AppendError::OtherEpoch));
}

pub(super) async fn changes_of_a_forked_history_are_refused_unless_they_are_repeats(open: Open) {
    let store = open(WIDE);
    let first = draft("a", "ann", 1, text("hi"));
    let of = |target: ClientMsgId| Expected { epoch: None, target: Some(target) };
    let (right, wrong) = (of(first.client_msg_id), of(ClientMsgId([9; 16])));
    store.append(first).await.unwrap();
    for (id, change) in [reply(1, "x"), edit(1, "x"), react(1), delete(1)].into_iter().enumerate() {
        let requested = draft("a", "ann", id as u64 + 2, change);
        assert_eq!(store.history.append(&account(), requested.clone(), wrong).await, Err(AppendError::Forked));
        let stored = store.history.append(&account(), requested.clone(), right).await.unwrap();
        let again = store.history.append(&account(), requested, wrong).await.unwrap();
        assert_eq!((again.seq, again.duplicate), (stored.seq, true));
    }
    // What does not refer to a message cannot refer to the wrong one.
    store.history.append(&account(), draft("a", "ann", 9, text("x")), wrong).await.unwrap();
    assert_eq!(
        store.history.append(&account(), draft("a", "ann", 10, react(99)), wrong).await,
        Err(AppendError::NoSuchMessage)
    );
}

pub(super) async fn deleting_erases_a_message_and_its_edits(open: Open) {
    let mut store = open(WIDE);
    store.append(draft("a", "ann", 1, text("secret one"))).await.unwrap();
    store.append(draft("a", "bob", 1, text("said by bob"))).await.unwrap();
    store.append(draft("a", "ann", 2, edit(1, "secret two"))).await.unwrap();
    store.append(draft("a", "bob", 2, edit(2, "kept"))).await.unwrap();
    store.append(draft("a", "ann", 3, edit(1, &"secret three".repeat(1_000)))).await.unwrap();
    store.events();
    let deleted = store.append(draft("a", "ann", 4, delete(1))).await.unwrap();
    assert_eq!(deleted.seq, 6);
    assert_eq!(store.events().len(), 1);

    let store = store.reopened().await;
    let read = store.all("a").await;
    let texts: Vec<_> = read
        .iter()
        .map(|event| match &event.draft.change {
            Change::Post { text, .. } | Change::Edit { text, .. } => (&**text, event.erased),
            _ => ("-", event.erased),
        })
        .collect();
    assert_eq!(texts, [("", true), ("said by bob", false), ("", true), ("kept", false), ("", true), ("-", false)]);

    // Any repeat of an erased draft, and a repeat of the deletion, is a duplicate.
    for (id, change) in [(1, text("secret one")), (1, text("other")), (2, edit(1, "other")), (4, delete(1))] {
        assert!(store.append(draft("a", "ann", id, change)).await.unwrap().duplicate);
    }
    assert_eq!(store.append(draft("a", "ann", 5, delete(1))).await, Err(AppendError::NoSuchMessage));

    store.history.close().await;
    if let Some(dir) = &store.dir {
        for file in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"secret"));
        }
    }
}

pub(super) async fn a_message_is_edited_a_hundred_times_and_no_more(open: Open) {
    let store = open(WIDE);
    store.append(draft("a", "ann", 1, text("draft 0"))).await.unwrap();
    store.append(draft("a", "ann", 2, text("another"))).await.unwrap();
    for n in 1..=100 {
        store.append(draft("a", "ann", 100 + n, edit(1, &format!("draft {n}")))).await.unwrap();
    }
    let store = store.reopened().await;
    assert_eq!(store.append(draft("a", "ann", 300, edit(1, "once more"))).await, Err(AppendError::TooManyEdits));
    // A refused edit leaves nothing behind, so its id can be used for another draft.
    store.append(draft("a", "ann", 300, edit(2, "the first edit of this one"))).await.unwrap();
    // Neither repeats nor other changes count.
    assert!(store.append(draft("a", "ann", 200, edit(1, "draft 100"))).await.unwrap().duplicate);
    assert_eq!(store.append(draft("a", "bob", 1, edit(1, "x"))).await, Err(AppendError::NotTheAuthor));
    store.append(draft("a", "bob", 1, react(1))).await.unwrap();
    store.append(draft("a", "bob", 2, reply(1, "enough"))).await.unwrap();
    store.append(draft("a", "ann", 301, delete(1))).await.unwrap();
    assert_eq!(store.all("a").await.iter().filter(|event| event.erased).count(), 101);
    assert_eq!(store.append(draft("a", "ann", 302, edit(1, "x"))).await, Err(AppendError::NoSuchMessage));
}

pub(super) async fn a_reaction_that_changes_nothing_is_not_stored(open: Open) {
    let mut store = open(WIDE);
    let message = store.append(draft("a", "ann", 1, text("hi"))).await.unwrap();
    let as_if = |appended: Appended| Ok(Appended { duplicate: true, ..appended });
    // Where there was none, it has been so since the message was posted.
    assert_eq!(store.append(draft("a", "bob", 1, unreact(1))).await, as_if(message));
    // In one batch, most likely.
    let requested = [react(1), react(1), unreact(1), unreact(1), react(1)];
    let requested: Vec<_> =
        (10..).zip(requested).map(|(id, change)| store.request(draft("a", "bob", id, change))).collect();
    let mut results = Vec::new();
    for result in requested {
        results.push(result.await.unwrap());
    }
    assert_eq!(results.iter().map(|appended| appended.seq).collect::<Vec<_>>(), [2, 2, 3, 3, 4]);
    assert_eq!(
        results.iter().map(|appended| appended.duplicate).collect::<Vec<_>>(),
        [false, true, false, true, false]
    );
    assert_eq!(Ok(results[1]), as_if(results[0]));
    // Another user's, another one, and one to another message change something.
    store.append(draft("a", "ann", 2, text("ho"))).await.unwrap();
    let other = Change::React { seq: 1, reaction: "x".to_owned(), remove: false };
    for (id, sender, change) in [(3, "ann", react(1)), (20, "bob", other), (21, "bob", react(5))] {
        assert!(!store.append(draft("a", sender, id, change)).await.unwrap().duplicate);
    }
    assert_eq!(seqs(&store.events()), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(store.all("a").await.len(), 8);
    // A reaction that is not stored must be about a message all the same.
    assert_eq!(store.append(draft("a", "bob", 30, unreact(2))).await, Err(AppendError::NoSuchMessage));
    assert_eq!(store.append(draft("new", "bob", 30, unreact(1))).await, Err(AppendError::NoSuchMessage));
    store.append(draft("a", "ann", 4, delete(1))).await.unwrap();
    assert_eq!(store.append(draft("a", "bob", 31, react(1))).await, Err(AppendError::NoSuchMessage));
}

pub(super) async fn the_reactions_of_a_store_that_was_closed_are_known(open: Open) {
    let store = open(WIDE);
    store.append(draft("a", "ann", 1, text("hi"))).await.unwrap();
    let added = store.append(draft("a", "bob", 1, react(1))).await.unwrap();
    // Its id is not stored either, so a repeat is judged anew.
    let again = draft("a", "bob", 2, react(1));
    assert_eq!(store.append(again.clone()).await, Ok(Appended { duplicate: true, ..added }));
    let mut store = store.reopened().await;
    store.events();
    assert_eq!(store.append(again.clone()).await, Ok(Appended { duplicate: true, ..added }));
    let removed = store.append(draft("a", "bob", 3, unreact(1))).await.unwrap();
    assert_eq!((removed.seq, removed.duplicate), (3, false));
    // A repeat of what was stored is the first result, whatever has happened since.
    assert_eq!(store.append(draft("a", "bob", 1, react(1))).await, Ok(Appended { duplicate: true, ..added }));
    assert_eq!(store.append(again).await.unwrap().seq, 4);
    assert_eq!(seqs(&store.events()), [3, 4]);
}

#[tokio::test]
async fn a_history_in_memory_that_is_full_stores_nothing_new_and_all_else_goes_on() {
    let store = MemoryStore::new();
    let storage = StorageLimits { memory_bytes: 100_000, ..StorageLimits::default() };
    let handle = || {
        let (publisher, published) = mpsc::channel(4_096);
        Store::new(store.open(Admission { storage, ..admission(WIDE) }, publisher), published, None)
    };
    let (here, there) = (handle(), handle());
    let long = "x".repeat(8_000);
    let mut stored = 0;
    while here.append(draft("a", "ann", stored + 1, text(&long))).await.is_ok() {
        stored += 1;
    }
    assert!((10..=13).contains(&stored), "{stored}");
    assert!(!*here.history.healthy().borrow());
    there.history.healthy().wait_for(|healthy| !healthy).await.unwrap();
    for (id, room, change) in
        [(50, "a", text("x")), (51, "new", text("x")), (52, "a", edit(1, "x")), (53, "a", react(1))]
    {
        assert_eq!(there.append(draft(room, "ann", id, change)).await, Err(AppendError::StorageFull));
    }
    assert!(here.append(draft("a", "ann", 1, text(&long))).await.unwrap().duplicate);
    assert_eq!(here.append(draft("a", "ann", 1, text("x"))).await, Err(AppendError::Conflict));
    assert_eq!(here.mark_read("a", "ann", 1).await, Ok(1));
    assert_eq!(here.all("a").await.len() as u64, stored);
    assert_eq!(here.history.rooms(None, 10).await.unwrap().len(), 1);
    // Deleting makes room.
    assert_eq!(here.append(draft("a", "ann", 60, delete(1))).await.unwrap().seq, stored + 1);
    assert!(*here.history.healthy().borrow());
    there.history.healthy().wait_for(|healthy| *healthy).await.unwrap();
    assert_eq!(there.append(draft("a", "ann", 50, text("x"))).await.unwrap().seq, stored + 2);
}
