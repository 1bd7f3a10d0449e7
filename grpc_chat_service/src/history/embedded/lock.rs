//! One process on a data directory: SQLite alone would let several write.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// Held as long as it lives. The operating system lets go of it when the process dies, however it dies.
#[derive(Debug)]
pub(super) struct DirLock {
    _file: File,
}

impl DirLock {
    /// `None` if another holds it, in this process or in another.
    pub(super) fn take(dir: &Path) -> io::Result<Option<Self>> {
        let file = File::options().create(true).truncate(false).write(true).open(dir.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}
