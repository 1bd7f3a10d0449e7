//! What a client keeps on disk for the next run of its program: drafts that are not acked, and how far the application has
//! come in each room. One SQLite file, written by one thread, a batch at a time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use prost::Message;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use stubs::chat::v1 as pb;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::error::{SaveError, StateError};
use crate::model::{Cursor, Draft, MsgId, RoomId, SavedState};
use crate::wire::convert;

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
    desk: Arc<Desk>,
    problems: UnboundedReceiver<String>,
    /// Answers what could not be written in the end.
    writer: Option<JoinHandle<Result<(), SaveError>>>,
}

/// Between whoever changes something and the writer.
#[derive(Debug)]
struct Desk {
    pending: Mutex<Pending>,
    changed: Condvar,
}

/// What is to be written. What is said and acked before its turn comes is not written at all.
#[derive(Debug, Default)]
struct Pending {
    batch: Batch,
    /// Drafts that are in the file, or in a batch that is being written.
    written: HashSet<MsgId>,
    /// The number of the last draft.
    last: u64,
    /// Nothing more comes.
    closed: bool,
}

/// What is written at once.
#[derive(Debug, Default)]
struct Batch {
    own: Option<String>,
    saves: BTreeMap<u64, Draft>,
    numbers: HashMap<MsgId, u64>,
    forgets: HashSet<MsgId>,
    seen: HashMap<RoomId, Cursor>,
}

impl State {
    /// Opens or makes the file, and reads what an earlier run has left.
    ///
    /// # Errors
    ///
    /// [`StateError`].
    pub(crate) async fn open(path: PathBuf) -> Result<(Self, SavedState), StateError> {
        let opening = move || {
            let opened = open(&path).map_err(|error| of_sqlite(&path, &error))?;
            let Some(connection) = opened else { return Err(StateError::WrongFormat(path)) };
            let (last, kept) = read(&connection).map_err(|error| of_sqlite(&path, &error))?;
            Ok((connection, last, kept, path))
        };
        let opened = tokio::task::spawn_blocking(opening).await;
        let (connection, last, kept, path) =
            opened.map_err(|error| StateError::Io(PathBuf::new(), error.to_string()))??;
        let written = kept.drafts.iter().map(|draft| draft.id).collect();
        let pending = Mutex::new(Pending { written, last, ..Pending::default() });
        let desk = Arc::new(Desk { pending, changed: Condvar::new() });
        let (telling, problems) = unbounded_channel();
        let write = {
            let desk = Arc::clone(&desk);
            move || write(connection, &desk, &telling)
        };
        let writer = thread::Builder::new().name("chat state".to_owned()).spawn(write);
        let writer = writer.map_err(|error| StateError::Io(path, error.to_string()))?;
        Ok((Self { desk, problems, writer: Some(writer) }, kept))
    }

    pub(crate) fn save(&self, draft: Draft) {
        self.change(|pending| pending.save(draft));
    }

    pub(crate) fn remove(&self, id: MsgId) {
        self.change(|pending| pending.forget(id));
    }

    pub(crate) fn set_owner(&self, user: String) {
        self.change(|pending| pending.batch.own = Some(user));
    }

    pub(crate) fn seen(&self, cursors: HashMap<RoomId, Cursor>) {
        if !cursors.is_empty() {
            self.change(|pending| pending.batch.seen.extend(cursors));
        }
    }

    /// A sentence, when something cannot be written. It is tried again.
    pub(crate) async fn problem(&mut self) -> Option<String> {
        self.problems.recv().await
    }

    /// Resolves when everything is written, and the file can be opened by another.
    ///
    /// # Errors
    ///
    /// [`SaveError`] if something could not be written.
    pub(crate) async fn close(mut self) -> Result<(), SaveError> {
        self.change(|pending| pending.closed = true);
        let Some(writer) = self.writer.take() else { return Ok(()) };
        match tokio::task::spawn_blocking(move || writer.join()).await {
            Ok(Ok(written)) => written,
            // A writer that panicked has said so on standard error.
            _ => Err(SaveError("the writer has failed".to_owned())),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.desk.lock());
        self.desk.changed.notify_one();
    }
}

