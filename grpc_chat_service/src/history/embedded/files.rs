//! The files in a data directory: for their owner only, never reached through a symbolic link, and the same ones for as long
//! as the store is open.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::store_error::StoreError;

/// The database.
pub(super) const DATABASE: &str = "history.db";
/// SQLite's write-ahead log of it.
pub(super) const WAL: &str = "history.db-wal";
/// SQLite's index of the log, which its connections share.
const WAL_INDEX: &str = "history.db-shm";
/// The high-water mark.
pub(super) const HIGH_WATER: &str = "history.mark";
/// Locked by the process that uses the directory.
pub(super) const LOCK: &str = "lock";

/// The files of an open store, as they were when it was opened.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    known: [Known; 5],
}

#[derive(Debug)]
struct Known {
    name: &'static str,
    path: PathBuf,
    identity: Identity,
}

impl Files {
    /// Remembers the files in `dir`, of which a connection has to be open: SQLite removes some of them with the last one.
    pub(super) fn of(dir: &Path) -> io::Result<Self> {
        let known = |name| -> io::Result<Known> {
            let path = dir.join(name);
            Ok(Known { name, identity: identity(&path)?, path })
        };
        let known = [known(DATABASE)?, known(WAL)?, known(WAL_INDEX)?, known(HIGH_WATER)?, known(LOCK)?];
        Ok(Self { dir: dir.to_owned(), known })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Checks that all files are where they were. What is written to a file that is not in its place any more is synced to
    /// disk without an error, and lost when the store is closed. Takes a few microseconds.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        for Known { name, path, identity: known } in &self.known {
            match identity(path) {
                Ok(found) if found == *known => {}
                Ok(_) => return Err(StoreError::Replaced { name }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StoreError::Replaced { name }),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The device and the number of a file on it.
#[cfg(unix)]
type Identity = (u64, u64);

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt;

    path.symlink_metadata().map(|found| (found.dev(), found.ino()))
}

/// Elsewhere files that are open cannot be removed or replaced.
#[cfg(not(unix))]
type Identity = ();

#[cfg(not(unix))]
fn identity(path: &Path) -> io::Result<Identity> {
    path.symlink_metadata().map(drop)
}

/// Creates the directory, if there is none, with access for its owner only. Returns its path without symbolic links, so that
/// a link that changes later leads to no other files.
pub(super) fn create_dir(dir: &Path) -> Result<PathBuf, StoreError> {
    if std::fs::metadata(dir).is_ok_and(|found| !found.is_dir()) {
        return Err(StoreError::NotADirectory);
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir)?;
    Ok(dir.canonicalize()?)
}

/// Creates the database's file, so that SQLite does not do so with access for everyone, and takes such access away from the
/// files that an earlier version has left. To be called while no connection is open: closing a file ends the locks that
/// SQLite has on it.
pub(super) fn prepare_database(dir: &Path) -> Result<(), StoreError> {
    open(dir, DATABASE)?;
    // SQLite gives the others the permissions of the database.
    for name in [WAL, WAL_INDEX] {
        if dir.join(name).symlink_metadata().is_ok() {
            open(dir, name)?;
        }
    }
    Ok(())
}

/// Opens a file of the directory for reading and writing, or creates an empty one.
pub(super) fn open(dir: &Path, name: &'static str) -> Result<File, StoreError> {
    let path = dir.join(name);
    let mut options = File::options();
    let opened = for_owner(options.read(true).write(true).create(true).truncate(false)).open(&path);
    let is_link = || path.symlink_metadata().is_ok_and(|found| found.is_symlink());
    let file = opened.map_err(|error| if is_link() { StoreError::Link { name } } else { error.into() })?;
    if !file.metadata()?.is_file() {
        return Err(StoreError::NotAFile { name });
    }
    deny_others(&file)?;
    Ok(file)
}

#[cfg(unix)]
fn for_owner(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;

    // Without waiting for the other end, should it be a pipe.
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
    options.mode(0o600).custom_flags(flags.bits())
}

/// Elsewhere files have the access rights of their directory, and only administrators make links.
#[cfg(not(unix))]
fn for_owner(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(unix)]
fn deny_others(file: &File) -> io::Result<()> {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    if file.metadata()?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn deny_others(_: &File) -> io::Result<()> {
    Ok(())
}
