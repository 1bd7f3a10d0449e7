//! An event as a row, with a checksum that shows whether it is still what was stored.

use rusqlite::{Row, ffi};

use crate::history::AppendError;
use crate::model::{Change, ClientMsgId, DeviceId, Draft, Event, Invalid, RoomId, Seq, UserId};

/// The columns that [`read`] reads, of a table named `e`.
macro_rules! columns {
    () => {
        "e.id, e.seq, e.time, e.sender, e.device, e.client_msg_id, e.kind, e.about, e.body, e.erased, e.checksum"
    };
}
pub(super) use columns;

const POST: u8 = 1;
/// The schema has an index over rows of this kind.
const EDIT: u8 = 2;
const DELETE: u8 = 3;
/// The schema has an index over rows of these two kinds.
const REACT: u8 = 4;
const UNREACT: u8 = 5;

/// Why a record cannot be read or written.
#[derive(Debug)]
pub(super) enum RecordError {
    /// A rule forbids it.
    Refused(AppendError),
    /// A record is not what was stored.
    Damaged(Seq),
    /// SQLite failed.
    Sqlite(rusqlite::Error),
}

/// A row.
#[derive(Debug)]
pub(super) struct Record {
    /// Numbers the events of all rooms in the order in which they were stored.
    pub(super) id: i64,
    pub(super) event: Event,
    pub(super) checksum: [u8; 4],
}

/// The columns of an event that are not fields of [`Event`].
#[derive(Debug)]
pub(super) struct Columns<'a> {
    pub(super) kind: u8,
    pub(super) about: Option<i64>,
    pub(super) body: &'a str,
    pub(super) checksum: [u8; 4],
}

impl<'a> Columns<'a> {
    pub(super) fn of(event: &'a Event) -> Self {
        let (kind, body) = match &event.draft.change {
            Change::Post { text, .. } => (POST, &**text),
            Change::Edit { text, .. } => (EDIT, &**text),
            Change::Delete { .. } => (DELETE, ""),
            Change::React { reaction, remove: false, .. } => (REACT, reaction.as_str()),
            Change::React { reaction, remove: true, .. } => (UNREACT, reaction.as_str()),
        };
        let about = event.draft.change.target();
        Self { kind, about: about.map(to_sql), body, checksum: checksum(event, kind, body) }
    }
}

/// Reads the [`columns`] of a row and checks them. `expected` is the sequence number that the row should have, for the
/// error.
pub(super) fn read(row: &Row<'_>, room: &RoomId, expected: Seq) -> Result<Record, RecordError> {
    let damaged = |error| RecordError::at(error, expected);
    let seq = from_sql(row.get(1).map_err(damaged)?, expected)?;
    let kind: u8 = row.get(6).map_err(damaged)?;
    let about: Option<i64> = row.get(7).map_err(damaged)?;
    let about = about.map(|about| from_sql(about, seq)).transpose()?;
    let body = row.get_ref(8).map_err(damaged)?;
    let body = body.as_str().map_err(|_| RecordError::Damaged(seq))?;
    let erased: bool = row.get(9).map_err(damaged)?;
    let text = || -> Result<String, RecordError> {
        match erased {
            false => Ok(body.to_owned()),
            true if body.bytes().all(|b| b == 0) => Ok(String::new()),
            true => Err(RecordError::Damaged(seq)),
        }
    };
    let change = match (kind, about) {
        (POST, reply_to) => Change::Post { text: text()?.into(), reply_to },
        (EDIT, Some(about)) => Change::Edit { seq: about, text: text()?.into() },
        (DELETE, Some(about)) => Change::Delete { seq: about },
        (REACT | UNREACT, Some(about)) => Change::React { seq: about, reaction: text()?, remove: kind == UNREACT },
        _ => return Err(RecordError::Damaged(seq)),
    };
    let not_text = |_| RecordError::Damaged(seq);
    let invalid = |_: Invalid| RecordError::Damaged(seq);
    let column = |at| row.get_ref(at).map_err(damaged);
    let event = Event {
        seq,
        prev_seq: seq.saturating_sub(1),
        time: from_sql(row.get(2).map_err(damaged)?, seq)?,
        draft: Draft {
            room: room.clone(),
            sender: UserId::new(column(3)?.as_str().map_err(not_text)?).map_err(invalid)?,
            device: column(4)?.as_str_or_null().map_err(not_text)?.map(DeviceId::new).transpose().map_err(invalid)?,
            client_msg_id: ClientMsgId(row.get(5).map_err(damaged)?),
            change,
        },
        erased,
    };
    let record = Record { id: row.get(0).map_err(damaged)?, checksum: row.get(10).map_err(damaged)?, event };
    if Columns::of(&record.event).checksum == record.checksum { Ok(record) } else { Err(RecordError::Damaged(seq)) }
}

