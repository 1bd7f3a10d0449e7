//! Captures of the screen that somebody has looked at and accepted.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use xtask::{Outcome, root};

/// Captures are written instead of compared.
static ACCEPTING: AtomicBool = AtomicBool::new(false);

pub(crate) fn accept() {
    ACCEPTING.store(true, Ordering::Relaxed);
}

/// Fails if the screen differs from the accepted capture in more than times and addresses.
pub(crate) fn check(name: &str, screen: &str) -> Outcome {
    let folder = root().join("xtask/screen/src/seen");
    let path = folder.join(format!("{name}.txt"));
    let screen = normalized(screen);
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

/// Returns a screen without what differs from run to run: times, days, ports, and the time until the next attempt.
fn normalized(screen: &str) -> String {
    let rows = screen.trim_end().lines();
    rows.map(|row| format!("{}\n", without_address(&without_day(&without_times(row))).trim_end())).collect()
}

/// Times of day, and their minutes alone where something lies over the rest.
fn without_times(row: &str) -> String {
    let mut bytes = row.as_bytes().to_vec();
    let digits = |bytes: &[u8]| bytes.len() == 2 && bytes.iter().all(u8::is_ascii_digit);
    for at in (0..bytes.len()).filter(|at| row.as_bytes()[*at] == b':') {
        let minutes = at + 1..(at + 3).min(bytes.len());
        if digits(&bytes[minutes.clone()]) && !bytes.get(at + 3).is_some_and(u8::is_ascii_digit) {
            bytes[minutes].copy_from_slice(b"mm");
            let hours = at.saturating_sub(2)..at;
            if digits(&bytes[hours.clone()]) {
                bytes[hours].copy_from_slice(b"hh");
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| row.to_owned())
}

/// The line of a day without the day, whose name is as long as it is.
fn without_day(row: &str) -> String {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let Some(day) = DAYS.iter().find_map(|day| row.find(&format!("{day}, "))) else { return row.to_owned() };
    let (Some(before), Some(after)) = (row[..day].rfind("─ "), row[day..].find(" ─")) else {
        return row.to_owned();
    };
    let start = row[..before + "─".len()].trim_end_matches('─');
    let end = row[day + after + 1..].trim_start_matches('─');
    format!("{start}── day ──{end}")
}

/// The line with the connection's state. The lengths of what it says move what is to the right.
fn without_address(row: &str) -> String {
    const PORT: &str = "http://127.0.0.1:";
    const NEXT: &str = "next try in ";
    let mut row = row.to_owned();
    for before in [PORT, NEXT] {
        if let Some((left, right)) = row.split_once(before) {
            let right = right.trim_start_matches(|c: char| c.is_ascii_digit());
            let line = right.find('─').unwrap_or(right.len());
            let (words, rest) = right.split_at(line);
            row = format!("{left}{before}N{words}──{}", rest.trim_start_matches('─'));
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_left_out() {
        for (screen, left) in [
            ("ann ▎Hi at 10:30        09:15", "ann ▎Hi at hh:mm        hh:mm\n"),
            ("╮ │:13 │ http://127.0.0.1:4321", "╮ │:mm │ http://127.0.0.1:N──\n"),
            ("│ a │ ──── Tuesday, 24 November 2026 ──── │", "│ a │ ── day ── │\n"),
            ("│ ── the beginning · Friday, 1 May 2026 ─── │", "│ ── day ── │\n"),
            ("╰─ ● sam · http://127.0.0.1:43211 ─────── F1 help ─╯", "╰─ ● sam · http://127.0.0.1:N ── F1 help ─╯\n"),
            (
                "╰─ ○ offline, next try in 12 s · 1 unsent · http://127.0.0.1:4321 ── F1 help ─╯",
                "╰─ ○ offline, next try in N s · 1 unsent · http://127.0.0.1:N ── F1 help ─╯\n",
            ),
            ("  \n\nlast\n\n\n", "\n\nlast\n"),
        ] {
            assert_eq!(normalized(screen), left);
        }
    }
}
