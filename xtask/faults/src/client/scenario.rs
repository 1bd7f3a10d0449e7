//! The applications of a run, each behind its own proxy, and the result.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::application::{Application, Counters, PATIENCE, Profile};
use super::orders::{Order, Orders};
use super::record::{Record, SharedRecord};
use super::schedule::{BlackHoles, Restarts, Schedule, disrupt_network};
use crate::checker::{History, Tally, check};
use crate::load::{heads, history};
use crate::proxy::Proxy;
use crate::site::Site;

pub(super) struct Scenario {
    orders: watch::Sender<Order>,
    counters: Counters,
    black_holes: BlackHoles,
    proxies: Vec<Arc<Proxy>>,
    disruptions: JoinSet<()>,
    records: Vec<SharedRecord>,
    rooms: Vec<String>,
    applications: Vec<JoinHandle<Result<(), String>>>,
}

impl Scenario {
    pub(super) fn new(rooms: &[&str]) -> Self {
        Self {
            orders: watch::Sender::new(Order::Listen),
            counters: Counters::default(),
            black_holes: BlackHoles::default(),
            proxies: Vec::new(),
            disruptions: JoinSet::new(),
            records: Vec::new(),
            rooms: rooms.iter().map(|&room| room.to_owned()).collect(),
            applications: Vec::new(),
        }
    }

    /// Starts an application behind this proxy.
    pub(super) fn add(&mut self, proxy: Proxy, profile: Profile) {
        let record = SharedRecord::new(Record::new(&profile.user, &self.rooms));
        let application = Application {
            profile,
            server: proxy.address(),
            rooms: self.rooms.clone(),
            record: record.clone(),
            counters: self.counters.clone(),
            orders: Orders::new(self.orders.subscribe()),
        };
        self.proxies.push(Arc::new(proxy));
        self.records.push(record);
        self.applications.push(tokio::task::spawn_blocking(|| application.run()));
    }

    /// Waits until all applications have joined all rooms, and makes them work.
    pub(super) async fn begin(&self) -> Result<(), Box<dyn Error>> {
        let all = (self.applications.len() * self.rooms.len()) as u64;
        if !self.counters.joined.reaches(all, PATIENCE).await {
            return Err(format!("only {} of {all} rooms were joined in time", self.counters.joined.get()).into());
        }
        self.orders.send_replace(Order::Work);
        Ok(())
    }

    /// Breaks connections from now on.
    pub(super) fn disrupt_networks(&mut self, schedule: &'static Schedule, random: &mut fastrand::Rng) {
        for proxy in &self.proxies {
            let (proxy, black_holes) = (Arc::clone(proxy), self.black_holes.clone());
            self.disruptions.spawn(disrupt_network(proxy, schedule, random.fork(), black_holes));
        }
    }

    /// Stops the disruptions and waits until everything is acked and read and all applications have ended. Returns the
    /// history.
    pub(super) async fn finish(&mut self, site: &Site) -> Result<History, Box<dyn Error>> {
        self.disruptions.shutdown().await;
        self.proxies.iter().for_each(|proxy| proxy.heal());
        self.orders.send_replace(Order::StopSending);
        // The record of an application that is late says so, and the result of one that has ended says why.
        let applications = self.applications.len() as u64;
        self.counters.flushed.reaches(applications, PATIENCE + Duration::from_secs(10)).await;
        let history = history(&site.server.address(), &self.rooms).await?;
        self.orders.send_replace(Order::Finish(heads(&history)));
        for application in self.applications.drain(..) {
            application.await??;
        }
        Ok(history)
    }

    /// Compares the records of all applications with the history.
    pub(super) fn tally(&self, history: &History) -> Tally {
        let records: Vec<_> = self.records.iter().map(SharedRecord::lock).collect();
        let senders: Vec<_> = records.iter().map(|record| record.sender_log()).collect();
        let readers: Vec<_> = records.iter().flat_map(|record| record.reader_logs()).collect();
        let mut tally = check(history, &senders, &readers);
        tally.violations.extend(records.iter().flat_map(|record| record.violations(history)));
        let unnoticed = self.black_holes.unnoticed.get();
        if unnoticed > 0 {
            tally.violations.push(format!("{unnoticed} black holes were not noticed"));
        }
        tally
    }

    /// Returns a summary of the disruptions in numbers, or an error if there were too few to prove anything.
    pub(super) fn summary(&self, restarts: &Restarts) -> Result<String, String> {
        let cuts: usize = self.proxies.iter().map(|proxy| proxy.cuts().made()).sum();
        let connections: usize = self.proxies.iter().map(|proxy| proxy.connections().len()).sum();
        let black_holes = self.black_holes.total.get();
        let (closed, crashed) = (self.counters.closed.get(), self.counters.crashed.get());
        let Restarts { kills, drains } = restarts;
        let rejoins: usize = self.records.iter().map(|record| record.lock().rejoins()).sum();
        let slowest = self.records.iter().map(|record| record.lock().slowest_ack()).max().unwrap_or_default();
        let summary = format!(
            "{cuts} cuts, {black_holes} black holes, {kills} kills, {drains} drains; {connections} connections, {closed} \
             clients closed and {crashed} crashed and started again, {rejoins} rooms left and joined again by a slow one; \
             an ack took at most {:.1} s",
            slowest.as_secs_f32()
        );
        let all = [cuts, *kills, *drains, rejoins].iter().all(|count| *count > 0);
        if all && [black_holes, closed, crashed].iter().all(|count| *count > 0) {
            Ok(summary)
        } else {
            Err(format!("too few disruptions to prove anything: {summary}"))
        }
    }
}
