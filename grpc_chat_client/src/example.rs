//! The gRPC bidirectional-streaming example, `Chat/chat`: a stream of messages out, a stream of lines back.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use grpc_chat_client::{Tls, example};
//!
//! let service = example::connect(&"http://127.0.0.1:9090".parse()?, &Tls::default()).await?;
//! let outgoing = tokio_stream::iter(example::messages());
//! example::converse(service, outgoing, |reply| Ok(println!("{reply}"))).await?;
//! # Ok(())
//! # }
//! ```

mod connect;
mod conversation;
mod lines;
mod messages;

pub use connect::{ConnectError, connect};
pub use conversation::{ConversationError, converse};
pub use lines::{Lines, MAX_LINE_BYTES, lines};
pub use messages::{CONVERSATION, messages};
pub use stubs::ChatMessage;
