//! Damage to the files of a store, and how the store detects it.

mod erasing;
#[cfg(unix)]
mod private;
mod space;
#[cfg(unix)]
mod vanished;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{Embedded, OpenError, Options, files, record};
use crate::history::{Admission, AppendError, Expected, History, Page, Published, ReadError, RoomQuery};
use crate::model::{Account, Change, ClientMsgId, DeviceId, Draft, Durability, Epoch, Event, RoomId, Seq, UserId};

/// Not synced, for speed: these tests do not cut the power.
const STRICT: Options = Options { durability: Durability::Written, accept_loss: false };
const ACCEPTING: Options = Options { accept_loss: true, ..STRICT };
const WHOLE: Page = Page { events: usize::MAX, bytes: usize::MAX };

fn open_with(dir: &Path, options: Options) -> Result<(Embedded, mpsc::Receiver<Published>), OpenError> {
    let (publisher, committed) = mpsc::channel(4_096);
    Embedded::open(dir, options, Admission::default(), publisher).map(|history| (history, committed))
}

fn open(dir: &Path) -> Embedded {
    open_with(dir, STRICT).unwrap().0
}

fn epoch_of(history: &Embedded) -> Epoch {
    *history.epoch().borrow()
}

/// The error for a directory that is refused, without the directory.
fn refused(dir: &Path) -> String {
    let error = open_with(dir, STRICT).unwrap_err().to_string();
    error.strip_prefix(&format!("the data directory {} ", dir.display())).unwrap().to_owned()
}

fn room() -> RoomId {
    RoomId::new("team/a").unwrap()
}

fn marks_of_ann() -> RoomQuery {
    RoomQuery { user: Some(ann()), ..RoomQuery::head(room()) }
}

fn account() -> Account {
    Account { user: Some(ann()), network: [127, 0, 0, 1].into() }
}

fn ann() -> UserId {
    UserId::new("ann").unwrap()
}

fn post(n: u64, text: &str) -> Draft {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&n.to_be_bytes());
    let change = Change::Post { text: text.into(), reply_to: None };
    Draft { room: room(), sender: ann(), device: None, client_msg_id: ClientMsgId(id), change }
}

/// Posts messages one by one, so that each is a commit.
async fn append_each(history: &Embedded, numbers: impl IntoIterator<Item = u64>) {
    for n in numbers {
        history.append(&account(), post(n, &format!("message number {n:04}")), Expected::default()).await.unwrap();
    }
}

async fn read(history: &Embedded) -> Result<Vec<Seq>, ReadError> {
    let events = history.read_after(room(), 0, WHOLE).await?;
    Ok(events.into_iter().map(|event| event.seq).collect())
}

/// A closed store with messages 1 to `last`.
async fn closed_with(last: u64) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    append_each(&history, 1..=last).await;
    history.close().await;
    dir
}

/// The files that a crash would leave of a store with messages 1 to `last`: most of them in the WAL.
async fn crashed_with(last: u64) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    append_each(&history, 1..=last).await;
    let image = copy(dir.path());
    history.close().await;
    image
}

fn copy(dir: &Path) -> TempDir {
    let image = tempfile::tempdir().unwrap();
    for file in fs::read_dir(dir).unwrap() {
        let file = file.unwrap();
        // The index of the WAL is shared memory, and does not survive the machine.
        if !file.file_name().to_str().unwrap().ends_with("-shm") {
            fs::copy(file.path(), image.path().join(file.file_name())).unwrap();
        }
    }
    image
}

