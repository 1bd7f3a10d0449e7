//! The file itself: its layout, opening it, and reading it.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use prost::Message;
use rusqlite::{Connection, ErrorCode, OptionalExtension};
use stubs::chat::v1 as pb;

use crate::error::StateError;
use crate::model::{Cursor, RoomId, SavedState};
use crate::wire::convert;

/// "chat", so that no other program's file is taken for a state file.
const APPLICATION: i64 = 0x6368_6174;

/// The version of the layout.
const VERSION: i64 = 2;

const LAYOUT: &str = "
    CREATE TABLE owner (user TEXT NOT NULL) STRICT;
    -- In the order in which they were made; each as the chat.v1.ClientFrame that sends it, without its id.
    CREATE TABLE drafts (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, frame BLOB NOT NULL) STRICT;
    -- The last event that the application has seen. The epoch's bits, read as a signed number; the event's client_msg_id, if
    -- it is known.
    CREATE TABLE cursors (room TEXT PRIMARY KEY, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, id BLOB) STRICT;
";

/// Turns the layout of version 1, whose cursors had no ids, into that of version 2.
const FROM_VERSION_1: &str = "ALTER TABLE cursors ADD COLUMN id BLOB";

/// What a file contains.
pub(super) struct Contents {
    /// The number of the last draft.
    pub(super) last_draft: u64,
    pub(super) saved: SavedState,
}

/// Opens or makes a file, for this client alone. Returns `None` if it is another program's, or of another version.
pub(super) fn open(path: &Path) -> rusqlite::Result<Option<Connection>> {
    make_private(path).map_err(|error| {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
        rusqlite::Error::SqliteFailure(code, Some(error.to_string()))
    })?;
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(Duration::ZERO)?;
    // Held from the first transaction to the end: no other client sends the same drafts.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let version = |connection: &Connection| -> rusqlite::Result<(i64, i64)> {
        let application = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        Ok((application, connection.pragma_query_value(None, "user_version", |row| row.get(0))?))
    };
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    match version(&transaction)? {
        (APPLICATION, VERSION) => {}
        (APPLICATION, 1) => {
            transaction.execute_batch(FROM_VERSION_1)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        (0, 0) => {
            let objects: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
            if objects > 0 {
                return Ok(None);
            }
            transaction.execute_batch(LAYOUT)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        _ => return Ok(None),
    }
    transaction.commit()?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Texts that were sent do not stay behind in the file.
    connection.pragma_update(None, "secure_delete", "ON")?;
    Ok(Some(connection))
}

/// Makes the file, if there is none, so that only this user of the machine can read it.
fn make_private(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // A file that exists is not opened: closing it again would release the lock that another client of this process has on it
    // (fcntl(2), "advisory record locking").
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn read(connection: &Connection) -> rusqlite::Result<Contents> {
    let owner = connection.query_row("SELECT user FROM owner", [], |row| row.get(0)).optional()?;
    let mut statement = connection.prepare("SELECT frame FROM drafts ORDER BY number")?;
    let frames = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    let mut drafts = Vec::new();
    for frame in frames {
        let frame = pb::ClientFrame::decode(frame?.as_slice()).ok();
        match frame.and_then(|frame| frame.body).and_then(convert::draft_from_wire) {
            Some(draft) => drafts.push(draft),
            None => tracing::error!("a draft in the state file cannot be read; it is left there and not sent"),
        }
    }
    let mut statement = connection.prepare("SELECT room, epoch, seq, id FROM cursors")?;
    let rows = statement.query_map([], |row| {
        let (epoch, seq) = (row.get::<_, i64>(1)?, row.get::<_, i64>(2)?);
        let id = row.get::<_, Option<Vec<u8>>>(3)?.and_then(|id| convert::id_from_wire(&id));
        Ok((row.get::<_, String>(0)?, Cursor { epoch: epoch.cast_unsigned(), seq: seq.cast_unsigned(), id }))
    })?;
    let rows: Vec<(String, Cursor)> = rows.collect::<rusqlite::Result<_>>()?;
    let cursors = rows.into_iter().filter_map(|(room, cursor)| Some((room.parse::<RoomId>().ok()?, cursor))).collect();
    let last: i64 = connection.query_row("SELECT coalesce(max(number), 0) FROM drafts", [], |row| row.get(0))?;
    let saved = SavedState { owner, confirmed: false, drafts, cursors };
    Ok(Contents { last_draft: last.cast_unsigned(), saved })
}

pub(super) fn state_error(path: &Path, error: &rusqlite::Error) -> StateError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StateError::InUse(path.to_owned()),
        Some(ErrorCode::NotADatabase) => StateError::WrongFormat(path.to_owned()),
        _ => StateError::Io(path.to_owned(), error.to_string()),
    }
}
