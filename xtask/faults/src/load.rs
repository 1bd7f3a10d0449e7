//! Clients that put load on a server and log what they see, and requests that read the whole history.

pub(crate) mod clients;
mod counters;
pub(crate) mod reader;
pub(crate) mod sender;
pub(crate) mod session;

use std::time::Duration;

use stubs::chat::v1 as pb;
use stubs::chat::v1::chat_service_client::ChatServiceClient;
use stubs::chat::v1::chat_service_server::SERVICE_NAME;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

pub(crate) use self::counters::{Counter, Counters};
use super::checker::{EventDigest, History};

/// Returns digests of the room's events from the beginning to the head, read page by page.
pub(crate) async fn list(address: &str, room: &str) -> Result<Vec<EventDigest>, Status> {
    Ok(events(address, room).await?.iter().map(EventDigest::of).collect())
}

/// Returns the room's events from the beginning to the head, read page by page.
pub(crate) async fn events(address: &str, room: &str) -> Result<Vec<pb::Event>, Status> {
    let mut pages = ChatServiceClient::new(session::connect(address).await?);
    let mut events: Vec<pb::Event> = Vec::new();
    loop {
        let after_seq = Some(events.last().map_or(0, |last| last.seq));
        let request = pb::ListMessagesRequest { room: room.to_owned(), after_seq, before_seq: None, page_size: 1000 };
        let page = pages.list_messages(request).await?.into_inner();
        if page.events.is_empty() && page.more {
            return Err(Status::internal("an empty page says that there is more"));
        }
        events.extend(page.events);
        if !page.more {
            return Ok(events);
        }
    }
}

/// Returns whether the health service reports the chat as serving.
pub(crate) async fn is_serving(address: &str) -> Result<bool, Status> {
    let request = HealthCheckRequest { service: SERVICE_NAME.to_owned() };
    let health = HealthClient::new(session::connect(address).await?).check(request).await?.into_inner();
    Ok(health.status() == ServingStatus::Serving)
}

/// Returns the history of these rooms. Retries for two seconds while the server starts.
pub(crate) async fn history(address: &str, rooms: &[String]) -> Result<History, Status> {
    let mut history = History::new();
    for room in rooms {
        let mut attempts = 0;
        let events = loop {
            match list(address, room).await {
                Err(status) if status.code() == Code::Unavailable && attempts < 20 => {
                    attempts += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                listed => break listed?,
            }
        };
        history.insert(room.clone(), events);
    }
    Ok(history)
}

/// Returns the seq of the newest event of each room.
pub(crate) fn heads(history: &History) -> Vec<(String, u64)> {
    history.iter().map(|(room, events)| (room.clone(), events.last().map_or(0, |last| last.seq))).collect()
}
