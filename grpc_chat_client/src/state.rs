//! What a client keeps on disk for the next run of its program: drafts that are not acked, and how far the application has
//! come in each room. One SQLite file, written by one thread, a batch at a time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use prost::Message;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use stubs::chat::v1 as pb;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::convert;
use crate::engine::Kept;
use crate::model::{Cursor, Draft, MsgId};

/// "chat", so that no other program's file is taken for one of ours.
const APPLICATION: i64 = 0x6368_6174;

/// How the file is laid out. Another number is another layout.
const VERSION: i64 = 1;

const LAYOUT: &str = "
    CREATE TABLE owner (user TEXT NOT NULL) STRICT;
    -- In the order in which they were made; each as the chat.v1.ClientFrame that sends it, without its id.
    CREATE TABLE drafts (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, frame BLOB NOT NULL) STRICT;
    -- The last event that the application has seen. The epoch's bits, read as a signed number.
    CREATE TABLE cursors (room TEXT PRIMARY KEY, epoch INTEGER NOT NULL, seq INTEGER NOT NULL) STRICT;
";

/// How long to wait before writing again what could not be written.
const RETRY: Duration = Duration::from_secs(2);

/// The open file. Closed, with everything written, by [`State::close`].
#[derive(Debug)]
pub(crate) struct State {
    changes: mpsc::Sender<Change>,
    problems: UnboundedReceiver<String>,
    writer: JoinHandle<()>,
}

/// Why a file cannot be used. Its text is a sentence that says what to do.
#[derive(Debug)]
pub enum StateError {
    /// Another client uses it.
    InUse(PathBuf),
    /// It is not what this version of the client writes.
    Foreign(PathBuf),
    /// It cannot be read or written.
    Io(PathBuf, String),
}

#[derive(Debug)]
enum Change {
    Save(Draft),
    Forget(MsgId),
    Own(String),
    Seen(HashMap<String, Cursor>),
}

/// What is to be written.
#[derive(Debug, Default)]
struct Pending {
    own: Option<String>,
    saves: BTreeMap<u64, Draft>,
    numbers: HashMap<MsgId, u64>,
    forgets: HashSet<MsgId>,
    seen: HashMap<String, Cursor>,
}

impl State {
    /// Opens or makes the file, and reads what an earlier run has left.
    ///
    /// # Errors
    ///
    /// [`StateError`].
    pub(crate) async fn open(path: PathBuf) -> Result<(Self, Kept), StateError> {
        let opening = move || {
            let opened = open(&path).map_err(|error| of_sqlite(&path, &error))?;
            let Some(connection) = opened else { return Err(StateError::Foreign(path)) };
            let (last, kept) = read(&connection).map_err(|error| of_sqlite(&path, &error))?;
            Ok((connection, last, kept, path))
        };
        let opened = tokio::task::spawn_blocking(opening).await;
        let (connection, last, kept, path) =
            opened.map_err(|error| StateError::Io(PathBuf::new(), error.to_string()))??;
        let (changes, to_write) = mpsc::channel();
        let (telling, problems) = unbounded_channel();
        let write = move || write(connection, last, &to_write, &telling);
        let writer = thread::Builder::new().name("chat state".to_owned()).spawn(write);
        let writer = writer.map_err(|error| StateError::Io(path, error.to_string()))?;
        Ok((Self { changes, problems, writer }, kept))
    }

    pub(crate) fn save(&self, draft: Draft) {
        self.change(Change::Save(draft));
    }

    pub(crate) fn forget(&self, id: MsgId) {
        self.change(Change::Forget(id));
    }

    pub(crate) fn own(&self, user: String) {
        self.change(Change::Own(user));
    }

    pub(crate) fn seen(&self, cursors: HashMap<String, Cursor>) {
        if !cursors.is_empty() {
            self.change(Change::Seen(cursors));
        }
    }

    /// A sentence, when something cannot be written. It is tried again.
    pub(crate) async fn problem(&mut self) -> Option<String> {
        self.problems.recv().await
    }

    /// Resolves when everything is written that can be.
    pub(crate) async fn close(self) {
        let Self { changes, problems, writer } = self;
        drop(changes);
        // A writer that panicked has said so on standard error.
        let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        drop(problems);
    }

