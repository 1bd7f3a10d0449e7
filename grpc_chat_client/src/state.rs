//! The state file: what a client saves for the next run of its program, which is drafts without an ack and the last event
//! seen in each room. One SQLite file, written by one thread, a batch at a time.

mod batch;
mod file;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::error::{SaveError, StateError};
use crate::model::{Cursor, Draft, MsgId, RoomId, SavedState};
use batch::{Batch, Pending};
use file::{Contents, open, read, state_error};

/// How long to wait before writing again what could not be written.
const RETRY: Duration = Duration::from_secs(2);

/// The open file. [`State::close`] closes it with everything written.
#[derive(Debug)]
pub(crate) struct State {
    shared: Arc<Shared>,
    problems: UnboundedReceiver<String>,
    /// Returns what could not be written in the end.
    writer: Option<JoinHandle<Result<(), SaveError>>>,
}

/// What the client changes and the writer writes.
#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    changed: Condvar,
}

impl State {
    /// Opens or makes the file, and reads it.
    ///
    /// # Errors
    ///
    /// [`StateError`] if it cannot be used.
    pub(crate) async fn open(path: PathBuf) -> Result<(Self, SavedState), StateError> {
        let opening = move || {
            let opened = open(&path).map_err(|error| state_error(&path, &error))?;
            let Some(connection) = opened else { return Err(StateError::WrongFormat(path)) };
            let contents = read(&connection).map_err(|error| state_error(&path, &error))?;
            Ok((connection, contents, path))
        };
        let opened = tokio::task::spawn_blocking(opening).await;
        let (connection, Contents { last_draft, saved }, path) =
            opened.map_err(|error| StateError::Io(PathBuf::new(), error.to_string()))??;
        let pending = Pending::new(saved.drafts.iter().map(|draft| draft.id).collect(), last_draft);
        let shared = Arc::new(Shared { pending: Mutex::new(pending), changed: Condvar::new() });
        let state = Self::start(connection, shared).map_err(|error| StateError::Io(path, error.to_string()))?;
        Ok((state, saved))
    }

    /// Starts the writer.
    fn start(connection: Connection, shared: Arc<Shared>) -> std::io::Result<Self> {
        let (reporter, problems) = unbounded_channel();
        let write = {
            let shared = Arc::clone(&shared);
            move || write(connection, &shared, &reporter)
        };
        let writer = thread::Builder::new().name("chat state".to_owned()).spawn(write)?;
        Ok(Self { shared, problems, writer: Some(writer) })
    }

    pub(crate) fn save(&self, draft: Draft) {
        self.change(|pending| pending.save(draft));
    }

    pub(crate) fn remove(&self, id: MsgId) {
        self.change(|pending| pending.remove(id));
    }

    pub(crate) fn set_owner(&self, user: String) {
        self.change(|pending| pending.batch.owner = Some(user));
    }

    pub(crate) fn seen(&self, cursors: HashMap<RoomId, Cursor>) {
        if !cursors.is_empty() {
            self.change(|pending| pending.batch.seen.extend(cursors));
        }
    }

    /// Waits until something cannot be written, and returns why, in a sentence. The writer tries again.
    pub(crate) async fn problem(&mut self) -> Option<String> {
        self.problems.recv().await
    }

    /// Returns when everything is written and another client can open the file.
    ///
    /// # Errors
    ///
    /// [`SaveError`] if something could not be written.
    pub(crate) async fn close(mut self) -> Result<(), SaveError> {
        self.change(|pending| pending.closed = true);
        let Some(writer) = self.writer.take() else { return Ok(()) };
        match tokio::task::spawn_blocking(move || writer.join()).await {
            Ok(Ok(written)) => written,
            // A writer that panicked has said so on standard error.
            _ => Err(SaveError("the thread that writes it has failed".to_owned())),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.shared.lock());
        self.shared.changed.notify_one();
    }
}

impl Drop for State {
    /// Without [`State::close`] the writer ends by itself when it has written everything.
    fn drop(&mut self) {
        self.change(|pending| pending.closed = true);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to write, and until `not_before` unless the state is being closed. Returns what to write, and
    /// whether it is the last.
    fn next(&self, not_before: Option<Instant>) -> (Batch, bool) {
        let mut pending = self.lock();
        while !pending.closed {
            let now = Instant::now();
            pending = match not_before.filter(|not_before| now < *not_before) {
                Some(not_before) => {
                    let (pending, _) =
                        self.changed.wait_timeout(pending, not_before - now).unwrap_or_else(PoisonError::into_inner);
                    pending
                }
                None if pending.batch.is_empty() => self.changed.wait(pending).unwrap_or_else(PoisonError::into_inner),
                None => break,
            };
        }
        (pending.take(), pending.closed)
    }
}

/// Writes until the state is closed. A batch is all that has come while the last one was written.
fn write(mut connection: Connection, shared: &Shared, reporter: &UnboundedSender<String>) -> Result<(), SaveError> {
    let mut failed: Option<Instant> = None;
    loop {
        let (batch, last) = shared.next(failed.map(|failed| failed + RETRY));
        match batch.write(&mut connection) {
            Ok(()) => failed = None,
            Err(error) => {
                if failed.is_none() {
                    tracing::error!(%error, "the state file cannot be written");
                    // The client may have ended.
                    let _ = reporter.send(error.to_string());
                }
                if last {
                    return Err(SaveError(error.to_string()));
                }
                failed = Some(Instant::now());
                shared.lock().put_back(batch);
            }
        }
        if last {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
