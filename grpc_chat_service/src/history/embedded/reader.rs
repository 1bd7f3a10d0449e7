//! Reads, concurrent with the writer and with each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use rusqlite::{Connection, OptionalExtension, Params};
use tokio::sync::Semaphore;

use super::files::Files;
use super::record::{self, RecordError, columns, to_sql};
use super::schema;
use crate::history::page::{Filling, Page};
use crate::history::{Feed, Position, ReadError, RoomHead, RoomQuery, RoomState};
use crate::model::{ClientMsgId, Event, RoomId, Seq, UserId};

/// The most reads at a time. Further ones wait.
const MAX_READERS: usize = 2;

/// Connections for reading.
#[derive(Debug)]
pub(super) struct Readers {
    files: Arc<Files>,
    /// One is always kept: while a connection is open, SQLite does not recover the WAL by itself, and so does not show
    /// readers what a failed commit left in it.
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    /// Whether further connections may be opened. Not while the writer recovers.
    may_open: AtomicBool,
}

impl Readers {
    pub(super) fn new(files: Arc<Files>) -> rusqlite::Result<Self> {
        let first = schema::open_reader(files.dir())?;
        // Reads once, which attaches the connection to the index of the WAL.
        schema::epoch(&first)?;
        let permits = Arc::new(Semaphore::new(MAX_READERS));
        Ok(Self { files, idle: Mutex::new(vec![first]), permits, may_open: AtomicBool::new(true) })
    }

    /// Runs `read` on a thread that may block.
    pub(super) fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> Result<T, RecordError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, ReadError>> {
        let readers = Arc::clone(self);
        Box::pin(async move {
            let permit = Arc::clone(&readers.permits).acquire_owned().await.map_err(|_| ReadError::Unavailable)?;
            // The read runs to completion even if its caller stops waiting.
            let reading = tokio::task::spawn_blocking(move || {
                let result = readers.read_now(read);
                drop(permit);
                result
            });
            reading.await.unwrap_or(Err(ReadError::Unavailable))
        })
    }

    pub(super) fn allow_opening(&self, allow: bool) {
        self.may_open.store(allow, Ordering::Release);
    }

    /// Refuses further reads and closes the idle connections.
    pub(super) fn close(&self) {
        self.permits.close();
        self.allow_opening(false);
        self.idle().clear();
    }

    fn read_now<T>(&self, read: impl FnOnce(&Connection) -> Result<T, RecordError>) -> Result<T, ReadError> {
        let conn = self.take()?;
        let result = read(&conn);
        match &result {
            Err(RecordError::Sqlite(error)) => tracing::warn!(%error, "the history could not be read"),
            Err(RecordError::Damaged(seq)) => tracing::error!(seq, "the history has a damaged record"),
            _ => {}
        }
        let still_good = !matches!(result, Err(RecordError::Sqlite(_)));
        if still_good && !self.permits.is_closed() {
            self.idle().push(conn);
        }
        result.map_err(|error| match error {
            RecordError::Damaged(seq) => ReadError::Corrupt { seq },
            RecordError::Sqlite(_) | RecordError::Refused(_) => ReadError::Unavailable,
        })
    }

    fn take(&self) -> Result<Connection, ReadError> {
        if let Some(conn) = self.idle().pop() {
            return Ok(conn);
        }
        if !self.may_open.load(Ordering::Acquire) {
            return Err(ReadError::Unavailable);
        }
        let opened = self.files.check().and_then(|()| Ok(schema::open_reader(self.files.dir())?));
        opened.map_err(|error| {
            tracing::warn!("the history could not be opened for reading: the data directory {error}");
            ReadError::Unavailable
        })
    }

    /// Short lock, never held across an await.
    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`crate::history::History::room_state`].
pub(super) fn room_state(conn: &Connection, query: &RoomQuery) -> Result<RoomState, RecordError> {
    let RoomQuery { room, user, last, at } = query;
    let snapshot = conn.unchecked_transaction()?;
    let newest = before(&snapshot, room, Seq::MAX, Page { events: 1, bytes: 0 })?;
    let head = newest.last().map_or(0, |newest| newest.seq);
    let read = match user {
        None => 0,
        Some(user) => read_mark(&snapshot, room, user, head)?,
    };
    let id_at = if (1..=head).contains(at) { client_msg_id(&snapshot, room, *at)? } else { None };
    // Nothing expires here.
    Ok(RoomState { head, oldest: head.min(1), read, before_last: head.saturating_sub((*last).into()), id_at })
}

/// Returns the `client_msg_id` of an event.
fn client_msg_id(conn: &Connection, room: &RoomId, seq: Seq) -> Result<Option<ClientMsgId>, RecordError> {
    let page = after(conn, room, seq.saturating_sub(1), Page { events: 1, bytes: 0 })?;
    Ok(page.first().filter(|event| event.seq == seq).map(|event| event.draft.client_msg_id))
}

fn read_mark(conn: &Connection, room: &RoomId, user: &UserId, head: Seq) -> Result<Seq, RecordError> {
    let mut find = conn.prepare_cached(
        "SELECT m.seq, m.checksum FROM rooms r JOIN reads m ON m.room = r.id WHERE r.name = ?1 AND m.user = ?2",
    )?;
    let mark = find
        .query_row((room.as_str(), user.as_str()), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 4]>(1)?)))
        .optional()
        .map_err(|error| RecordError::at(error, head))?;
    match mark {
        None => Ok(0),
        Some((seq, checksum)) => check_read_mark(room, user, seq, checksum),
    }
}

