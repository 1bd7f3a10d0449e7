//! The part of an application that sends.

use std::time::{Duration, Instant};

use grpc_chat_client::{Change, Client, Draft, RoomId, SendError};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::orders::{Order, Orders};
use super::record::SharedRecord;
use crate::checker::message_digest;

/// The longest pause between two drafts, in milliseconds.
const LONGEST_PAUSE: u64 = 100;

/// Sends the messages of one run of an application.
pub(super) struct Speaker {
    pub(super) run: usize,
    pub(super) client: Client,
    pub(super) user: String,
    pub(super) speaks: bool,
    pub(super) rooms: Vec<String>,
    pub(super) record: SharedRecord,
    pub(super) orders: Orders,
    pub(super) random: fastrand::Rng,
}

impl Speaker {
    /// Sends until the orders change, `stop` is set or the client is closed, and then until every send has resolved.
    pub(super) async fn speak(mut self, mut stop: watch::Receiver<bool>) {
        let mut resolving = JoinSet::new();
        self.orders.until(|order| *order != Order::Listen).await;
        while self.speaks && self.orders.current() == Order::Work {
            let stopped = async {
                // An error means that the run is over.
                let _ = stop.wait_for(|stop| *stop).await;
            };
            if !self.send(stopped, &mut resolving).await {
                break;
            }
            // Drops the results of the sends that have resolved.
            while resolving.try_join_next().is_some() {}
        }
        while resolving.join_next().await.is_some() {}
    }

    /// Sends one draft, and pauses sometimes. Returns whether to go on.
    async fn send(&mut self, stopped: impl Future<Output = ()>, resolving: &mut JoinSet<()>) -> bool {
        tokio::pin!(stopped);
        let Some(room) = self.random.choice(&self.rooms).cloned() else { return false };
        let mut text = format!("{} says ", self.user);
        for _ in 0..self.random.usize(20..200) {
            text.push(self.random.alphanumeric());
        }
        let Ok(id) = room.parse::<RoomId>() else { return false };
        let draft = Draft::new(id, Change::post(text.clone()));
        let id = draft.id.0;
        self.record.lock().offered(self.run, id, &room, message_digest(&room, &self.user, &text));
        let began = Instant::now();
        let enqueued = if self.random.u8(..8) == 0 {
            self.client.try_enqueue(draft)
        } else {
            tokio::select! {
                enqueued = self.client.enqueue(draft) => enqueued,
                () = &mut stopped => {
                    self.record.lock().withdrawn(id);
                    return false;
                }
            }
        };
        match enqueued {
            Ok(sending) => {
                self.record.lock().accepted(id, Instant::now());
                let record = self.record.clone();
                resolving.spawn(async move {
                    let outcome = sending.await;
                    record.lock().resolved(id, &room, outcome, began.elapsed());
                });
            }
            Err(error) => {
                self.record.lock().withdrawn(id);
                match error {
                    SendError::Full => {}
                    SendError::Closed => return false,
                    error => {
                        self.record.lock().violation(format!("a send to {room} was not accepted: {error}"));
                        return false;
                    }
                }
            }
        }
        let pause = Duration::from_millis(if self.random.u8(..3) == 0 { self.random.u64(..LONGEST_PAUSE) } else { 0 });
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = stopped => false,
        }
    }
}
