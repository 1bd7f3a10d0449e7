//! Screens as they were when somebody looked at them and found them right.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use xtask::{Outcome, root};

/// What is on the screen is written down instead of compared.
static ACCEPTING: AtomicBool = AtomicBool::new(false);

pub(super) fn accept() {
    ACCEPTING.store(true, Ordering::Relaxed);
}

/// Fails if the screen is not as it was, apart from times and addresses.
pub(super) fn check(name: &str, screen: &str) -> Outcome {
    let folder = root().join("xtask/screen/src/seen");
    let path = folder.join(format!("{name}.txt"));
    let screen = settled(screen);
    if ACCEPTING.load(Ordering::Relaxed) {
        fs::create_dir_all(&folder)?;
        return Ok(fs::write(path, screen)?);
    }
    let seen = fs::read_to_string(&path).unwrap_or_default();
    if seen == screen {
        return Ok(());
    }
    Err(format!("the screen \"{name}\" was\n{seen}\nand is\n{screen}\nif that is right: `cargo xtask screen accept`")
        .into())
}

/// Without what differs from run to run: times, days, ports, and how far the next attempt is away.
pub(super) fn settled(screen: &str) -> String {
    let mut settled = String::new();
    for row in screen.trim_end().lines() {
        let row = match row.split_once("offline, next try in ") {
            Some((before, _)) => format!("{before}offline, next try in …"),
            None => without_port(&without_times(row)),
        };
        settled.push_str(row.trim_end());
        settled.push('\n');
    }
    settled
}

fn without_times(row: &str) -> String {
    let digits = |bytes: &[u8], places: [usize; 4]| places.iter().all(|place| bytes[*place].is_ascii_digit());
    let mut bytes = row.as_bytes().to_vec();
    for at in 0..bytes.len().saturating_sub(4) {
        let here = &bytes[at..at + 5];
        if here[2] == b':' && digits(here, [0, 1, 3, 4]) {
            bytes[at..at + 5].copy_from_slice(b"hh:mm");
        }
    }
    let row = String::from_utf8(bytes).unwrap_or_else(|_| row.to_owned());
    // The line of a day: its name is as long as it is.
    match (row.find("─ "), row.rfind(" ─")) {
        (Some(from), Some(upto)) if from < upto && row[from..upto].contains(", ") => {
            let before = row[..from].trim_end_matches('─');
            format!("{before}── day ──")
        }
        _ => row,
    }
}

/// The port's length moves what is to its right.
fn without_port(row: &str) -> String {
    const BEFORE: &str = "http://127.0.0.1:";
    match row.split_once(BEFORE) {
        None => row.to_owned(),
        Some((before, after)) => {
            let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
            let words: Vec<&str> = after.split_whitespace().collect();
            format!("{before}{BEFORE}port {}", words.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_left_out() {
        for (screen, left) in [
            ("09:15 ann  Hi at 10:30", "hh:mm ann  Hi at hh:mm\n"),
            (" a │──── Tuesday, 24 November 2026 ────", " a │── day ──\n"),
            ("● sam at http://127.0.0.1:43211      ? help", "● sam at http://127.0.0.1:port ? help\n"),
            ("○ offline, next try in 12 s: why · 1 unsent", "○ offline, next try in …\n"),
            ("  \n\nlast\n\n\n", "\n\nlast\n"),
        ] {
            assert_eq!(settled(screen), left);
        }
    }
}
