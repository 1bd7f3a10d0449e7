//! One line on standard error that says how far it is, if a person is there to read it.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// The line is written no more often than this.
pub(super) const EVERY: Duration = Duration::from_millis(250);

/// The line. It goes when this is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    /// Begins every line.
    name: &'static str,
    /// When it was last written, and how many characters.
    written: Option<Instant>,
    width: usize,
}

impl Progress {
    pub(super) fn new(name: &'static str) -> Self {
        Self { terminal: io::stderr().is_terminal(), name, written: None, width: 0 }
    }

    /// Writes the line anew, unless that was done just now.
    pub(super) fn show(&mut self, line: impl FnOnce() -> String) {
        if !self.terminal || self.written.is_some_and(|written| written.elapsed() < EVERY) {
            return;
        }
        let line = format!("{}: {}", self.name, line());
        self.write(&line);
        self.written = Some(Instant::now());
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if self.width > 0 {
            self.write("");
            let _ = io::stderr().lock().write_all(b"\r");
        }
    }

    fn write(&mut self, line: &str) {
        let bytes = over(line, self.width);
        self.width = line.chars().count();
        // Nobody is left to see it if that fails.
        let _ = io::stderr().lock().write_all(bytes.as_bytes());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A line over one that is so many characters wide.
fn over(line: &str, width: usize) -> String {
    let rest = width.saturating_sub(line.chars().count());
    format!("\r{line}{:rest$}", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_line_before_is_left() {
        assert_eq!(over("abc", 0), "\rabc");
        assert_eq!(over("abc", 3), "\rabc");
        assert_eq!(over("µs", 4), "\rµs  ");
        assert_eq!(over("", 2), "\r  ");
    }
}
