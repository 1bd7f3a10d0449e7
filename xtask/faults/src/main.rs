//! `cargo xtask faults`.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::command("faults", faults::run)
}
