//! A chat service on one bidirectional gRPC stream.
//!
//! ```text
//!   caller's frames                                     "name: message"
//!        |                                                    ^
//!    listener ---> connection ---> grpc (routes) ---> grpc/example
//!    permits,      one task        the edge: only     maps the stream,
//!    preface       a connection    here is tonic      no task, no channel
//! ```
//!
//! [`server::bind`] puts the parts together and is the only place that does; the modules below stand in
//! reading order.

pub mod config;
pub mod history;
pub mod model;
pub mod server;

mod connection;
mod drain;
mod grpc;
mod limits;
mod listener;
mod room;
mod rooms;
mod session;

pub use limits::Limits;
