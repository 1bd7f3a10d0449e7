//! The clients of one run, which start and finish together.

use std::error::Error;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::reader::{self, Received};
use super::sender::{self, Sent, Workload};
use super::{Counters, heads, history};
use crate::checker::{History, RoomReader, Tally, check};
use crate::route::Route;
use crate::server::Server;

/// How long clients may take to finish once nothing disturbs them any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// Senders and readers of the same rooms.
pub(crate) struct Clients {
    pub(crate) counters: Counters,
    rooms: Vec<String>,
    seeds: fastrand::Rng,
    sender_command: watch::Sender<sender::Command>,
    reader_command: watch::Sender<reader::Command>,
    senders: Vec<JoinHandle<Sent>>,
    readers: Vec<JoinHandle<Received>>,
}

impl Clients {
    /// Returns a run without clients, in these rooms.
    pub(crate) fn new(rooms: &[&str], seed: u64) -> Self {
        Self {
            counters: Counters::default(),
            rooms: rooms.iter().map(|&room| room.to_owned()).collect(),
            seeds: fastrand::Rng::with_seed(seed),
            sender_command: watch::Sender::new(sender::Command::Work),
            reader_command: watch::Sender::new(reader::Command::Read),
            senders: Vec::new(),
            readers: Vec::new(),
        }
    }

    /// Starts a sender, which reconnects until everything is acked.
    pub(crate) fn add_sender(&mut self, route: Route, workload: Workload) {
        let user = format!("sender{}", self.senders.len());
        let (rooms, seed, counters) = (self.rooms.clone(), self.seeds.u64(..), self.counters.clone());
        let plan = sender::Plan { user, rooms, workload, seed, counters };
        self.senders.push(tokio::spawn(sender::run(route, plan, self.sender_command.subscribe())));
    }

    /// Starts a reader, which reconnects after the end of its stream, or ends with it.
    pub(crate) fn add_reader(&mut self, route: Route, reconnects: bool) {
        let user = format!("reader{}", self.readers.len());
        let (rooms, seed, counters) = (self.rooms.clone(), self.seeds.u64(..), self.counters.clone());
        let plan = reader::Plan { user, rooms, seed, counters, reconnects };
        self.readers.push(tokio::spawn(reader::run(route, plan, self.reader_command.subscribe())));
    }

    /// Makes readers leave their streams unread.
    pub(crate) fn stall_readers(&self) {
        self.reader_command.send_replace(reader::Command::Stall);
    }

    /// Makes stalled readers read again.
    pub(crate) fn wake_readers(&self) {
        self.reader_command.send_replace(reader::Command::Read);
    }

    /// Waits until everything is acked and every reader has reached the head, and checks the run.
    pub(crate) async fn finish(mut self, server: &Server) -> Result<Tally, Box<dyn Error>> {
        let sent = self.finish_senders().await?;
        let history = history(&server.address(), &self.rooms).await?;
        let received = self.finish_readers(&history).await?;
        Ok(tally(&history, &sent, &received, Extent::Complete))
    }

    /// Stops drafting and waits until everything is acked.
    pub(crate) async fn finish_senders(&mut self) -> Result<Vec<Sent>, Box<dyn Error>> {
        self.sender_command.send_replace(sender::Command::Finish);
        join(&mut self.senders, || self.sender_command.send_replace(sender::Command::Abandon)).await
    }

    /// Stops the senders, whatever is acked.
    pub(crate) async fn abandon_senders(&mut self) -> Result<Vec<Sent>, Box<dyn Error>> {
        self.sender_command.send_replace(sender::Command::Abandon);
        join(&mut self.senders, || ()).await
    }

    /// Waits until every reader has reached the head.
    pub(crate) async fn finish_readers(&mut self, history: &History) -> Result<Vec<Received>, Box<dyn Error>> {
        self.reader_command.send_replace(reader::Command::Finish(heads(history)));
        self.await_readers().await
    }

    /// Waits until the readers' streams have ended.
    pub(crate) async fn await_readers(&mut self) -> Result<Vec<Received>, Box<dyn Error>> {
        join(&mut self.readers, || self.reader_command.send_replace(reader::Command::Abandon)).await
    }

    /// Returns the current history of the rooms.
    pub(crate) async fn history(&self, server: &Server) -> Result<History, Box<dyn Error>> {
        Ok(history(&server.address(), &self.rooms).await?)
    }
}

/// How much the clients of a run have done when it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Everything must be acked, and everything read.
    Complete,
    /// The clients were stopped before that.
    Partial,
}

/// Compares the logs of all clients with the history.
pub(crate) fn tally(history: &History, sent: &[Sent], received: &[Received], extent: Extent) -> Tally {
    let senders: Vec<_> = sent.iter().map(|sent| &sent.log).collect();
    let readers: Vec<_> = received
        .iter()
        .flat_map(|received| &received.rooms)
        .map(|(room, log)| RoomReader { room, log, to_the_head: extent == Extent::Complete })
        .collect();
    let mut tally = check(history, &senders, &readers);
    tally.violations.extend(received.iter().flat_map(|received| &received.violations).cloned());
    let unacked: usize = sent.iter().map(|sent| sent.log.unacked()).sum();
    if extent == Extent::Complete && unacked > 0 {
        tally.violations.push(format!("{unacked} sends were not acked within {} s", PATIENCE.as_secs()));
    }
    tally
}

/// Waits for clients to end, and calls `abandon` for those that do not end in time.
async fn join<T, C>(clients: &mut Vec<JoinHandle<T>>, abandon: impl Fn() -> C) -> Result<Vec<T>, Box<dyn Error>> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut ended = Vec::new();
    for mut client in clients.drain(..) {
        let in_time = tokio::time::timeout_at(deadline, &mut client).await;
        ended.push(match in_time {
            Ok(result) => result?,
            Err(_) => {
                abandon();
                client.await?
            }
        });
    }
    Ok(ended)
}
