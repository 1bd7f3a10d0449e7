//! An event as a row, and the checksum that tells whether it is still what was stored.

use rusqlite::{Row, ffi};

use crate::history::{AppendError, rules};
use crate::model::{Change, ClientMsgId, Draft, Event, RoomId, Seq, UserId};

/// The columns [`read`] reads, of a table named `e`.
macro_rules! columns {
    () => {
        "e.id, e.seq, e.time, e.sender, e.device, e.client_msg_id, e.kind, e.about, e.body, e.erased, e.checksum"
    };
}
pub(super) use columns;

const POST: u8 = 1;
/// Known to the schema, which has an index of the edits of a message.
const EDIT: u8 = 2;
const DELETE: u8 = 3;
const REACT: u8 = 4;
const UNREACT: u8 = 5;

/// Why the store cannot do what it is told.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may not be done.
    Refused(AppendError),
    /// A stored record is not what was stored.
    Damaged(Seq),
    /// SQLite says so.
    Failed(rusqlite::Error),
}

/// A row.
#[derive(Debug)]
pub(super) struct Record {
    /// Counts the events of all rooms.
    pub(super) id: i64,
    pub(super) event: Event,
    pub(super) checksum: [u8; 4],
}

/// An event's columns, apart from those named as in [`Event`].
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
            Change::Post { text, .. } => (POST, text.as_str()),
            Change::Edit { text, .. } => (EDIT, text.as_str()),
            Change::Delete { .. } => (DELETE, ""),
            Change::React { reaction, remove: false, .. } => (REACT, reaction.as_str()),
            Change::React { reaction, remove: true, .. } => (UNREACT, reaction.as_str()),
        };
        let about = event.draft.change.about();
        Self { kind, about: about.map(to_sql), body, checksum: checksum(event, kind, body) }
    }
}

/// Reads [`columns`] and checks them. `expected` is where the row should be, for the error.
pub(super) fn read(row: &Row<'_>, room: &RoomId, expected: Seq) -> Result<Record, Trouble> {
    let damaged = |error| Trouble::at(error, expected);
    let seq = from_sql(row.get(1).map_err(damaged)?, expected)?;
    let kind: u8 = row.get(6).map_err(damaged)?;
    let about: Option<i64> = row.get(7).map_err(damaged)?;
    let about = about.map(|about| from_sql(about, seq)).transpose()?;
    let body = row.get_ref(8).map_err(damaged)?;
    let body = body.as_str().map_err(|_| Trouble::Damaged(seq))?;
    let erased: bool = row.get(9).map_err(damaged)?;
    let text = || -> Result<String, Trouble> {
        match erased {
            false => Ok(body.to_owned()),
            true if body.bytes().all(|b| b == 0) => Ok(String::new()),
            true => Err(Trouble::Damaged(seq)),
        }
    };
    let change = match (kind, about) {
        (POST, reply_to) => Change::Post { text: text()?, reply_to },
        (EDIT, Some(about)) => Change::Edit { seq: about, text: text()? },
        (DELETE, Some(about)) => Change::Delete { seq: about },
        (REACT | UNREACT, Some(about)) => Change::React { seq: about, reaction: text()?, remove: kind == UNREACT },
        _ => return Err(Trouble::Damaged(seq)),
    };
    let user = |text: &str| UserId::new(text).map_err(|_| Trouble::Damaged(seq));
    let column = |at| row.get_ref(at).map_err(damaged);
    let event = Event {
        seq,
        prev_seq: seq.saturating_sub(1),
        time: from_sql(row.get(2).map_err(damaged)?, seq)?,
        draft: Draft {
            room: room.clone(),
            sender: user(column(3)?.as_str().map_err(|_| Trouble::Damaged(seq))?)?,
            device: column(4)?.as_str_or_null().map_err(|_| Trouble::Damaged(seq))?.map(user).transpose()?,
            client_msg_id: ClientMsgId(row.get(5).map_err(damaged)?),
            change,
            epoch: 0,
        },
        erased,
    };
    let record = Record { id: row.get(0).map_err(damaged)?, checksum: row.get(10).map_err(damaged)?, event };
    if Columns::of(&record.event).checksum == record.checksum { Ok(record) } else { Err(Trouble::Damaged(seq)) }
}

impl Record {
    /// Takes out the text and gives what is to be written over it in the row: as many bytes, so that SQLite
    /// overwrites the row where it stands and leaves no copy behind.
    pub(super) fn erase(&mut self) -> String {
        let filler = "\0".repeat(rules::text_bytes(&self.event.draft.change));
        rules::erase(&mut self.event);
        self.checksum = Columns::of(&self.event).checksum;
        filler
    }
}

/// The checksum of a read mark.
pub(super) fn mark_checksum(room: &RoomId, user: &UserId, seq: Seq) -> [u8; 4] {
    let mut sum = Sum::new(2);
    sum.text(room.as_str());
    sum.text(user.as_str());
    sum.number(seq);
    sum.finish()
}

/// The checksum of a room's key.
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
    sum.text(event.draft.device.as_ref().map_or("", UserId::as_str));
    sum.0.update(&event.draft.client_msg_id.0);
    sum.0.update(&[kind, u8::from(event.erased)]);
    sum.number(event.draft.change.about().unwrap_or(0));
    sum.text(body);
    sum.finish()
}

/// CRC-32 over fields that cannot run into each other, begun with what they are.
struct Sum(crc32fast::Hasher);

impl Sum {
    fn new(what: u8) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&[what]);
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

impl Trouble {
    /// What an error met at `seq` means: SQLite's finding that the file is damaged is ours too.
    pub(super) fn at(error: rusqlite::Error, seq: Seq) -> Self {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
        let damaged = match &error {
            FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..) => true,
            _ => matches!(
                error.sqlite_error_code(),
                Some(ffi::ErrorCode::DatabaseCorrupt | ffi::ErrorCode::NotADatabase)
            ),
        };
        if damaged { Self::Damaged(seq) } else { Self::Failed(error) }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<AppendError> for Trouble {
    fn from(error: AppendError) -> Self {
        Self::Refused(error)
    }
}

/// SQLite's integers are signed. No seq and no time comes near the end.
pub(super) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_sql(number: i64, seq: Seq) -> Result<u64, Trouble> {
    u64::try_from(number).map_err(|_| Trouble::Damaged(seq))
}
