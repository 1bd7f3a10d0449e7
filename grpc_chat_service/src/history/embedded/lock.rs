//! Keeps a data directory to one process: SQLite alone would let several write.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::files;
use super::store_error::StoreError;

/// A lock on a data directory, released when dropped. The operating system releases it when the process dies, however
/// that happens.
#[derive(Debug)]
pub(super) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock. `None` if it is held already, by this process or another.
    pub(super) fn take(dir: &Path) -> Result<Option<Self>, StoreError> {
        let file = files::open(dir, files::LOCK)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}