/// Changes the bytes of a file.
fn change(dir: &Path, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = dir.join(file);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn position(bytes: &[u8], what: &str) -> usize {
    bytes.windows(what.len()).position(|window| window == what.as_bytes()).unwrap()
}

fn sql(dir: &Path, sql: &str) {
    Connection::open(dir.join(files::DATABASE)).unwrap().execute_batch(sql).unwrap();
}

#[tokio::test]
async fn a_crash_loses_nothing() {
    let image = crashed_with(50).await;
    let history = open(image.path());
    assert_eq!(read(&history).await, Ok((1..=50).collect()));
    assert!(history.append(&account(), post(50, "message number 0050"), Expected::default()).await.unwrap().duplicate);
    history.close().await;
}

#[tokio::test]
async fn dropping_without_closing_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let requested = (1..=50).map(|n| history.append(&account(), post(n, "x"), Expected::default())).collect::<Vec<_>>();
    drop(history);
    for result in requested {
        result.await.unwrap();
    }
    // The writer releases the directory when it has finished.
    let patience = Instant::now() + Duration::from_secs(10);
    let history = loop {
        match open_with(dir.path(), STRICT) {
            Ok((history, _)) => break history,
            Err(error) => assert!(Instant::now() < patience, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(read(&history).await, Ok((1..=50).collect()));
}

#[tokio::test]
async fn an_old_flipped_bit_is_found_when_it_is_read() {
    let dir = closed_with(1_100).await;
    change(dir.path(), files::DATABASE, |bytes| {
        let at = position(bytes, "message number 0007");
        bytes[at] ^= 1;
    });
    let history = open(dir.path());
    assert_eq!(read(&history).await, Err(ReadError::Corrupt { seq: 7 }));
    let after = history.read_after(room(), 7, Page { events: 2, bytes: 1_000 }).await.unwrap();
    assert_eq!(after[0].seq, 8);
    // Requests that need the damaged record fail; all others succeed.
    let edit = Change::Edit { seq: 7, text: "x".into() };
    assert_eq!(
        history.append(&account(), Draft { change: edit, ..post(2_000, "") }, Expected::default()).await,
        Err(AppendError::Unavailable)
    );
    assert_eq!(history.append(&account(), post(2_001, "x"), Expected::default()).await.unwrap().seq, 1_101);
    history.close().await;
}

#[tokio::test]
async fn a_new_flipped_bit_is_found_at_opening() {
    let dir = closed_with(20).await;
    change(dir.path(), files::DATABASE, |bytes| {
        let at = position(bytes, "message number 0007");
        bytes[at] ^= 1;
    });
    assert!(refused(dir.path()).starts_with("has a damaged record at seq 7 of room team/a: restore a backup"));
}

#[tokio::test]
async fn a_flipped_bit_in_a_read_mark_is_found() {
    let dir = closed_with(20).await;
    let history = open(dir.path());
    assert_eq!(history.mark_read(&account(), room(), ann(), 9).await, Ok(9));
    history.close().await;
    sql(dir.path(), "UPDATE reads SET seq = 10");
    let history = open(dir.path());
    assert_eq!(history.room_state(marks_of_ann()).await, Err(ReadError::Corrupt { seq: 10 }));
}

#[tokio::test]
async fn a_room_under_another_name_is_found_at_opening() {
    let dir = closed_with(3).await;
    sql(dir.path(), "UPDATE rooms SET name = 'team/b'");
    assert!(refused(dir.path()).starts_with("has a damaged record at seq 0 of room team/b"));
}

#[tokio::test]
async fn a_zeroed_block_in_the_wal_is_noticed() {
    let image = crashed_with(50).await;
    change(image.path(), "history.db-wal", |wal| {
        let middle = wal.len() / 2;
        wal[middle..middle + 4_096].fill(0);
    });
    let sentence = refused(image.path());
    let lost = sentence.strip_prefix("has lost ").unwrap().split(' ').next().unwrap().parse::<u64>().unwrap();
    assert!((5..=45).contains(&lost), "{sentence}");
    assert!(
        sentence.ends_with("or start with --accept-loss to serve what is left in a new epoch, so that clients notice")
    );

    // A refusal changes nothing.
    assert_eq!(refused(image.path()), sentence);
    let (history, _committed) = open_with(image.path(), ACCEPTING).unwrap();
    assert_eq!(read(&history).await, Ok((1..=50 - lost).collect()));
    let epoch = epoch_of(&history);
    assert_eq!(history.append(&account(), post(900, "x"), Expected::default()).await.unwrap().seq, 51 - lost);
    history.close().await;

    // The loss has been accepted, so the next start is an ordinary one in the same epoch.
    assert_eq!(epoch_of(&open(image.path())), epoch);
}

#[tokio::test]
async fn a_truncated_wal_is_noticed() {
    let image = crashed_with(50).await;
    change(image.path(), "history.db-wal", |wal| wal.truncate(wal.len() - 10_000));
    assert!(refused(image.path()).starts_with("has lost "));
    let image = crashed_with(50).await;
    fs::remove_file(image.path().join("history.db-wal")).unwrap();
    assert!(refused(image.path()).starts_with("has lost 50 acknowledged events"));
}

#[tokio::test]
async fn lost_read_marks_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    append_each(&history, 1..=5).await;
    let before = fs::read(dir.path().join("history.db-wal")).unwrap();
    assert_eq!(history.mark_read(&account(), room(), ann(), 3).await, Ok(3));
    let image = copy(dir.path());
    fs::write(image.path().join("history.db-wal"), before).unwrap();
    assert!(refused(image.path()).starts_with("has lost 1 acknowledged read marks"));
    history.close().await;
}

#[tokio::test]
async fn garbage_at_the_end_of_the_files_is_harmless() {
    let image = crashed_with(50).await;
    change(image.path(), "history.db-wal", |wal| wal.extend([0x5a; 10_000]));
    let history = open(image.path());
    assert_eq!(read(&history).await, Ok((1..=50).collect()));
    history.close().await;
    change(image.path(), files::DATABASE, |db| db.extend([0x5a; 10_000]));
    let history = open(image.path());
    append_each(&history, 51..=60).await;
    assert_eq!(read(&history).await, Ok((1..=60).collect()));
    history.close().await;
}

#[tokio::test]
async fn rows_that_were_deleted_are_noticed() {
    let dir = closed_with(50).await;
    sql(dir.path(), "DELETE FROM events WHERE seq IN (20, 21)");
    assert!(refused(dir.path()).starts_with("lacks 2 events, at least one of them in the middle of room team/a: "));
    let (history, _committed) = open_with(dir.path(), ACCEPTING).unwrap();
    assert_eq!(read(&history).await, Err(ReadError::Corrupt { seq: 20 }));
    let page = Page { events: 10, bytes: 1_000 };
    assert_eq!(history.read_before(room(), 25, page).await, Err(ReadError::Corrupt { seq: 21 }));
    assert_eq!(history.read_before(room(), 21, page).await, Err(ReadError::Corrupt { seq: 20 }));
    history.close().await;
    // What was accepted stays accepted, but no further loss.
    open(dir.path()).close().await;
    sql(dir.path(), "DELETE FROM events WHERE seq = 30");
    assert!(refused(dir.path()).starts_with("lacks 3 events"));

    let dir = closed_with(50).await;
    sql(dir.path(), "DELETE FROM events WHERE seq > 40");
    assert!(refused(dir.path()).starts_with("has lost 10 acknowledged events"));
}

#[tokio::test]
async fn a_restored_backup_begins_a_new_epoch() {
    let dir = closed_with(10).await;
    let before = open(dir.path());
    let epoch = epoch_of(&before);
    before.close().await;
    fs::remove_file(dir.path().join("history.mark")).unwrap();
    let restored = open(dir.path());
    assert_ne!(epoch_of(&restored), epoch);
    assert_eq!(read(&restored).await, Ok((1..=10).collect()));
    let epoch = epoch_of(&restored);
    restored.close().await;
    assert_eq!(epoch_of(&open(dir.path())), epoch);
}

#[tokio::test]
async fn another_store_in_the_directory_is_refused() {
    let (dir, other) = (closed_with(10).await, closed_with(20).await);
    fs::copy(other.path().join(files::DATABASE), dir.path().join(files::DATABASE)).unwrap();
    assert!(refused(dir.path()).starts_with("has another history than the one it had"));
    fs::remove_file(dir.path().join(files::DATABASE)).unwrap();
    assert!(refused(dir.path()).starts_with("has another history than the one it had"));
}

#[tokio::test]
async fn one_opens_it_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let sentence = "is in use by another process: stop that one, or choose another directory";
    assert_eq!(refused(dir.path()), sentence);
    append_each(&history, 1..=3).await;
    assert_eq!(refused(dir.path()), sentence);
    history.close().await;
    assert_eq!(read(&open(dir.path())).await, Ok(vec![1, 2, 3]));
}

#[tokio::test]
async fn an_operator_reading_the_files_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    append_each(&history, 1..=3).await;
    let operator = Connection::open(dir.path().join(files::DATABASE)).unwrap();
    operator.execute_batch("BEGIN; SELECT count(*) FROM events").unwrap();
    history
        .append(&account(), Draft { change: Change::Delete { seq: 1 }, ..post(4, "") }, Expected::default())
        .await
        .unwrap();
    // Past the time at which the writer empties the WAL.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let start = Instant::now();
    append_each(&history, 5..=6).await;
    assert!(start.elapsed() < Duration::from_secs(2));
    drop(operator);
    history.close().await;
    assert_eq!(read(&open(dir.path())).await.unwrap().len(), 6);
}

