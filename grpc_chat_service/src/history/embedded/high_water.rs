//! The high-water mark: what the store has held, recorded outside of it, since a store that lost its tail cannot tell.
//!
//! The mark is overwritten after every commit and not synced each time. It may therefore be behind the store, which is
//! harmless, and is never ahead of it unless the store has lost something. Two slots are written in turn, each in its own
//! block and with its own checksum, so that a torn write leaves the previous one.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::files;
use super::store_error::StoreError;
use crate::model::Epoch;

const MAGIC: &[u8; 8] = b"chatmrk1";
const SLOT_BYTES: usize = 52;
const SLOT_EVERY: usize = 4096;

/// How much a store has held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HighWaterMark {
    pub(super) epoch: Epoch,
    /// The number of events ever stored, which is also the id of the last one.
    pub(super) events: u64,
    /// The checksum of the last event.
    pub(super) last: [u8; 4],
    /// How often a read mark has been set.
    pub(super) marks: u64,
}

/// The file that holds the high-water mark.
#[derive(Debug)]
pub(super) struct HighWaterFile {
    file: File,
    generation: u64,
}

impl HighWaterFile {
    /// Opens the file in `dir`, or creates an empty one, and reads the mark.
    pub(super) fn open(dir: &Path) -> Result<(Self, Option<HighWaterMark>), StoreError> {
        let mut file = files::open(dir, files::HIGH_WATER)?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut file).take(2 * SLOT_EVERY as u64).read_to_end(&mut bytes)?;
        let slots = [0, SLOT_EVERY].map(|at| bytes.get(at..at + SLOT_BYTES).and_then(decode));
        if bytes.len() < 2 * SLOT_EVERY {
            // The size and the name of the file are on disk before it is relied on: from then on only bytes change.
            bytes.resize(2 * SLOT_EVERY, 0);
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&bytes)?;
            file.sync_all()?;
        }
        let latest = slots.into_iter().flatten().max_by_key(|(generation, _)| *generation);
        Ok((Self { file, generation: latest.map_or(0, |(generation, _)| generation) }, latest.map(|(_, mark)| mark)))
    }

    /// Overwrites the mark. To be called once the store holds what it says.
    pub(super) fn write(&mut self, mark: &HighWaterMark) -> io::Result<()> {
        self.generation += 1;
        let slot = self.generation % 2 * SLOT_EVERY as u64;
        self.file.seek(SeekFrom::Start(slot))?;
        self.file.write_all(&encode(self.generation, mark))
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn encode(generation: u64, mark: &HighWaterMark) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(MAGIC);
    slot[8..16].copy_from_slice(&generation.to_le_bytes());
    slot[16..24].copy_from_slice(&mark.epoch.to_le_bytes());
    slot[24..32].copy_from_slice(&mark.events.to_le_bytes());
    slot[32..40].copy_from_slice(&mark.marks.to_le_bytes());
    slot[40..44].copy_from_slice(&mark.last);
    let checksum = crc32fast::hash(&slot[..48]);
    slot[48..].copy_from_slice(&checksum.to_le_bytes());
    slot
}

fn decode(slot: &[u8]) -> Option<(u64, HighWaterMark)> {
    let number = |at: usize| Some(u64::from_le_bytes(slot.get(at..at + 8)?.try_into().ok()?));
    let (content, checksum) = slot.split_at_checked(48)?;
    if !content.starts_with(MAGIC) || checksum != crc32fast::hash(content).to_le_bytes() {
        return None;
    }
    let last = slot.get(40..44)?.try_into().ok()?;
    Some((number(8)?, HighWaterMark { epoch: number(16)?, events: number(24)?, marks: number(32)?, last }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(events: u64) -> HighWaterMark {
        HighWaterMark { epoch: 7, events, last: [1, 2, 3, 4], marks: 5 }
    }

    #[test]
    fn the_latest_mark_is_read_and_after_a_torn_write_the_previous_one() {
        let dir = tempfile::tempdir().unwrap();
        let (mut file, before) = HighWaterFile::open(dir.path()).unwrap();
        assert_eq!(before, None);
        for events in 1..=3 {
            file.write(&at(events)).unwrap();
        }
        assert_eq!(HighWaterFile::open(dir.path()).unwrap().1, Some(at(3)));

        let mut bytes = std::fs::read(dir.path().join(files::HIGH_WATER)).unwrap();
        bytes[SLOT_EVERY + 25] ^= 1;
        std::fs::write(dir.path().join(files::HIGH_WATER), &bytes).unwrap();
        let (mut file, before) = HighWaterFile::open(dir.path()).unwrap();
        assert_eq!(before, Some(at(2)));
        file.write(&at(4)).unwrap();
        assert_eq!(HighWaterFile::open(dir.path()).unwrap().1, Some(at(4)));
    }

    #[test]
    fn the_bytes_on_disk_do_not_change() {
        let slot = encode(3, &at(9));
        assert_eq!(slot[..8], *b"chatmrk1");
        assert_eq!(
            slot[8..40],
            [[3, 0, 0, 0, 0, 0, 0, 0], [7, 0, 0, 0, 0, 0, 0, 0], [9, 0, 0, 0, 0, 0, 0, 0], [5, 0, 0, 0, 0, 0, 0, 0]]
                .concat()
        );
        assert_eq!(slot[40..48], [1, 2, 3, 4, 0, 0, 0, 0]);
        assert_eq!(decode(&slot), Some((3, at(9))));
    }
}
