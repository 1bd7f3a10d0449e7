//! Clients that work a server and note what they see: senders, readers, and the whole history at the end.

pub(crate) mod crew;
pub(crate) mod line;
pub(crate) mod reader;
pub(crate) mod sender;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use stubs::chat::v1 as pb;
use stubs::chat::v1::chat_service_client::ChatServiceClient;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::checker::{History, Seen};

/// What clients are to do, told to all of them at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Go on.
    Work,
    /// Senders: say nothing new, and end when everything is acked. Readers: end when they have read up to these heads.
    Settle(Vec<(String, u64)>),
    /// Readers: leave the stream unread until told otherwise.
    Stall,
    /// End as it is.
    Abandon,
}

/// What all clients of a run have seen so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) delivered: Count,
    pub(crate) caught_up: Count,
    pub(crate) acked: Count,
    pub(crate) refused: Count,
    /// Senders that have been told that the server leaves.
    pub(crate) drained: Count,
    pub(crate) latencies: Latencies,
}

/// How long events took from their draft to a reader, in microseconds, while somebody asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Arc<Mutex<Option<Vec<u64>>>>);

impl Latencies {
    /// An event has come whose text says when it was drafted.
    pub(crate) fn note(&self, text: &str) {
        // Short, no await under it.
        if let Some(noted) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)
            && let Some(drafted) = text.split(' ').next().and_then(|word| word.parse::<u64>().ok())
        {
            noted.push(micros().saturating_sub(drafted));
        }
    }

    /// Notes for so many seconds, and answers each second's 99th percentile's median, so that one bad second of the
    /// machine does not count, and how many events there were.
    pub(crate) async fn p99_within(&self, seconds: u32) -> (Duration, usize) {
        let (mut p99s, mut events) = (Vec::new(), 0);
        for _ in 0..seconds {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
            noted.sort_unstable();
            events += noted.len();
            // A second without any is as bad as can be.
            p99s.push(noted.get(noted.len() * 99 / 100).copied().unwrap_or(u64::MAX));
        }
        p99s.sort_unstable();
        (Duration::from_micros(p99s.get(p99s.len() / 2).copied().unwrap_or(u64::MAX)), events)
    }
}

/// Since the first time that this was asked.
pub(crate) fn micros() -> u64 {
    static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGINNING.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Counted by many, looked at by one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count(Arc<AtomicU64>);

impl Count {
    pub(crate) fn one_more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits until so many have been counted; `false` if they were not in time.
    pub(crate) async fn reaches(&self, enough: u64, patience: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + patience;
        while self.get() < enough {
            if tokio::time::Instant::now() > deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }
}

/// The room's events from the beginning to the head, page by page.
pub(crate) async fn list(address: &str, room: &str) -> Result<Vec<Seen>, Status> {
    Ok(events(address, room).await?.iter().map(Seen::of).collect())
}

/// The same, in full.
pub(crate) async fn events(address: &str, room: &str) -> Result<Vec<pb::Event>, Status> {
    let mut pages = ChatServiceClient::new(line::connect(address).await?);
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

/// Whether health says that the chat is served.
pub(crate) async fn is_serving(address: &str) -> Result<bool, Status> {
    let request = HealthCheckRequest { service: "chat.v1.ChatService".to_owned() };
    let health = HealthClient::new(line::connect(address).await?).check(request).await?.into_inner();
    Ok(health.status() == ServingStatus::Serving)
}

/// All of these rooms. A server that is just starting is given a moment.
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

/// The newest event of each room.
pub(crate) fn heads(history: &History) -> Vec<(String, u64)> {
    history.iter().map(|(room, events)| (room.clone(), events.last().map_or(0, |last| last.seq))).collect()
}
