//! Opening a store: lock the directory, open the database, check that nothing is missing.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::files::Files;
use super::high_water::{HighWaterFile, HighWaterMark};
use super::lock::DirLock;
use super::reader::Readers;
use super::store_error::StoreError;
use super::{check, files, schema};
use crate::model::{Durability, Epoch};

/// How to open a history on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// [`Durability::Synced`], or less: then a power cut may take the last events, and the store refuses to open after
    /// that.
    pub durability: Durability,
    /// Opens a store that has lost something, in a new epoch.
    pub accept_loss: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { durability: Durability::Synced, accept_loss: false }
    }
}

/// A store that has passed all checks.
pub(super) struct Opened {
    pub(super) files: Arc<Files>,
    pub(super) epoch: Epoch,
    pub(super) lock: DirLock,
    pub(super) conn: Connection,
    pub(super) high_water: HighWaterFile,
    pub(super) stored: HighWaterMark,
    pub(super) readers: Arc<Readers>,
}

/// Opens the store in `dir`, or creates one.
pub(super) fn open(dir: &Path, options: Options) -> Result<Opened, StoreError> {
    let dir = &files::create_dir(dir)?;
    let lock = DirLock::take(dir)?.ok_or(StoreError::Locked)?;
    files::prepare_database(dir)?;
    let conn = schema::open(dir, options.durability)?;
    let (mut high_water, noted) = HighWaterFile::open(dir)?;
    let mut stored = check::high_water_mark(&conn)?;
    let checked = match &noted {
        Some(noted) => check::check_high_water(&conn, &stored, noted),
        None => Ok(()),
    };
    let is_new = stored.events == 0 && stored.marks == 0;
    match checked.and_then(|()| check::check_complete(&conn)) {
        Ok(()) if noted.is_some() || is_new => {}
        Ok(()) => {
            tracing::warn!(
                dir = %dir.display(),
                "the history has no high-water mark, as after a restore: it starts a new epoch"
            );
            check::accept(&conn)?;
        }
        Err(error) if options.accept_loss && error.is_loss() => {
            tracing::error!(
                dir = %dir.display(),
                "the data directory {error}; the loss is accepted, and what is left starts a new epoch"
            );
            check::accept(&conn)?;
        }
        Err(error) => return Err(error),
    }
    stored.epoch = schema::epoch(&conn)?;
    high_water.write(&stored)?;
    high_water.sync()?;
    sync_dir(dir)?;
    let files = Arc::new(Files::of(dir)?);
    let readers = Arc::new(Readers::new(Arc::clone(&files))?);
    Ok(Opened { files, epoch: stored.epoch, lock, conn, high_water, stored, readers })
}

/// Syncs the directory, so that the names of the files in it are on disk.
#[cfg(unix)]
fn sync_dir(dir: &Path) -> std::io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

/// Does nothing: other systems cannot open a directory to sync it, and their file systems journal names themselves.
#[cfg(not(unix))]
fn sync_dir(_: &Path) -> std::io::Result<()> {
    Ok(())
}
