//! What `ci` needs beside cargo, in `target/ci-tools`: pinned, installed when missing, kept while the pins stay.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use crate::{Outcome, root, shell};

/// The newest that Debian 12's Go can build.
const GRPCURL: &str = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.8.9";

/// What Python's package index has ready to run: checks, and what the foreign client imports.
const PYTHON: [&str; 2] = ["xtask/tools/requirements.txt", "grpc_chat_service/tests/foreign/python/requirements.txt"];

/// What the foreign client requires.
const NODE: [&str; 2] =
    ["grpc_chat_service/tests/foreign/node/package.json", "grpc_chat_service/tests/foreign/node/package-lock.json"];

/// Installs what is missing or no longer what is pinned.
pub fn install() -> Outcome {
    keep("python", &pins(&PYTHON)?, |folder| {
        shell::run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let mut pip = Command::new(python("python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        for file in PYTHON {
            pip.arg("--requirement").arg(root().join(file));
        }
        shell::run(&mut pip)
    })?;
    install_for_node()?;
    keep("go", GRPCURL, |folder| {
        shell::run(Command::new("go").args(["install", GRPCURL]).env("GOBIN", folder).current_dir(folder))
    })
}

/// The same for [`node_modules`] alone.
pub fn install_for_node() -> Outcome {
    keep("node", &pins(&NODE)?, |folder| {
        for file in NODE.map(|file| root().join(file)) {
            fs::copy(&file, folder.join(file.file_name().unwrap_or_default()))?;
        }
        let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        shell::run(Command::new("npm").args(npm).current_dir(folder))
    })
}

/// A program of the Python environment, Python itself among them.
pub fn python(program: &str) -> PathBuf {
    folder().join("python/bin").join(program)
}

/// Where Node finds what the foreign client requires.
pub fn node_modules() -> PathBuf {
    folder().join("node/node_modules")
}

/// The command-line client of grpc-go.
pub fn grpcurl() -> PathBuf {
    folder().join("go/grpcurl")
}

fn folder() -> PathBuf {
    root().join("target/ci-tools")
}

/// Runs `install` in a fresh folder of that name, unless what is there was installed from the same pins.
fn keep(name: &str, pins: &str, install: impl FnOnce(&Path) -> Outcome) -> Outcome {
    let folder = folder().join(name);
    let stamp = folder.join("installed-from");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == pins) {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    install(&folder)?;
    // Last, so that an install that was cut short is not taken for one.
    Ok(fs::write(stamp, pins)?)
}

fn pins(files: &[&str]) -> io::Result<String> {
    files.iter().map(|file| fs::read_to_string(root().join(file))).collect()
}
