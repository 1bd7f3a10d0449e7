//! A chat service on one bidirectional gRPC stream.
//!
//! A message travels through the modules like this:
//!
//! ```text
//!   frames from a client                                        frames to every reader
//!        |                                                              ^
//!   listener -> connection       accepts; one task per connection   connection
//!        |                                                              ^
//!      grpc                      the only layer that knows gRPC        grpc
//!        |                                                              ^
//!     session                    one client's stream, as a           session
//!        |                       pure protocol and its outbox           ^
//!     access                     permits: who may do what               |
//!        |                                                              |
//!     history  ----------------- stored, then published ----------->  rooms
//! ```
//!
//! The example skips all of that: `grpc/example.rs` maps the caller's stream.
//!
//! [`server::bind`] puts the parts together and is the only place that does. A good order to read them in is
//! `grpc/example.rs`, [`server`], `session/protocol.rs`, `rooms/tail.rs`, [`history`], `connection.rs`, `limits.rs`.

pub mod address;
pub mod cluster;
pub mod config;
pub mod history;
pub mod limits;
pub mod metrics;
pub mod model;
pub mod rates;
pub mod server;
pub mod units;

mod access;
mod admin;
mod budgets;
mod connection;
mod counts;
mod drain;
mod grpc;
mod listener;
mod pace;
mod pages;
mod peers;
mod posting;
mod refusal;
mod rooms;
mod rotation;
mod session;
mod turns;

pub use limits::Limits;
