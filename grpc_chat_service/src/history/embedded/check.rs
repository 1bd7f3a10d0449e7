//! Is the store still what it was when we last wrote to it?

use rusqlite::{Connection, OptionalExtension};

use super::fault::{Fault, Gap};
use super::high_water::Reached;
use super::record::{self, Record, Trouble, columns, to_sql};
use super::schema;
use crate::history::new_epoch;
use crate::model::RoomId;

/// The newest records, which a crash is most likely to have hit, are all read when the store is opened.
const NEWEST: u64 = 1_000;

/// Where the store stands, by what it holds.
pub(super) fn reached(conn: &Connection) -> Result<Reached, Fault> {
    let last: Option<(i64, [u8; 4])> = conn
        .query_row("SELECT id, checksum FROM events ORDER BY id DESC LIMIT 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (events, last) = last.unwrap_or_default();
    Ok(Reached {
        epoch: schema::epoch(conn)?,
        events: events.cast_unsigned(),
        last,
        marks: schema::meta(conn, "marks")?,
    })
}

/// Whether the store holds everything that was noted apart from it.
pub(super) fn check_reached(conn: &Connection, stands: &Reached, noted: &Reached) -> Result<(), Fault> {
    if noted.epoch != stands.epoch {
        return Err(Fault::OtherStore);
    }
    if noted.events > stands.events || noted.marks > stands.marks {
        let events = noted.events.saturating_sub(stands.events);
        return Err(Fault::Lost { events, marks: noted.marks.saturating_sub(stands.marks) });
    }
    // The note may be behind, and the event it names erased since: then its checksum is another.
    let same = conn
        .query_row(
            "SELECT checksum = ?2 OR erased FROM events WHERE id = ?1",
            (to_sql(noted.events), noted.last),
            |row| row.get(0),
        )
        .optional()?;
    if same.unwrap_or(noted.events == 0) { Ok(()) } else { Err(Fault::OtherStore) }
}

/// Whether the store is whole: rooms are found by their names, seqs have no gaps, and the newest records are what was
/// stored.
pub(super) fn check_whole(conn: &Connection) -> Result<(), Fault> {
    let mut rooms = conn.prepare(
        "SELECT r.id, r.name, r.checksum, (SELECT i.id FROM rooms i WHERE i.name = r.name)
         FROM rooms r NOT INDEXED",
    )?;
    let mut rows = rooms.query([])?;
    while let Some(row) = rows.next()? {
        let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
        if record::room_checksum(id, &name) != row.get::<_, [u8; 4]>(2)? || row.get::<_, Option<i64>>(3)? != Some(id) {
            return Err(Fault::Damaged { room: name, seq: 0 });
        }
    }

    let gap = gap(conn)?;
    if gap.events != schema::meta(conn, "missing")? {
        return Err(gap.into());
    }
    let last: Option<i64> = conn.query_row("SELECT max(id) FROM events", [], |row| row.get(0))?;
    newer(conn, last.unwrap_or(0).cast_unsigned().saturating_sub(NEWEST), |_| ())
}

/// Begins a new epoch with what is left, so that clients notice.
pub(super) fn accept(conn: &Connection) -> Result<(), Fault> {
    let missing = gap(conn)?.events;
    let change = conn.unchecked_transaction()?;
    schema::set_meta(&change, "epoch", new_epoch())?;
    schema::set_meta(&change, "missing", missing)?;
    Ok(change.commit()?)
}

/// How many events are missing in between, by the ids and the seqs there are.
fn gap(conn: &Connection) -> Result<Gap, Fault> {
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
pub(super) fn newer(conn: &Connection, after: u64, mut each: impl FnMut(Record)) -> Result<(), Fault> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        ", r.name FROM events e LEFT JOIN rooms r ON r.id = e.room WHERE e.id > ?1 ORDER BY e.id"
    );
    let mut find = conn.prepare(sql)?;
    let mut rows = find.query([to_sql(after)])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(11)?;
        let damaged = |seq| Fault::Damaged { room: name.clone(), seq };
        let room = RoomId::new(&name).map_err(|_| damaged(0))?;
        each(record::read(row, &room, 0).map_err(|trouble| match trouble {
            Trouble::Damaged(seq) => damaged(seq),
            Trouble::Failed(error) => error.into(),
            Trouble::Refused(_) => Fault::Corrupt,
        })?);
    }
    Ok(())
}
