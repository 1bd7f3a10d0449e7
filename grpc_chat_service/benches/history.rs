//! Acked appends per second of the history on disk, beside SQLite alone with the same table and settings on the same file
//! system, and with as many rows in each commit as the history has appends in flight.
//!
//! `cargo bench -p grpc_chat_service --bench history [-- directory]`

#![allow(clippy::unwrap_used, reason = "an error ends the benchmark without a result")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use grpc_chat_service::history::embedded::{Embedded, Options};
use grpc_chat_service::history::{Admission, Expected, History, Published};
use grpc_chat_service::model::{Account, Change, ClientMsgId, Draft, Durability, RoomId, UserId};
use rusqlite::Connection;
use tokio::sync::mpsc;

const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(2);
const TEXT_BYTES: usize = 200;

fn main() {
    let args: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let parent = args.first().map_or_else(std::env::temp_dir, Into::into);
    println!("in {}, {TEXT_BYTES}-byte posts, acked when synced, median of {ROUNDS}", parent.display());
    println!("{:>9}  {:>12}  {:>12}  {:>5}  {:>10}", "in flight", "history", "SQLite", "ratio", "per commit");
    for in_flight in [1, 64, 1_024] {
        // In turn, so that other load on the machine disturbs both.
        let rounds = (0..ROUNDS).map(|_| (measure_history(&parent, in_flight), measure_sqlite(&parent, in_flight)));
        let (mut ours, mut theirs): (Vec<_>, Vec<_>) = rounds.unzip();
        ours.sort_by(|a, b| a.0.total_cmp(&b.0));
        theirs.sort_by(f64::total_cmp);
        let ((ours, batch), theirs) = (ours[ROUNDS / 2], theirs[ROUNDS / 2]);
        println!("{in_flight:>9}  {ours:>10.0}/s  {theirs:>10.0}/s  {:>5.2}  {batch:>10.1}", ours / theirs);
    }
}

/// Returns the appends per second, and how many there were in each commit.
fn measure_history(parent: &Path, in_flight: usize) -> (f64, f64) {
    let dir = tempfile::tempdir_in(parent).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (publisher, mut published) = mpsc::channel::<Published>(1_024);
        let counting = tokio::spawn(async move {
            let (mut batches, mut events) = (0_u32, 0);
            while let Some(Published::Stored(batch)) = published.recv().await {
                batches += 1;
                events += batch.len();
            }
            events as f64 / f64::from(batches)
        });
        let options = Options { durability: Durability::Synced, accept_loss: false };
        let history = Arc::new(Embedded::open(dir.path(), options, Admission::default(), publisher).unwrap());
        let start = Instant::now();
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..in_flight {
            let history = Arc::clone(&history);
            let account = Account { user: UserId::new(&format!("user-{caller}")).ok(), network: [127, 0, 0, 1].into() };
            callers.spawn(async move {
                let mut acked = 0;
                while start.elapsed() < ROUND {
                    history.append(&account, draft(caller, acked), Expected::default()).await.unwrap();
                    acked += 1;
                }
                acked
            });
        }
        let acked: usize = callers.join_all().await.into_iter().sum();
        let rate = acked as f64 / start.elapsed().as_secs_f64();
        history.close().await;
        (rate, counting.await.unwrap())
    })
}

/// Returns the rows inserted per second.
fn measure_sqlite(parent: &Path, batch: usize) -> f64 {
    let dir = tempfile::tempdir_in(parent).unwrap();
    // Creates the tables.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = Options { durability: Durability::Synced, accept_loss: false };
    let history = Embedded::open(dir.path(), options, Admission::default(), mpsc::channel(1).0).unwrap();
    runtime.block_on(history.close());
    drop(history);

    let conn = Connection::open(dir.path().join("history.db")).unwrap();
    for (pragma, value) in [
        ("journal_mode", "WAL"),
        ("synchronous", "FULL"),
        ("secure_delete", "1"),
        ("cell_size_check", "1"),
        ("wal_autocheckpoint", "4000"),
        ("cache_size", "-32768"),
    ] {
        conn.pragma_update(None, pragma, value).unwrap();
    }
    conn.execute("INSERT INTO rooms (id, name, checksum) VALUES (1, 'bench', x'00000000')", []).unwrap();
    let mut insert = conn
        .prepare(
            "INSERT INTO events
                 (id, room, seq, time, sender, device, client_msg_id, kind, about, body, erased, checksum)
             VALUES (?1, 1, ?1, ?2, ?3, NULL, ?4, 1, NULL, ?5, 0, ?6)",
        )
        .unwrap();
    let start = Instant::now();
    let mut stored = 0;
    let mut round = 0;
    while start.elapsed() < ROUND {
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        for caller in 0..batch {
            let draft = draft(caller, round);
            let Change::Post { text, .. } = &draft.change else { continue };
            stored += 1;
            let time = 1_700_000_000_000_i64 + stored;
            insert
                .execute((stored, time, draft.sender.as_str(), draft.client_msg_id.0, text, [1_u8, 2, 3, 4]))
                .unwrap();
        }
        conn.execute_batch("COMMIT").unwrap();
        round += 1;
    }
    stored as f64 / start.elapsed().as_secs_f64()
}

/// Returns a draft by one of 64 users. The ids of drafts rise with `n`.
fn draft(caller: usize, n: usize) -> Draft {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&(n as u64).to_be_bytes());
    id[8..].copy_from_slice(&(caller as u64).to_be_bytes());
    Draft {
        room: RoomId::new("bench").unwrap(),
        sender: UserId::new(&format!("user-{:02}", caller % 64)).unwrap(),
        device: None,
        client_msg_id: ClientMsgId(id),
        change: Change::Post { text: "x".repeat(TEXT_BYTES).into(), reply_to: None },
    }
}