impl Drop for State {
    /// Without [`State::close`] the writer ends by itself when it has written.
    fn drop(&mut self) {
        self.change(|pending| pending.closed = true);
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be written next, and whether it is the last; waits until there is something, and it is not before
    /// `not_before`, unless nothing more comes.
    fn next(&self, not_before: Option<Instant>) -> (Batch, bool) {
        let mut pending = self.lock();
        while !pending.closed {
            let now = Instant::now();
            pending = match not_before.filter(|not_before| now < *not_before) {
                Some(not_before) => {
                    let (pending, _) =
                        self.changed.wait_timeout(pending, not_before - now).unwrap_or_else(PoisonError::into_inner);
                    pending
                }
                None if pending.batch.is_empty() => self.changed.wait(pending).unwrap_or_else(PoisonError::into_inner),
                None => break,
            };
        }
        (pending.take(), pending.closed)
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
    // One that exists is not opened here: to close it again would take away the lock that another client of this process
    // has on it (fcntl(2), "advisory record locking").
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// The number of the last draft, and what is kept.
fn read(connection: &Connection) -> rusqlite::Result<(u64, SavedState)> {
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
        Ok((row.get::<_, String>(0)?, Cursor { epoch: epoch.cast_unsigned(), seq: seq.cast_unsigned() }))
    })?;
    let cursors: Vec<(String, Cursor)> = cursors.collect::<rusqlite::Result<_>>()?;
    let cursors = cursors.into_iter().filter_map(|(room, cursor)| Some((room.parse().ok()?, cursor))).collect();
    let last: i64 = connection.query_row("SELECT coalesce(max(number), 0) FROM drafts", [], |row| row.get(0))?;
    Ok((last.cast_unsigned(), SavedState { owner, confirmed: false, drafts, cursors }))
}

/// Writes until there is nothing more to come. A batch is all that has come while the last one was written.
fn write(mut connection: Connection, desk: &Desk, problems: &UnboundedSender<String>) -> Result<(), SaveError> {
    let mut failed: Option<Instant> = None;
    loop {
        let (batch, last) = desk.next(failed.map(|failed| failed + RETRY));
        match batch.write(&mut connection) {
            Ok(()) => failed = None,
            Err(error) => {
                if failed.is_none() {
                    tracing::error!(%error, "the client's state cannot be written");
                    // Whoever was told may have left.
                    let _ = problems.send(error.to_string());
                }
                if last {
                    return Err(SaveError(error.to_string()));
                }
                failed = Some(Instant::now());
                desk.lock().put_back(batch);
            }
        }
        if last {
            return Ok(());
        }
    }
}

impl Pending {
    fn save(&mut self, draft: Draft) {
        // Given once more under the same id, it is the same draft.
        if self.written.contains(&draft.id) || self.batch.numbers.contains_key(&draft.id) {
            return;
        }
        self.last += 1;
        self.batch.numbers.insert(draft.id, self.last);
        self.batch.saves.insert(self.last, draft);
    }

    fn forget(&mut self, id: MsgId) {
        if let Some(number) = self.batch.numbers.remove(&id) {
            self.batch.saves.remove(&number);
        }
        if self.written.remove(&id) {
            self.batch.forgets.insert(id);
        }
    }

    fn take(&mut self) -> Batch {
        let batch = std::mem::take(&mut self.batch);
        self.written.extend(batch.numbers.keys());
        batch
    }

    /// It was not written, or that is not known: a commit that failed may have been one.
    fn put_back(&mut self, batch: Batch) {
        let Batch { own, saves, forgets, seen, .. } = batch;
        let newer = &mut self.batch;
        for (number, draft) in saves {
            // Unless it was acked meanwhile.
            if !newer.forgets.contains(&draft.id) {
                newer.numbers.insert(draft.id, number);
                newer.saves.insert(number, draft);
            }
        }
        newer.forgets.extend(forgets);
        newer.own = newer.own.take().or(own);
        for (room, cursor) in seen {
            newer.seen.entry(room).or_insert(cursor);
        }
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.own.is_none() && self.saves.is_empty() && self.forgets.is_empty() && self.seen.is_empty()
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
                .prepare_cached(
                    "INSERT INTO drafts (number, id, frame) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING",
                )?
                .execute(params![number.cast_signed(), draft.id.0.as_slice(), frame])?;
        }
        for (room, Cursor { epoch, seq }) in &self.seen {
            transaction
                .prepare_cached(
                    "INSERT INTO cursors (room, epoch, seq) VALUES (?1, ?2, ?3)
                     ON CONFLICT (room) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq",
                )?
                .execute(params![room.as_str(), epoch.cast_signed(), seq.cast_signed()])?;
        }
        transaction.commit()
    }
}

