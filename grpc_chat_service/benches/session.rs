//! The client's side of a session that counts the frames it receives instead of decoding them.

use std::io;
use std::net::SocketAddr;

use prost::Message;
use stubs::chat::v1 as pb;
use stubs::chat::v1::client_frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http2::{self, Http2};

const PATH: &str = "/chat.v1.ChatService/Session";

/// One session, on a connection of its own.
pub(crate) struct Session {
    socket: TcpStream,
    http2: Http2,
    last_id: u64,
    /// A frame longer than this is an event, in bytes.
    text: usize,
    /// The prefix of the message that is being received, as far as it has been.
    prefix: [u8; 5],
    prefix_read: usize,
    /// Bytes of that message that have not been received.
    rest: usize,
}

/// Frames that have been received.
#[derive(Default)]
pub(crate) struct Received {
    pub(crate) events: u64,
    /// Other frames, except for Ping.
    pub(crate) others: u64,
}

impl Session {
    /// Connects and prepares Hello. Every message has a text of `text` bytes.
    pub(crate) async fn connect(address: SocketAddr, user: &str, text: usize) -> io::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let mut http2 = Http2::new();
        http2.call(PATH);
        let mut session = Self { socket, http2, last_id: 0, text, prefix: [0; 5], prefix_read: 0, rest: 0 };
        session.send(client_frame::Body::Hello(pb::Hello { user: user.to_owned(), ..pb::Hello::default() }));
        Ok(session)
    }

    /// Returns whether flow control allows another frame.
    pub(crate) fn may_send(&self) -> bool {
        self.http2.may_send()
    }

    /// Prepares a frame for the next flush.
    pub(crate) fn send(&mut self, body: client_frame::Body) {
        self.last_id += 1;
        self.send_with_id(self.last_id, body);
    }

    fn send_with_id(&mut self, id: u64, body: client_frame::Body) {
        let frame = pb::ClientFrame { id, body: Some(body) };
        self.http2.send(0, &http2::length_prefixed(&frame.encode_to_vec()));
    }

    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if !self.http2.unsent.is_empty() {
            self.socket.write_all(&self.http2.unsent).await?;
            self.http2.unsent.clear();
        }
        Ok(())
    }

    /// Waits until something arrives, and prepares a Pong for each Ping. Cancelling it loses nothing.
    pub(crate) async fn receive(&mut self) -> io::Result<Received> {
        let bytes = self.socket.read(self.http2.read_buffer()).await?;
        let mut received = Received::default();
        let mut pings = 0;
        let (prefix, prefix_read, rest) = (&mut self.prefix, &mut self.prefix_read, &mut self.rest);
        self.http2.received(bytes, |_, mut data| {
            while !data.is_empty() {
                let skipped = data.len().min(*rest);
                *rest -= skipped;
                data = &data[skipped..];
                let more = data.len().min(prefix.len() - *prefix_read);
                prefix[*prefix_read..*prefix_read + more].copy_from_slice(&data[..more]);
                *prefix_read += more;
                data = &data[more..];
                if *prefix_read == prefix.len() {
                    *prefix_read = 0;
                    let [_, a, b, c, d] = *prefix;
                    *rest = u32::from_be_bytes([a, b, c, d]) as usize;
                    match *rest {
                        // Only a Ping has two bytes.
                        2 => pings += 1,
                        length if length > self.text => received.events += 1,
                        _ => received.others += 1,
                    }
                }
            }
        })?;
        for _ in 0..pings {
            self.send_with_id(0, client_frame::Body::Pong(pb::Pong {}));
        }
        Ok(received)
    }
}
