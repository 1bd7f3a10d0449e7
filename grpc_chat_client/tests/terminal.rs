//! Takes over the terminal as the screen does, and panics: `cargo xtask screen` looks at what becomes of the terminal.
//! Without an argument, as in `cargo test`, there is nothing to see, and it says so.

#![allow(clippy::panic, reason = "that is its purpose")]

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
            // Nothing more is drawn on a terminal that is not ours any more.
            match (panicked, terminal.size(), terminal.forget(), terminal.draw(|_| None)) {
                (Err(_), Ok(_), Err(_), Err(_)) => Ok(()),
                _ => Err(io::Error::other("the terminal was drawn on after it was given back")),
            }
        }
        _ => {
            println!("terminal: nothing to see without a terminal; `cargo xtask screen` runs this in one");
            Ok(())
        }
    }
}
