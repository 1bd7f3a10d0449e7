//! The terminal is restored however the client ends.

use std::fs;
use std::process::Command;

use faults::site::{Site, Store};
use xtask::{Outcome, cargo};

use crate::client::command;
use crate::tmux::Tmux;

pub(super) fn run() -> Outcome {
    let site = Site::new()?;
    let service = site.start(Store::Memory)?;
    let folder = site.path("home");
    fs::create_dir_all(&folder)?;
    let chat = command(&site.server.address(), "--user sam chat general")?;
    let start = || -> Result<Tmux, Box<dyn std::error::Error>> {
        let screen = Tmux::start(&folder, (80, 20), &chat)?;
        screen.wait_for("nobody has said anything")?;
        // Otherwise the checks would prove nothing.
        if screen.knows("#{alternate_on}")? != "1" {
            return Err("the client does not draw on the alternate screen".into());
        }
        Ok(screen)
    };

    for keys in ["C-c C-c", "C-d", "/ q u i t Enter"] {
        let screen = start()?;
        screen.press(&keys.split(' ').collect::<Vec<_>>())?;
        check_restored(&screen, 0).map_err(|error| format!("after {keys}: {error}"))?;
    }
    for (signal, code) in [("-TERM", 143), ("-HUP", 129), ("-INT", 130)] {
        let screen = start()?;
        let process = screen.process("grpc_chat_client")?.to_string();
        Command::new("kill").args([signal, &process]).status()?;
        check_restored(&screen, code).map_err(|error| format!("after {signal}: {error}"))?;
    }
    // A panic, in a program that only takes over the terminal.
    let build = ["test", "--quiet", "--package", "grpc_chat_client", "--test", "terminal"];
    if !cargo().args(build).arg("--no-run").status()?.success() {
        return Err("the program that panics does not build; see above".into());
    }
    let program = cargo().get_program().display().to_string();
    let manifest = xtask::root().join("Cargo.toml");
    for how in ["here", "elsewhere"] {
        let words = format!("'{program}' {} --manifest-path '{}' -- {how}", build.join(" "), manifest.display());
        // Cargo prints how the test ended.
        let screen = Tmux::start(&folder, (80, 30), &format!("{words}; true"))?;
        check_restored(&screen, 0).map_err(|error| format!("after a panic {how}: {error}"))?;
        let text = screen.screen()?;
        if !text.contains("panicked at") || !text.contains("on purpose") {
            return Err(format!("the report of a panic {how} cannot be read:\n{text}").into());
        }
    }
    service.stop()?;
    Ok(())
}

/// Fails unless the program has ended with this code and restored the terminal.
fn check_restored(screen: &Tmux, code: i32) -> Outcome {
    let text = screen.wait_for("[ended with ")?;
    if !text.contains(&format!("[ended with {code}]")) {
        return Err(format!("it did not end with {code}:\n{text}").into());
    }
    let settings = screen.wait("the terminal's settings", |text| text.contains("echok"))?;
    for setting in [" echo ", " icanon ", " isig ", " opost "] {
        if !settings.replace(['\n', ';'], " ").contains(setting) {
            return Err(format!("the terminal is not {}:\n{settings}", setting.trim()).into());
        }
    }
    for (format, wanted) in [
        ("#{alternate_on}", "0"),
        ("#{cursor_flag}", "1"),
        ("#{wrap_flag}", "1"),
        ("#{mouse_any_flag}", "0"),
        ("#{mouse_standard_flag}", "0"),
        ("#{mouse_sgr_flag}", "0"),
        ("#{keypad_flag}", "0"),
    ] {
        let known = screen.knows(format)?;
        if known != wanted {
            return Err(format!("{format} is {known} and should be {wanted}").into());
        }
    }
    let raw = screen.raw()?;
    for (on, off) in [("\x1b[?2004h", "\x1b[?2004l"), ("\x1b[?1004h", "\x1b[?1004l"), ("\x1b[?2026h", "\x1b[?2026l")] {
        let last = |mode: &str| raw.windows(mode.len()).rposition(|bytes| bytes == mode.as_bytes());
        if last(on) >= last(off) && last(on).is_some() {
            return Err(format!("{:?} was not turned off", &on[1..]).into());
        }
    }
    Ok(())
}
