//! The history on disk: SQLite in a data directory.
//!
//! ```text
//!   append, mark_read                              room_state, read_*, rooms
//!        | queue                                         |
//!     writer (one thread, one connection)           readers (a few connections, on blocking threads)
//!        | everything queued, one commit, one sync       |
//!   history.db and its WAL  <----------------------------+
//!   history.mark: the high-water mark, checked at opening
//!   lock: held by one process
//! ```

mod batch;
mod check;
mod files;
mod free_space;
mod high_water;
mod lock;
mod open;
mod reader;
mod record;
mod schema;
mod store_error;
#[cfg(test)]
mod tests;
mod wal;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::queue::{Queue, ReadMark};
use super::{
    Admission, AppendError, Appending, Expected, Feed, Following, History, Marking, Page, Position, Publisher,
    ReadError, RoomHead, RoomQuery, RoomState,
};
use crate::metrics::HistoryMetrics;
use crate::model::{Account, Draft, Durability, Epoch, Event, RoomId, Seq, UserId};
use free_space::{FreeSpace, Look};
use open::Opened;
pub use open::Options;
use reader::Readers;
use store_error::StoreError;
use writer::Writer;

/// Why a history cannot be opened: one sentence that says what to do.
#[derive(Debug)]
pub struct OpenError {
    dir: PathBuf,
    error: StoreError,
}

/// A history on disk.
#[derive(Debug)]
pub struct Embedded {
    epoch: watch::Receiver<Epoch>,
    durability: Durability,
    queue: Queue,
    readers: Arc<Readers>,
    /// False while the store is being recovered: requests are then refused without waiting for the writer.
    serving: Arc<AtomicBool>,
    healthy: watch::Receiver<bool>,
    /// Its sender is dropped when the writer has ended and everything is closed.
    closed: watch::Receiver<()>,
}

impl Embedded {
    /// Opens the history in `dir`, or creates one there, and publishes to `publisher` what is stored from now on. Blocks
    /// while it reads and checks the store.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if the directory cannot be used, is in use, or does not hold what was stored there last.
    pub fn open(dir: &Path, options: Options, admission: Admission, publisher: Publisher) -> Result<Self, OpenError> {
        let look = |dir: PathBuf| -> Look { Box::new(move || free_space::of(&dir)) };
        Self::open_looking(dir, options, admission, publisher, look)
    }

    /// As [`Embedded::open`], with another way to look at the free space of a directory.
    fn open_looking(
        dir: &Path,
        options: Options,
        admission: Admission,
        publisher: Publisher,
        look: impl FnOnce(PathBuf) -> Look,
    ) -> Result<Self, OpenError> {
        let failed = |error| OpenError { dir: dir.to_owned(), error };
        let opened = open::open(dir, options).map_err(failed)?;
        let Opened { epoch, readers, .. } = &opened;
        // It only changes while the store is closed.
        let (epoch, readers) = (watch::channel(*epoch).1, Arc::clone(readers));
        let space = FreeSpace::new(look(opened.files.dir().to_owned()), admission.storage);
        let serving = Arc::new(AtomicBool::new(true));
        let (queue, queued) = Queue::new(admission);
        let (health, healthy) = watch::channel(true);
        let (closing, closed) = watch::channel(());
        let writer = Writer::new(options.durability, opened, space, queued, publisher, Arc::clone(&serving), health);
        // A thread of its own: it blocks most of the time, and may outlive the runtime.
        let run = move || {
            writer.run();
            drop(closing);
        };
        std::thread::Builder::new()
            .name("history-writer".to_owned())
            .spawn(run)
            .map_err(|error| failed(error.into()))?;
        let durability = options.durability.max(Durability::Written);
        Ok(Self { epoch, durability, queue, readers, serving, healthy, closed })
    }
}

impl History for Embedded {
    fn epoch(&self) -> watch::Receiver<Epoch> {
        self.epoch.clone()
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn follow(&self, _: &RoomId) -> Following {
        Following::everything()
    }

    fn append(&self, account: &Account, draft: Draft, expected: Expected) -> Appending {
        if self.serving.load(Ordering::Acquire) {
            self.queue.append(account, draft, expected)
        } else {
            self.queue.metrics().append_failed(AppendError::Unavailable.name());
            Appending::unavailable()
        }
    }

    fn room_state(&self, query: RoomQuery) -> BoxFuture<'static, Result<RoomState, ReadError>> {
        self.readers.read(move |conn| reader::room_state(conn, &query))
    }

    fn read_after(&self, room: RoomId, after: Seq, page: Page) -> BoxFuture<'static, Result<Vec<Event>, ReadError>> {
        self.readers.read(move |conn| reader::after(conn, &room, after, page))
    }

    fn read_before(&self, room: RoomId, before: Seq, page: Page) -> BoxFuture<'static, Result<Vec<Event>, ReadError>> {
        self.readers.read(move |conn| reader::before(conn, &room, before, page))
    }

    fn since(&self, position: Position, page: Page) -> BoxFuture<'static, Result<Feed, ReadError>> {
        self.readers.read(move |conn| reader::since(conn, position, page))
    }

    fn rooms(&self, after: Option<RoomId>, max: usize) -> BoxFuture<'static, Result<Vec<RoomHead>, ReadError>> {
        self.readers.read(move |conn| reader::rooms(conn, after.as_ref(), max))
    }

    fn mark_read(&self, account: &Account, room: RoomId, user: UserId, seq: Seq) -> Marking {
        let mark = ReadMark { room, user, seq };
        if self.serving.load(Ordering::Acquire) { self.queue.mark_read(account, mark) } else { Marking::unavailable() }
    }

    fn metrics(&self) -> HistoryMetrics {
        self.queue.metrics().clone()
    }

    fn healthy(&self) -> watch::Receiver<bool> {
        self.healthy.clone()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.queue.close();
        let mut closed = self.closed.clone();
        Box::pin(async move { while closed.changed().await.is_ok() {} })
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the data directory {} {}", self.dir.display(), self.error)
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}
