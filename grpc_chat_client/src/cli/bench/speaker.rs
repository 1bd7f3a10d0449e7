//! A client that sends as it gets leave to, and waits for the acks.

use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use grpc_chat_client::{Ack, Change, Client, Draft, Durability, RoomId, SendError, Sending, sanitize};
use tokio::sync::mpsc::UnboundedReceiver;

use super::pace::Ticket;
use super::run::Run;

/// Messages of one client that may be unacked where nothing else bounds them; the rest waits for leave.
pub(super) const MOST: usize = 64 * 1024;

/// See [`Speaker::speak`].
pub(super) struct Speaker {
    pub(super) run: Arc<Run>,
    pub(super) client: Client,
    /// Which of the senders it is.
    pub(super) index: u32,
    /// Where it sends, in turn.
    pub(super) rooms: Arc<[RoomId]>,
    pub(super) tickets: UnboundedReceiver<Ticket>,
    /// Answers that each message leads to.
    pub(super) answers: u64,
}

/// A message that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// Which of its sender's it is.
    pub(super) number: u64,
    /// Its time, nanoseconds of the bench's clock.
    pub(super) begun: u64,
}

impl Speaker {
    /// Sends a message for each ticket until the run is over or there are no more, hands on each ack and when it came, and
    /// resolves when there is one for each message. Answers how safe the least safe message was, if there were any.
    ///
    /// # Errors
    ///
    /// A sentence, if the service does not take a message.
    pub(super) async fn speak(mut self, mut acked: impl FnMut(Sent, &Ack, u64)) -> Result<Option<Durability>, String> {
        let run = Arc::clone(&self.run);
        let mut over = pin!(run.over.cancelled());
        let mut open = true;
        let mut acks = FuturesUnordered::new();
        let mut number = 0;
        let mut durability: Option<Durability> = None;
        loop {
            let ticket = tokio::select! {
                // What has come is counted before more is asked for.
                biased;
                Some((sent, outcome)) = acks.next(), if !acks.is_empty() => {
                    let ack: Ack = match outcome {
                        Ok(ack) => ack,
                        Err(error) => return Err(refused(&error)),
                    };
                    acked(sent, &ack, run.clock.now());
                    durability = Some(durability.map_or(ack.durability, |least| least.min(ack.durability)));
                    None
                }
                () = &mut over, if open => {
                    open = false;
                    None
                }
                ticket = self.tickets.recv(), if open && acks.len() < MOST => {
                    open = ticket.is_some();
                    ticket
                }
                else => return Ok(durability),
            };
            if let Some(ticket) = ticket {
                let sent = Sent { number, begun: run.leaves(ticket) };
                let sending = self.post(sent).await?;
                acks.push(async move { (sent, sending.await) });
                number += 1;
            }
        }
    }

    async fn post(&self, Sent { number, begun }: Sent) -> Result<Sending, String> {
        let room = &self.rooms[(u64::from(self.index) + number) as usize % self.rooms.len()];
        let text = self.run.text(self.index, number, begun);
        self.run.sent(self.answers);
        self.client.enqueue(Draft::new(room, Change::post(text))).await.map_err(|error| refused(&error))
    }
}

fn refused(error: &SendError) -> String {
    let why = sanitize(&error.to_string()).into_owned();
    match error {
        SendError::Refused(_) => format!("the service refused a message: {why}"),
        _ => why,
    }
}
