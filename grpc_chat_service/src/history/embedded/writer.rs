//! The one thread that writes: it takes everything queued while the last sync ran, commits it as one transaction, and
//! sends the results.
//!
//! A failure before the commit is rolled back, and nothing of the batch is stored. When a commit itself fails, it is not
//! known what is stored: the writer reports that, stops serving, and resumes only after it has reopened the store, brought
//! to disk what the files hold, and published what turned out to be stored.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::watch;

use super::batch::{Batch, Changes, Heads};
use super::files::Files;
use super::free_space::{FreeSpace, Space};
use super::high_water::{HighWaterFile, HighWaterMark};
use super::lock::DirLock;
use super::open::Opened;
use super::reader::Readers;
use super::store_error::StoreError;
use super::wal::{checkpoint, rewrite, truncate};
use super::{check, schema};
use crate::history::queue::{Append, Batch as Requests, Queued, ReadMark, Reply, Request, Took};
use crate::history::{AppendError, Published, Publisher, now};
use crate::model::{Change, Durability, Event};

/// Rooms whose heads the writer caches. Beyond it the cache is emptied.
const MAX_HEADS: usize = 65_536;

/// Pages of the WAL, of 4 KiB, from which it is copied into the database.
const CHECKPOINT_AT: i64 = 4_000;

/// Pages of the WAL from which it is also emptied.
const TRUNCATE_AT: i64 = 32_000;

/// How long to wait before emptying the WAL again, since a reader may have kept it in use.
const TRUNCATE_AGAIN: Duration = Duration::from_secs(10);

/// The size of the WAL is looked at after so many requests, or so many commits.
const INSPECT_EVERY_REQUESTS: usize = 256;
const INSPECT_EVERY_COMMITS: usize = 64;

/// How long after a message was erased its text is removed from the WAL, too.
const TIDY_AFTER: Duration = Duration::from_secs(1);

/// How long to wait before reopening a store that has failed, and after each attempt. An attempt takes longer the larger
/// the store is, so this need not grow.
const RETRY: Duration = Duration::from_secs(1);

/// The longest wait for as many requests as the last batch had. Short compared with a sync.
const GATHER: Duration = Duration::from_micros(50);

/// How often the files and the free space are looked at while nothing is written.
const INSPECT_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    files: Arc<Files>,
    space: FreeSpace,
    durability: Durability,
    /// `None` while the store is being recovered.
    conn: Option<Connection>,
    high_water: HighWaterFile,
    /// What is stored, as far as it has been published.
    stored: HighWaterMark,
    heads: Heads,
    readers: Arc<Readers>,
    queued: Queued,
    publisher: Publisher,
    serving: Arc<AtomicBool>,
    health: watch::Sender<bool>,
    /// The last write has failed.
    failed: bool,
    /// When to probe or tidy the store, if it is idle then.
    due: Option<Instant>,
    /// The WAL is not emptied before this, because it was in use.
    truncate_from: Instant,
    /// The number of requests in the last batch.
    last_batch: usize,
    requests_since_inspection: usize,
    commits_since_inspection: usize,
    /// Released last.
    _lock: DirLock,
}

/// How a batch failed.
enum Failure {
    /// Nothing of it is stored.
    RolledBack(rusqlite::Error),
    /// It is not known what is stored, and the store must be reopened.
    Unknown(StoreError),
}

impl Writer {
    pub(super) fn new(
        durability: Durability,
        opened: Opened,
        space: FreeSpace,
        queued: Queued,
        publisher: Publisher,
        serving: Arc<AtomicBool>,
        health: watch::Sender<bool>,
    ) -> Self {
        Self {
            files: opened.files,
            space,
            durability,
            conn: Some(opened.conn),
            high_water: opened.high_water,
            stored: opened.stored,
            heads: Heads::new(),
            readers: opened.readers,
            queued,
            publisher,
            serving,
            health,
            failed: false,
            due: None,
            truncate_from: Instant::now(),
            last_batch: 0,
            requests_since_inspection: 0,
            commits_since_inspection: 0,
            _lock: opened.lock,
        }
    }

    /// Returns when the queue has been closed and emptied, and the store is closed.
    pub(super) fn run(mut self) {
        let mut requests = Requests::default();
        self.look_at_space();
        loop {
            let inspect = Instant::now() + INSPECT_EVERY;
            match self.wait(&mut requests, self.due.map_or(inspect, |due| due.min(inspect))) {
                Took::Requests => self.write(&mut requests),
                Took::Nothing if self.due.is_some_and(|due| due <= Instant::now()) => self.maintain(),
                Took::Nothing => self.inspect(),
                Took::Closed => break,
            }
        }
        self.close();
    }

    fn wait(&mut self, requests: &mut Requests, until: Instant) -> Took {
        let took = self.queued.blocking_take_until(requests, until);
        if took == Took::Requests {
            self.gather(requests);
        }
        took
    }

    /// Waits a moment for the callers of the last batch, who have just received their results and are likely to send more:
    /// otherwise the first of them would be synced alone while all others wait.
    fn gather(&self, requests: &mut Requests) {
        let until = Instant::now() + GATHER;
        while requests.len() < self.last_batch && !requests.is_full() && Instant::now() < until {
            if self.queued.try_take(requests) != Took::Requests {
                std::thread::yield_now();
            }
        }
    }

