//! A client of the chat, for programs.
//!
//! [`connect`] starts a client and returns a [`Client`], the handle to it, and [`Events`], what it reports:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use grpc_chat_client::{Body, Config, Start, Update, connect};
//!
//! let config = Config::new("http://127.0.0.1:9090".parse()?, "sam".parse()?);
//! let (client, mut events) = connect(config).await?;
//! client.join("general", Start::Last(20)).await?;
//! let ack = client.send("general", "Hi").await?;
//! println!("stored as message {}", ack.seq);
//! while let Some(update) = events.next().await {
//!     if let Update::Event(event) = update
//!         && let Body::Posted { text, .. } = event.body
//!     {
//!         println!("{}: {text}", event.sender);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Reconnecting is automatic. However often the connection breaks, each event is delivered once and in order, and each draft
//! is stored once.
//!
//! [`example`] has something smaller: one bidirectional call, which sends what a stream yields while each reply goes to the
//! caller.
//!
//! # Features
//!
//! - `state`: [`Config::state_file`](Config::state_file()), which keeps unsent drafts on disk. It compiles SQLite.
//! - `cli` (on by default): the command `grpc_chat_client`, and `state`.

mod backoff;
mod client;
mod config;
mod diagnosis;
mod engine;
mod error;
pub mod example;
mod mailbox;
mod model;
mod reply;
mod sanitize;
mod server;
#[cfg(feature = "state")]
mod state;
#[cfg(not(feature = "state"))]
#[path = "state/absent.rs"]
mod state;
mod task;
mod wire;

pub use backoff::Backoff;
pub use client::{Client, Sending, connect};
pub use config::{Config, Program, Token, TokenSource};
pub use error::{JoinError, OpenError, ParseError, Refused, SaveError, SendError, StateError, TlsError};
pub use mailbox::{Events, MailboxLimits};
pub use model::{
    Ack, Body, Change, ConnectionState, Cursor, DeviceId, Draft, Durability, Event, IntoRoomId, Joined, MsgId, Page,
    PageAt, ResetReason, Room, RoomId, Seq, Start, Target, Update, UserId, Verdict,
};
pub use sanitize::sanitize;
pub use server::{ServerUrl, Tls, TlsIdentity};
pub use tonic::Code;
