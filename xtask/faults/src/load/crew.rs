//! The clients of one run, started together and brought to an end together.

use std::error::Error;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::reader::{self, Received};
use super::sender::{self, Sent};
use super::{Counts, Task, heads, history};
use crate::checker::{History, Notes, Tally, check};
use crate::door::Door;
use crate::server::Server;

/// How long clients get to finish once nothing disturbs them any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// Senders and readers of the same rooms.
pub(crate) struct Crew {
    pub(crate) counts: Counts,
    rooms: Vec<String>,
    seeds: fastrand::Rng,
    sending: watch::Sender<Task>,
    reading: watch::Sender<Task>,
    senders: Vec<JoinHandle<Sent>>,
    readers: Vec<JoinHandle<Received>>,
}

/// How senders send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) window: usize,
    pub(crate) most: usize,
    pub(crate) text: usize,
    pub(crate) every: Duration,
}

impl Pace {
    /// As fast as the window lets it, until told to stop.
    pub(crate) const STEADY: Self = Self { window: 64, most: usize::MAX, text: 100, every: Duration::ZERO };
}

impl Crew {
    pub(crate) fn new(rooms: &[&str], seed: u64) -> Self {
        Self {
            counts: Counts::default(),
            rooms: rooms.iter().map(|&room| room.to_owned()).collect(),
            seeds: fastrand::Rng::with_seed(seed),
            sending: watch::Sender::new(Task::Work),
            reading: watch::Sender::new(Task::Work),
            senders: Vec::new(),
            readers: Vec::new(),
        }
    }

    pub(crate) fn sender(&mut self, door: Door, pace: Pace) {
        let Pace { window, most, text, every } = pace;
        let user = format!("sender{}", self.senders.len());
        let (rooms, seed, counts) = (self.rooms.clone(), self.seeds.u64(..), self.counts.clone());
        let plan = sender::Plan { user, rooms, window, most, text, every, seed, counts };
        self.senders.push(tokio::spawn(sender::run(door, plan, self.sending.subscribe())));
    }

    pub(crate) fn reader(&mut self, door: Door, comes_back: bool) {
        let user = format!("reader{}", self.readers.len());
        let (rooms, seed, counts) = (self.rooms.clone(), self.seeds.u64(..), self.counts.clone());
        let plan = reader::Plan { user, rooms, seed, counts, comes_back };
        self.readers.push(tokio::spawn(reader::run(door, plan, self.reading.subscribe())));
    }

    /// Clients do something else from now on.
    pub(crate) fn readers_to(&self, task: Task) {
        self.reading.send_replace(task);
    }

    /// Senders say nothing new and get everything acked; readers read on to the head; all is checked.
    pub(crate) async fn settle(mut self, server: &Server) -> Result<Tally, Box<dyn Error>> {
        let sent = self.finish_sending().await?;
        let history = history(&server.address(), &self.rooms).await?;
        let received = self.finish_reading(&history).await?;
        Ok(tally(&history, &sent, &received, Until::Finished))
    }

    /// Senders say nothing new, and get everything acked.
    pub(crate) async fn finish_sending(&mut self) -> Result<Vec<Sent>, Box<dyn Error>> {
        self.sending.send_replace(Task::Settle(Vec::new()));
        finish(&mut self.senders, &self.sending).await
    }

    /// Senders end as they are.
    pub(crate) async fn abandon_senders(&mut self) -> Result<Vec<Sent>, Box<dyn Error>> {
        self.sending.send_replace(Task::Abandon);
        finish(&mut self.senders, &self.sending).await
    }

    /// Readers read on to the head.
    pub(crate) async fn finish_reading(&mut self, history: &History) -> Result<Vec<Received>, Box<dyn Error>> {
        self.reading.send_replace(Task::Settle(heads(history)));
        self.await_readers().await
    }

    /// Readers that do not come back end when their stream does.
    pub(crate) async fn await_readers(&mut self) -> Result<Vec<Received>, Box<dyn Error>> {
        finish(&mut self.readers, &self.reading).await
    }

    /// The rooms as they are now.
    pub(crate) async fn history(&self, server: &Server) -> Result<History, Box<dyn Error>> {
        Ok(history(&server.address(), &self.rooms).await?)
    }
}

/// How far clients have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Everything acked, everything read.
    Finished,
    /// They were stopped somewhere on the way.
    Stopped,
}

/// Holds what all clients saw against the history.
pub(crate) fn tally(history: &History, sent: &[Sent], received: &[Received], until: Until) -> Tally {
    let senders: Vec<_> = sent.iter().map(|sent| &sent.sending).collect();
    let readers: Vec<_> = received
        .iter()
        .flat_map(|received| &received.rooms)
        .map(|(room, reading)| Notes { room, reading, to_the_head: until == Until::Finished })
        .collect();
    let mut tally = check(history, &senders, &readers);
    tally.violations.extend(received.iter().flat_map(|received| &received.violations).cloned());
    let unacked: usize = sent.iter().map(|sent| sent.sending.unacked()).sum();
    if until == Until::Finished && unacked > 0 {
        tally.violations.push(format!("{unacked} sends were not acked within {} s", PATIENCE.as_secs()));
    }
    tally
}

/// Waits for clients that have been told to end; those that do not are made to.
async fn finish<T>(clients: &mut Vec<JoinHandle<T>>, task: &watch::Sender<Task>) -> Result<Vec<T>, Box<dyn Error>> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut ended = Vec::new();
    for mut client in clients.drain(..) {
        let in_time = tokio::time::timeout_at(deadline, &mut client).await;
        ended.push(match in_time {
            Ok(done) => done?,
            Err(_) => {
                task.send_replace(Task::Abandon);
                client.await?
            }
        });
    }
    Ok(ended)
}
