//! As much of HTTP/2 (RFC 9113) and gRPC as it takes to call a service and to count its replies. Written by hand,
//! because a complete client uses more CPU than the server does.

use std::io;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const FRAME_HEADER_BYTES: usize = 9;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// The server's flow-control window for one call, in bytes. Its window for the connection is four times as large.
const WINDOW: usize = 1 << 20;

/// No message that a benchmark sends is longer, in bytes.
const MAX_MESSAGE_BYTES: i64 = 512;

/// The client's side of a connection, without its socket.
pub(crate) struct Http2 {
    /// Bytes to be written to the socket.
    pub(crate) unsent: Vec<u8>,
    /// A buffer whose first `read` bytes have been read from the socket and not been decoded.
    undecoded: Vec<u8>,
    read: usize,
    calls: Vec<Call>,
    /// The client's window for the connection, and its initial window for a call.
    window: i64,
    initial_window: i64,
}

struct Call {
    /// Bytes received since the last WINDOW_UPDATE for them.
    received: usize,
    /// The client's window.
    window: i64,
}

impl Http2 {
    pub(crate) fn new() -> Self {
        let mut unsent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let settings = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &(WINDOW as u32).to_be_bytes()].concat();
        frame(&mut unsent, SETTINGS, 0, 0, &settings);
        frame(&mut unsent, WINDOW_UPDATE, 0, 0, &(4 * WINDOW as u32).to_be_bytes());
        Self { unsent, undecoded: Vec::new(), read: 0, calls: Vec::new(), window: 65_535, initial_window: 65_535 }
    }

    /// Opens the next call.
    pub(crate) fn call(&mut self, path: &str) {
        // Names are indices into HPACK's static table where they have one (RFC 7541).
        let mut headers = b"\x83\x86\x04".to_vec();
        headers.push(path.len() as u8);
        headers.extend(path.as_bytes());
        headers.extend(b"\x01\x09localhost\x0f\x10\x10application/grpc\x00\x02te\x08trailers");
        frame(&mut self.unsent, HEADERS, END_HEADERS, stream(self.calls.len()), &headers);
        self.calls.push(Call { received: 0, window: self.initial_window });
    }

    /// Returns whether flow control allows another message on every call.
    pub(crate) fn may_send(&self) -> bool {
        self.window >= MAX_MESSAGE_BYTES && self.calls.iter().all(|call| call.window >= MAX_MESSAGE_BYTES)
    }

    /// Sends a message on the nth call, in a frame of its own.
    pub(crate) fn send(&mut self, call: usize, message: &[u8]) {
        self.window -= message.len() as i64;
        self.calls[call].window -= message.len() as i64;
        frame(&mut self.unsent, DATA, 0, stream(call), message);
    }

    /// Returns the buffer for the next read from the socket.
    pub(crate) fn read_buffer(&mut self) -> &mut [u8] {
        self.undecoded.resize(self.read + 64 * 1024, 0);
        &mut self.undecoded[self.read..]
    }

    /// Handles bytes that have been read into the buffer. Calls `on_data` with the call and the data of each DATA frame.
    pub(crate) fn received(&mut self, bytes: usize, mut on_data: impl FnMut(usize, &[u8])) -> io::Result<()> {
        if bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read += bytes;
        let mut rest = &self.undecoded[..self.read];
        while let Some((&[a, b, c, frame_type, flags, d, e, f, g], after)) =
            rest.split_first_chunk::<FRAME_HEADER_BYTES>()
        {
            let Some((payload, after)) = after.split_at_checked(u32::from_be_bytes([0, a, b, c]) as usize) else {
                break;
            };
            rest = after;
            let stream = u32::from_be_bytes([d, e, f, g]);
            let call = (stream as usize).wrapping_sub(1) / 2;
            match (frame_type, payload) {
                (DATA, data) => {
                    on_data(call, data);
                    let call = &mut self.calls[call];
                    call.received += data.len();
                    if call.received >= WINDOW / 2 {
                        let consumed = (call.received as u32).to_be_bytes();
                        call.received = 0;
                        frame(&mut self.unsent, WINDOW_UPDATE, 0, stream, &consumed);
                        frame(&mut self.unsent, WINDOW_UPDATE, 0, 0, &consumed);
                    }
                }
                (SETTINGS, settings) if flags & ACK == 0 => {
                    for setting in settings.chunks_exact(6) {
                        if let Some((&name, value)) = setting.split_first_chunk()
                            && u16::from_be_bytes(name) == INITIAL_WINDOW_SIZE
                        {
                            let before = self.initial_window;
                            self.initial_window = number(value);
                            self.calls.iter_mut().for_each(|call| call.window += self.initial_window - before);
                        }
                    }
                    frame(&mut self.unsent, SETTINGS, ACK, 0, &[]);
                }
                (WINDOW_UPDATE, increment) if stream == 0 => self.window += number(increment),
                (WINDOW_UPDATE, increment) => self.calls[call].window += number(increment),
                (PING, payload) if flags & ACK == 0 => frame(&mut self.unsent, PING, ACK, 0, payload),
                (SETTINGS | PING | HEADERS, _) => {}
                _ => return Err(io::Error::other(format!("the server sent a frame of type {frame_type}"))),
            }
        }
        let (decoded, left) = (self.read - rest.len(), rest.len());
        self.undecoded.copy_within(decoded..self.read, 0);
        self.read = left;
        Ok(())
    }
}

/// Decodes a big-endian number.
fn number(bytes: &[u8]) -> i64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | i64::from(byte))
}

/// Returns the identifier of the nth call's stream.
fn stream(call: usize) -> u32 {
    call as u32 * 2 + 1
}

fn frame(to: &mut Vec<u8>, frame_type: u8, flags: u8, stream: u32, payload: &[u8]) {
    to.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    to.extend_from_slice(&[frame_type, flags]);
    to.extend_from_slice(&stream.to_be_bytes());
    to.extend_from_slice(payload);
}

/// Puts gRPC's prefix, for an uncompressed message, in front of an encoded message.
pub(crate) fn length_prefixed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat()
}
