//! The one thread that writes: it takes everything queued while the last sync ran, commits it as one, and answers.
//!
//! What goes wrong before a commit is taken back, and the batch is not stored. When a commit itself fails nobody knows
//! what is stored: the writer says so, stops, and goes on only after it has opened the store anew, has brought on disk
//! what the files hold, and has told what turned out to be stored.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::{mpsc, watch};

use super::batch::{Batch, Heads};
use super::fault::Fault;
use super::high_water::{HighWater, Reached};
use super::lock::DirLock;
use super::reader::Readers;
use super::{Opened, check, schema};
use crate::history::queue::{Ask, Reply};
use crate::history::{AppendError, Committed, MAX_BATCH, now};
use crate::model::{Change, Draft, Durability, Event};

/// Rooms whose heads the writer remembers. One more, and it begins again.
const MAX_HEADS: usize = 65_536;

/// Pages of the WAL, of 4 KiB, after which it is brought into the database.
const CHECKPOINT_AT: i64 = 4_000;

/// Pages of the WAL after which it is not only brought into the database but emptied.
const TRUNCATE_AT: i64 = 32_000;

/// To empty the WAL the writer waits for those who read from it, but not long: an operator's backup may read for
/// minutes.
const TRUNCATE_PATIENCE: Duration = Duration::from_millis(50);
const TRUNCATE_AGAIN: Duration = Duration::from_secs(10);

/// Looks at the size of the WAL after so many asks, or so many commits.
const LOOK_EVERY_ASKS: usize = 256;
const LOOK_EVERY_COMMITS: usize = 64;

/// How long after a message was erased its text is cleared out of the WAL, too.
const TIDY_AFTER: Duration = Duration::from_secs(1);

/// How long to wait before trying a store that has failed, and after each try. How long a try takes grows with the
/// store, so this needs to grow with nothing.
const RETRY: Duration = Duration::from_secs(1);

/// How long to wait, at most, for as many asks as came last time. Short next to a sync.
const GATHER: Duration = Duration::from_micros(50);

/// How often the queue is looked at while there is something else to wait for.
const POLL: Duration = Duration::from_millis(2);

pub(super) struct Writer {
    dir: PathBuf,
    durability: Durability,
    /// `None` while the store is being recovered.
    conn: Option<Connection>,
    high_water: HighWater,
    /// What is stored, as far as has been told.
    stands: Reached,
    heads: Heads,
    readers: Arc<Readers>,
    queued: mpsc::Receiver<Ask>,
    committed: Committed,
    serving: Arc<AtomicBool>,
    health: watch::Sender<bool>,
    /// Something to do when nothing has been asked until then: probe or tidy.
    due: Option<Instant>,
    /// Not to be emptied before, because somebody was reading.
    truncate_from: Instant,
    /// How many asks the last batch had.
    asked_last: usize,
    asks_since_look: usize,
    commits_since_look: usize,
    /// Let go of last.
    _lock: DirLock,
}

/// What became of a batch.
enum Failure {
    /// Nothing of it is stored.
    TakenBack(rusqlite::Error),
    /// The store must be opened anew.
    Unknown(rusqlite::Error),
}

enum Waited {
    Asked,
    Due,
    Closed,
}

impl Writer {
    pub(super) fn new(
        dir: &Path,
        durability: Durability,
        opened: Opened,
        queued: mpsc::Receiver<Ask>,
        committed: Committed,
        serving: Arc<AtomicBool>,
        health: watch::Sender<bool>,
    ) -> Self {
        Self {
            dir: dir.to_owned(),
            durability,
            conn: Some(opened.conn),
            high_water: opened.high_water,
            stands: opened.stands,
            heads: Heads::new(),
            readers: opened.readers,
            queued,
            committed,
            serving,
            health,
            due: None,
            truncate_from: Instant::now(),
            asked_last: 0,
            asks_since_look: 0,
            commits_since_look: 0,
            _lock: opened.lock,
        }
    }

    /// Returns when the queue has been closed and emptied, and the store is closed.
    pub(super) fn run(mut self) {
        let mut asks = Vec::new();
        loop {
            match self.wait(&mut asks, self.due) {
                Waited::Asked => self.write(&mut asks),
                Waited::Due => self.attend(),
                Waited::Closed => break,
            }
        }
        self.finish();
    }

    fn wait(&mut self, asks: &mut Vec<Ask>, until: Option<Instant>) -> Waited {
        let Some(until) = until else {
            if self.queued.blocking_recv_many(asks, MAX_BATCH) == 0 {
                return Waited::Closed;
            }
            self.gather(asks);
            return Waited::Asked;
        };
        loop {
            if asks.is_empty() && Instant::now() >= until {
                return Waited::Due;
            }
            match self.queued.try_recv() {
                Ok(ask) => {
                    asks.push(ask);
                    if asks.len() == MAX_BATCH {
                        return Waited::Asked;
                    }
                }
                Err(_) if !asks.is_empty() => return Waited::Asked,
                Err(mpsc::error::TryRecvError::Disconnected) => return Waited::Closed,
                Err(mpsc::error::TryRecvError::Empty) => std::thread::sleep(POLL),
            }
        }
    }

