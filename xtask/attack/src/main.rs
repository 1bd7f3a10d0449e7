//! `cargo xtask attack`.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    xtask::command("attack", attack::run)
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    xtask::command("attack", |_| {
        Err("this check runs on Linux only: it needs /proc, CPU affinity, and all of 127.0.0.0/8".into())
    })
}
