//! `chat` in a pipe: each line of standard input is a message, each message of the room is a line.

use grpc_chat_client::{
    Body, Change, Client, Config, ConnectionState, Draft, Event, Events, MsgId, RoomId, SendError, Sending, Start,
    Update, Verdict, example,
};
use std::collections::{HashSet, VecDeque};
use tokio_stream::StreamExt;

use super::{GRACE, open};
use crate::output::{Failure, indented, line_when_read, note};

/// Ends when standard input does, and everything of it has been stored and has come back.
pub(crate) async fn run(config: Config, room: &RoomId) -> Result<(), Failure> {
    let (client, mut events) = open(config).await?;
    client.join(room, Start::Live).await?;
    let (mut typed, problem) = example::lines(tokio::io::stdin(), String::new());
    let mut talk = Talk { lines: 0, sent: VecDeque::new(), awaited: HashSet::new(), lost: false };
    let mut open = true;
    while open || !talk.is_over() {
        tokio::select! {
            // While much is unsent nothing more is read: whoever types waits.
            said = typed.next(), if open && talk.sent.len() < UNSENT => match said {
                Some(said) => talk.say(&client, room, said.message).await?,
                None => open = false,
            },
            acked = talk.acked() => talk.check(acked)?,
            update = events.next() => match update {
                Some(update) => talk.hear(update).await?,
                None => return Err(Failure::Failed("the client has ended".to_owned())),
            },
        }
    }
    end(client, events).await;
    match problem.try_recv() {
        Ok(problem) => Err(Failure::Failed(problem)),
        Err(_) => Ok(()),
    }
}

/// Lines that are read ahead of their acks.
const UNSENT: usize = 500;

async fn end(client: Client, events: Events) {
    drop(events);
    // Nothing is kept.
    let _ = client.close(GRACE).await;
}

struct Talk {
    /// Lines that were read.
    lines: u64,
    /// Not acked yet, oldest first, with the number of the line.
    sent: VecDeque<(u64, Sending)>,
    /// Not come back yet.
    awaited: HashSet<MsgId>,
    lost: bool,
}

impl Talk {
    fn is_over(&self) -> bool {
        self.sent.is_empty() && self.awaited.is_empty()
    }

    async fn say(&mut self, client: &Client, room: &RoomId, text: String) -> Result<(), Failure> {
        self.lines += 1;
        if text.is_empty() {
            return Ok(());
        }
        let sending = client.enqueue(Draft::new(room, Change::post(text))).await?;
        self.awaited.insert(sending.id());
        self.sent.push_back((self.lines, sending));
        Ok(())
    }

    /// The answer to the oldest.
    async fn acked(&mut self) -> Result<grpc_chat_client::Ack, SendError> {
        match self.sent.front_mut() {
            Some((_, oldest)) => oldest.await,
            None => std::future::pending().await,
        }
    }

    fn check(&mut self, acked: Result<grpc_chat_client::Ack, SendError>) -> Result<(), Failure> {
        let line = self.sent.pop_front().map_or(self.lines, |(line, _)| line);
        acked.map(drop).map_err(|error| Failure::from(error).at(line))
    }

    async fn hear(&mut self, update: Update) -> Result<(), Failure> {
        match update {
            Update::Event(Event { sender, id, body, .. }) => {
                self.awaited.remove(&id);
                if let Body::Posted { text, erased: false, .. } = body {
                    line_when_read(format!("{}: {}", indented(&sender), indented(&text))).await?;
                }
            }
            // What was sent before it is in a history that is gone.
            Update::Joined(joined) if matches!(joined.verdict, Verdict::Reset(_)) => self.awaited.clear(),
            Update::Connection(ConnectionState::Reconnecting { why, .. }) if !self.lost => {
                self.lost = true;
                note(&format!("the connection is lost ({why}); trying again"));
            }
            Update::Connection(ConnectionState::Online { .. }) if self.lost => {
                self.lost = false;
                note("connected again");
            }
            Update::Connection(ConnectionState::Failed(why)) | Update::JoinRefused { why, .. } => {
                return Err(why.into());
            }
            _ => {}
        }
        Ok(())
    }
}