fn of_sqlite(path: &Path, error: &rusqlite::Error) -> StateError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StateError::InUse(path.to_owned()),
        Some(ErrorCode::NotADatabase) => StateError::WrongFormat(path.to_owned()),
        _ => StateError::Io(path.to_owned(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Change as Asked;

    fn general() -> RoomId {
        "general".parse().unwrap()
    }

    fn draft(text: &str) -> Draft {
        Draft::new(general(), Asked::post(text))
    }

    #[tokio::test]
    async fn what_is_not_forgotten_is_there_again_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/state.db");
        let (state, kept) = State::open(path.clone()).await.unwrap();
        assert!(kept.owner.is_none() && kept.drafts.is_empty() && kept.cursors.is_empty());
        let drafts = ["a", "b", "c"].map(draft);
        state.set_owner("sam".to_owned());
        drafts.iter().for_each(|draft| state.save(draft.clone()));
        state.remove(drafts[1].id);
        let cursor = Cursor { epoch: u64::MAX, seq: 7 };
        state.seen(HashMap::from([(general(), Cursor { epoch: 1, seq: 9 })]));
        state.seen(HashMap::from([(general(), cursor)]));
        state.close().await.unwrap();

        let (state, kept) = State::open(path.clone()).await.unwrap();
        assert_eq!(kept.owner.as_deref(), Some("sam"));
        assert_eq!(kept.drafts, [drafts[0].clone(), drafts[2].clone()]);
        assert_eq!(kept.cursors["general"], cursor);
        state.remove(drafts[0].id);
        state.save(draft("d"));
        state.close().await.unwrap();

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
        first.close().await.unwrap();
        State::open(path).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_not_ours_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        fs::write(&path, "a diary, and a long one at that ".repeat(100)).unwrap();
        let before = fs::read(&path).unwrap();
        assert!(matches!(State::open(path.clone()).await.unwrap_err(), StateError::WrongFormat(_)));
        assert_eq!(fs::read(&path).unwrap(), before);

        let path = folder.path().join("other.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE a (b)").unwrap();
        assert!(matches!(State::open(path.clone()).await.unwrap_err(), StateError::WrongFormat(_)));

        let path = folder.path().join("newer.db");
        Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 2").unwrap();
        assert!(matches!(State::open(path).await.unwrap_err(), StateError::WrongFormat(_)));

        let below_a_file = folder.path().join("newer.db/state.db");
        assert!(matches!(State::open(below_a_file).await.unwrap_err(), StateError::Io(..)));
    }

    #[tokio::test]
    async fn a_draft_that_is_given_twice_is_kept_once_and_does_not_keep_others_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let (again, other) = (draft("again"), draft("other"));
        let (state, _) = State::open(path.clone()).await.unwrap();
        state.save(again.clone());
        state.close().await.unwrap();
        let (state, _) = State::open(path.clone()).await.unwrap();
        state.save(again.clone());
        state.save(again.clone());
        state.save(other.clone());
        state.close().await.unwrap();
        let (state, kept) = State::open(path.clone()).await.unwrap();
        assert_eq!(kept.drafts, [again.clone(), other.clone()]);
        for _ in 0..2 {
            state.save(again.clone());
            state.remove(again.id);
        }
        state.close().await.unwrap();
        let (_state, kept) = State::open(path).await.unwrap();
        assert_eq!(kept.drafts, [other]);
    }

    /// A connection on which nothing can be written until it is told to.
    fn read_only(path: &Path, on: bool) -> Connection {
        let connection = open(path).unwrap().unwrap();
        connection.pragma_update(None, "query_only", on).unwrap();
        connection
    }

    #[test]
    fn what_could_not_be_written_is_written_later_without_what_was_acked_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = read_only(&folder.path().join("state.db"), true);
        let mut pending = Pending::default();
        let [acked, kept, later] = ["acked", "kept", "later"].map(draft);
        pending.save(acked.clone());
        pending.save(kept.clone());
        pending.batch.seen.insert(general(), Cursor { epoch: 1, seq: 1 });
        let batch = pending.take();
        batch.write(&mut connection).unwrap_err();
        pending.forget(acked.id);
        pending.save(later.clone());
        pending.batch.seen.insert(general(), Cursor { epoch: 1, seq: 2 });
        pending.put_back(batch);

        connection.pragma_update(None, "query_only", false).unwrap();
        let batch = pending.take();
        batch.write(&mut connection).unwrap();
        let (_, read) = read(&connection).unwrap();
        assert_eq!(read.drafts, [kept.clone(), later]);
        assert_eq!(read.cursors["general"].seq, 2);

        pending.save(kept.clone());
        assert!(pending.batch.is_empty(), "it is there");
        pending.forget(kept.id);
        pending.forget(kept.id);
        assert_eq!(pending.batch.forgets.len(), 1);
    }

    #[tokio::test]
    async fn what_cannot_be_kept_in_the_end_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let connection = read_only(&folder.path().join("state.db"), true);
        let desk = Arc::new(Desk { pending: Mutex::default(), changed: Condvar::new() });
        let (telling, problems) = unbounded_channel();
        let writer = {
            let desk = Arc::clone(&desk);
            thread::spawn(move || write(connection, &desk, &telling))
        };
        let mut state = State { desk, problems, writer: Some(writer) };
        state.save(draft("a"));
        assert!(state.problem().await.is_some(), "at once");
        state.save(draft("b"));
        assert!(state.close().await.unwrap_err().to_string().contains("could not be written"));
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
