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

fn without_times(row: &str) -> String {
    let digits = |bytes: &[u8], places: [usize; 4]| places.iter().all(|place| bytes[*place].is_ascii_digit());
    let mut bytes = row.as_bytes().to_vec();
    for at in 0..bytes.len().saturating_sub(4) {
        let here = &bytes[at..at + 5];
        if here[2] == b':' && digits(here, [0, 1, 3, 4]) {
            bytes[at..at + 5].copy_from_slice(b"hh:mm");
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
