//! As much of HTTP/2 (RFC 9113) and gRPC as it takes to call a service and to count its answers. Written by hand,
//! because a real client takes more CPU than the server does.

use std::io;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const FRAME_HEAD: usize = 9;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// How far the server may send ahead on one call; a quarter of what it may on the connection.
const WINDOW: usize = 1 << 20;

/// Nothing that is sent here is longer in one piece.
const LARGEST: i64 = 512;

/// A client's side of a connection, without its socket.
pub(crate) struct Http2 {
    /// To be written.
    pub(crate) unsent: Vec<u8>,
    /// Read and not yet understood, as far as `read`.
    unread: Vec<u8>,
    read: usize,
    calls: Vec<Call>,
    /// What may be sent on the connection, and at first on a call.
    window: i64,
    first_window: i64,
}

struct Call {
    /// Bytes heard since the server was last told that they are.
    heard: usize,
    /// What may be sent.
    window: i64,
}

impl Http2 {
    pub(crate) fn new() -> Self {
        let mut unsent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let settings = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &(WINDOW as u32).to_be_bytes()].concat();
        frame(&mut unsent, SETTINGS, 0, 0, &settings);
        frame(&mut unsent, WINDOW_UPDATE, 0, 0, &(4 * WINDOW as u32).to_be_bytes());
        Self { unsent, unread: Vec::new(), read: 0, calls: Vec::new(), window: 65_535, first_window: 65_535 }
    }

    /// Opens the next call.
    pub(crate) fn call(&mut self, path: &str) {
        // Names are indices into HPACK's static table where they have one (RFC 7541).
        let mut headers = b"\x83\x86\x04".to_vec();
        headers.push(path.len() as u8);
        headers.extend(path.as_bytes());
        headers.extend(b"\x01\x09localhost\x0f\x10\x10application/grpc\x00\x02te\x08trailers");
        frame(&mut self.unsent, HEADERS, END_HEADERS, stream(self.calls.len()), &headers);
        self.calls.push(Call { heard: 0, window: self.first_window });
    }

    /// Whether the server takes another message on every call.
    pub(crate) fn may_send(&self) -> bool {
        self.window >= LARGEST && self.calls.iter().all(|call| call.window >= LARGEST)
    }

    /// A message on the nth call, in a frame of its own.
    pub(crate) fn send(&mut self, call: usize, message: &[u8]) {
        self.window -= message.len() as i64;
        self.calls[call].window -= message.len() as i64;
        frame(&mut self.unsent, DATA, 0, stream(call), message);
    }

    /// Where to read to.
    pub(crate) fn read_into(&mut self) -> &mut [u8] {
        self.unread.resize(self.read + 64 * 1024, 0);
        &mut self.unread[self.read..]
    }

    /// So many bytes have been read. Tells `heard` what has come on which call.
    pub(crate) fn received(&mut self, new: usize, mut heard: impl FnMut(usize, &[u8])) -> io::Result<()> {
        if new == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read += new;
        let mut rest = &self.unread[..self.read];
        while let Some((&[a, b, c, kind, flags, d, e, f, g], after)) = rest.split_first_chunk::<FRAME_HEAD>() {
            let Some((payload, after)) = after.split_at_checked(u32::from_be_bytes([0, a, b, c]) as usize) else {
                break;
            };
            rest = after;
            let stream = u32::from_be_bytes([d, e, f, g]);
            let nth = (stream as usize).wrapping_sub(1) / 2;
            match (kind, payload) {
                (DATA, data) => {
                    heard(nth, data);
                    let call = &mut self.calls[nth];
                    call.heard += data.len();
                    if call.heard >= WINDOW / 2 {
                        let consumed = (call.heard as u32).to_be_bytes();
                        call.heard = 0;
                        frame(&mut self.unsent, WINDOW_UPDATE, 0, stream, &consumed);
                        frame(&mut self.unsent, WINDOW_UPDATE, 0, 0, &consumed);
                    }
                }
                (SETTINGS, settings) if flags & ACK == 0 => {
                    for setting in settings.chunks_exact(6) {
                        if let Some((&name, value)) = setting.split_first_chunk()
                            && u16::from_be_bytes(name) == INITIAL_WINDOW_SIZE
                        {
                            let before = self.first_window;
                            self.first_window = number(value);
                            self.calls.iter_mut().for_each(|call| call.window += self.first_window - before);
                        }
                    }
                    frame(&mut self.unsent, SETTINGS, ACK, 0, &[]);
                }
                (WINDOW_UPDATE, more) if stream == 0 => self.window += number(more),
                (WINDOW_UPDATE, more) => self.calls[nth].window += number(more),
                (PING, payload) if flags & ACK == 0 => frame(&mut self.unsent, PING, ACK, 0, payload),
                (SETTINGS | PING | HEADERS, _) => {}
                _ => return Err(io::Error::other(format!("the server sent a frame of type {kind}"))),
            }
        }
        let (understood, left) = (self.read - rest.len(), rest.len());
        self.unread.copy_within(understood..self.read, 0);
        self.read = left;
        Ok(())
    }
}

fn number(bytes: &[u8]) -> i64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | i64::from(byte))
}

/// The identifier of a connection's nth call.
fn stream(call: usize) -> u32 {
    call as u32 * 2 + 1
}

fn frame(to: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    to.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    to.extend_from_slice(&[kind, flags]);
    to.extend_from_slice(&stream.to_be_bytes());
    to.extend_from_slice(payload);
}

/// A message with gRPC's head: not compressed, and its length.
pub(crate) fn grpc(message: &[u8]) -> Vec<u8> {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat()
}
