//! Files that are removed, moved or replaced under an open store.

use super::*;

const FILES: [&str; 5] = [files::DATABASE, files::WAL, "history.db-shm", files::HIGH_WATER, files::LOCK];

/// A store with one message, whose health is shown within `PATIENCE`.
async fn opened() -> (TempDir, Embedded, mpsc::Receiver<Published>) {
    let dir = tempfile::tempdir().unwrap();
    let (history, published) = open_with(dir.path(), STRICT).unwrap();
    append_each(&history, 1..=1).await;
    (dir, history, published)
}

async fn becomes(history: &Embedded, healthy: bool) {
    let mut health = history.healthy();
    let shown = health.wait_for(|shown| *shown == healthy);
    tokio::time::timeout(Duration::from_secs(10), shown).await.expect("health should have changed").unwrap();
}

/// Nothing is acknowledged after the files have been damaged, and that stays so.
async fn nothing_is_acknowledged(history: &Embedded, why: &str) {
    let result = history.append(&account(), post(2, "lost"), Expected::default()).await;
    assert!(matches!(result, Err(AppendError::Unknown | AppendError::Unavailable)), "{why}: {result:?}");
    assert!(!*history.healthy().borrow(), "{why}");
    let mark = history.mark_read(&account(), room(), ann(), 1).await;
    assert_eq!(mark, Err(AppendError::Unavailable), "{why}");
    // Longer than it takes to try to reopen the store.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert!(!*history.healthy().borrow(), "{why}");
}

#[tokio::test]
async fn nothing_is_acknowledged_once_a_file_has_gone() {
    let mut stores = tokio::task::JoinSet::new();
    for name in FILES {
        stores.spawn(async move {
            let (dir, history, _published) = opened().await;
            fs::remove_file(dir.path().join(name)).unwrap();
            nothing_is_acknowledged(&history, name).await;
            // Reopening creates nothing in its place.
            assert!(!dir.path().join(name).exists(), "{name}");
            // What was read before is still read.
            assert_eq!(history.read_after(room(), 0, Page { events: 1, bytes: 1 }).await.unwrap().len(), 1, "{name}");
            tokio::time::timeout(Duration::from_secs(10), history.close()).await.unwrap();
        });
    }
    stores.join_all().await;
}

#[tokio::test]
async fn nothing_is_acknowledged_once_a_file_is_another_one() {
    let mut stores = tokio::task::JoinSet::new();
    for name in FILES {
        stores.spawn(async move {
            let (dir, history, _published) = opened().await;
            let (file, copy) = (dir.path().join(name), dir.path().join("copy"));
            fs::copy(&file, &copy).unwrap();
            fs::rename(copy, file).unwrap();
            nothing_is_acknowledged(&history, name).await;
            history.close().await;
        });
    }
    stores.join_all().await;
}

#[tokio::test]
async fn a_directory_that_was_moved_is_used_again_when_it_is_back() {
    let parent = tempfile::tempdir().unwrap();
    let (here, away) = (parent.path().join("data"), parent.path().join("away"));
    let (history, mut published) = open_with(&here, STRICT).unwrap();
    append_each(&history, 1..=1).await;
    fs::rename(&here, &away).unwrap();
    let result = history.append(&account(), post(2, "perhaps"), Expected::default()).await;
    assert!(matches!(result, Err(AppendError::Unknown | AppendError::Unavailable)), "{result:?}");
    becomes(&history, false).await;
    assert!(!here.exists());
    fs::rename(&away, &here).unwrap();
    becomes(&history, true).await;
    // Sent again, it is stored once, whether or not it was the first time.
    let again = history.append(&account(), post(2, "perhaps"), Expected::default()).await.unwrap();
    assert_eq!((again.seq, again.duplicate), (2, result == Err(AppendError::Unknown)));
    let mut seqs = Vec::new();
    while let Ok(Published::Stored(events)) = published.try_recv() {
        seqs.extend(events.into_iter().map(|event| event.seq));
    }
    assert_eq!(seqs, [1, 2]);
    history.close().await;
    assert_eq!(read(&open(&here)).await, Ok(vec![1, 2]));
}

#[tokio::test]
async fn files_that_have_gone_are_noticed_also_when_nothing_is_written() {
    let (dir, history, _published) = opened().await;
    fs::remove_file(dir.path().join(files::WAL)).unwrap();
    becomes(&history, false).await;
    assert_eq!(history.append(&account(), post(2, "x"), Expected::default()).await, Err(AppendError::Unavailable));
    history.close().await;
    // What was acknowledged and is gone now is noticed.
    assert!(refused(dir.path()).starts_with("has lost 1 acknowledged events"));
}
