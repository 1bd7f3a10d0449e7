//! One transaction of the writer: what is asked, turned into rows.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension};

use super::high_water::Reached;
use super::reader::check_mark;
use super::record::{Columns, Record, Trouble, columns, mark_checksum, read, room_checksum, to_sql};
use super::schema;
use crate::history::queue::{Ask, Mark, Reply};
use crate::history::{AppendError, Appended, rules};
use crate::model::{Change, Draft, Event, RoomId, Seq, UnixMillis, UserId};

/// A room as the writer knows it, within its transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    key: i64,
    seq: Seq,
    time: UnixMillis,
}

/// Rooms the writer has met. To be forgotten when a transaction fails.
pub(super) type Heads = HashMap<RoomId, Head>;

/// A transaction that is being filled.
pub(super) struct Batch<'a> {
    conn: &'a Connection,
    insert: CachedStatement<'a>,
    heads: &'a mut Heads,
    reached: Reached,
    marks_before: u64,
    now: UnixMillis,
    events: Vec<Event>,
}

impl<'a> Batch<'a> {
    /// The connection must be in a transaction, and stand where `reached` says.
    pub(super) fn new(
        conn: &'a Connection,
        heads: &'a mut Heads,
        reached: Reached,
        now: UnixMillis,
    ) -> rusqlite::Result<Self> {
        let insert = conn.prepare_cached(
            "INSERT INTO events
                 (id, room, seq, time, sender, device, client_msg_id, kind, about, body, erased, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11)
             ON CONFLICT (room, sender, client_msg_id) DO NOTHING",
        )?;
        Ok(Self { conn, insert, heads, reached, marks_before: reached.marks, now, events: Vec::new() })
    }

    /// What has been stored, and where the store then stands.
    pub(super) fn finish(self) -> rusqlite::Result<(Vec<Event>, Reached)> {
        if self.reached.marks != self.marks_before {
            schema::set_meta(self.conn, "marks", self.reached.marks)?;
        }
        Ok((self.events, self.reached))
    }

    /// Does what is asked, or finds that it has been done, or why it must not be. Fails only if the transaction cannot
    /// go on. There is a reply in any case.
    pub(super) fn put(&mut self, ask: Ask, replies: &mut Vec<Reply>) -> rusqlite::Result<()> {
        let mut failed = Ok(());
        replies.push(match ask {
            Ask::Append(draft, answerer) => Reply::Append(answerer, settle(self.try_append(draft), &mut failed)),
            Ask::Mark(mark, answerer) => Reply::Mark(answerer, settle(self.try_mark(&mark), &mut failed)),
        });
        failed
    }

    fn try_append(&mut self, draft: Draft) -> Result<Appended, Trouble> {
        let mut known = self.head(&draft.room)?;
        if let Some(about) = draft.change.about() {
            let mut target = None;
            if let Some(head) = &known {
                // A repeat comes before all else: what it is about may have been erased since.
                if let Some(repeat) = self.repeat(head.key, &draft)? {
                    return Ok(repeat);
                }
                target = self.find(head.key, &draft.room, about)?;
            }
            rules::check_target(&draft, self.reached.epoch, target.as_ref().map(|target| &target.event))?;
            if let (Change::Delete { .. }, Some(target), Some(head)) = (&draft.change, target, &known) {
                self.erase(head.key, target)?;
            }
        }
        let head = match known.take() {
            Some(head) => head,
            None => self.make_room(&draft.room)?,
        };

        let event = Event {
            seq: head.seq + 1,
            prev_seq: head.seq,
            time: head.time.max(self.now),
            draft: Draft { epoch: 0, ..draft },
            erased: false,
        };
        let columns = Columns::of(&event);
        let inserted = self.insert.execute((
            to_sql(self.reached.events + 1),
            head.key,
            to_sql(event.seq),
            to_sql(event.time),
            event.draft.sender.as_str(),
            event.draft.device.as_ref().map(UserId::as_str),
            event.draft.client_msg_id.0,
            columns.kind,
            columns.about,
            columns.body,
            columns.checksum,
        ))?;
        if inserted == 0 {
            // There is a row with this client_msg_id, so this finds it.
            return self.repeat(head.key, &event.draft)?.ok_or(Trouble::Damaged(event.seq));
        }
        self.reached.events += 1;
        self.reached.last = columns.checksum;
        let appended = Appended { seq: event.seq, time: event.time, duplicate: false };
        if let Some(known) = self.heads.get_mut(&event.draft.room) {
            *known = Head { seq: event.seq, time: event.time, ..head };
        }
        self.events.push(event);
        Ok(appended)
    }

