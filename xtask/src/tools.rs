//! The tools that `ci` needs beside cargo, with pinned versions, installed in `target/ci-tools`.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use crate::{Outcome, root, shell};

/// The command-line client of grpc-go.
const GRPCURL: &str = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3";

/// The package that has promtool.
const PROMETHEUS: &str = "prometheus";

/// The Python packages: programs, among them Go, and what the foreign client imports.
const PYTHON: [&str; 2] = ["xtask/tools/requirements.txt", "grpc_chat_service/tests/foreign/python/requirements.txt"];

/// The packages of the foreign client for Node.
const NODE: [&str; 2] =
    ["grpc_chat_service/tests/foreign/node/package.json", "grpc_chat_service/tests/foreign/node/package-lock.json"];

/// The module of the foreign client for Go, which pins the generators of its stubs.
const GO: [&str; 2] = ["grpc_chat_service/tests/foreign/go/go.mod", "grpc_chat_service/tests/foreign/go/go.sum"];

/// Installs the tools that are missing or whose pins have changed.
pub fn install() -> Outcome {
    install_once("python", &pins(&PYTHON)?, |folder| {
        shell::run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let mut pip = Command::new(python("python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        for file in PYTHON {
            pip.arg("--requirement").arg(root().join(file));
        }
        shell::run(&mut pip)
    })?;
    install_for_node()?;
    install_once("go", &format!("{}{GRPCURL}", pins(&GO)?), |folder| {
        copy(&GO, folder)?;
        for package in ["tool", GRPCURL] {
            let mut go = Command::new(python("go"));
            shell::run(go.args(["install", package]).env("GOBIN", folder).current_dir(folder))?;
        }
        Ok(symlink(python("python-grpc-tools-protoc"), folder.join("protoc"))?)
    })?;
    install_promtool()
}

/// Installs [`node_modules`] alone.
pub fn install_for_node() -> Outcome {
    install_once("node", &pins(&NODE)?, |folder| {
        copy(&NODE, folder)?;
        let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        shell::run(Command::new("npm").args(npm).current_dir(folder))
    })
}

/// Takes promtool out of Debian's package `prometheus`, unless the machine has one. The package is not installed: that would
/// start a server, on the port of this service.
fn install_promtool() -> Outcome {
    if has_promtool() {
        return Ok(());
    }
    install_once("promtool", PROMETHEUS, |folder| {
        let apt = |words: &[&str]| shell::run(Command::new("apt-get").arg("--quiet").args(words).current_dir(folder));
        if apt(&["download", PROMETHEUS]).is_err() {
            // There is no list of packages yet, or it is too old.
            apt(&["update"])?;
            apt(&["download", PROMETHEUS])?;
        }
        shell::run(Command::new("sh").args(["-c", "dpkg-deb --extract *.deb . && rm *.deb"]).current_dir(folder))
    })
}

fn has_promtool() -> bool {
    let version = Command::new("promtool").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// Returns the path of promtool, which checks metrics and alerts.
pub fn promtool() -> PathBuf {
    if has_promtool() { "promtool".into() } else { folder().join("promtool/usr/bin/promtool") }
}

/// Returns the path of a program that is a Python package, or of `python` itself.
pub fn python(program: &str) -> PathBuf {
    folder().join("python/bin").join(program)
}

/// Returns the folder with the packages of the foreign client for Node.
pub fn node_modules() -> PathBuf {
    folder().join("node/node_modules")
}

/// Returns the path of grpcurl, the command-line client of grpc-go.
pub fn grpcurl() -> PathBuf {
    folder().join("go/grpcurl")
}

/// Returns the folders of the installed programs, as the beginning of a `PATH`.
pub fn path() -> String {
    format!("{}:{}", folder().join("go").display(), folder().join("python/bin").display())
}

/// Returns the folder in which everything is installed and generated.
pub fn folder() -> PathBuf {
    root().join("target/ci-tools")
}

/// Copies files of the workspace into a folder.
fn copy(files: &[&str], folder: &Path) -> Outcome {
    for file in files.iter().map(|file| root().join(file)) {
        fs::copy(&file, folder.join(file.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

/// Runs `install` in a fresh folder of that name, unless the folder was installed from the same pins.
fn install_once(name: &str, pins: &str, install: impl FnOnce(&Path) -> Outcome) -> Outcome {
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
    // Written last, so that an interrupted install is repeated.
    Ok(fs::write(stamp, pins)?)
}

fn pins(files: &[&str]) -> io::Result<String> {
    files.iter().map(|file| fs::read_to_string(root().join(file))).collect()
}