    /// Those who have just been answered are about to ask again: the first of them must not sync alone while all
    /// others wait for it.
    fn gather(&mut self, asks: &mut Vec<Ask>) {
        let until = Instant::now() + GATHER;
        while asks.len() < self.asked_last && Instant::now() < until {
            match self.queued.try_recv() {
                Ok(ask) => asks.push(ask),
                Err(_) => std::thread::yield_now(),
            }
        }
    }

    fn write(&mut self, asks: &mut Vec<Ask>) {
        let asked = asks.len();
        self.asked_last = asked;
        let mut replies = Vec::with_capacity(asked);
        let stood = self.stands;
        match self.commit(asks, &mut replies) {
            Ok(events) => {
                self.tell(events);
                replies.into_iter().for_each(Reply::send);
                // A batch of repeats and refusals writes nothing, and proves nothing about the disk.
                if self.stands != stood {
                    self.set_healthy(true);
                }
                self.asks_since_look += asked;
                self.commits_since_look += 1;
                self.keep_wal_short();
            }
            Err(Failure::TakenBack(error)) => {
                tracing::error!(%error, asked, "the history could not be written, and nothing of it is stored");
                self.set_healthy(false);
                self.heads.clear();
                replies.into_iter().for_each(|reply| reply.fail(AppendError::Unavailable));
                self.due = Some(Instant::now() + RETRY);
            }
            Err(Failure::Unknown(error)) => {
                tracing::error!(%error, asked, "a commit of the history failed: it is opened anew");
                self.stop_serving();
                replies.into_iter().for_each(|reply| reply.fail(AppendError::Unknown));
                self.recover();
            }
        }
    }

    /// One transaction. Leaves the replies to be sent, or to be failed.
    fn commit(&mut self, asks: &mut Vec<Ask>, replies: &mut Vec<Reply>) -> Result<Vec<Event>, Failure> {
        let refuse = |ask: Ask| ask.refuse(AppendError::Unavailable);
        let mut asks = asks.drain(..);
        let Some(conn) = &self.conn else {
            asks.for_each(refuse);
            return Ok(Vec::new());
        };
        if self.heads.len() > MAX_HEADS {
            self.heads.clear();
        }
        if let Err(error) = conn.execute_batch("BEGIN IMMEDIATE") {
            asks.for_each(refuse);
            return Err(Failure::TakenBack(error));
        }
        let mut erases = false;
        let filled = Batch::new(conn, &mut self.heads, self.stands, now()).and_then(|mut batch| {
            for ask in &mut asks {
                erases |= matches!(&ask, Ask::Append(Draft { change: Change::Delete { .. }, .. }, _));
                batch.put(ask, replies)?;
            }
            batch.finish()
        });
        let (events, stands) = match filled {
            Ok(filled) => filled,
            Err(error) => {
                asks.for_each(refuse);
                // SQLite may have rolled back already: then this fails, and is not needed.
                _ = conn.execute_batch("ROLLBACK");
                return Err(Failure::TakenBack(error));
            }
        };
        conn.execute_batch("COMMIT").map_err(Failure::Unknown)?;
        if stands != self.stands {
            self.stands = stands;
            if let Err(error) = self.high_water.note(&self.stands) {
                tracing::error!(%error, "how far the history has come could not be noted");
            }
        }
        if erases && self.due.is_none() {
            self.due = Some(Instant::now() + TIDY_AFTER);
        }
        Ok(events)
    }

    /// Waits while the channel is full: what is stored is always told, and never dropped.
    fn tell(&self, events: Vec<Event>) {
        if !events.is_empty() {
            // An error says that nobody listens any more; what is stored is stored.
            _ = self.committed.blocking_send(events);
        }
    }

    /// Nothing has been asked for a while.
    fn attend(&mut self) {
        self.due = None;
        let Some(conn) = &self.conn else { return };
        let healthy = *self.health.borrow();
        let done = if healthy { truncate(conn) } else { probe(conn).map(|()| true) };
        match done {
            Ok(true) => self.set_healthy(true),
            Ok(false) => self.due = Some(Instant::now() + TRUNCATE_AGAIN),
            Err(error) => {
                tracing::error!(%error, "the history cannot be written: it is opened anew");
                self.stop_serving();
                self.recover();
            }
        }
    }

