//! Keeps a data directory to one process: SQLite alone would let several write.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// A lock on a data directory, released when dropped. The operating system releases it when the process dies, however
/// that happens.
#[derive(Debug)]
pub(super) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock. `None` if it is held already, by this process or another.
    pub(super) fn take(dir: &Path) -> io::Result<Option<Self>> {
        let file = File::options().create(true).truncate(false).write(true).open(dir.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}
