//! `cargo xtask bench peers`.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    xtask::command("peers", peers::run)
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    xtask::command("peers", |_| {
        Err("this benchmark runs on Linux only: it needs epoll, CPU clocks and CPU affinity".into())
    })
}
