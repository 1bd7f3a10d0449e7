//! One transaction of the writer: turns requests into rows.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension};

use super::high_water::HighWaterMark;
use super::reader::check_read_mark;
use super::record::{Columns, Record, RecordError, columns, mark_checksum, read, room_checksum, to_sql};
use super::schema;
use crate::history::queue::{Append, ReadMark, Reply, Request};
use crate::history::{AppendError, Appended, MAX_EDITS, rules};
use crate::model::{Change, DeviceId, Draft, Event, RoomId, Seq, UnixMillis};
use crate::rates::Rates;

/// Edits of a message that are read together to be erased. An earlier version may have stored any number of them.
const EDITS_AT_ONCE: usize = 64;

/// The newest event of a room, including what the current transaction adds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    key: i64,
    seq: Seq,
    time: UnixMillis,
}

/// The heads of recently written rooms. To be emptied when a transaction fails.
pub(super) type Heads = HashMap<RoomId, Head>;

/// A transaction in progress.
pub(super) struct Batch<'a> {
    conn: &'a Connection,
    insert: CachedStatement<'a>,
    heads: &'a mut Heads,
    rates: &'a Rates,
    stored: HighWaterMark,
    marks_before: u64,
    now: UnixMillis,
    /// There is no room for anything new.
    full: bool,
    events: Vec<Event>,
    moved: Vec<ReadMark>,
}

/// What a transaction has changed.
pub(super) struct Changes {
    pub(super) events: Vec<Event>,
    /// Read marks that have moved.
    pub(super) marks: Vec<ReadMark>,
    /// The high-water mark that holds once the transaction is committed.
    pub(super) stored: HighWaterMark,
}

impl<'a> Batch<'a> {
    /// Starts a batch on a connection that is in a transaction and whose store holds `stored`.
    pub(super) fn new(
        conn: &'a Connection,
        heads: &'a mut Heads,
        rates: &'a Rates,
        stored: HighWaterMark,
        now: UnixMillis,
        full: bool,
    ) -> rusqlite::Result<Self> {
        let insert = conn.prepare_cached(
            "INSERT INTO events
                 (id, room, seq, time, sender, device, client_msg_id, kind, about, body, erased, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11)
             ON CONFLICT (room, sender, client_msg_id) DO NOTHING",
        )?;
        Ok(Self {
            conn,
            insert,
            heads,
            rates,
            stored,
            marks_before: stored.marks,
            now,
            full,
            events: Vec::new(),
            moved: Vec::new(),
        })
    }

    /// Returns what has changed.
    pub(super) fn finish(self) -> rusqlite::Result<Changes> {
        if self.stored.marks != self.marks_before {
            schema::set_meta(self.conn, "marks", self.stored.marks)?;
        }
        Ok(Changes { events: self.events, marks: self.moved, stored: self.stored })
    }

    /// Applies a request and adds its reply: done, done before, or refused. Fails only if the transaction cannot continue;
    /// the reply is added in that case, too.
    pub(super) fn apply(&mut self, request: Request, replies: &mut Vec<Reply>) -> rusqlite::Result<()> {
        let mut failed = Ok(());
        replies.push(match request {
            Request::Append(append, sender) => Reply::Append(sender, reply(self.append(append), &mut failed)),
            Request::MarkRead(mark, sender) => Reply::MarkRead(sender, reply(self.mark_read(mark), &mut failed)),
        });
        failed
    }

