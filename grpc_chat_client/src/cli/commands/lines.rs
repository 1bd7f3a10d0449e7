//! `chat` in a pipe: each line of standard input is a message, and each message of the room is a line of standard output.

use std::collections::{HashSet, VecDeque};

use grpc_chat_client::{
    Ack, Body, Change, Client, Config, ConnectionState, Draft, Event, MsgId, RoomId, SendError, Sending, Start, Update,
    Verdict, example,
};
use tokio_stream::StreamExt;

use super::{GRACE, Notes, open};
use crate::output::{Failure, indented, line_when_read};

/// Messages that may be unacked. Over this, no more input is read.
const MAX_UNACKED: usize = 500;

/// Ends when all of standard input has been stored, and has been received from the room.
pub(crate) async fn run(config: Config, room: &RoomId) -> Result<(), Failure> {
    let (client, mut events) = open(config).await?;
    client.join(room, Start::Live).await?;
    let (mut input, problem) = example::lines(tokio::io::stdin(), String::new());
    let mut lines = Lines::default();
    let mut open = true;
    while open || !lines.are_done() {
        tokio::select! {
            next = input.next(), if open && lines.unacked.len() < MAX_UNACKED => match next {
                Some(next) => lines.send(&client, room, next.message).await?,
                None => open = false,
            },
            acked = lines.next_ack() => lines.acked(acked)?,
            update = events.next() => match update {
                Some(update) => lines.update(update).await?,
                None => return Err(Failure::Failed("the client has ended".to_owned())),
            },
        }
    }
    drop(events);
    // There is no state file that could fail.
    let _ = client.close(GRACE).await;
    problem.try_recv().map_or(Ok(()), |problem| Err(Failure::Failed(problem)))
}

#[derive(Default)]
struct Lines {
    /// Lines that were read.
    count: u64,
    /// Messages that are not acked yet, oldest first, each with the number of its line.
    unacked: VecDeque<(u64, Sending)>,
    /// Messages that have not been received from the room yet.
    unreceived: HashSet<MsgId>,
    notes: Notes,
}

impl Lines {
    fn are_done(&self) -> bool {
        self.unacked.is_empty() && self.unreceived.is_empty()
    }

    async fn send(&mut self, client: &Client, room: &RoomId, text: String) -> Result<(), Failure> {
        self.count += 1;
        if text.is_empty() {
            return Ok(());
        }
        let sending = client.enqueue(Draft::new(room, Change::post(text))).await?;
        self.unreceived.insert(sending.id());
        self.unacked.push_back((self.count, sending));
        Ok(())
    }

    /// Waits for the ack of the oldest message.
    async fn next_ack(&mut self) -> Result<Ack, SendError> {
        match self.unacked.front_mut() {
            Some((_, oldest)) => oldest.await,
            None => std::future::pending().await,
        }
    }

    fn acked(&mut self, acked: Result<Ack, SendError>) -> Result<(), Failure> {
        let line = self.unacked.pop_front().map_or(self.count, |(line, _)| line);
        acked.map(drop).map_err(|error| Failure::from(error).at(line))
    }

    async fn update(&mut self, update: Update) -> Result<(), Failure> {
        match update {
            Update::Event(Event { sender, id, body, .. }) => {
                self.unreceived.remove(&id);
                if let Body::Posted { text, erased: false, .. } = body {
                    line_when_read(format!("{}: {}", indented(&sender), indented(&text))).await?;
                }
            }
            // The history that had those messages is gone.
            Update::Joined(joined) if matches!(joined.verdict, Verdict::Reset(_)) => self.unreceived.clear(),
            Update::Connection(ConnectionState::Failed(why)) | Update::JoinRefused { why, .. } => {
                return Err(why.into());
            }
            update => self.notes.update(&update),
        }
        Ok(())
    }
}
