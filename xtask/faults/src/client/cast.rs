//! All applications of a run, each behind its own network, and what comes of them.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::application::{Application, Counts, Order, PATIENCE, Part, SharedNotes};
use super::notes::Notes;
use super::weather::{Climate, Holes, Mishaps, storms};
use crate::checker::{History, Tally, check};
use crate::cutter::Cutter;
use crate::load::{heads, history};
use crate::site::Site;

pub(super) struct Cast {
    orders: watch::Sender<Order>,
    counts: Counts,
    holes: Holes,
    networks: Vec<Arc<Cutter>>,
    storms: JoinSet<()>,
    notes: Vec<SharedNotes>,
    rooms: Vec<String>,
    living: Vec<JoinHandle<Result<(), String>>>,
}

impl Cast {
    pub(super) fn new(rooms: &[&str]) -> Self {
        Self {
            orders: watch::Sender::new(Order::Listen),
            counts: Counts::default(),
            holes: Holes::default(),
            networks: Vec::new(),
            storms: JoinSet::new(),
            notes: Vec::new(),
            rooms: rooms.iter().map(|&room| room.to_owned()).collect(),
            living: Vec::new(),
        }
    }

    /// One more application, behind this network.
    pub(super) fn enter(&mut self, network: Cutter, part: Part) {
        let notes = SharedNotes::new(Notes::new(&part.user, &self.rooms));
        let (server, rooms, orders) = (network.address(), self.rooms.clone(), self.orders.subscribe());
        let application =
            Application { part, server, rooms, notes: notes.clone(), counts: self.counts.clone(), orders };
        self.networks.push(Arc::new(network));
        self.notes.push(notes);
        self.living.push(tokio::task::spawn_blocking(|| application.live()));
    }

    /// Everyone is in all rooms, and from now on works.
    pub(super) async fn begin(&self) -> Result<(), Box<dyn Error>> {
        let all = (self.living.len() * self.rooms.len()) as u64;
        if !self.counts.joined.reaches(all, PATIENCE).await {
            return Err(format!("{} of {all} rooms were joined in time", self.counts.joined.get()).into());
        }
        self.orders.send_replace(Order::Work);
        Ok(())
    }

    /// From now on networks break.
    pub(super) fn storm(&mut self, climate: &'static Climate, random: &mut fastrand::Rng) {
        for network in &self.networks {
            self.storms.spawn(storms(Arc::clone(network), climate, random.fork(), self.holes.clone()));
        }
    }

    /// Networks heal, all that was said is acked, all that was stored is read, and everyone ends. Answers what was stored.
    pub(super) async fn settle(&mut self, site: &Site) -> Result<History, Box<dyn Error>> {
        self.storms.shutdown().await;
        self.networks.iter().for_each(|network| network.heal());
        self.orders.send_replace(Order::Quiet);
        // Who is not in time says so, and who ended says why.
        self.counts.quiet.reaches(self.living.len() as u64, PATIENCE + Duration::from_secs(10)).await;
        let history = history(&site.server.address(), &self.rooms).await?;
        self.orders.send_replace(Order::Finish(heads(&history)));
        for living in self.living.drain(..) {
            living.await??;
        }
        Ok(history)
    }

    /// Holds everything that was noted against the history.
    pub(super) fn tally(&self, history: &History) -> Tally {
        let notes: Vec<_> = self.notes.iter().map(SharedNotes::lock).collect();
        let senders: Vec<_> = notes.iter().map(|notes| notes.sending()).collect();
        let readers: Vec<_> = notes.iter().flat_map(|notes| notes.readings()).collect();
        let mut tally = check(history, &senders, &readers);
        tally.violations.extend(notes.iter().flat_map(|notes| notes.violations(history)));
        let unnoticed = self.holes.unnoticed.get();
        if unnoticed > 0 {
            tally.violations.push(format!("{unnoticed} black holes were not noticed"));
        }
        tally
    }

    /// What has happened to it, in numbers; an error if too little has happened to prove anything.
    pub(super) fn numbers(&self, mishaps: &Mishaps) -> Result<String, String> {
        let cuts: usize = self.networks.iter().map(|network| network.cuts().made()).sum();
        let connections: usize = self.networks.iter().map(|network| network.connections().len()).sum();
        let (holes, closed, crashed) = (self.holes.all.get(), self.counts.closed.get(), self.counts.crashed.get());
        let Mishaps { kills, drains } = mishaps;
        let returns: usize = self.notes.iter().map(|notes| notes.lock().returns()).sum();
        let longest = self.notes.iter().map(|notes| notes.lock().longest()).max().unwrap_or_default();
        let numbers = format!(
            "{cuts} cuts, {holes} black holes, {kills} kills, {drains} drains; {connections} connections, {closed} \
             clients closed and {crashed} crashed and opened again, {returns} rooms left by a slow one; a send took at \
             most {:.1} s",
            longest.as_secs_f32()
        );
        let all = [cuts, *kills, *drains, returns].iter().all(|count| *count > 0);
        if all && [holes, closed, crashed].iter().all(|count| *count > 0) {
            Ok(numbers)
        } else {
            Err(format!("too little has happened: {numbers}"))
        }
    }
}
