//! The history on disk: SQLite in a data directory.
//!
//! ```text
//!   append, mark_read                              look, read, rooms
//!        | queue                                         |
//!     writer (one thread, one connection)           readers (a few connections, on blocking threads)
//!        | everything queued, one commit, one sync       |
//!   history.db, its WAL  <-------------------------------+
//!   history.mark: how far the store had come, checked at opening
//!   lock: held by one process
//! ```

mod batch;
mod check;
mod fault;
#[cfg(test)]
mod faults;
mod high_water;
mod lock;
mod reader;
mod record;
mod schema;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use super::queue::{Mark, Queue};
use super::{Answer, Appending, Committed, History, Look, MAX_QUEUED, Marking, Page, ReadError, RoomHead};
use crate::model::{Draft, Durability, Epoch, Event, RoomId, Seq, UserId};
use fault::Fault;
use high_water::HighWater;
use lock::DirLock;
use reader::Readers;
use writer::Writer;

/// How to open a history on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// [`Durability::Synced`], or less: then a power cut may take the last events, and the store refuses to open
    /// after one that did.
    pub durability: Durability,
    /// Opens a store that has lost something, in a new epoch.
    pub accept_loss: bool,
}

/// Why a history is not opened, in a sentence that says what to do.
#[derive(Debug)]
pub struct OpenError {
    dir: PathBuf,
    fault: Fault,
}

/// See the module.
#[derive(Debug)]
pub struct Embedded {
    epoch: Epoch,
    durability: Durability,
    queue: Queue,
    readers: Arc<Readers>,
    /// False while the store is being recovered: what is asked then is refused without waiting for the writer.
    serving: Arc<AtomicBool>,
    healthy: watch::Receiver<bool>,
    /// Its sender is dropped when the writer has ended and all is closed.
    gone: watch::Receiver<()>,
}

impl Embedded {
    /// Opens the history in `dir`, or makes a new one there, and tells `committed` what is stored from now on. Blocks
    /// while it reads and checks.
    ///
    /// # Errors
    ///
    /// If the directory cannot be used, is in use, or holds something else than what was stored there last.
    pub fn open(dir: &Path, options: Options, committed: Committed) -> Result<Self, OpenError> {
        Self::with_queue(dir, options, committed, MAX_QUEUED)
    }

    /// As [`Embedded::open`], with another bound than [`MAX_QUEUED`].
    pub(super) fn with_queue(
        dir: &Path,
        options: Options,
        committed: Committed,
        max_queued: usize,
    ) -> Result<Self, OpenError> {
        let opened = Opened::new(dir, options).map_err(|fault| OpenError { dir: dir.to_owned(), fault })?;
        let epoch = opened.stands.epoch;
        let readers = Arc::clone(&opened.readers);
        let serving = Arc::new(AtomicBool::new(true));
        let (queue, queued) = Queue::new(max_queued);
        let (health, healthy) = watch::channel(true);
        let (here, gone) = watch::channel(());
        let writer = Writer::new(dir, options.durability, opened, queued, committed, Arc::clone(&serving), health);
        // A thread of its own: it blocks most of the time, and outlives the runtime if it has to.
        let run = move || {
            writer.run();
            drop(here);
        };
        std::thread::Builder::new()
            .name("history-writer".to_owned())
            .spawn(run)
            .map_err(|error| OpenError { dir: dir.to_owned(), fault: error.into() })?;
        let durability = options.durability.max(Durability::Written);
        Ok(Self { epoch, durability, queue, readers, serving, healthy, gone })
    }
}

/// A store that has been found in order.
struct Opened {
    lock: DirLock,
    conn: rusqlite::Connection,
    high_water: HighWater,
    stands: high_water::Reached,
    readers: Arc<Readers>,
}

impl Opened {
    fn new(dir: &Path, options: Options) -> Result<Self, Fault> {
        make(dir)?;
        let lock = DirLock::take(dir)?.ok_or(Fault::Locked)?;
        let conn = schema::open(dir, options.durability)?;
        let (mut high_water, noted) = HighWater::open(dir)?;
        let mut stands = check::reached(&conn)?;
        let checked = match &noted {
            Some(noted) => check::check_reached(&conn, &stands, noted),
            None => Ok(()),
        };
        let is_new = stands.events == 0 && stands.marks == 0;
        match checked.and_then(|()| check::check_whole(&conn)) {
            Ok(()) if noted.is_some() || is_new => {}
            Ok(()) => {
                tracing::warn!(
                    dir = %dir.display(),
                    "the history has no note of how far it had come, as after a restore: it begins a new epoch"
                );
                check::accept(&conn)?;
            }
            Err(fault) if options.accept_loss && fault.is_loss() => {
                tracing::error!(dir = %dir.display(), "the directory {fault}; as told, what is left begins a new epoch");
                check::accept(&conn)?;
            }
            Err(fault) => return Err(fault),
        }
        stands.epoch = schema::epoch(&conn)?;
        high_water.note(&stands)?;
        high_water.sync()?;
        sync_names(dir)?;
        let readers = Arc::new(Readers::new(dir.to_owned())?);
        Ok(Self { lock, conn, high_water, stands, readers })
    }
}

impl History for Embedded {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn append(&self, draft: Draft) -> Appending {
        if self.serving.load(Ordering::Acquire) { self.queue.append(draft) } else { Appending::refused() }
    }

    fn look<'a>(&'a self, room: &'a RoomId, user: Option<&'a UserId>) -> Answer<'a, Result<Look, ReadError>> {
        let (room, user) = (room.clone(), user.cloned());
        Box::pin(self.readers.read(move |conn| reader::look(conn, &room, user.as_ref())))
    }

    fn read_after<'a>(&'a self, room: &'a RoomId, after: Seq, page: Page) -> Answer<'a, Result<Vec<Event>, ReadError>> {
        let room = room.clone();
        Box::pin(self.readers.read(move |conn| reader::after(conn, &room, after, page)))
    }

    fn read_before<'a>(
        &'a self,
        room: &'a RoomId,
        before: Seq,
        page: Page,
    ) -> Answer<'a, Result<Vec<Event>, ReadError>> {
        let room = room.clone();
        Box::pin(self.readers.read(move |conn| reader::before(conn, &room, before, page)))
    }

    fn rooms<'a>(&'a self, after: Option<&'a RoomId>, max: usize) -> Answer<'a, Result<Vec<RoomHead>, ReadError>> {
        let after = after.cloned();
        Box::pin(self.readers.read(move |conn| reader::rooms(conn, after.as_ref(), max)))
    }

    fn mark_read(&self, room: RoomId, user: UserId, seq: Seq) -> Marking {
        let mark = Mark { room, user, seq };
        if self.serving.load(Ordering::Acquire) { self.queue.mark(mark) } else { Marking::refused() }
    }

    fn healthy(&self) -> watch::Receiver<bool> {
        self.healthy.clone()
    }

    fn close(&self) -> Answer<'_, ()> {
        self.queue.close();
        let mut gone = self.gone.clone();
        Box::pin(async move { while gone.changed().await.is_ok() {} })
    }
}

/// Makes the directory if there is none, for nobody else to read.
fn make(dir: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir)
}

/// The names of the files in it are on disk when this returns.
#[cfg(unix)]
fn sync_names(dir: &Path) -> std::io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

/// Elsewhere a directory cannot be opened to be synced; the file system keeps names with its own journal.
#[cfg(not(unix))]
fn sync_names(_: &Path) -> std::io::Result<()> {
    Ok(())
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the data directory {} {}", self.dir.display(), self.fault)
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.fault.source()
    }
}
