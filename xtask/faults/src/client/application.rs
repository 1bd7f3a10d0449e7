//! An application that uses the client library as documented, and records what it is given.

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use grpc_chat_client::{
    Backoff, Client, Config, Cursor, Events, JoinError, MailboxLimits, OpenError, Start, StateError, connect,
};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::listener::Listener;
use super::orders::{Order, Orders};
use super::record::{RunEnd, SharedRecord};
use super::speaker::Speaker;
use crate::load::Counter;

/// How long an application may take for something once nothing disturbs it any more.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// How long closing a client may take beyond its grace, and ending what uses it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The number of events with which an application without state begins.
const FIRST_EVENTS: u32 = 1_000;

/// The settings of one application.
#[derive(Debug)]
pub(super) struct Profile {
    pub(super) user: String,
    pub(super) speaks: bool,
    /// Pauses now and then, with a small mailbox.
    pub(super) slow: bool,
    /// The state file, and the length of a run in milliseconds, of an application that is restarted.
    pub(super) restarts: Option<(PathBuf, Range<u64>)>,
    pub(super) backoff: Backoff,
    pub(super) seed: u64,
}

/// What the applications of a scenario have counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    /// Rooms joined at the start of a run.
    pub(super) joined: Counter,
    /// Applications that have stopped sending and have everything acked.
    pub(super) flushed: Counter,
    /// Runs that ended early by closing the client.
    pub(super) closed: Counter,
    /// Runs that ended by a crash.
    pub(super) crashed: Counter,
}

pub(super) struct Application {
    pub(super) profile: Profile,
    pub(super) server: String,
    pub(super) rooms: Vec<String>,
    pub(super) record: SharedRecord,
    pub(super) counters: Counters,
    pub(super) orders: Orders,
}

/// How a run ends if it ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// The client is closed while it is used.
    CloseBusy,
    /// The client is closed after everything that uses it has ended.
    CloseIdle,
    /// Everything disappears at once.
    Crash,
}

impl Application {
    /// Runs the application until it is told to end, restarting it if the profile says so.
    ///
    /// Each run has a tokio runtime of its own, as a process would have, so that a crash leaves nothing behind.
    pub(super) fn run(self) -> Result<(), String> {
        let mut random = fastrand::Rng::with_seed(self.profile.seed);
        // One after the other, so that a short fault has all of them.
        let exits = [Exit::CloseBusy, Exit::Crash, Exit::CloseIdle];
        let mut next = random.usize(..exits.len());
        loop {
            let exit = exits[next % exits.len()];
            next += 1;
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            let finished = runtime.block_on(self.run_once(exit, &mut random))?;
            runtime.shutdown_background();
            if finished {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(random.u64(..300)));
        }
    }

    /// Runs the application once. Returns whether it was told to end, so that this was its last run.
    async fn run_once(&self, exit: Exit, random: &mut fastrand::Rng) -> Result<bool, String> {
        let (client, events) = self.open().await?;
        let run = self.record.lock().begin();
        let stop = watch::Sender::new(false);
        let start = match self.profile.restarts {
            Some(_) => Start::Resume { or_last: FIRST_EVENTS },
            None => Start::After(Cursor::BEGINNING),
        };
        let (rooms, record, joined) = (self.rooms.clone(), self.record.clone(), self.counters.joined.clone());
        tokio::spawn(join(client.clone(), rooms, start, record, joined));
        let (record, orders) = (self.record.clone(), self.orders.clone());
        let listener = Listener { run, record, orders, slow: self.profile.slow };
        let mut listening = tokio::spawn(listener.listen(events, stop.subscribe()));
        let speaker = Speaker {
            run,
            client: client.clone(),
            user: self.profile.user.clone(),
            speaks: self.profile.speaks,
            rooms: self.rooms.clone(),
            record: self.record.clone(),
            orders: self.orders.clone(),
            random: random.fork(),
        };
        let mut speaking = tokio::spawn(speaker.speak(stop.subscribe()));

        let early = tokio::select! {
            () = self.run_is_over(random) => true,
            () = self.orders.until(|order| !matches!(order, Order::Listen | Order::Work)) => false,
        };
        if !early {
            tokio::select! {
                () = self.flush(&client, &mut speaking) => self.finished().await,
                () = self.orders.until(|order| *order == Order::Abandon) => {}
            }
        } else if exit == Exit::Crash {
            self.record.lock().ended(run, RunEnd::Crashed(Instant::now()));
            self.counters.crashed.increment();
            return Ok(false);
        } else {
            stop.send_replace(exit == Exit::CloseIdle);
            self.counters.closed.increment();
        }
        // An idle application has taken every update before it closes the client: one taken meanwhile may come again.
        let idle = exit == Exit::CloseIdle && early;
        let mut listened = idle && tokio::time::timeout(CLOSE_TIMEOUT, &mut listening).await.is_ok();
        let grace = Duration::from_millis(random.u64(..2_000));
        let closed = tokio::time::timeout(grace + CLOSE_TIMEOUT, client.close(grace)).await;
        let spoken = speaking.is_finished() || tokio::time::timeout(CLOSE_TIMEOUT, speaking).await.is_ok();
        listened = listened || tokio::time::timeout(CLOSE_TIMEOUT, listening).await.is_ok();
        let mut record = self.record.lock();
        record.ended(run, if exit == Exit::CloseIdle { RunEnd::ClosedIdle } else { RunEnd::ClosedBusy });
        if let Ok(Err(not_saved)) = &closed {
            record.violation(format!("run {run}: {not_saved}"));
        }
        for (ended, what) in [(closed.is_ok(), "client"), (spoken, "sends"), (listened, "updates")] {
            if !ended {
                record.violation(format!("the {what} of run {run} did not end when the client was closed"));
            }
        }
        Ok(!early)
    }

