//! Sending: each method makes a draft, or takes one, and puts it into the outbox.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::Client;
use super::sending::Sending;
use crate::engine::{Command, Queued};
use crate::error::SendError;
use crate::model::{Ack, Change, Draft, IntoRoomId, Target};
use crate::reply;

impl Client {
    /// Posts a message and waits until it is stored, however many connections that takes. Waits first if too much is unsent.
    ///
    /// If the returned future is dropped before it resolves, as by a timeout, the message may be stored or not. To send it
    /// again and have it stored once, make a [`Draft`] and [`post`](Client::post) a clone of it each time.
    ///
    /// # Errors
    ///
    /// [`SendError`], but not [`SendError::Full`].
    ///
    /// # Example
    ///
    /// ```no_run
    /// # async fn example(client: grpc_chat_client::Client) -> Result<(), grpc_chat_client::SendError> {
    /// let ack = client.send("general", "Hi").await?;
    /// println!("stored as message {}", ack.seq);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send(&self, room: impl IntoRoomId, text: impl Into<String>) -> Result<Ack, SendError> {
        self.change(room, Change::post(text)).await
    }

    /// Posts a reply to a message, which is named by its event, its ack or its seq ([`Target`]). Like [`Client::send`]
    /// otherwise.
    ///
    /// # Errors
    ///
    /// The same as of [`Client::send`].
    ///
    /// # Example
    ///
    /// ```no_run
    /// # async fn example(client: grpc_chat_client::Client) -> Result<(), grpc_chat_client::SendError> {
    /// let question = client.send("general", "Lunch?").await?;
    /// client.reply("general", &question, "In ten minutes").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reply(
        &self,
        room: impl IntoRoomId,
        target: impl Into<Target>,
        text: impl Into<String>,
    ) -> Result<Ack, SendError> {
        self.change(room, Change::reply(target, text)).await
    }

    /// Replaces the text of the user's own message. Like [`Client::send`] otherwise.
    ///
    /// # Errors
    ///
    /// The same as of [`Client::send`].
    ///
    /// # Example
    ///
    /// ```no_run
    /// # async fn example(client: grpc_chat_client::Client) -> Result<(), grpc_chat_client::SendError> {
    /// let ack = client.send("general", "Helo").await?;
    /// client.edit("general", &ack, "Hello").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn edit(
        &self,
        room: impl IntoRoomId,
        target: impl Into<Target>,
        text: impl Into<String>,
    ) -> Result<Ack, SendError> {
        self.change(room, Change::Edit { target: target.into(), text: text.into() }).await
    }

    /// Erases the user's own message. Like [`Client::send`] otherwise.
    ///
    /// # Errors
    ///
    /// The same as of [`Client::send`].
    ///
    /// # Example
    ///
    /// ```no_run
    /// # async fn example(client: grpc_chat_client::Client) -> Result<(), grpc_chat_client::SendError> {
    /// let ack = client.send("general", "my password is ...").await?;
    /// client.delete("general", &ack).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delete(&self, room: impl IntoRoomId, target: impl Into<Target>) -> Result<Ack, SendError> {
        self.change(room, Change::Delete { target: target.into() }).await
    }

    /// Reacts to a message. Like [`Client::send`] otherwise.
    ///
    /// # Errors
    ///
    /// The same as of [`Client::send`].
    ///
    /// # Example
    ///
    /// ```no_run
    /// # async fn example(client: grpc_chat_client::Client) -> Result<(), grpc_chat_client::SendError> {
    /// client.react("general", 17, "👍").await?;
    /// client.unreact("general", 17, "👍").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn react(
        &self,
        room: impl IntoRoomId,
        target: impl Into<Target>,
        reaction: impl Into<String>,
    ) -> Result<Ack, SendError> {
        self.change(room, Change::React { target: target.into(), reaction: reaction.into(), remove: false }).await
    }

    /// Takes a reaction back. Like [`Client::react`] otherwise.
    ///
    /// # Errors
    ///
    /// The same as of [`Client::send`].
    pub async fn unreact(
        &self,
        room: impl IntoRoomId,
        target: impl Into<Target>,
        reaction: impl Into<String>,
    ) -> Result<Ack, SendError> {
        self.change(room, Change::React { target: target.into(), reaction: reaction.into(), remove: true }).await
    }

    /// Sends a draft and waits until it is stored; see [`Draft`]. Like [`Client::send`] otherwise.
    ///
    /// # Errors
    ///
    /// The same as of [`Client::send`].
    pub async fn post(&self, draft: Draft) -> Result<Ack, SendError> {
        self.enqueue(draft).await?.await
    }

    /// Puts a draft into the outbox, waiting until there is room, and returns a future of its ack: many drafts can be on
    /// their way at once.
    ///
    /// Drafts are sent in the order in which they were put into the outbox. One that the service cannot take just now may be
    /// stored after later ones.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the client has ended.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # async fn example(client: grpc_chat_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use grpc_chat_client::{Change, Draft, RoomId};
    ///
    /// let room: RoomId = "general".parse()?;
    /// let mut sendings = Vec::new();
    /// for line in ["one", "two", "three"] {
    ///     sendings.push(client.enqueue(Draft::new(&room, Change::post(line))).await?);
    /// }
    /// for sending in sendings {
    ///     println!("stored as message {}", sending.await?.seq);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn enqueue(&self, draft: Draft) -> Result<Sending, SendError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| self.send_error())?;
        let (sending, command) = self.sending(draft, permit);
        self.commands.send(command).await.map_err(|_| self.send_error())?;
        Ok(sending)
    }

    /// Puts a draft into the outbox without waiting. Like [`Client::enqueue`] otherwise.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if too much is unsent, or another [`SendError`] if the client has ended.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # fn example(client: grpc_chat_client::Client, draft: grpc_chat_client::Draft) {
    /// use grpc_chat_client::SendError;
    ///
    /// match client.try_enqueue(draft) {
    ///     // It is sent although nobody waits for the ack.
    ///     Ok(_) => {}
    ///     Err(SendError::Full) => println!("slow down"),
    ///     Err(error) => println!("{error}"),
    /// }
    /// # }
    /// ```
    pub fn try_enqueue(&self, draft: Draft) -> Result<Sending, SendError> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| SendError::Full)?;
        let (sending, command) = self.sending(draft, permit);
        self.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => self.send_error(),
        })?;
        Ok(sending)
    }

    /// Waits until nothing is unsent.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the client ends before.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # async fn example(client: grpc_chat_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// let flushed = tokio::time::timeout(Duration::from_secs(5), client.flush()).await;
    /// println!("everything is stored: {}", matches!(flushed, Ok(Ok(()))));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn flush(&self) -> Result<(), SendError> {
        let (reply, done) = reply::channel();
        self.commands.send(Command::Flush { reply }).await.map_err(|_| self.send_error())?;
        done.await.map_err(|_| self.send_error())
    }

    async fn change(&self, room: impl IntoRoomId, change: Change) -> Result<Ack, SendError> {
        self.post(Draft::new(room.into_room_id()?, change)).await
    }

    fn sending(&self, mut draft: Draft, permit: OwnedSemaphorePermit) -> (Sending, Command) {
        self.stamp_epoch(&mut draft);
        let (reply, outcome) = reply::channel_with_permit(permit);
        (Sending::new(draft.id, outcome), Command::Post(Queued { draft, reply: Some(reply) }))
    }

    /// A seq that an application names is one that was delivered to it, so it belongs to the epoch that was delivered.
    fn stamp_epoch(&self, draft: &mut Draft) {
        if draft.epoch.is_none() && draft.change.target().is_some() {
            draft.epoch = self.mailbox.epoch(&draft.room);
        }
    }
}