#[tokio::test]
async fn files_of_another_kind_are_refused() {
    let dir = closed_with(1).await;
    sql(dir.path(), "PRAGMA user_version = 99");
    assert_eq!(
        refused(dir.path()),
        "was written by a newer version (schema 99, this one knows 2): upgrade, or restore a backup"
    );

    let sentence = "has a history.db that is not a chat history: move it away, or choose another directory";
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(files::DATABASE), "not a database, but long enough to be taken for one ".repeat(100))
        .unwrap();
    assert_eq!(refused(dir.path()), sentence);
    fs::remove_file(dir.path().join(files::DATABASE)).unwrap();
    sql(dir.path(), "CREATE TABLE someone_elses (x)");
    assert_eq!(refused(dir.path()), sentence);
    fs::remove_file(dir.path().join(files::DATABASE)).unwrap();
    open(dir.path()).close().await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_created_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let sentence = refused(&dir.path().join("file/data"));
    assert!(sentence.starts_with("cannot be used (Not a directory"), "{sentence}");
    assert!(sentence.ends_with("check its path and its permissions"), "{sentence}");
    assert_eq!(refused(&dir.path().join("file")), "is a file: choose a directory with --data");
    open(&dir.path().join("made/for/it")).close().await;
}

#[tokio::test]
async fn time_never_goes_back_in_a_room() {
    let dir = closed_with(2).await;
    // A clock that was an hour ahead when 2 was stored.
    let mut event = open(dir.path()).read_after(room(), 1, WHOLE).await.unwrap().remove(0);
    event.time += 3_600_000;
    let checksum = record::Columns::of(&event).checksum;
    wait_for_lock(dir.path()).await;
    let db = Connection::open(dir.path().join(files::DATABASE)).unwrap();
    db.execute("UPDATE events SET time = ?1, checksum = ?2 WHERE seq = 2", (event.time.cast_signed(), checksum))
        .unwrap();
    drop(db);
    let (history, _committed) = open_with(dir.path(), ACCEPTING).unwrap();
    assert_eq!(history.append(&account(), post(3, "x"), Expected::default()).await.unwrap().time, event.time);
}