/// Reads the [`columns`] of a row, followed by the name of its room, and checks them.
pub(super) fn read_with_room(row: &Row<'_>) -> Result<Record, RecordError> {
    let name: String = row.get(11).map_err(|error| RecordError::at(error, 0))?;
    let room = RoomId::new(&name).map_err(|_| RecordError::Damaged(0))?;
    read(row, &room, 0)
}

impl Record {
    /// Erases the text and returns what to overwrite it with in the row: as many bytes, so that SQLite overwrites the row
    /// in place and leaves no copy behind.
    pub(super) fn erase(&mut self) -> String {
        let filler = "\0".repeat(self.event.draft.change.text_bytes());
        self.event.erase();
        self.checksum = Columns::of(&self.event).checksum;
        filler
    }
}

/// Returns the checksum of a read mark.
pub(super) fn mark_checksum(room: &RoomId, user: &UserId, seq: Seq) -> [u8; 4] {
    let mut sum = Sum::new(2);
    sum.text(room.as_str());
    sum.text(user.as_str());
    sum.number(seq);
    sum.finish()
}

/// Returns the checksum of a room's key.
pub(super) fn room_checksum(key: i64, room: &str) -> [u8; 4] {
    let mut sum = Sum::new(3);
    sum.0.update(&key.to_le_bytes());
    sum.text(room);
    sum.finish()
}

fn checksum(event: &Event, kind: u8, body: &str) -> [u8; 4] {
    let mut sum = Sum::new(1);
    sum.text(event.draft.room.as_str());
    sum.number(event.seq);
    sum.number(event.time);
    sum.text(event.draft.sender.as_str());
    sum.text(event.draft.device.as_ref().map_or("", DeviceId::as_str));
    sum.0.update(&event.draft.client_msg_id.0);
    sum.0.update(&[kind, u8::from(event.erased)]);
    sum.number(event.draft.change.target().unwrap_or(0));
    sum.text(body);
    sum.finish()
}

/// A CRC-32 over fields with their lengths, which starts with the kind of record.
struct Sum(crc32fast::Hasher);

impl Sum {
    fn new(kind: u8) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&[kind]);
        Self(hasher)
    }

    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    fn finish(self) -> [u8; 4] {
        self.0.finalize().to_le_bytes()
    }
}

impl RecordError {
    /// Classifies an error of SQLite at `seq`: where SQLite finds the file damaged, so is the record.
    pub(super) fn at(error: rusqlite::Error, seq: Seq) -> Self {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
        let damaged = match &error {
            FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..) => true,
            _ => matches!(
                error.sqlite_error_code(),
                Some(ffi::ErrorCode::DatabaseCorrupt | ffi::ErrorCode::NotADatabase)
            ),
        };
        if damaged { Self::Damaged(seq) } else { Self::Sqlite(error) }
    }
}

impl From<rusqlite::Error> for RecordError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<AppendError> for RecordError {
    fn from(error: AppendError) -> Self {
        Self::Refused(error)
    }
}

/// Converts to SQLite's signed integers. Neither sequence numbers nor times come near their limit.
pub(super) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_sql(number: i64, seq: Seq) -> Result<u64, RecordError> {
    u64::try_from(number).map_err(|_| RecordError::Damaged(seq))
}
