//! Checks that a store still holds what was last written to it.

use rusqlite::{Connection, OptionalExtension};

use super::high_water::HighWaterMark;
use super::record::{self, Record, RecordError, columns, to_sql};
use super::schema;
use super::store_error::{Gap, StoreError};
use crate::history::new_epoch;
use crate::model::RoomId;

/// How many of the newest records, those a crash is most likely to have hit, are read when the store is opened.
const NEWEST: u64 = 1_000;

/// Returns the high-water mark of what the store holds.
pub(super) fn high_water_mark(conn: &Connection) -> Result<HighWaterMark, StoreError> {
    let last: Option<(i64, [u8; 4])> = conn
        .query_row("SELECT id, checksum FROM events ORDER BY id DESC LIMIT 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (events, last) = last.unwrap_or_default();
    Ok(HighWaterMark {
        epoch: schema::epoch(conn)?,
        events: events.cast_unsigned(),
        last,
        marks: schema::meta(conn, "marks")?,
    })
}

/// Checks that the store, which holds `stored`, has everything up to the recorded high-water mark.
pub(super) fn check_high_water(
    conn: &Connection,
    stored: &HighWaterMark,
    noted: &HighWaterMark,
) -> Result<(), StoreError> {
    if noted.epoch != stored.epoch {
        return Err(StoreError::OtherStore);
    }
    if noted.events > stored.events || noted.marks > stored.marks {
        let events = noted.events.saturating_sub(stored.events);
        return Err(StoreError::Lost { events, marks: noted.marks.saturating_sub(stored.marks) });
    }
    // The mark may be behind the store, and the event it names may have been erased since: then its checksum differs.
    let same = conn
        .query_row(
            "SELECT checksum = ?2 OR erased FROM events WHERE id = ?1",
            (to_sql(noted.events), noted.last),
            |row| row.get(0),
        )
        .optional()?;
    if same.unwrap_or(noted.events == 0) { Ok(()) } else { Err(StoreError::OtherStore) }
}

/// Checks that the store is complete: rooms are found by their names, sequence numbers have no gaps, and the newest
/// records are what was stored.
pub(super) fn check_complete(conn: &Connection) -> Result<(), StoreError> {
    let mut rooms = conn.prepare(
        "SELECT r.id, r.name, r.checksum, (SELECT i.id FROM rooms i WHERE i.name = r.name)
         FROM rooms r NOT INDEXED",
    )?;
    let mut rows = rooms.query([])?;
    while let Some(row) = rows.next()? {
        let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
        if record::room_checksum(id, &name) != row.get::<_, [u8; 4]>(2)? || row.get::<_, Option<i64>>(3)? != Some(id) {
            return Err(StoreError::Damaged { room: name, seq: 0 });
        }
    }

    let gap = gap(conn)?;
    if gap.events != schema::meta(conn, "missing")? {
        return Err(gap.into());
    }
    let last: Option<i64> = conn.query_row("SELECT max(id) FROM events", [], |row| row.get(0))?;
    newer(conn, last.unwrap_or(0).cast_unsigned().saturating_sub(NEWEST), |_| ())
}

/// Starts a new epoch with what is left, so that clients notice.
pub(super) fn accept(conn: &Connection) -> Result<(), StoreError> {
    let missing = gap(conn)?.events;
    let change = conn.unchecked_transaction()?;
    schema::set_meta(&change, "epoch", new_epoch())?;
    schema::set_meta(&change, "missing", missing)?;
    Ok(change.commit()?)
}

/// Counts the events that are missing, by the ids and the sequence numbers that are there.
fn gap(conn: &Connection) -> Result<Gap, StoreError> {
    let mut counts = conn.prepare(
        "SELECT c.events, c.head, r.name
         FROM (SELECT room, count(*) AS events, max(seq) AS head FROM events GROUP BY room) c
         LEFT JOIN rooms r ON r.id = c.room",
    )?;
    let mut rows = counts.query([])?;
    let (mut stored, mut by_seq, mut room) = (0, 0, None);
    while let Some(row) = rows.next()? {
        let (events, head, name): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        stored += events;
        if events != head {
            by_seq += head - events;
            room = Some(name);
        }
    }
    let last: Option<i64> = conn.query_row("SELECT max(id) FROM events", [], |row| row.get(0))?;
    let by_id = last.unwrap_or(0) - stored;
    Ok(Gap { events: by_id.max(by_seq).unsigned_abs(), room })
}

/// Reads the records stored after the one with id `after`, oldest first.
pub(super) fn newer(conn: &Connection, after: u64, mut each: impl FnMut(Record)) -> Result<(), StoreError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        ", r.name FROM events e LEFT JOIN rooms r ON r.id = e.room WHERE e.id > ?1 ORDER BY e.id"
    );
    let mut find = conn.prepare(sql)?;
    let mut rows = find.query([to_sql(after)])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(11)?;
        let damaged = |seq| StoreError::Damaged { room: name.clone(), seq };
        let room = RoomId::new(&name).map_err(|_| damaged(0))?;
        each(record::read(row, &room, 0).map_err(|error| match error {
            RecordError::Damaged(seq) => damaged(seq),
            RecordError::Sqlite(error) => error.into(),
            RecordError::Refused(_) => StoreError::Corrupt,
        })?);
    }
    Ok(())
}