/// Waits until a store that was dropped has been closed.
async fn wait_for_lock(dir: &Path) {
    while super::lock::DirLock::take(dir).unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Many messages are deleted, in various orders, while others are posted and edited. SQLite moves rows between pages
/// meanwhile, and must not leave any text behind.
#[tokio::test]
async fn deleted_texts_are_in_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let mut id = 0;
    let mut next = || {
        id += 1;
        id
    };
    let size = |n: u64| if n.is_multiple_of(50) { 9_000 } else { 20 + (n * 37 % 400) as usize };
    let mut posts = Vec::new();
    for n in 0..400_u64 {
        let text = format!("{}{n:04}{}", if n % 4 == 0 { "kept" } else { "secret" }, ".".repeat(size(n)));
        let appended = history.append(&account(), post(next(), &text), Expected::default()).await;
        posts.push((n, appended.unwrap().seq));
        if n % 3 == 0 {
            let text = format!("{} again", if n % 4 == 0 { "kept" } else { "secret" });
            let edit = Change::Edit { seq: posts[n as usize].1, text: text.into() };
            history.append(&account(), Draft { change: edit, ..post(next(), "") }, Expected::default()).await.unwrap();
        }
    }
    posts.sort_by_key(|(n, _)| n * 7_919 % 401);
    for (n, seq) in posts {
        if n % 4 != 0 {
            history
                .append(&account(), Draft { change: Change::Delete { seq }, ..post(next(), "") }, Expected::default())
                .await
                .unwrap();
        }
    }
    // After a while the texts are gone also from the files of an open store.
    let patience = Instant::now() + Duration::from_secs(10);
    while files_with(dir.path(), "secret") > 0 {
        assert!(Instant::now() < patience);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(files_with(dir.path(), "kept") > 0);
    history.close().await;
    assert_eq!(files_with(dir.path(), "secret"), 0);
    let history = open(dir.path());
    assert_eq!(read(&history).await.unwrap().len(), 400 + 134 + 300);
}

fn files_with(dir: &Path, text: &str) -> usize {
    let files = fs::read_dir(dir).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    files.filter(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes())).count()
}