    fn append(&mut self, Append { account, draft, expected }: Append) -> Result<Appended, RecordError> {
        let mut known = self.head(&draft.room)?;
        if let Some(target_seq) = draft.change.target() {
            let mut target = None;
            if let Some(head) = &known {
                // A repeat is recognised first: the message it refers to may have been erased since.
                if let Some(repeat) = self.repeat(head.key, &draft)? {
                    return Ok(repeat);
                }
                target = self.find(head.key, &draft.room, target_seq)?;
            }
            let event = target.as_ref().map(|target| &target.event);
            rules::check_target(&draft, expected, self.stored.epoch, event)?;
            match (&draft.change, target, &known) {
                (Change::Edit { .. }, Some(_), Some(head)) => self.check_edits(head.key, target_seq)?,
                (Change::Delete { .. }, Some(target), Some(head)) => self.erase(head.key, target)?,
                (Change::React { reaction, remove, .. }, Some(target), Some(head)) => {
                    let last = self.last_reaction(head.key, &draft, target_seq, reaction)?;
                    let last = last.as_ref().map(|last| &last.event);
                    if let Some(event) = rules::reaction_since(*remove, last, &target.event) {
                        return Ok(Appended { seq: event.seq, time: event.time, duplicate: true });
                    }
                }
                _ => {}
            }
        }
        if self.full && rules::needs_room(&draft) {
            let repeat = known.map(|head| self.repeat(head.key, &draft)).transpose()?.flatten();
            return repeat.ok_or(AppendError::StorageFull.into());
        }
        let head = match known.take() {
            Some(head) => head,
            None => {
                rules::check_new_room(self.rates, &account)?;
                self.create_room(&draft.room)?
            }
        };

        let event =
            Event { seq: head.seq + 1, prev_seq: head.seq, time: head.time.max(self.now), draft, erased: false };
        let columns = Columns::of(&event);
        let inserted = self.insert.execute((
            to_sql(self.stored.events + 1),
            head.key,
            to_sql(event.seq),
            to_sql(event.time),
            event.draft.sender.as_str(),
            event.draft.device.as_ref().map(DeviceId::as_str),
            event.draft.client_msg_id.0,
            columns.kind,
            columns.about,
            columns.body,
            columns.checksum,
        ))?;
        if inserted == 0 {
            // There is a row with this client_msg_id already.
            return self.repeat(head.key, &event.draft)?.ok_or(RecordError::Damaged(event.seq));
        }
        self.stored.events += 1;
        self.stored.last = columns.checksum;
        let appended = Appended { seq: event.seq, time: event.time, duplicate: false };
        if let Some(known) = self.heads.get_mut(&event.draft.room) {
            *known = Head { seq: event.seq, time: event.time, ..head };
        }
        self.events.push(event);
        Ok(appended)
    }

