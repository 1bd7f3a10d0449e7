//! The messages, and a client and a server trait for every service, of the contracts in `proto/`.
//!
//! Everything under `generated/` is written by `cargo xtask gen`. This file exports it.

#[rustfmt::skip]
#[allow(clippy::all, clippy::unwrap_used, missing_docs, unreachable_pub, reason = "generated code")]
#[allow(non_camel_case_types, reason = "the contract spells the method `chat`, so its stream is `chatStream`")]
#[path = "generated/grpc_bidirectional_streaming.rs"]
mod example;

#[rustfmt::skip]
#[allow(clippy::all, clippy::unwrap_used, missing_docs, unreachable_pub, reason = "generated code")]
#[path = "generated/chat.v1.rs"]
mod chat_v1;

/// The chat's contract, by package.
pub mod chat {
    /// Rooms with a durable, resumable history, on one bidirectional stream.
    pub mod v1 {
        pub use crate::chat_v1::*;
    }
}

pub use example::{ChatMessage, chat_client, chat_server};

/// Every file of `proto/`, with what it imports, as an encoded `google.protobuf.FileDescriptorSet`.
/// Server reflection serves it, so that tools can call the services without the `.proto` files.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/file_descriptor_set.binpb");