    fn try_mark(&mut self, mark: &Mark) -> Result<Seq, Trouble> {
        let Some(head) = self.head(&mark.room)?.filter(|head| mark.seq <= head.seq) else {
            return if mark.seq == 0 { Ok(0) } else { Err(AppendError::NoSuchMessage.into()) };
        };
        let mut find = self.conn.prepare_cached("SELECT seq, checksum FROM reads WHERE room = ?1 AND user = ?2")?;
        let stored = find
            .query_row((head.key, mark.user.as_str()), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 4]>(1)?)))
            .optional()
            .map_err(|error| Trouble::at(error, mark.seq))?;
        let stored = match stored {
            None => 0,
            Some((seq, checksum)) => check_mark(&mark.room, &mark.user, seq, checksum)?,
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
        self.reached.marks += 1;
        Ok(mark.seq)
    }

    /// The room, if it has a history.
    fn head(&mut self, room: &RoomId) -> Result<Option<Head>, Trouble> {
        if let Some(head) = self.heads.get(room) {
            return Ok(Some(*head));
        }
        let mut key = self.conn.prepare_cached("SELECT id FROM rooms WHERE name = ?1")?;
        let Some(key) = key.query_row([room.as_str()], |row| row.get(0)).optional()? else { return Ok(None) };
        let last = concat!("SELECT ", columns!(), " FROM events e WHERE e.room = ?1 ORDER BY e.seq DESC LIMIT 1");
        let last = self.conn.prepare_cached(last)?.query_row([key], |row| Ok(read(row, room, 0))).optional();
        let head = match last.map_err(|error| Trouble::at(error, 0))?.transpose()? {
            None => Head { key, seq: 0, time: 0 },
            Some(last) => Head { key, seq: last.event.seq, time: last.event.time },
        };
        self.heads.insert(room.clone(), head);
        Ok(Some(head))
    }

    fn make_room(&mut self, room: &RoomId) -> rusqlite::Result<Head> {
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

    /// The answer to a draft that has been stored before.
    fn repeat(&self, room: i64, draft: &Draft) -> Result<Option<Appended>, Trouble> {
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
            .map_err(|error| Trouble::at(error, 0))?
            .transpose()?;
        let Some(Record { event: stored, .. }) = found else { return Ok(None) };
        rules::check_repeat(draft, &stored)?;
        Ok(Some(Appended { seq: stored.seq, time: stored.time, duplicate: true }))
    }

    fn find(&self, key: i64, room: &RoomId, seq: Seq) -> Result<Option<Record>, Trouble> {
        let find = concat!("SELECT ", columns!(), " FROM events e WHERE e.room = ?1 AND e.seq = ?2");
        self.conn
            .prepare_cached(find)?
            .query_row((key, to_sql(seq)), |row| Ok(read(row, room, seq)))
            .optional()
            .map_err(|error| Trouble::at(error, seq))?
            .transpose()
    }

    /// Erases a message and all its edits, or finds damage before it has touched any.
    fn erase(&self, key: i64, message: Record) -> Result<(), Trouble> {
        let (room, seq) = (message.event.draft.room.clone(), message.event.seq);
        let find = concat!("SELECT ", columns!(), " FROM events e WHERE e.room = ?1 AND e.about = ?2 AND e.kind = 2");
        let mut find = self.conn.prepare_cached(find)?;
        let mut rows = find.query((key, to_sql(seq)))?;
        let mut records = vec![message];
        while let Some(row) = rows.next().map_err(|error| Trouble::at(error, seq))? {
            records.push(read(row, &room, seq)?);
        }
        let mut erase =
            self.conn.prepare_cached("UPDATE events SET body = ?2, erased = 1, checksum = ?3 WHERE id = ?1")?;
        for record in &mut records {
            let filler = record.erase();
            erase.execute((record.id, filler, record.checksum))?;
        }
        Ok(())
    }
}

/// What was found to be wrong with one draft is its answer; what is wrong with SQLite ends the transaction.
fn settle<T>(result: Result<T, Trouble>, failed: &mut rusqlite::Result<()>) -> Result<T, AppendError> {
    result.map_err(|trouble| match trouble {
        Trouble::Refused(error) => error,
        Trouble::Damaged(seq) => {
            tracing::error!(seq, "the history has a damaged record, and what needs it is refused");
            AppendError::Unavailable
        }
        Trouble::Failed(error) => {
            *failed = Err(error);
            AppendError::Unavailable
        }
    })
}
