//! The library at its boundary: against the real service, over a network that breaks.

mod ending;
mod reconnect;
mod restored;
mod rooms;
mod slow;
mod state;
mod unknown;

use std::time::Duration;

use grpc_chat_client::{
    Backoff, Body, Change, Client, Code, Config, ConnectionState, Draft, Event, Events, JoinError, MailboxLimits,
    PageAt, RoomId, SendError, Start, Update, Verdict, connect,
};

use crate::network::Network;
use crate::support::{Service, nobody, soon};

fn room(name: &str) -> RoomId {
    name.parse().unwrap()
}

fn post(text: impl Into<String>) -> Draft {
    Draft::new(room("general"), Change::post(text))
}

/// Returns a configuration with shorter delays than a person's client has.
fn config(url: &str, user: &str) -> Config {
    let backoff = Backoff { base: Duration::from_millis(20), max: Duration::from_millis(300) };
    Config::new(url.parse().unwrap(), user.parse().unwrap()).backoff(backoff)
}

async fn open(service: &Service, user: &str) -> (Client, Events) {
    connect(config(&service.url(), user)).await.unwrap()
}

async fn open_through(network: &Network, user: &str) -> (Client, Events) {
    connect(config(&network.url(), user)).await.unwrap()
}

/// Takes updates until one fits, and returns what was found in it.
async fn find<T>(events: &mut Events, mut fits: impl FnMut(Update) -> Option<T>) -> T {
    soon(async {
        loop {
            let update = events.next().await.expect("the client should not have ended");
            if let Some(found) = fits(update) {
                return found;
            }
        }
    })
    .await
}

/// Takes updates until the connection is lost.
async fn until_reconnecting(events: &mut Events) {
    let reconnecting =
        |update| matches!(update, Update::Connection(ConnectionState::Reconnecting { .. })).then_some(());
    find(events, reconnecting).await;
}

async fn next_event(events: &mut Events) -> Event {
    find(events, |update| if let Update::Event(event) = update { Some(event) } else { None }).await
}

fn text(event: &Event) -> &str {
    match &event.body {
        Body::Posted { text, .. } => text,
        other => panic!("{other:?}"),
    }
}

/// Returns the texts of the next `count` messages.
async fn texts(events: &mut Events, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        texts.push(text(&next_event(events).await).to_owned());
    }
    texts
}
