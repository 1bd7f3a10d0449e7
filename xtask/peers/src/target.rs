//! Where things are built.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Returns the folder of everything that is built.
pub(crate) fn root() -> io::Result<PathBuf> {
    // This program is in its folder `release`.
    let program = xtask::service::program("peers")?;
    let target = program.ancestors().nth(2).map(Path::to_owned);
    target.ok_or_else(|| io::Error::other("this program is not in a target folder"))
}

/// Returns the folder for what this program builds, and for its results.
pub(crate) fn folder() -> io::Result<PathBuf> {
    let folder = root()?.join("peers");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
