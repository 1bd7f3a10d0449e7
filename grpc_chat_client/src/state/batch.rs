//! What is to be written to the state file.

use std::collections::{BTreeMap, HashMap, HashSet};

use prost::Message;
use rusqlite::{Connection, params};
use stubs::chat::v1 as pb;

use crate::model::{Cursor, Draft, MsgId, RoomId};
use crate::wire::convert;

/// What has changed since the last batch was taken. A draft that is acked before its batch is taken is not written at all.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) batch: Batch,
    /// Drafts that are in the file, or in a batch that is being written.
    written: HashSet<MsgId>,
    /// The number of the last draft.
    last: u64,
    /// Whether nothing more comes.
    pub(super) closed: bool,
}

/// What is written in one transaction.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) owner: Option<String>,
    /// Drafts to add, by number.
    saves: BTreeMap<u64, Draft>,
    /// The numbers of these drafts.
    numbers: HashMap<MsgId, u64>,
    /// Drafts to remove.
    removes: HashSet<MsgId>,
    pub(super) seen: HashMap<RoomId, Cursor>,
}

impl Pending {
    /// Returns one for a file with these drafts.
    pub(super) fn new(written: HashSet<MsgId>, last: u64) -> Self {
        Self { written, last, ..Self::default() }
    }

    pub(super) fn save(&mut self, draft: Draft) {
        // Under the same id it is the same draft.
        if self.written.contains(&draft.id) || self.batch.numbers.contains_key(&draft.id) {
            return;
        }
        self.last += 1;
        self.batch.numbers.insert(draft.id, self.last);
        self.batch.saves.insert(self.last, draft);
    }

    pub(super) fn remove(&mut self, id: MsgId) {
        if let Some(number) = self.batch.numbers.remove(&id) {
            self.batch.saves.remove(&number);
        }
        if self.written.remove(&id) {
            self.batch.removes.insert(id);
        }
    }

    pub(super) fn take(&mut self) -> Batch {
        let batch = std::mem::take(&mut self.batch);
        self.written.extend(batch.numbers.keys());
        batch
    }

    /// Puts a batch back that was not written, or perhaps not: a commit that failed may have been one.
    pub(super) fn put_back(&mut self, batch: Batch) {
        let Batch { owner, saves, removes, seen, .. } = batch;
        let newer = &mut self.batch;
        for (number, draft) in saves {
            // It may have been acked meanwhile.
            if !newer.removes.contains(&draft.id) {
                newer.numbers.insert(draft.id, number);
                newer.saves.insert(number, draft);
            }
        }
        newer.removes.extend(removes);
        newer.owner = newer.owner.take().or(owner);
        for (room, cursor) in seen {
            newer.seen.entry(room).or_insert(cursor);
        }
    }
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.owner.is_none() && self.saves.is_empty() && self.removes.is_empty() && self.seen.is_empty()
    }

    #[cfg(test)]
    pub(super) fn removes(&self) -> usize {
        self.removes.len()
    }

    /// Writes all of it or nothing.
    pub(super) fn write(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let transaction = connection.transaction()?;
        if let Some(user) = &self.owner {
            transaction.execute("DELETE FROM owner", [])?;
            transaction.execute("INSERT INTO owner (user) VALUES (?1)", [user])?;
        }
        for id in &self.removes {
            transaction.prepare_cached("DELETE FROM drafts WHERE id = ?1")?.execute([id.0.as_slice()])?;
        }
        for (number, draft) in &self.saves {
            let frame = pb::ClientFrame { id: 0, body: Some(convert::change_to_wire(draft)) }.encode_to_vec();
            transaction
                .prepare_cached(
                    "INSERT INTO drafts (number, id, frame) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING",
                )?
                .execute(params![number.cast_signed(), draft.id.0.as_slice(), frame])?;
        }
        for (room, Cursor { epoch, seq, id }) in &self.seen {
            let id = id.as_ref().map(|id| id.0.as_slice());
            transaction
                .prepare_cached("INSERT OR REPLACE INTO cursors (room, epoch, seq, id) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![room.as_str(), epoch.cast_signed(), seq.cast_signed(), id])?;
        }
        transaction.commit()
    }
}
