//! The ways in which a file is damaged.

/// One way to damage one file.
pub(super) struct Damage {
    pub(super) what: &'static str,
    pub(super) file: &'static str,
    /// Changes the bytes of the file.
    pub(super) apply: fn(&mut Vec<u8>, &mut fastrand::Rng),
}

const WAL: &str = "history.db-wal";
const DB: &str = "history.db";
const MARK: &str = "history.mark";

const BLOCK: usize = 4096;

/// Each is applied to the files as `kill -9` and as an orderly stop have left them, where there is such a file.
pub(super) const DAMAGES: [Damage; 14] = [
    Damage { what: "a bit of an old text in the WAL", file: WAL, apply: |bytes, random| flip(bytes, random, 0.05) },
    Damage { what: "a bit of a recent text in the WAL", file: WAL, apply: |bytes, random| flip(bytes, random, 0.95) },
    Damage { what: "a block in the middle of the WAL", file: WAL, apply: |bytes, random| zero_middle(bytes, random) },
    Damage { what: "the tail of the WAL", file: WAL, apply: |bytes, random| cut(bytes, random.usize(1..40_000)) },
    Damage { what: "the last byte of the WAL", file: WAL, apply: |bytes, _| cut(bytes, 1) },
    Damage { what: "all of the WAL", file: WAL, apply: |bytes, _| bytes.clear() },
    Damage { what: "garbage after the WAL", file: WAL, apply: garbage },
    Damage { what: "a bit of an old text", file: DB, apply: |bytes, random| flip(bytes, random, 0.05) },
    Damage { what: "a bit of a recent text", file: DB, apply: |bytes, random| flip(bytes, random, 0.95) },
    Damage { what: "a block in the middle", file: DB, apply: |bytes, random| zero_middle(bytes, random) },
    Damage { what: "the tail", file: DB, apply: |bytes, random| cut(bytes, random.usize(1..40_000)) },
    Damage { what: "the whole file", file: DB, apply: |bytes, _| bytes.clear() },
    Damage { what: "garbage after the file", file: DB, apply: garbage },
    Damage { what: "the bytes of the high-water mark", file: MARK, apply: |bytes, _| bytes.fill(0x55) },
];

/// Flips a bit of a letter of a message's text, searching from this fraction of the file on.
fn flip(bytes: &mut [u8], random: &mut fastrand::Rng, fraction: f64) {
    let from = (bytes.len() as f64 * fraction) as usize;
    // Nothing but a text is so long a run of letters and digits.
    let is_text = |at: &usize| bytes[*at..*at + 64].iter().all(u8::is_ascii_alphanumeric);
    let last = bytes.len().saturating_sub(64);
    if let Some(at) = (from..last).chain(0..from.min(last)).find(is_text) {
        bytes[at + random.usize(0..64)] ^= 1;
    }
}

fn zero_middle(bytes: &mut [u8], random: &mut fastrand::Rng) {
    if bytes.len() < 4 * BLOCK {
        return;
    }
    let from = random.usize(bytes.len() / 4..bytes.len() * 3 / 4 - BLOCK);
    bytes[from..from + BLOCK].fill(0);
}

fn cut(bytes: &mut Vec<u8>, by: usize) {
    bytes.truncate(bytes.len().saturating_sub(by));
}

fn garbage(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    bytes.extend((0..10_000).map(|_| random.u8(..)));
}
