//! The load on a server: a room with receivers, and a publisher who sends messages to it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use stubs::chat::v1 as pb;
use stubs::chat::v1::client_frame;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::measure::{Meter, Round};
use crate::process::Server;
use crate::session::{Received, Session};

/// The length of a message's text, in bytes.
pub(crate) const TEXT: usize = 200;

const ROOM: &str = "room";

/// Messages between two updates of a receiver's progress.
const BLOCK: u64 = 50;

/// How fast the publisher sends.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// So many messages per second.
    PerSecond(u32),
    /// Whenever fewer than so many messages are on their way to the slowest receiver.
    Window(u64),
}

/// A room with its receivers and its publisher.
pub(crate) struct RoomLoad {
    receivers: u64,
    progress: Arc<Progress>,
    publisher: Session,
    sent: u64,
    acked: u64,
}

/// What the receivers have received.
#[derive(Default)]
struct Progress {
    /// Receivers that have joined and caught up.
    ready: AtomicU64,
    /// Events received, by all receivers together.
    delivered: AtomicU64,
    /// How many receivers have received each block of messages, without the blocks that all have.
    blocks: Mutex<HashMap<u64, u64>>,
    /// Every receiver has received at least so many messages: whole blocks.
    received_by_all: AtomicU64,
    /// Notified when `received_by_all` rises.
    advanced: Notify,
}

impl RoomLoad {
    /// Connects the publisher and the receivers, and waits until all receivers have joined and caught up.
    pub(crate) async fn open(address: SocketAddr, receivers: usize) -> io::Result<Self> {
        let progress = Arc::new(Progress::default());
        for _ in 0..receivers {
            let mut receiver = Session::connect(address, "reader", TEXT).await?;
            receiver.send(client_frame::Body::Join(pb::Join { room: ROOM.to_owned(), start: None }));
            tokio::spawn(receive(receiver, Arc::clone(&progress), receivers as u64));
        }
        let mut publisher = Session::connect(address, "publisher", TEXT).await?;
        publisher.flush().await?;
        let joining = async {
            // This is Welcome. What the publisher receives from here on are acks.
            while publisher.receive().await?.others == 0 {}
            while progress.ready.load(Ordering::Relaxed) < receivers as u64 {
                sleep(Duration::from_millis(5)).await;
            }
            Ok(())
        };
        let joined: io::Result<()> = timeout(Duration::from_secs(20), joining)
            .await
            .unwrap_or_else(|_| Err(io::Error::other("not every client has joined within 20 s")));
        joined?;
        Ok(Self { receivers: receivers as u64, progress, publisher, sent: 0, acked: 0 })
    }

    /// Returns how many events the receivers have received, all together.
    pub(crate) fn delivered(&self) -> u64 {
        self.progress.delivered.load(Ordering::Relaxed)
    }

    /// Returns how many messages have been acked.
    pub(crate) fn acked(&self) -> u64 {
        self.acked
    }

    /// Publishes for a while and measures what `count` counts, then waits until everything is acked and delivered.
    pub(crate) async fn round(
        &mut self,
        server: &Server,
        pace: Pace,
        length: Duration,
        count: fn(&Self) -> u64,
    ) -> io::Result<Round> {
        self.publish_for(pace, length / 4).await?;
        let meter = Meter::start(server, count(self))?;
        self.publish_for(pace, length).await?;
        let round = meter.stop(server, count(self))?;
        let stopped = Instant::now();
        while self.acked < self.sent || self.delivered() < self.sent * self.receivers {
            if stopped.elapsed() > Duration::from_secs(5) {
                let (sent, acked, delivered) = (self.sent, self.acked, self.delivered());
                let lost = format!("{}: {sent} sent, {acked} acked, {delivered} delivered", server.name);
                return Err(io::Error::other(lost));
            }
            self.publish_for(Pace::Window(0), Duration::from_millis(2)).await?;
        }
        Ok(round)
    }

    async fn publish_for(&mut self, pace: Pace, length: Duration) -> io::Result<()> {
        let progress = Arc::clone(&self.progress);
        let mut end = pin!(sleep(length));
        let mut ticks = match pace {
            Pace::PerSecond(pace) => interval(Duration::from_secs(1) / pace),
            Pace::Window(_) => interval(length),
        };
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Pace::Window(window) = pace {
                let received = match self.receivers {
                    0 => u64::MAX,
                    _ => progress.received_by_all.load(Ordering::Relaxed),
                };
                let end = received.min(self.acked) + window;
                while self.sent < end && self.publisher.may_send() {
                    self.publish();
                }
            }
            self.publisher.flush().await?;
            let received = tokio::select! {
                () = &mut end => return Ok(()),
                received = self.publisher.receive() => received?,
                () = progress.advanced.notified() => Received::default(),
                _ = ticks.tick() => {
                    if matches!(pace, Pace::PerSecond(_)) {
                        self.publish();
                    }
                    Received::default()
                }
            };
            self.acked += received.others;
        }
    }

    fn publish(&mut self) {
        self.sent += 1;
        let mut client_msg_id = [0; 16];
        client_msg_id[8..].copy_from_slice(&self.sent.to_be_bytes());
        self.publisher.send(client_frame::Body::Send(pb::Send {
            room: ROOM.to_owned(),
            text: "x".repeat(TEXT),
            client_msg_id: client_msg_id.to_vec().into(),
            ..pb::Send::default()
        }));
    }
}

/// Receives until the session ends, and records the progress.
async fn receive(mut session: Session, progress: Arc<Progress>, receivers: u64) {
    let (mut others, mut events) = (0, 0);
    loop {
        if session.flush().await.is_err() {
            return;
        }
        let Ok(received) = session.receive().await else { return };
        // Welcome, Joined and CaughtUp.
        if others < 3 && others + received.others >= 3 {
            progress.ready.fetch_add(1, Ordering::Relaxed);
        }
        others += received.others;
        progress.delivered.fetch_add(received.events, Ordering::Relaxed);
        let blocks = events / BLOCK..(events + received.events) / BLOCK;
        events += received.events;
        for block in blocks {
            let mut received_by = progress.blocks.lock().unwrap_or_else(PoisonError::into_inner);
            let count = received_by.entry(block).or_default();
            *count += 1;
            if *count == receivers {
                received_by.remove(&block);
                progress.received_by_all.store((block + 1) * BLOCK, Ordering::Relaxed);
                progress.advanced.notify_one();
            }
        }
    }
}
