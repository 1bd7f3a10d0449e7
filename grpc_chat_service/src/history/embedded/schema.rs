//! The tables, their versions, and the setup of connections.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::files;
use super::store_error::StoreError;
use crate::history::new_epoch;
use crate::model::{Durability, Epoch};

/// Identifies the file in its header: "CHAT".
const APPLICATION_ID: i32 = 0x4348_4154;

/// The migration from version n to n + 1 at index n. Never change one that has been released: add another.
const STEPS: &[&str] = &[V1, V2];

/// `events` is keyed by id and not by (room, seq), so that every insert goes to its end. Every row of `events`, `rooms`
/// and `reads` carries a checksum, always 4 bytes long: erasing a text does not change the size of a row.
const V1: &str = "
    CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    INSERT INTO meta (name, value) VALUES ('marks', 0), ('missing', 0), ('probes', 0);

    CREATE TABLE rooms (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        checksum BLOB NOT NULL
    ) STRICT;

    CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        room INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        time INTEGER NOT NULL,
        sender TEXT NOT NULL,
        device TEXT,
        client_msg_id BLOB NOT NULL,
        kind INTEGER NOT NULL, -- 1 post, 2 edit, 3 delete, 4 react, 5 react no more
        about INTEGER,
        body TEXT NOT NULL,
        erased INTEGER NOT NULL,
        checksum BLOB NOT NULL,
        UNIQUE (room, seq),
        UNIQUE (room, sender, client_msg_id)
    ) STRICT;

    CREATE INDEX edits ON events (room, about) WHERE kind = 2;

    CREATE TABLE reads (
        room INTEGER NOT NULL,
        user TEXT NOT NULL,
        seq INTEGER NOT NULL,
        checksum BLOB NOT NULL,
        PRIMARY KEY (room, user)
    ) STRICT, WITHOUT ROWID;
";

/// Finds a user's last event about a reaction.
const V2: &str = "CREATE INDEX reactions ON events (room, about, sender, body) WHERE kind IN (4, 5);";

/// How long a connection waits for a lock of another, such as an operator's.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Opens the store for writing; creates or migrates its tables.
pub(super) fn open(dir: &Path, durability: Durability) -> Result<Connection, StoreError> {
    let mut conn = connect(dir)?;
    migrate(&mut conn, STEPS)?;
    let synchronous = if durability == Durability::Synced { "FULL" } else { "NORMAL" };
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", synchronous)?;
    // On macOS an ordinary sync does not reach the disk; elsewhere this has no effect.
    conn.pragma_update(None, "fullfsync", durability == Durability::Synced)?;
    conn.pragma_update(None, "checkpoint_fullfsync", true)?;
    conn.pragma_update(None, "secure_delete", true)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    // The writer checkpoints after it has sent the results, not within a commit.
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "cache_size", -32_768)?;
    conn.set_prepared_statement_cache_capacity(32);
    Ok(conn)
}

/// Opens the store for reading.
pub(super) fn open_reader(dir: &Path) -> rusqlite::Result<Connection> {
    let conn = connect(dir)?;
    conn.pragma_update(None, "query_only", true)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    Ok(conn)
}

/// Returns the epoch of the store.
pub(super) fn epoch(conn: &Connection) -> rusqlite::Result<Epoch> {
    meta(conn, "epoch")
}

/// Returns a number that the store keeps about itself.
pub(super) fn meta(conn: &Connection, name: &str) -> rusqlite::Result<u64> {
    conn.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).map(i64::cast_unsigned)
}

/// Sets a number the store keeps about itself.
pub(super) fn set_meta(conn: &Connection, name: &str, value: u64) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE meta SET value = ?2 WHERE name = ?1")?.execute((name, value.cast_signed()))?;
    Ok(())
}

fn connect(dir: &Path) -> rusqlite::Result<Connection> {
    // Readers open it for writing too: reading a database in WAL mode writes to the index of the WAL.
    // The file has been created: an empty one is an empty database.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(dir.join(files::DATABASE), flags)?;
    conn.busy_timeout(BUSY)?;
    // The writer decides what is checkpointed, also when a connection closes.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    Ok(conn)
}

fn migrate(conn: &mut Connection, steps: &[&str]) -> Result<(), StoreError> {
    let change = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let number = |sql: &str| change.query_row(sql, [], |row| row.get::<_, i64>(0));
    let application = number("PRAGMA application_id")?;
    let found = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    let known = steps.len();
    if application != i64::from(APPLICATION_ID) && (application != 0 || tables > 0 || found != 0) {
        return Err(StoreError::NotAHistory);
    }
    let done = usize::try_from(found).map_err(|_| StoreError::NotAHistory)?;
    let Some(to_do) = steps.get(done..) else { return Err(StoreError::Newer { found, known }) };
    for step in to_do {
        change.execute_batch(step)?;
    }
    if done == 0 {
        change.execute("INSERT INTO meta (name, value) VALUES ('epoch', ?1)", [new_epoch().cast_signed()])?;
    }
    if !to_do.is_empty() {
        change.pragma_update(None, "application_id", APPLICATION_ID)?;
        change.pragma_update(None, "user_version", i64::try_from(known).unwrap_or(i64::MAX))?;
    }
    change.commit()?;
    Ok(())
}
