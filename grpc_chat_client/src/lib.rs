//! A client of the chat, for programs.
//!
//! [`connect`] starts a client and answers a [`Client`], the handle to it, and [`Events`], what it tells:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use grpc_chat_client::{Config, Start, Update, connect};
//!
//! let (client, mut events) = connect(Config::new("http://127.0.0.1:9090".parse()?, "sam")).await?;
//! client.join("general", Start::Last(20)).await?;
//! let ack = client.send("general", "Hi").await?;
//! println!("stored at {}", ack.seq);
//! while let Some(update) = events.next().await {
//!     if let Update::Event(event) = update {
//!         println!("{} at {}", event.sender, event.seq);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The connection may break as often as it likes: every event comes once and in order, and every draft is stored once.
//! What an application has to do about networks is nothing.
//!
//! [`converse`] is the smaller thing: one bidirectional call of the example's service, which sends what a stream yields
//! while it hands each reply to the caller, in whatever order the two come.

mod backoff;
mod client;
mod config;
mod connection;
mod conversation;
mod convert;
mod engine;
pub mod example;
mod line;
mod mailbox;
mod model;
mod outbox;
pub mod pipe;
mod sanitize;
mod state;
mod task;

pub use backoff::Backoff;
pub use client::{Client, JoinError, OpenError, SendError, Sending, connect};
pub use config::{Config, Token, TokenSource};
pub use connection::{ConnectError, ServerUrl, Tls, TlsError, connect_once};
pub use conversation::{Ended, converse};
pub use mailbox::{Events, Waiting};
pub use model::{
    Ack, Body, Change, Connection, Cursor, Draft, Durability, Event, Invalid, Joined, MsgId, Page, Place, Refused,
    ResetReason, Room, Seq, Start, Update, Verdict, check_room, check_user,
};
pub use sanitize::sanitize;
pub use state::{NotKept, StateError};
pub use stubs::ChatMessage;
pub use tonic::Code;