    fn keep_wal_short(&mut self) {
        if self.asks_since_look < LOOK_EVERY_ASKS && self.commits_since_look < LOOK_EVERY_COMMITS {
            return;
        }
        (self.asks_since_look, self.commits_since_look) = (0, 0);
        let Some(conn) = &self.conn else { return };
        let now = Instant::now();
        let kept_short = checkpoint(conn, "NOOP").and_then(|wal| {
            if wal.pages >= TRUNCATE_AT && now >= self.truncate_from {
                self.truncate_from = now + TRUNCATE_AGAIN;
                truncate(conn).map(drop)
            } else if wal.pages - wal.moved >= CHECKPOINT_AT {
                checkpoint(conn, "PASSIVE").map(drop)
            } else {
                Ok(())
            }
        });
        if let Err(error) = kept_short {
            // Nothing is lost: what was committed is in the WAL. But the disk fails, so nothing more is promised.
            tracing::error!(%error, "a checkpoint of the history failed: it is opened anew");
            self.stop_serving();
            self.recover();
        }
    }

    fn stop_serving(&mut self) {
        self.serving.store(false, Ordering::Release);
        self.readers.allow_opening(false);
        self.set_healthy(false);
        self.heads.clear();
        self.conn = None;
    }

    fn set_healthy(&self, healthy: bool) {
        self.health.send_if_modified(|was| std::mem::replace(was, healthy) != healthy);
    }

    /// Opens the store anew, as often as it takes. Refuses everything meanwhile.
    fn recover(&mut self) {
        loop {
            let until = Instant::now() + RETRY;
            let mut asks = Vec::new();
            loop {
                match self.wait(&mut asks, Some(until)) {
                    Waited::Asked => asks.drain(..).for_each(|ask| ask.refuse(AppendError::Unavailable)),
                    Waited::Due => break,
                    // There will be no further chance.
                    Waited::Closed => return,
                }
            }
            match self.reopen() {
                Ok((conn, events)) => {
                    tracing::info!(found = events.len(), "the history is open again");
                    self.conn = Some(conn);
                    self.tell(events);
                    break;
                }
                Err(fault) => {
                    let dir = self.dir.display();
                    tracing::error!(again_after = ?RETRY, "the history is not open again: {dir} {fault}");
                }
            }
        }
        self.due = None;
        self.readers.allow_opening(true);
        self.serving.store(true, Ordering::Release);
        self.set_healthy(true);
    }

    /// The store, found in order and on disk, and what turned out to be stored.
    fn reopen(&mut self) -> Result<(Connection, Vec<Event>), Fault> {
        rewrite(&self.dir.join(format!("{}-wal", schema::FILE)))?;
        let conn = schema::open(&self.dir, self.durability)?;
        let stands = check::reached(&conn)?;
        check::check_reached(&conn, &stands, &self.stands)?;
        check::check_whole(&conn)?;
        if checkpoint(&conn, "TRUNCATE")?.busy {
            return Err(io::Error::other("a reader does not end").into());
        }
        probe(&conn)?;
        let mut events = Vec::new();
        check::newer(&conn, self.stands.events, |record| events.push(record.event))?;
        self.high_water.note(&stands)?;
        self.stands = stands;
        Ok((conn, events))
    }

    fn finish(mut self) {
        self.serving.store(false, Ordering::Release);
        self.readers.close();
        if let Some(conn) = self.conn.take() {
            match checkpoint(&conn, "TRUNCATE") {
                // Without this SQLite leaves empty files behind.
                Ok(wal) if !wal.busy => _ = conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false),
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "the last checkpoint failed: the WAL keeps what is stored"),
            }
        }
        if let Err(error) = self.high_water.sync() {
            tracing::error!(%error, "how far the history has come could not be synced");
        }
        self.set_healthy(false);
    }
}

/// What a checkpoint says about the WAL.
struct Wal {
    /// It could not be emptied, because somebody reads from it.
    busy: bool,
    /// How many pages are in it.
    pages: i64,
    /// How many of them are in the database, too.
    moved: i64,
}

fn checkpoint(conn: &Connection, mode: &str) -> rusqlite::Result<Wal> {
    conn.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?
        .query_row([], |row| Ok(Wal { busy: row.get(0)?, pages: row.get(1)?, moved: row.get(2)? }))
}

/// Empties the WAL, unless somebody keeps reading from it.
fn truncate(conn: &Connection) -> rusqlite::Result<bool> {
    conn.busy_timeout(TRUNCATE_PATIENCE)?;
    let wal = checkpoint(conn, "TRUNCATE");
    conn.busy_timeout(schema::BUSY)?;
    Ok(!wal?.busy)
}

/// Writes something that means nothing, to see whether it works.
fn probe(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute("UPDATE meta SET value = value + 1 WHERE name = 'probes'", []).map(drop)
}

/// Writes a file's bytes over themselves and syncs them. After a sync has failed, the operating system may take for
/// written what is not on disk, and a second sync says nothing about it: only what is written again is synced again.
fn rewrite(path: &Path) -> io::Result<()> {
    let mut file = match File::options().read(true).write(true).open(path) {
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