/// The tables of version 1, with one event of each kind and a read mark, as SQL.
const VERSION_1: &str = include_str!("version_1.sql");

#[tokio::test]
async fn a_store_of_version_1_is_still_read() {
    let dir = tempfile::tempdir().unwrap();
    sql(dir.path(), VERSION_1);
    let (history, _committed) = open_with(dir.path(), STRICT).unwrap();
    let events = history.read_after(room(), 0, WHOLE).await.unwrap();
    assert_eq!(events, version_1_events());
    assert_eq!(history.room_state(marks_of_ann()).await.unwrap().read, 2);
    let change = Change::React { seq: 1, reaction: "👍".to_owned(), remove: true };
    let unreact = Draft { sender: UserId::new("bob").unwrap(), change, ..post(9, "") };
    let known = history.append(&account(), unreact, Expected::default()).await.unwrap();
    assert_eq!((known.seq, known.duplicate), (5, true));
    history.close().await;
}

#[tokio::test]
async fn the_bytes_of_a_record_do_not_change() {
    let dir = tempfile::tempdir().unwrap();
    sql(dir.path(), VERSION_1);
    let db = Connection::open(dir.path().join(files::DATABASE)).unwrap();
    for event in version_1_events() {
        let stored: [u8; 4] = db
            .query_row("SELECT checksum FROM events WHERE seq = ?1", [event.seq.cast_signed()], |row| row.get(0))
            .unwrap();
        assert_eq!(record::Columns::of(&event).checksum, stored, "{event:?}");
    }
    let tables = |db: &Connection| -> Vec<(String, String)> {
        let mut find = db.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
        find.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    drop(db);
    open(dir.path()).close().await;
    let new = tempfile::tempdir().unwrap();
    open(new.path()).close().await;
    // A migrated store has the same tables as a new one.
    let words = |tables: Vec<(String, String)>| -> Vec<String> {
        let plain = |sql: &str| sql.lines().map(|line| line.split("--").next().unwrap_or("")).collect::<String>();
        tables.into_iter().map(|(_, sql)| plain(&sql).split_whitespace().collect()).collect()
    };
    let [migrated, new] = [&dir, &new].map(|dir| tables(&Connection::open(dir.path().join(files::DATABASE)).unwrap()));
    assert_eq!(words(migrated), words(new));
}

fn version_1_events() -> Vec<Event> {
    let event = |seq: Seq, n: u64, sender: &str, change: Change| Event {
        seq,
        prev_seq: seq - 1,
        time: 1_700_000_000_000 + seq,
        draft: Draft { sender: UserId::new(sender).unwrap(), change, ..post(n, "") },
        erased: false,
    };
    let mut events = vec![
        event(1, 1, "ann", Change::Post { text: "Grüße".into(), reply_to: None }),
        event(2, 1, "bob", Change::Post { text: "".into(), reply_to: Some(1) }),
        event(3, 2, "ann", Change::Edit { seq: 1, text: "Grüezi".into() }),
        event(4, 3, "bob", Change::React { seq: 1, reaction: "👍".to_owned(), remove: false }),
        event(5, 4, "bob", Change::React { seq: 1, reaction: "👍".to_owned(), remove: true }),
        event(6, 5, "bob", Change::Delete { seq: 2 }),
    ];
    events[0].draft.device = Some(DeviceId::new("phone").unwrap());
    events[1].erased = true;
    events
}