    fn mark_read(&mut self, mark: ReadMark) -> Result<Seq, RecordError> {
        let Some(head) = self.head(&mark.room)?.filter(|head| mark.seq <= head.seq) else {
            return if mark.seq == 0 { Ok(0) } else { Err(AppendError::NoSuchMessage.into()) };
        };
        let mut find = self.conn.prepare_cached("SELECT seq, checksum FROM reads WHERE room = ?1 AND user = ?2")?;
        let stored = find
            .query_row((head.key, mark.user.as_str()), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 4]>(1)?)))
            .optional()
            .map_err(|error| RecordError::at(error, mark.seq))?;
        let stored = match stored {
            None => 0,
            Some((seq, checksum)) => check_read_mark(&mark.room, &mark.user, seq, checksum)?,
        };
        if mark.seq <= stored {
            return Ok(stored);
        }
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO reads (room, user, seq, checksum) VALUES (?1, ?2, ?3, ?4)")?
            .execute((
                head.key,
                mark.user.as_str(),
                to_sql(mark.seq),
                mark_checksum(&mark.room, &mark.user, mark.seq),
            ))?;
        self.stored.marks += 1;
        let seq = mark.seq;
        self.moved.push(mark);
        Ok(seq)
    }

    /// Returns the head of a room, if it has a history.
    fn head(&mut self, room: &RoomId) -> Result<Option<Head>, RecordError> {
        if let Some(head) = self.heads.get(room) {
            return Ok(Some(*head));
        }
        let mut key = self.conn.prepare_cached("SELECT id FROM rooms WHERE name = ?1")?;
        let Some(key) = key.query_row([room.as_str()], |row| row.get(0)).optional()? else { return Ok(None) };
        let last = concat!("SELECT ", columns!(), " FROM events e WHERE e.room = ?1 ORDER BY e.seq DESC LIMIT 1");
        let last = self.conn.prepare_cached(last)?.query_row([key], |row| Ok(read(row, room, 0))).optional();
        let head = match last.map_err(|error| RecordError::at(error, 0))?.transpose()? {
            None => Head { key, seq: 0, time: 0 },
            Some(last) => Head { key, seq: last.event.seq, time: last.event.time },
        };
        self.heads.insert(room.clone(), head);
        Ok(Some(head))
    }

    fn create_room(&mut self, room: &RoomId) -> rusqlite::Result<Head> {
        let key: i64 = self.conn.query_row("SELECT coalesce(max(id), 0) + 1 FROM rooms", [], |row| row.get(0))?;
        self.conn.prepare_cached("INSERT INTO rooms (id, name, checksum) VALUES (?1, ?2, ?3)")?.execute((
            key,
            room.as_str(),
            room_checksum(key, room.as_str()),
        ))?;
        let head = Head { key, seq: 0, time: 0 };
        self.heads.insert(room.clone(), head);
        Ok(head)
    }

    /// Returns the result for a draft that has been stored before.
    fn repeat(&self, room: i64, draft: &Draft) -> Result<Option<Appended>, RecordError> {
        let find = concat!(
            "SELECT ",
            columns!(),
            " FROM events e WHERE e.room = ?1 AND e.sender = ?2 AND e.client_msg_id = ?3"
        );
        let found = self
            .conn
            .prepare_cached(find)?
            .query_row((room, draft.sender.as_str(), draft.client_msg_id.0), |row| Ok(read(row, &draft.room, 0)))
            .optional()
            .map_err(|error| RecordError::at(error, 0))?
            .transpose()?;
        let Some(Record { event: stored, .. }) = found else { return Ok(None) };
        rules::check_repeat(draft, &stored)?;
        Ok(Some(Appended { seq: stored.seq, time: stored.time, duplicate: true }))
    }

    fn find(&self, key: i64, room: &RoomId, seq: Seq) -> Result<Option<Record>, RecordError> {
        let find = concat!("SELECT ", columns!(), " FROM events e WHERE e.room = ?1 AND e.seq = ?2");
        self.conn
            .prepare_cached(find)?
            .query_row((key, to_sql(seq)), |row| Ok(read(row, room, seq)))
            .optional()
            .map_err(|error| RecordError::at(error, seq))?
            .transpose()
    }

    /// Returns the sender's last event about a reaction to a message.
    fn last_reaction(
        &self,
        key: i64,
        draft: &Draft,
        message: Seq,
        reaction: &str,
    ) -> Result<Option<Record>, RecordError> {
        let find = concat!(
            "SELECT ",
            columns!(),
            " FROM events e WHERE e.room = ?1 AND e.about = ?2 AND e.sender = ?3 AND e.body = ?4 AND e.kind IN (4, 5)",
            " ORDER BY e.id DESC LIMIT 1"
        );
        self.conn
            .prepare_cached(find)?
            .query_row((key, to_sql(message), draft.sender.as_str(), reaction), |row| {
                Ok(read(row, &draft.room, message))
            })
            .optional()
            .map_err(|error| RecordError::at(error, message))?
            .transpose()
    }

    /// Checks that a message may be edited again. A message that an earlier version has stored may have any number of edits.
    fn check_edits(&self, key: i64, message: Seq) -> Result<(), RecordError> {
        let find = "SELECT count(*) FROM (SELECT 1 FROM events WHERE room = ?1 AND about = ?2 AND kind = 2 LIMIT ?3)";
        let most = i64::try_from(MAX_EDITS).unwrap_or(i64::MAX);
        let edits: i64 = self.conn.prepare_cached(find)?.query_row((key, to_sql(message), most), |row| row.get(0))?;
        Ok(rules::check_edits(usize::try_from(edits).unwrap_or(usize::MAX))?)
    }

    /// Erases a message and all its edits. Every record is checked before anything is changed: a record that is damaged must
    /// not get a new checksum.
    fn erase(&self, key: i64, mut message: Record) -> Result<(), RecordError> {
        let (room, seq) = (message.event.draft.room.clone(), message.event.seq);
        self.each_edit(key, &room, seq, |_| Ok(()))?;
        let mut erase =
            self.conn.prepare_cached("UPDATE events SET body = ?2, erased = 1, checksum = ?3 WHERE id = ?1")?;
        let mut erase = |record: &mut Record| {
            let filler = record.erase();
            erase.execute((record.id, filler, record.checksum)).map(drop)
        };
        self.each_edit(key, &room, seq, &mut erase)?;
        Ok(erase(&mut message)?)
    }

    /// Calls `each` with every edit of a message. Few are in memory at a time.
    fn each_edit(
        &self,
        key: i64,
        room: &RoomId,
        message: Seq,
        mut each: impl FnMut(&mut Record) -> rusqlite::Result<()>,
    ) -> Result<(), RecordError> {
        let find = concat!(
            "SELECT ",
            columns!(),
            " FROM events e WHERE e.room = ?1 AND e.about = ?2 AND e.kind = 2 AND e.id > ?3 ORDER BY e.id LIMIT ?4"
        );
        let mut find = self.conn.prepare_cached(find)?;
        let mut after = 0;
        loop {
            let mut edits = Vec::with_capacity(EDITS_AT_ONCE);
            let mut rows = find.query((key, to_sql(message), after, EDITS_AT_ONCE as i64))?;
            while let Some(row) = rows.next().map_err(|error| RecordError::at(error, message))? {
                edits.push(read(row, room, message)?);
            }
            for edit in &mut edits {
                each(edit)?;
                after = edit.id;
            }
            if edits.len() < EDITS_AT_ONCE {
                return Ok(());
            }
        }
    }
}

/// Turns the error of one request into its reply, and an error of SQLite into the end of the transaction.
fn reply<T>(result: Result<T, RecordError>, failed: &mut rusqlite::Result<()>) -> Result<T, AppendError> {
    result.map_err(|error| match error {
        RecordError::Refused(error) => error,
        RecordError::Damaged(seq) => {
            tracing::error!(seq, "a request that needs a damaged record of the history is refused");
            AppendError::Unavailable
        }
        RecordError::Sqlite(error) => {
            *failed = Err(error);
            AppendError::Unavailable
        }
    })
}
