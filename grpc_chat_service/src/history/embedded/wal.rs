//! The write-ahead log: checkpoints, and what it takes to trust it again after a failed sync.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::{files, schema};

/// To empty the WAL the writer waits for readers of it, but not long: an operator's backup may read for minutes.
const TRUNCATE_TIMEOUT: Duration = Duration::from_millis(50);

/// The state of the WAL after a checkpoint.
pub(super) struct Wal {
    /// It could not be emptied, because a reader uses it.
    pub(super) busy: bool,
    /// The pages in it.
    pub(super) pages: i64,
    /// How many of them are also in the database file.
    pub(super) checkpointed: i64,
}

/// Runs a checkpoint in a mode of SQLite's: NOOP only returns the state, PASSIVE copies what it can without waiting,
/// TRUNCATE copies everything and empties the file.
pub(super) fn checkpoint(conn: &Connection, mode: &str) -> rusqlite::Result<Wal> {
    conn.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?
        .query_row([], |row| Ok(Wal { busy: row.get(0)?, pages: row.get(1)?, checkpointed: row.get(2)? }))
}

/// Empties the WAL. `false` if a reader keeps using it.
pub(super) fn truncate(conn: &Connection) -> rusqlite::Result<bool> {
    conn.busy_timeout(TRUNCATE_TIMEOUT)?;
    let wal = checkpoint(conn, "TRUNCATE");
    conn.busy_timeout(schema::BUSY)?;
    Ok(!wal?.busy)
}

/// Writes the bytes of the WAL in `dir` over themselves and syncs them. After a sync has failed, the operating system may
/// consider pages written that are not on disk, and a second sync proves nothing about them: only what is written again
/// is synced again.
pub(super) fn rewrite(dir: &Path) -> io::Result<()> {
    let mut file = match File::options().read(true).write(true).open(dir.join(files::WAL)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let mut block = vec![0; 1 << 16];
    let mut at = 0;
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return file.sync_all();
        }
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&block[..read])?;
        at += read as u64;
    }
}
