//! A disk that is almost full.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::free_space::Space;
use super::*;

const ROOMY: u64 = 1 << 39;

/// A store on a disk of 1 TiB with so many bytes free.
fn open_on_disk(dir: &Path, free: &Arc<AtomicU64>) -> Embedded {
    let free = Arc::clone(free);
    let look = move |_| -> super::super::free_space::Look {
        Box::new(move || Ok(Space { free: free.load(Ordering::Relaxed), size: 1 << 40 }))
    };
    Embedded::open_looking(dir, STRICT, Admission::default(), mpsc::channel(4_096).0, look).unwrap()
}

async fn becomes(history: &Embedded, healthy: bool) {
    let mut health = history.healthy();
    let shown = health.wait_for(|shown| *shown == healthy);
    tokio::time::timeout(Duration::from_secs(10), shown).await.expect("health should have changed").unwrap();
}

#[tokio::test]
async fn on_a_disk_that_is_almost_full_nothing_new_is_stored_and_all_else_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let free = Arc::new(AtomicU64::new(ROOMY));
    let history = open_on_disk(dir.path(), &free);
    append_each(&history, 1..=3).await;
    free.store(1 << 20, Ordering::Relaxed);
    // Noticed without a write.
    becomes(&history, false).await;
    let append = |draft| history.append(&account(), draft, Expected::default());
    let elsewhere = Draft { room: RoomId::new("new").unwrap(), ..post(10, "x") };
    let edit = Draft { change: Change::Edit { seq: 1, text: "x".into() }, ..post(11, "") };
    let react = |remove| Change::React { seq: 1, reaction: "x".to_owned(), remove };
    for draft in [post(12, "x"), elsewhere, edit, Draft { change: react(false), ..post(13, "") }] {
        assert_eq!(append(draft).await, Err(AppendError::StorageFull));
    }
    // What is stored already is answered, and what cannot be stored is refused for its own reason.
    assert!(append(post(3, "message number 0003")).await.unwrap().duplicate);
    assert_eq!(append(post(3, "x")).await, Err(AppendError::Conflict));
    assert!(append(Draft { change: react(true), ..post(14, "") }).await.unwrap().duplicate);
    assert_eq!(append(Draft { change: Change::Delete { seq: 2 }, ..post(15, "") }).await.unwrap().seq, 4);
    assert_eq!(history.mark_read(&account(), room(), ann(), 4).await, Ok(4));
    assert_eq!(read(&history).await, Ok(vec![1, 2, 3, 4]));
    assert_eq!(history.rooms(None, 10).await.unwrap().len(), 1);
    assert!(!*history.healthy().borrow(), "a delete that is stored makes no room");
    // The text that was deleted is removed from the WAL, too.
    let patience = Instant::now() + Duration::from_secs(10);
    while files_with(dir.path(), "message number 0002") > 0 {
        assert!(Instant::now() < patience);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    free.store(ROOMY, Ordering::Relaxed);
    becomes(&history, true).await;
    assert_eq!(append(post(12, "x")).await.unwrap().seq, 5);
    history.close().await;
}

#[tokio::test]
async fn a_store_on_a_disk_that_is_almost_full_is_opened() {
    let dir = closed_with(2).await;
    let free = Arc::new(AtomicU64::new(0));
    let history = open_on_disk(dir.path(), &free);
    assert_eq!(history.append(&account(), post(3, "x"), Expected::default()).await, Err(AppendError::StorageFull));
    assert!(!*history.healthy().borrow());
    assert_eq!(read(&history).await, Ok(vec![1, 2]));
    history.close().await;
}
