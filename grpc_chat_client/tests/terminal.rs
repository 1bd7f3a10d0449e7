//! Takes over the terminal as the screen does, and panics: `cargo xtask screen` checks that the terminal is restored.
//! Without an argument, as in `cargo test`, it does nothing.

#![allow(clippy::panic, reason = "the test is about panics")]

#[path = "../src/cli/tui/terminal.rs"]
mod terminal;

use std::io;

use terminal::Terminal;

fn main() -> io::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("here") => {
            let mut terminal = Terminal::take()?;
            terminal.draw(|_| panic!("on purpose"))
        }
        Some("elsewhere") => {
            let mut terminal = Terminal::take()?;
            terminal.draw(|_| None)?;
            let _keys = terminal::inputs()?;
            let panicked = std::thread::spawn(|| panic!("on purpose")).join();
            // After that nothing is drawn.
            match (panicked, terminal.size(), terminal.forget(), terminal.draw(|_| None)) {
                (Err(_), Ok(_), Err(_), Err(_)) => Ok(()),
                _ => Err(io::Error::other("the terminal was drawn on after it was restored")),
            }
        }
        _ => {
            println!("terminal: skipped; `cargo xtask screen` runs this in a terminal");
            Ok(())
        }
    }
}
