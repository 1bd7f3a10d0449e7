//! Checks the imports of every crate in the workspace against rules that the compiler does not check.

mod cycles;
mod imports;
mod manifests;
mod modules;
mod rules;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use xtask::{Outcome, root};

use crate::modules::Files;

fn main() -> ExitCode {
    xtask::command("boundaries", |_| check())
}

/// Checks all rules. The error names every import and every manifest that breaks one.
fn check() -> Outcome {
    let crates = modules::crates(&files()?)?;
    let broken = [rules::edge(&crates), rules::layers(&crates), rules::cycles(&crates), manifests::check()?].concat();
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n            ").into()) }
}

/// Reads every source file of the workspace.
fn files() -> Result<Files, Box<dyn Error>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(root())? {
        let folder = entry?.path();
        // Not what is built or hidden.
        if folder.is_dir() && !folder.ends_with("target") && !is_hidden(&folder) {
            rust_files(&folder, &mut paths)?;
        }
    }
    paths.into_iter().map(|path| Ok((path.strip_prefix(root())?.to_owned(), fs::read_to_string(&path)?))).collect()
}

fn is_hidden(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_rules_hold() {
        super::check().unwrap();
    }
}