/// Returns a read mark if it is what was stored.
pub(super) fn check_read_mark(room: &RoomId, user: &UserId, seq: i64, checksum: [u8; 4]) -> Result<Seq, RecordError> {
    let seq = seq.cast_unsigned();
    if record::mark_checksum(room, user, seq) == checksum { Ok(seq) } else { Err(RecordError::Damaged(seq)) }
}

/// See [`crate::history::History::read_after`].
pub(super) fn after(conn: &Connection, room: &RoomId, after: Seq, page: Page) -> Result<Vec<Event>, RecordError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM rooms r CROSS JOIN events e ON e.room = r.id WHERE r.name = ?1 AND e.seq > ?2 ORDER BY e.seq LIMIT ?3"
    );
    let first = after.saturating_add(1);
    fill(conn, sql, (room.as_str(), to_sql(after), limit(page)), room, page, (Some(first), 1))
}

/// See [`crate::history::History::read_before`].
pub(super) fn before(conn: &Connection, room: &RoomId, before: Seq, page: Page) -> Result<Vec<Event>, RecordError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM rooms r CROSS JOIN events e ON e.room = r.id WHERE r.name = ?1 AND e.seq < ?2",
        " ORDER BY e.seq DESC LIMIT ?3"
    );
    // Any row may be the first, unless there is one at or after `before`: then the one just before `before` is.
    let mut next = conn.prepare_cached(
        "SELECT 1 FROM rooms r CROSS JOIN events e ON e.room = r.id WHERE r.name = ?1 AND e.seq >= ?2 LIMIT 1",
    )?;
    let inside = next.exists((room.as_str(), to_sql(before))).map_err(|error| RecordError::at(error, before))?;
    let first = inside.then(|| before.saturating_sub(1));
    let mut events = fill(conn, sql, (room.as_str(), to_sql(before), limit(page)), room, page, (first, -1))?;
    events.reverse();
    Ok(events)
}

/// See [`crate::history::History::since`]. A position is the id of an event.
pub(super) fn since(conn: &Connection, Position(position): Position, page: Page) -> Result<Feed, RecordError> {
    let mut find = conn.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        ", r.name FROM events e LEFT JOIN rooms r ON r.id = e.room WHERE e.id > ?1 ORDER BY e.id LIMIT ?2"
    ))?;
    let mut rows = find.query((to_sql(position), limit(page)))?;
    let mut filling = Filling::new(page);
    let mut feed = Feed { events: Vec::new(), position: Position(position) };
    while !filling.is_full() {
        let Some(row) = rows.next().map_err(|error| RecordError::at(error, 0))? else { break };
        let record = record::read_with_room(row)?;
        feed.position = Position(record.id.cast_unsigned());
        filling.add(&record.event);
        feed.events.push(record.event);
    }
    Ok(feed)
}

/// See [`crate::history::History::rooms`].
pub(super) fn rooms(conn: &Connection, after: Option<&RoomId>, max: usize) -> Result<Vec<RoomHead>, RecordError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        ", r.name FROM rooms r CROSS JOIN events e",
        " ON e.room = r.id AND e.seq = (SELECT max(seq) FROM events WHERE room = r.id)",
        " WHERE r.name > ?1 ORDER BY r.name LIMIT ?2"
    );
    let mut find = conn.prepare_cached(sql)?;
    let mut rows = find.query((after.map_or("", RoomId::as_str), i64::try_from(max).unwrap_or(i64::MAX)))?;
    let mut heads = Vec::new();
    while let Some(row) = rows.next().map_err(|error| RecordError::at(error, 0))? {
        let head = record::read_with_room(row)?.event;
        heads.push(RoomHead { room: head.draft.room, head: head.seq, time: head.time });
    }
    Ok(heads)
}

/// Takes rows until the page is full, and checks that none is missing: the first has sequence number `first`, if that is
/// known, and each further one is `step` away from the one before.
fn fill(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    room: &RoomId,
    page: Page,
    (first, step): (Option<Seq>, i64),
) -> Result<Vec<Event>, RecordError> {
    let mut find = conn.prepare_cached(sql)?;
    let mut rows = find.query(params)?;
    let mut filling = Filling::new(page);
    let mut events = Vec::new();
    let mut expected = first;
    while !filling.is_full() {
        let missing = expected.unwrap_or(0);
        let Some(row) = rows.next().map_err(|error| RecordError::at(error, missing))? else { break };
        let event = record::read(row, room, missing)?.event;
        if expected.is_some_and(|expected| expected != event.seq) {
            return Err(RecordError::Damaged(missing));
        }
        expected = event.seq.checked_add_signed(step);
        filling.add(&event);
        events.push(event);
    }
    // Downwards, a room ends at 1.
    if step < 0
        && !filling.is_full()
        && let Some(missing @ 1..) = expected
    {
        return Err(RecordError::Damaged(missing));
    }
    Ok(events)
}

fn limit(page: Page) -> i64 {
    i64::try_from(page.events.max(1)).unwrap_or(i64::MAX)
}