    fn write(&mut self, requests: &mut Requests) {
        let batch = requests.len();
        self.last_batch = batch;
        let mut replies = Vec::with_capacity(batch);
        let before = self.stored;
        let started = Instant::now();
        match self.commit(requests, &mut replies) {
            Ok((events, marks)) => {
                self.queued.metrics().committed(batch, started.elapsed());
                Reply::count(&replies, self.queued.metrics());
                self.publish(events, marks);
                replies.into_iter().for_each(Reply::send);
                // A batch of repeats and refusals writes nothing, and so proves nothing about the disk.
                if self.stored != before {
                    self.set_failed(false);
                }
                self.requests_since_inspection += batch;
                self.commits_since_inspection += 1;
                self.limit_wal();
            }
            Err(Failure::RolledBack(error)) => {
                tracing::error!(%error, batch, "cannot write the history; nothing of this batch is stored");
                self.set_failed(true);
                self.heads.clear();
                replies.into_iter().for_each(|reply| reply.fail(AppendError::Unavailable, self.queued.metrics()));
                self.due = Some(Instant::now() + RETRY);
            }
            Err(Failure::Unknown(error)) => {
                self.stop_serving("a commit of the history failed", &error);
                replies.into_iter().for_each(|reply| reply.fail(AppendError::Unknown, self.queued.metrics()));
                self.recover();
            }
        }
    }

    /// Runs one transaction. Leaves the replies for the caller to send, or to fail.
    fn commit(
        &mut self,
        requests: &mut Requests,
        replies: &mut Vec<Reply>,
    ) -> Result<(Vec<Event>, Vec<ReadMark>), Failure> {
        self.look_at_space();
        let full = self.space.is_low();
        let refuse = |request: Request| request.refuse(AppendError::Unavailable, self.queued.metrics());
        let mut requests = requests.drain();
        let Some(conn) = &self.conn else {
            requests.for_each(refuse);
            return Ok((Vec::new(), Vec::new()));
        };
        if self.heads.len() > MAX_HEADS {
            self.heads.clear();
        }
        if let Err(error) = conn.execute_batch("BEGIN IMMEDIATE") {
            requests.for_each(refuse);
            return Err(Failure::RolledBack(error));
        }
        let mut erases = false;
        let rates = &self.queued.rates;
        let filled = Batch::new(conn, &mut self.heads, rates, self.stored, now(), full).and_then(|mut batch| {
            for request in &mut requests {
                erases |= is_delete(&request);
                batch.apply(request, replies)?;
            }
            batch.finish()
        });
        let Changes { events, marks, stored } = match filled {
            Ok(filled) => filled,
            Err(error) => {
                requests.for_each(refuse);
                // SQLite may have rolled back already; then this fails, and is not needed.
                _ = conn.execute_batch("ROLLBACK");
                return Err(Failure::RolledBack(error));
            }
        };
        conn.execute_batch("COMMIT").map_err(|error| Failure::Unknown(error.into()))?;
        // What is synced to a file that has been removed will be lost.
        self.files.check().map_err(Failure::Unknown)?;
        if stored != self.stored {
            self.stored = stored;
            if let Err(error) = self.high_water.write(&self.stored) {
                tracing::error!(%error, "cannot write the high-water mark of the history");
            }
        }
        if erases && self.due.is_none() {
            self.due = Some(Instant::now() + TIDY_AFTER);
        }
        Ok((events, marks))
    }

    /// Waits while the channel is full: what is stored is always published.
    fn publish(&self, events: Vec<Event>, marks: Vec<ReadMark>) {
        let stored = (!events.is_empty()).then_some(Published::Stored(events));
        let read = marks.into_iter().map(|ReadMark { room, user, seq }| Published::Read { room, user, seq });
        for published in stored.into_iter().chain(read) {
            // Without a receiver nothing is published; what is stored is stored.
            _ = self.publisher.blocking_send(published);
        }
    }

    /// Empties the WAL of a healthy store, or probes one that could not be written.
    fn maintain(&mut self) {
        self.due = None;
        let Some(conn) = &self.conn else { return };
        let done = if self.failed { probe(conn).map(|()| true) } else { truncate(conn) };
        match done {
            Ok(true) => self.set_failed(false),
            Ok(false) => self.due = Some(Instant::now() + TRUNCATE_AGAIN),
            Err(error) => {
                self.stop_serving("cannot write the history", &error.into());
                self.recover();
            }
        }
    }

    /// Notices while nothing is written what a commit would notice.
    fn inspect(&mut self) {
        self.look_at_space();
        if let Err(error) = self.files.check() {
            self.stop_serving("the history is not where it was", &error);
            self.recover();
        }
    }

    fn look_at_space(&mut self) {
        let Some(Space { free, size }) = self.space.look(Instant::now()) else { return };
        if self.space.is_low() {
            tracing::error!(free, size, "the disk of the history is almost full: new messages are refused");
            // The WAL may be worth emptying.
            self.due.get_or_insert_with(Instant::now);
        } else {
            tracing::info!(free, size, "the disk of the history has room again: new messages are accepted");
        }
        self.publish_health();
    }

