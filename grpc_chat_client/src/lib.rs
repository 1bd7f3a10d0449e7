//! A client of the chat.
//!
//! [`connect`] reaches a service, [`converse`] holds one bidirectional call: it sends what a stream yields
//! while it hands each reply to the caller, in whatever order the two come.

mod connection;
mod conversation;
pub mod example;
pub mod pipe;
pub mod screen;

pub use connection::{ConnectError, ServerUrl, connect};
pub use conversation::{Ended, converse};
pub use stubs::ChatMessage;
