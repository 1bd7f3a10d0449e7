//! A client that chooses every byte: TCP without an HTTP/2 library.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::with_timeout;

/// What an HTTP/2 client sends first (RFC 9113, section 3.4), without the SETTINGS frame that follows.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The types of HTTP/2 frames that the tests write or look for (RFC 9113, section 6).
pub(crate) mod frame_type {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
}

/// A TCP connection.
pub(crate) struct TcpClient {
    socket: TcpStream,
}

/// An HTTP/2 frame.
#[derive(Debug)]
pub(crate) struct Http2Frame {
    pub(crate) frame_type: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl TcpClient {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self { socket: with_timeout(TcpStream::connect(addr)).await.unwrap() }
    }

    /// Connects from the IP address `from`.
    pub(crate) async fn connect_from(from: [u8; 4], addr: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        Self { socket: with_timeout(socket.connect(addr)).await.unwrap() }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).await.unwrap();
    }

    /// Writes to a connection that the peer may have closed.
    pub(crate) async fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        with_timeout(self.socket.write_all(bytes)).await
    }

    /// Reads until the peer closes or resets the connection.
    pub(crate) async fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let _ = with_timeout(self.socket.read_to_end(&mut all)).await;
        all
    }

    /// Returns the next frame, or `None` if the peer has closed the connection.
    pub(crate) async fn next_frame(&mut self) -> Option<Http2Frame> {
        let mut head = [0; 9];
        with_timeout(self.socket.read_exact(&mut head)).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        with_timeout(self.socket.read_exact(&mut payload)).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Http2Frame { frame_type: head[3], flags: head[4], stream, payload })
    }
}

/// Encodes an HTTP/2 frame.
pub(crate) fn http2_frame(frame_type: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([frame_type, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Encodes what a client sends to open an HTTP/2 connection: the preface and its settings.
pub(crate) fn http2_opening() -> Vec<u8> {
    [PREFACE, &http2_frame(frame_type::SETTINGS, 0, 0, &[])].concat()
}

/// Encodes a HEADERS frame that opens a call of the example: literal header fields without Huffman coding (RFC 7541,
/// section 6.2.2).
pub(crate) fn example_headers(stream: u32) -> Vec<u8> {
    call_headers(stream, "/Chat/chat", &[])
}

/// Does what [`example_headers`] does, for any method and with further metadata.
pub(crate) fn call_headers(stream: u32, path: &str, metadata: &[(&str, &str)]) -> Vec<u8> {
    const END_HEADERS: u8 = 4;
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ];
    let mut block = Vec::new();
    for (name, value) in usual.iter().chain(metadata) {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    http2_frame(frame_type::HEADERS, END_HEADERS, stream, &block)
}