    fn limit_wal(&mut self) {
        if self.requests_since_inspection < INSPECT_EVERY_REQUESTS
            && self.commits_since_inspection < INSPECT_EVERY_COMMITS
        {
            return;
        }
        (self.requests_since_inspection, self.commits_since_inspection) = (0, 0);
        let Some(conn) = &self.conn else { return };
        let now = Instant::now();
        let limited = checkpoint(conn, "NOOP").and_then(|wal| {
            if wal.pages >= TRUNCATE_AT && now >= self.truncate_from {
                self.truncate_from = now + TRUNCATE_AGAIN;
                truncate(conn).map(drop)
            } else if wal.pages - wal.checkpointed >= CHECKPOINT_AT {
                checkpoint(conn, "PASSIVE").map(drop)
            } else {
                Ok(())
            }
        });
        if let Err(error) = limited {
            // Nothing is lost: what was committed is in the WAL. But the disk fails, so nothing more is promised.
            self.stop_serving("a checkpoint of the history failed", &error.into());
            self.recover();
        }
    }

    /// Closes the store, to be reopened by [`Writer::recover`].
    fn stop_serving(&mut self, what: &str, error: &StoreError) {
        tracing::error!(
            "{what}, so it is closed and opened again: the data directory {} {error}",
            self.files.dir().display()
        );
        self.serving.store(false, Ordering::Release);
        self.readers.allow_opening(false);
        self.set_failed(true);
        self.heads.clear();
        self.conn = None;
    }

    fn set_failed(&mut self, failed: bool) {
        self.failed = failed;
        self.publish_health();
    }

    fn publish_health(&self) {
        let healthy = !self.failed && !self.space.is_low();
        self.health.send_if_modified(|was| std::mem::replace(was, healthy) != healthy);
    }

    /// Reopens the store, as often as it takes, and refuses all requests meanwhile.
    fn recover(&mut self) {
        loop {
            let until = Instant::now() + RETRY;
            let mut requests = Requests::default();
            loop {
                match self.wait(&mut requests, until) {
                    Took::Requests => {
                        let metrics = self.queued.metrics();
                        requests.drain().for_each(|request| request.refuse(AppendError::Unavailable, metrics));
                    }
                    Took::Nothing => break,
                    // The service is shutting down; nobody would use the store any more.
                    Took::Closed => return,
                }
            }
            match self.reopen() {
                Ok((conn, events)) => {
                    tracing::info!(found = events.len(), "the history is open again");
                    self.conn = Some(conn);
                    self.publish(events, Vec::new());
                    break;
                }
                Err(error) => {
                    tracing::error!(retry_after = ?RETRY, "cannot reopen the history: {} {error}", self.files.dir().display());
                }
            }
        }
        self.due = None;
        self.readers.allow_opening(true);
        self.serving.store(true, Ordering::Release);
        self.set_failed(false);
    }

    /// Opens and checks the store, brings it to disk, and returns it with the events whose outcome was unknown.
    fn reopen(&mut self) -> Result<(Connection, Vec<Event>), StoreError> {
        // Only to the files that were open: others may be older.
        self.files.check()?;
        rewrite(self.files.dir())?;
        let conn = schema::open(self.files.dir(), self.durability)?;
        let stored = check::high_water_mark(&conn)?;
        check::check_high_water(&conn, &stored, &self.stored)?;
        check::check_complete(&conn)?;
        if checkpoint(&conn, "TRUNCATE")?.busy {
            return Err(io::Error::other("a reader keeps using the WAL").into());
        }
        probe(&conn)?;
        let mut events = Vec::new();
        check::newer(&conn, self.stored.events, |record| events.push(record.event))?;
        self.high_water.write(&stored)?;
        self.stored = stored;
        Ok((conn, events))
    }

    fn close(mut self) {
        // Before SQLite removes the WAL.
        let unchanged = self.conn.as_ref().map_or(Ok(()), |_| self.files.check());
        if let Err(error) = unchanged {
            let dir = self.files.dir().display();
            tracing::error!("what was stored since it was opened may be lost: the data directory {dir} {error}");
        }
        self.serving.store(false, Ordering::Release);
        self.readers.close();
        if let Some(conn) = self.conn.take() {
            match checkpoint(&conn, "TRUNCATE") {
                // With this option still set, SQLite would leave empty files behind.
                Ok(wal) if !wal.busy => _ = conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false),
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "the last checkpoint failed; the WAL keeps what is stored"),
            }
        }
        if let Err(error) = self.high_water.sync() {
            tracing::error!(%error, "cannot sync the high-water mark of the history");
        }
        self.set_failed(true);
    }
}

fn is_delete(request: &Request) -> bool {
    matches!(request, Request::Append(Append { draft, .. }, _) if matches!(draft.change, Change::Delete { .. }))
}

/// Writes something without meaning, to find out whether writing works.
fn probe(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute("UPDATE meta SET value = value + 1 WHERE name = 'probes'", []).map(drop)
}
