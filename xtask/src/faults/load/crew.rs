//! The clients of one run, started together and brought to an end together.

use std::error::Error;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::reader::{self, Received};
use super::sender::{self, Sent};
use super::{Counts, Task, heads, history};
use crate::faults::checker::{Notes, Tally, check};
use crate::faults::door::{Door, Server};

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
        let Pace { window, most, text } = pace;
        let user = format!("sender{}", self.senders.len());
        let (rooms, seed, counts) = (self.rooms.clone(), self.seeds.u64(..), self.counts.clone());
        let plan = sender::Plan { user, rooms, window, most, text, seed, counts };
        self.senders.push(tokio::spawn(sender::run(door, plan, self.sending.subscribe())));
    }

    pub(crate) fn reader(&mut self, door: Door, comes_back: bool) {
        let user = format!("reader{}", self.readers.len());
        let (rooms, seed, counts) = (self.rooms.clone(), self.seeds.u64(..), self.counts.clone());
        let plan = reader::Plan { user, rooms, seed, counts, comes_back };
        self.readers.push(tokio::spawn(reader::run(door, plan, self.reading.subscribe())));
    }

    /// Senders say nothing new and get everything acked; readers read on to the head; all is checked.
    pub(crate) async fn settle(mut self, server: &Server) -> Result<Tally, Box<dyn Error>> {
        self.sending.send_replace(Task::Settle(Vec::new()));
        let sent = finish(&mut self.senders, &self.sending).await?;
        let history = history(&server.address(), &self.rooms).await?;
        self.reading.send_replace(Task::Settle(heads(&history)));
        let received = finish(&mut self.readers, &self.reading).await?;

        let mut tally = tally(&history, &sent, &received, true);
        let unacked: usize = sent.iter().map(|sent| sent.sending.unacked()).sum();
        if unacked > 0 {
            tally.violations.push(format!("{unacked} sends were not acked within {} s", PATIENCE.as_secs()));
        }
        Ok(tally)
    }

    /// Senders end as they are.
    pub(crate) async fn abandon_senders(&mut self) -> Result<Vec<Sent>, Box<dyn Error>> {
        self.sending.send_replace(Task::Abandon);
        finish(&mut self.senders, &self.sending).await
    }

    /// Readers that do not come back end when their stream does.
    pub(crate) async fn await_readers(&mut self) -> Result<Vec<Received>, Box<dyn Error>> {
        finish(&mut self.readers, &self.reading).await
    }

    /// Holds senders and readers who have ended somewhere on the way against the history.
    pub(crate) async fn check(
        &self,
        server: &Server,
        sent: &[Sent],
        received: &[Received],
    ) -> Result<Tally, Box<dyn Error>> {
        Ok(tally(&history(&server.address(), &self.rooms).await?, sent, received, false))
    }
}

fn tally(history: &crate::faults::checker::History, sent: &[Sent], received: &[Received], to_the_head: bool) -> Tally {
    let senders: Vec<_> = sent.iter().map(|sent| &sent.sending).collect();
    let readers: Vec<_> = received
        .iter()
        .flat_map(|received| &received.rooms)
        .map(|(room, reading)| Notes { room, reading, to_the_head })
        .collect();
    let mut tally = check(history, &senders, &readers);
    tally.violations.extend(received.iter().flat_map(|received| &received.violations).cloned());
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