    /// Waits until every draft of this run and those before is acked.
    async fn flush(&self, client: &Client, speaking: &mut JoinHandle<()>) {
        let flushed = tokio::time::timeout(PATIENCE, async {
            // The speaker ends by itself, and its panic would show as missing sends.
            let _ = speaking.await;
            client.flush().await
        });
        match flushed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.record.lock().violation(format!("the last sends were not acked: {error}")),
            Err(_) => {
                let patience = PATIENCE.as_secs();
                self.record.lock().violation(format!("the last sends were not acked within {patience} s"));
            }
        }
        self.counters.flushed.increment();
    }

    async fn open(&self) -> Result<(Client, Events), String> {
        let Profile { user, slow, restarts, backoff, .. } = &self.profile;
        let server = self.server.parse().map_err(|why| format!("{}: {why}", self.server))?;
        let mut config = Config::new(server, user.parse().map_err(|why| format!("{user}: {why}"))?);
        config.backoff = *backoff;
        config.state_file = restarts.as_ref().map(|(state, _)| state.clone());
        // Few enough for a black hole to reach the limit.
        config.max_unsent = 200;
        if *slow {
            // The smallest that the library accepts.
            config.mailbox_limits = MailboxLimits { updates: 256, bytes: 64 * 1024 };
        }
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        loop {
            match connect(config.clone()).await {
                // The tasks of a crashed run end a moment later, since they were no process of their own.
                Err(OpenError::State(StateError::InUse(_))) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                opened => return opened.map_err(|error| format!("{user}: {error}")),
            }
        }
    }

    /// Waits until this run is to end early. Never returns for an application that is not restarted.
    async fn run_is_over(&self, random: &mut fastrand::Rng) {
        let Some((_, lengths)) = &self.profile.restarts else { return std::future::pending().await };
        let length = Duration::from_millis(random.u64(lengths.clone()));
        self.orders.until(|order| *order != Order::Listen).await;
        tokio::time::sleep(length).await;
    }

    /// Waits until the application has read up to the heads that it is told, or takes too long for that.
    async fn finished(&self) {
        let mut deadline = None;
        loop {
            match self.orders.current() {
                Order::Listen | Order::Work | Order::StopSending => {}
                Order::Finish(heads) => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
                    // After the deadline the checker finds what was not read.
                    if self.record.lock().has_read_to(&heads) || Instant::now() > deadline {
                        return;
                    }
                }
                Order::Abandon => return,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Joins all rooms.
async fn join(client: Client, rooms: Vec<String>, start: Start, record: SharedRecord, joined: Counter) {
    let mut joining = JoinSet::new();
    for room in rooms {
        let client = client.clone();
        joining.spawn(async move { client.join(room, start).await });
    }
    while let Some(Ok(result)) = joining.join_next().await {
        match result {
            Ok(_) => joined.increment(),
            // The client was closed meanwhile.
            Err(JoinError::Closed) => {}
            Err(error) => record.lock().violation(format!("a room was not joined: {error}")),
        }
    }
}
