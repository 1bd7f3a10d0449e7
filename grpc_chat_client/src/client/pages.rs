//! Reading the history, on the connection of the session.

use std::time::Duration;

use stubs::chat::v1 as pb;
use stubs::chat::v1::chat_service_client::ChatServiceClient;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use super::Client;
use crate::diagnosis::call_ended;
use crate::engine::{Command, REPORTED};
use crate::error::Refused;
use crate::model::{IntoRoomId, Page, PageAt, Room};
use crate::wire::{Access, convert};

/// How long one call may take, and how long it is tried in all.
const CALL: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(30);

/// The most pages of rooms that are read: a million rooms, as the service lists them.
const MAX_PAGES: usize = 1_000;

impl Client {
    /// Reads a page of a room's history. `length` is at most 1,000 events, and 0 means 100; a page may also be shorter
    /// because it is large.
    ///
    /// # Errors
    ///
    /// [`Refused`] if the service refuses, or could not be reached within 30 s. Where the service asks to wait because the user
    /// reads more than it may, this waits for longer ([`Update::RequestDelayed`](crate::Update::RequestDelayed)). The reason is
    /// `EXPIRED` if events right after [`PageAt::After`] are no longer kept.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # async fn example(client: grpc_chat_client::Client) -> Result<(), grpc_chat_client::Refused> {
    /// use grpc_chat_client::PageAt;
    ///
    /// let newest = client.history("general", PageAt::Newest, 50).await?;
    /// if let (Some(first), true) = (newest.events.first(), newest.more) {
    ///     let older = client.history("general", PageAt::Before(first.seq), 50).await?;
    ///     println!("{} events, and {} before them", newest.events.len(), older.events.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn history(&self, room: impl IntoRoomId, at: PageAt, length: u32) -> Result<Page, Refused> {
        let room = room.into_room_id()?;
        let (after_seq, before_seq) = match at {
            PageAt::Newest => (None, None),
            PageAt::Before(seq) => (None, Some(seq)),
            PageAt::After(seq) => (Some(seq), None),
        };
        let request = pb::ListMessagesRequest { room: room.to_string(), after_seq, before_seq, page_size: length };
        let list = async |mut client: ChatServiceClient<Channel>, request| client.list_messages(request).await;
        let page = self.call(request, list).await?;
        if !follows(at, &page) {
            return Err(broken("the service sent a page of history that does not follow what was asked for"));
        }
        Ok(convert::page_from_wire(&room, page))
    }

    /// Lists all rooms that have a history, by id.
    ///
    /// # Errors
    ///
    /// The same as of [`Client::history`].
    ///
    /// # Example
    ///
    /// ```no_run
    /// # async fn example(client: grpc_chat_client::Client) -> Result<(), grpc_chat_client::Refused> {
    /// for room in client.rooms().await? {
    ///     println!("{}: {} events", room.id, room.head);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn rooms(&self) -> Result<Vec<Room>, Refused> {
        let mut rooms = Vec::new();
        let (mut page_token, mut last) = (String::new(), String::new());
        for _ in 0..MAX_PAGES {
            let request = pb::ListRoomsRequest { page_size: 1000, page_token: page_token.clone() };
            let list = async |mut client: ChatServiceClient<Channel>, request| client.list_rooms(request).await;
            let page = self.call(request, list).await?;
            let is_last = page.next_page_token.is_empty();
            let mut ids = page.rooms.iter().map(|room| &room.room);
            // Its rooms are ordered by id, so each page begins after the end of the one before.
            let advances = ids.next().is_some_and(|first| *first > last) && page.next_page_token != page_token;
            if !advances && !is_last {
                return Err(broken("the service repeats itself in the list of rooms"));
            }
            if let Some(room) = page.rooms.last() {
                last.clone_from(&room.room);
            }
            rooms.extend(page.rooms.into_iter().filter_map(convert::room_from_wire));
            if is_last {
                return Ok(rooms);
            }
            page_token = page.next_page_token;
        }
        Err(broken(format!("the service's list of rooms does not end, or has more than {MAX_PAGES} pages")))
    }

    /// Makes a call on the connection of the session, again and again as long as that may help. Where the service asks to wait,
    /// because the user is over a rate, that does not count as trying.
    async fn call<M: Clone, T>(
        &self,
        message: M,
        call: impl AsyncFn(ChatServiceClient<Channel>, tonic::Request<M>) -> Result<Response<T>, Status>,
    ) -> Result<T, Refused> {
        let mut deadline = Instant::now() + PATIENCE;
        let (mut attempt, mut refreshed, mut reported) = (0, false, false);
        loop {
            let access = tokio::time::timeout_at(deadline, self.access()).await;
            let access = access.map_err(|_| self.unreachable())??;
            let request = access.request(message.clone());
            let called =
                tokio::time::timeout(CALL.min(deadline - Instant::now()), call(access.client(), request)).await;
            let status = match called {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("the service did not answer in time"),
            };
            // A session outlives its token; a call does not.
            if status.code() == Code::Unauthenticated && self.can_refresh && !refreshed {
                refreshed = true;
                tokio::time::timeout_at(deadline, self.refresh_token()).await.map_err(|_| self.unreachable())??;
                continue;
            }
            let spread = self.backoff.delay(attempt, &mut fastrand::Rng::new());
            let hint = convert::retry_hint(&status).unwrap_or_default();
            let delay = hint + spread;
            if convert::rate(&status).is_some() {
                deadline += delay;
                if hint >= REPORTED && !std::mem::replace(&mut reported, true) {
                    // Nobody is left to report it to once the client has ended.
                    let _ = self.commands.send(Command::ReportDelay { why: Refused::from(&status) }).await;
                }
            }
            if !convert::is_transient(status.code()) || Instant::now() + delay > deadline {
                return Err(Refused::from(&call_ended(&status)));
            }
            tokio::time::sleep(delay).await;
            attempt += 1;
        }
    }

    async fn access(&self) -> Result<Access, Refused> {
        let mut link = self.link.clone();
        let online = link.wait_for(|link| link.access.is_some()).await;
        match online.ok().and_then(|link| link.access.clone()) {
            Some(access) => Ok(access),
            None => Err(self.unreachable()),
        }
    }
}

/// Whether a page is one of those that were asked for: its events are in order and lie in the direction asked for, and there
/// are some if there are more. Otherwise whoever reads page after page might read for ever.
fn follows(at: PageAt, page: &pb::ListMessagesResponse) -> bool {
    let pb::ListMessagesResponse { events, more, .. } = page;
    let (Some(first), Some(last)) = (events.first(), events.last()) else { return !more };
    events.is_sorted_by(|one, next| one.seq < next.seq)
        && match at {
            PageAt::Newest => true,
            PageAt::Before(seq) => last.seq < seq,
            PageAt::After(seq) => first.seq > seq,
        }
}

/// An error of a service that does not keep to the protocol.
fn broken(what: impl Into<String>) -> Refused {
    Refused::new(Code::Internal, what)
}
