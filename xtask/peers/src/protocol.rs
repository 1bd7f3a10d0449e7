//! The client's side of each protocol, written for one purpose: to be so cheap that a server is what is measured. The
//! messages are made in advance, and nothing that arrives is decoded beyond what tells where a message begins, where it
//! ends, and which one it is.

pub(crate) mod http2;
pub(crate) mod nats;
pub(crate) mod number;
#[cfg(test)]
pub(crate) mod pieces;
pub(crate) mod redis;
pub(crate) mod session;

use std::io;

use number::Number;

/// What a client of a room does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Publisher,
    Receiver,
}

/// Something that a server has sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival<'a> {
    /// From here on the client can publish, or is sent what is published.
    Ready,
    /// The next message of the publisher has been accepted.
    Receipt,
    /// A message that somebody has published; it ends with its text.
    Message(&'a [u8]),
}

/// The client's side of a connection to a server that distributes messages, without its socket.
pub(crate) trait PubSub: Sized {
    /// Whether a publisher is sent a receipt for every message.
    const RECEIPTS: bool;

    /// Opens a connection for a client of one room. What is to be sent is added to `out`, here and below.
    fn connect(role: Role, room: &str, user: &str, out: &mut Vec<u8>) -> Self;

    /// Publishes the message with this number. Returns false, and does nothing, if flow control does not allow it yet.
    fn publish(&mut self, number: Number, out: &mut Vec<u8>) -> bool;

    /// Uses bytes from the server and calls `on_arrival` with what they contain. Returns how many bytes were used; the
    /// others have to be passed again, with more after them.
    fn receive(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        on_arrival: impl FnMut(Arrival<'_>) -> io::Result<()>,
    ) -> io::Result<usize>;
}
