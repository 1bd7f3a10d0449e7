//! What deleting leaves, and what it costs.

use std::process::Command;

use rusqlite::Transaction;

use super::*;

/// Set in the process that [`deleting_a_message_with_very_many_edits_needs_little_memory`] measures.
const ALONE: &str = "CHAT_TEST_ALONE";

/// In a process of its own, since other tests use memory, too.
#[tokio::test]
async fn deleting_a_message_with_very_many_edits_needs_little_memory() {
    if std::env::var_os(ALONE).is_none() {
        let name = "history::embedded::tests::erasing::deleting_a_message_with_very_many_edits_needs_little_memory";
        let test = std::env::current_exe().unwrap();
        let alone = Command::new(test).args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().unwrap();
        let out = String::from_utf8_lossy(&alone.stdout);
        assert!(alone.status.success() && out.contains("1 passed"), "{out}{}", String::from_utf8_lossy(&alone.stderr));
        return;
    }
    // 128 MiB, as an earlier version stored them.
    let edits = 16_384;
    let dir = closed_with(1).await;
    let mut db = Connection::open(dir.path().join(files::DATABASE)).unwrap();
    let change = db.transaction().unwrap();
    for n in 2..=edits + 1 {
        let text = format!("secret {n} {}", "x".repeat(8_192 - 16));
        let draft = Draft { change: Change::Edit { seq: 1, text: text.into() }, ..post(n, "") };
        insert(&change, &Event { seq: n, prev_seq: n - 1, time: u64::MAX >> 20, draft, erased: false });
    }
    change.commit().unwrap();
    drop(db);
    let history = open(dir.path());
    let before = peak_memory_kib();
    let delete = |n| Draft { change: Change::Delete { seq: 1 }, ..post(n, "") };
    assert_eq!(history.append(&account(), delete(1_000_000), Expected::default()).await.unwrap().seq, edits + 2);
    let grown = peak_memory_kib() - before;
    // The writer's cache, 32 MiB, and little more.
    assert!(grown < 64 * 1024, "{grown} KiB");
    let page = Page { events: 10, bytes: usize::MAX };
    assert!(history.read_before(room(), edits + 2, page).await.unwrap().iter().all(|event| event.erased));
    assert!(history.append(&account(), delete(1_000_000), Expected::default()).await.unwrap().duplicate);
    history.close().await;
    assert_eq!(files_with(dir.path(), "secret"), 0);
}

#[tokio::test]
async fn a_damaged_edit_is_found_before_anything_is_erased() {
    let dir = closed_with(1).await;
    let history = open(dir.path());
    for n in 2..=90 {
        let edit = Change::Edit { seq: 1, text: format!("edit number {n:04}").into() };
        history.append(&account(), Draft { change: edit, ..post(n, "") }, Expected::default()).await.unwrap();
    }
    // So many that opening does not read the edits.
    append_each(&history, 100..1_200).await;
    history.close().await;
    super::change(dir.path(), files::DATABASE, |bytes| {
        let at = position(bytes, "edit number 0085");
        bytes[at] ^= 1;
    });
    let history = open(dir.path());
    let delete = Draft { change: Change::Delete { seq: 1 }, ..post(5_000, "") };
    assert_eq!(history.append(&account(), delete, Expected::default()).await, Err(AppendError::Unavailable));
    let kept = history.read_after(room(), 0, Page { events: 80, bytes: usize::MAX }).await.unwrap();
    assert!(kept.iter().all(|event| !event.erased));
}

/// Stores an event as the writer does.
fn insert(change: &Transaction<'_>, event: &Event) {
    let columns = record::Columns::of(event);
    let sql = "INSERT INTO events (id, room, seq, time, sender, client_msg_id, kind, about, body, erased, checksum)
               VALUES (?1, 1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8)";
    change
        .prepare_cached(sql)
        .unwrap()
        .execute((
            event.seq.cast_signed(),
            event.time.cast_signed(),
            event.draft.sender.as_str(),
            event.draft.client_msg_id.0,
            columns.kind,
            columns.about,
            columns.body,
            columns.checksum,
        ))
        .unwrap();
}

/// The most memory that this process has had, in KiB.
fn peak_memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