    fn change(&self, change: Change) {
        // The writer ends only after this does.
        let _ = self.changes.send(change);
    }
}

/// `None` if it is another program's file, or another version's.
fn open(path: &Path) -> rusqlite::Result<Option<Connection>> {
    make_private(path).map_err(|error| {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
        rusqlite::Error::SqliteFailure(code, Some(error.to_string()))
    })?;
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(Duration::ZERO)?;
    // Held from the first transaction to the end: nobody else sends these drafts.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let version = |connection: &Connection| -> rusqlite::Result<(i64, i64)> {
        let application = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        Ok((application, connection.pragma_query_value(None, "user_version", |row| row.get(0))?))
    };
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    match version(&transaction)? {
        (APPLICATION, VERSION) => {}
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

/// Makes the file, if there is none, so that only this user can read it: drafts are letters.
fn make_private(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// The number of the last draft, and what is kept.
fn read(connection: &Connection) -> rusqlite::Result<(u64, Kept)> {
    let owner = connection.query_row("SELECT user FROM owner", [], |row| row.get(0)).optional()?;
    let mut statement = connection.prepare("SELECT frame FROM drafts ORDER BY number")?;
    let frames = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    let mut drafts = Vec::new();
    for frame in frames {
        let frame = pb::ClientFrame::decode(frame?.as_slice()).ok();
        match frame.and_then(|frame| frame.body).and_then(convert::draft_from_wire) {
            Some(draft) => drafts.push(draft),
            None => tracing::error!("a draft that was kept cannot be read; it is left where it is"),
        }
    }
    let mut statement = connection.prepare("SELECT room, epoch, seq FROM cursors")?;
    let cursors = statement.query_map([], |row| {
        let (epoch, seq) = (row.get::<_, i64>(1)?, row.get::<_, i64>(2)?);
        Ok((row.get(0)?, Cursor { epoch: epoch.cast_unsigned(), seq: seq.cast_unsigned() }))
    })?;
    let cursors = cursors.collect::<rusqlite::Result<_>>()?;
    let last: i64 = connection.query_row("SELECT coalesce(max(number), 0) FROM drafts", [], |row| row.get(0))?;
    Ok((last.cast_unsigned(), Kept { owner, drafts, cursors }))
}

/// Writes until there is nothing more to come.
fn write(
    mut connection: Connection,
    mut last: u64,
    changes: &mpsc::Receiver<Change>,
    problems: &UnboundedSender<String>,
) {
    let mut pending = Pending::default();
    let mut told = false;
    let mut open = true;
    while open {
        let waited = if pending.is_empty() {
            changes.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            changes.recv_timeout(RETRY)
        };
        open = !matches!(waited, Err(RecvTimeoutError::Disconnected));
        // A batch is all that has come while the last one was written.
        for change in waited.into_iter().chain(changes.try_iter()) {
            pending.note(change, &mut last);
        }
        match pending.write(&mut connection) {
            Ok(()) => {
                pending = Pending::default();
                told = false;
            }
            Err(error) => {
                tracing::error!(%error, "the client's state cannot be written");
                if !std::mem::replace(&mut told, true) {
                    // Whoever was told may have left.
                    let _ = problems.send(error.to_string());
                }
            }
        }
    }
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.own.is_none() && self.saves.is_empty() && self.forgets.is_empty() && self.seen.is_empty()
    }

    fn note(&mut self, change: Change, last: &mut u64) {
        match change {
            Change::Save(draft) => {
                *last += 1;
                self.numbers.insert(draft.id, *last);
                self.saves.insert(*last, draft);
            }
            // Acked before it was written: it needs not be.
            Change::Forget(id) => match self.numbers.remove(&id) {
                Some(number) => drop(self.saves.remove(&number)),
                None => drop(self.forgets.insert(id)),
            },
            Change::Own(user) => self.own = Some(user),
            Change::Seen(cursors) => self.seen.extend(cursors),
        }
    }

    /// All of it or nothing.
    fn write(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let transaction = connection.transaction()?;
        if let Some(user) = &self.own {
            transaction.execute("DELETE FROM owner", [])?;
            transaction.execute("INSERT INTO owner (user) VALUES (?1)", [user])?;
        }
        for id in &self.forgets {
            transaction.prepare_cached("DELETE FROM drafts WHERE id = ?1")?.execute([id.0.as_slice()])?;
        }
        for (number, draft) in &self.saves {
            let frame = pb::ClientFrame { id: 0, body: Some(convert::change_to_wire(draft)) }.encode_to_vec();
            transaction
                .prepare_cached("INSERT INTO drafts (number, id, frame) VALUES (?1, ?2, ?3)")?
                .execute(params![number.cast_signed(), draft.id.0.as_slice(), frame])?;
        }
        for (room, Cursor { epoch, seq }) in &self.seen {
            transaction
                .prepare_cached(
                    "INSERT INTO cursors (room, epoch, seq) VALUES (?1, ?2, ?3)
                     ON CONFLICT (room) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq",
                )?
                .execute(params![room, epoch.cast_signed(), seq.cast_signed()])?;
        }
        transaction.commit()
    }
}

fn of_sqlite(path: &Path, error: &rusqlite::Error) -> StateError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StateError::InUse(path.to_owned()),
        Some(ErrorCode::NotADatabase) => StateError::Foreign(path.to_owned()),
        _ => StateError::Io(path.to_owned(), error.to_string()),
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => write!(f, "{} is used by another client; close that one first", path.display()),
            Self::Foreign(path) => write!(
                f,
                "{} is not a file of this version of the client; move it away, or name another",
                path.display()
            ),
            Self::Io(path, why) => write!(f, "{} cannot be used: {why}", path.display()),
        }
    }
}

impl std::error::Error for StateError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Change as Asked;

    fn draft(text: &str) -> Draft {
        Draft::new("general", Asked::post(text))
    }

    #[tokio::test]
    async fn what_is_not_forgotten_is_there_again_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/state.db");
        let (state, kept) = State::open(path.clone()).await.unwrap();
        assert!(kept.owner.is_none() && kept.drafts.is_empty() && kept.cursors.is_empty());
        let drafts = ["a", "b", "c"].map(draft);
        state.own("sam".to_owned());
        drafts.iter().for_each(|draft| state.save(draft.clone()));
        state.forget(drafts[1].id);
        let cursor = Cursor { epoch: u64::MAX, seq: 7 };
        state.seen(HashMap::from([("general".to_owned(), Cursor { epoch: 1, seq: 9 })]));
        state.seen(HashMap::from([("general".to_owned(), cursor)]));
        state.close().await;

        let (state, kept) = State::open(path.clone()).await.unwrap();
        assert_eq!(kept.owner.as_deref(), Some("sam"));
        assert_eq!(kept.drafts, [drafts[0].clone(), drafts[2].clone()]);
        assert_eq!(kept.cursors["general"], cursor);
        state.forget(drafts[0].id);
        state.save(draft("d"));
        state.close().await;

        let (_state, kept) = State::open(path).await.unwrap();
        let texts: Vec<_> = kept.drafts.into_iter().map(|draft| draft.change).collect();
        assert_eq!(texts, [Asked::post("c"), Asked::post("d")]);
    }

    #[tokio::test]
    async fn one_client_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let (first, _) = State::open(path.clone()).await.unwrap();
        let second = State::open(path.clone()).await.unwrap_err();
        assert!(matches!(second, StateError::InUse(_)), "{second}");
        first.close().await;
        State::open(path).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_not_ours_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        fs::write(&path, "a diary, and a long one at that ".repeat(100)).unwrap();
        let before = fs::read(&path).unwrap();
        assert!(matches!(State::open(path.clone()).await.unwrap_err(), StateError::Foreign(_)));
        assert_eq!(fs::read(&path).unwrap(), before);

        let path = folder.path().join("other.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE a (b)").unwrap();
        assert!(matches!(State::open(path.clone()).await.unwrap_err(), StateError::Foreign(_)));

        let path = folder.path().join("newer.db");
        Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 2").unwrap();
        assert!(matches!(State::open(path).await.unwrap_err(), StateError::Foreign(_)));

        let below_a_file = folder.path().join("newer.db/state.db");
        assert!(matches!(State::open(below_a_file).await.unwrap_err(), StateError::Io(..)));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn only_its_user_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let (_state, _) = State::open(path.clone()).await.unwrap();
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
