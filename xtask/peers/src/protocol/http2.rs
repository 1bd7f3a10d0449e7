//! As much of HTTP/2 (RFC 9113) and gRPC as it takes to call a service and to receive its messages. Payloads of DATA
//! frames are used as they arrive, in pieces of any length. What a server does not send in a benchmark is an error.

use std::io;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

/// Flags.
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

const INITIAL_WINDOW_SIZE: u16 = 4;
const FRAME_HEAD: usize = 9;

/// What precedes a gRPC message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The server's flow-control window for one call, in bytes. Its window for the connection is four times as large.
const WINDOW: u32 = 1 << 20;

/// The client's flow-control window before the server says otherwise, in bytes.
const DEFAULT_WINDOW: i64 = 65_535;

/// The client's side of a connection, without its socket.
pub(crate) struct Http2 {
    calls: Vec<Call>,
    /// The call that a DATA frame belongs to, and how many bytes of the frame have not arrived.
    data: Option<(usize, usize)>,
    /// Bytes received since the connection's last WINDOW_UPDATE.
    received: u32,
    /// The client's window for the connection, and for a call when it is opened.
    window: i64,
    initial_window: i64,
}

struct Call {
    /// A message of which not everything has arrived, with its prefix.
    message: Vec<u8>,
    /// Bytes received since the call's last WINDOW_UPDATE.
    received: u32,
    /// The client's window.
    window: i64,
}

impl Http2 {
    /// Opens a connection. What is to be sent is added to `out`, here and below.
    pub(crate) fn connect(out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let [a, b, c, d] = WINDOW.to_be_bytes();
        let [high, low] = INITIAL_WINDOW_SIZE.to_be_bytes();
        frame(out, SETTINGS, 0, 0, &[high, low, a, b, c, d]);
        frame(out, WINDOW_UPDATE, 0, 0, &(4 * WINDOW).to_be_bytes());
        Self { calls: Vec::new(), data: None, received: 0, window: DEFAULT_WINDOW, initial_window: DEFAULT_WINDOW }
    }

    /// Opens a call and returns its index. `path` is shorter than 128 bytes.
    pub(crate) fn open(&mut self, path: &str, out: &mut Vec<u8>) -> usize {
        // Literals without indexing and without Huffman codes (RFC 7541, section 6.2.2). Names and values that HPACK's
        // static table has are indices: 3 is `:method: POST`, 6 is `:scheme: http`, 4 `:path`, 1 `:authority`, 31
        // `content-type`.
        let mut headers = vec![0x80 | 3, 0x80 | 6, 4, path.len() as u8];
        headers.extend_from_slice(path.as_bytes());
        headers.extend_from_slice(b"\x01\x09localhost\x0f\x10\x10application/grpc\x00\x02te\x08trailers");
        let call = self.calls.len();
        frame(out, HEADERS, END_HEADERS, stream(call), &headers);
        self.calls.push(Call { message: Vec::new(), received: 0, window: self.initial_window });
        call
    }

    /// Returns whether flow control allows a message of so many bytes, prefix included.
    pub(crate) fn may_send(&self, call: usize, bytes: usize) -> bool {
        self.window.min(self.calls[call].window) >= bytes as i64
    }

    /// Sends a message, which has its prefix, in a DATA frame of its own.
    pub(crate) fn send(&mut self, call: usize, message: &[u8], out: &mut Vec<u8>) {
        self.window -= message.len() as i64;
        self.calls[call].window -= message.len() as i64;
        frame(out, DATA, 0, stream(call), message);
    }

    /// Uses bytes from the server and calls `on_message` with every message that is complete, without its prefix, and its
    /// call. Returns how many bytes were used; the others have to be passed again, with more after them.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        mut on_message: impl FnMut(usize, &[u8]) -> io::Result<()>,
    ) -> io::Result<usize> {
        let mut rest = bytes;
        loop {
            if let Some((call, missing)) = self.data {
                let (data, after) = rest.split_at(missing.min(rest.len()));
                rest = after;
                self.receive_data(call, data, out, &mut on_message)?;
                self.data = (data.len() < missing).then_some((call, missing - data.len()));
                if self.data.is_some() {
                    break;
                }
            }
            let Some((&[a, b, c, frame_type, flags, d, e, f, g], after)) = rest.split_first_chunk::<FRAME_HEAD>()
            else {
                break;
            };
            let (length, stream) = (u32::from_be_bytes([0, a, b, c]) as usize, u32::from_be_bytes([d, e, f, g]));
            if frame_type == DATA && flags & (PADDED | END_STREAM) == 0 {
                self.data = Some((self.call(stream)?, length));
                rest = after;
            } else if let Some((payload, after)) = after.split_at_checked(length) {
                self.receive_control(frame_type, flags, stream, payload, out)?;
                rest = after;
            } else {
                break;
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// Uses a part of a DATA frame.
    fn receive_data(
        &mut self,
        call: usize,
        mut data: &[u8],
        out: &mut Vec<u8>,
        on_message: &mut impl FnMut(usize, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.received += data.len() as u32;
        give_back(&mut self.received, 4 * WINDOW, 0, out);
        let state = &mut self.calls[call];
        state.received += data.len() as u32;
        give_back(&mut state.received, WINDOW, stream(call), out);
        while !data.is_empty() {
            // Most messages are in one piece, and are not copied.
            if state.message.is_empty()
                && let Some(length) = message_length(data)?
                && let Some((message, after)) = data.split_at_checked(length)
            {
                on_message(call, &message[PREFIX..])?;
                data = after;
                continue;
            }
            let wanted = message_length(&state.message)?.unwrap_or(PREFIX) - state.message.len();
            let (piece, after) = data.split_at(wanted.min(data.len()));
            state.message.extend_from_slice(piece);
            data = after;
            if message_length(&state.message)? == Some(state.message.len()) {
                on_message(call, &state.message[PREFIX..])?;
                state.message.clear();
            }
        }
        Ok(())
    }

    fn receive_control(
        &mut self,
        frame_type: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        match frame_type {
            SETTINGS if flags & ACK == 0 => {
                for setting in payload.chunks_exact(6) {
                    if let &[high, low, a, b, c, d] = setting
                        && u16::from_be_bytes([high, low]) == INITIAL_WINDOW_SIZE
                    {
                        let window = i64::from(u32::from_be_bytes([a, b, c, d]));
                        self.calls.iter_mut().for_each(|call| call.window += window - self.initial_window);
                        self.initial_window = window;
                    }
                }
                frame(out, SETTINGS, ACK, 0, &[]);
            }
            WINDOW_UPDATE => {
                let &[a, b, c, d] = payload else { return Err(unexpected(frame_type, flags, stream)) };
                let increment = i64::from(u32::from_be_bytes([a, b, c, d]));
                if stream == 0 {
                    self.window += increment;
                } else {
                    let call = self.call(stream)?;
                    self.calls[call].window += increment;
                }
            }
            PING if flags & ACK == 0 => frame(out, PING, ACK, 0, payload),
            SETTINGS | PING => {}
            // The response has begun. With END_STREAM it has ended, too: nothing ends a call in a benchmark but a failure.
            HEADERS if flags & END_STREAM == 0 => {}
            _ => return Err(unexpected(frame_type, flags, stream)),
        }
        Ok(())
    }

    /// Returns the index of a stream's call.
    fn call(&self, stream: u32) -> io::Result<usize> {
        let call = (stream as usize).wrapping_sub(1) / 2;
        if stream % 2 == 1 && call < self.calls.len() {
            Ok(call)
        } else {
            Err(io::Error::other(format!("the server sent a frame of stream {stream}, which does not exist")))
        }
    }
}

/// Puts gRPC's prefix, for an uncompressed message, in front of an encoded message.
pub fn prefixed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

/// Returns the length of the message that begins like this, with its prefix; `None` until the prefix is complete.
fn message_length(start: &[u8]) -> io::Result<Option<usize>> {
    match start.first_chunk::<PREFIX>() {
        None => Ok(None),
        Some(&[0, a, b, c, d]) => Ok(Some(PREFIX + u32::from_be_bytes([a, b, c, d]) as usize)),
        Some(_) => Err(io::Error::other("the server sent a compressed message")),
    }
}

/// Sends a WINDOW_UPDATE if half of a window has been used.
fn give_back(received: &mut u32, window: u32, stream: u32, out: &mut Vec<u8>) {
    if *received >= window / 2 {
        frame(out, WINDOW_UPDATE, 0, stream, &received.to_be_bytes());
        *received = 0;
    }
}

/// Returns the identifier of a call's stream.
fn stream(call: usize) -> u32 {
    call as u32 * 2 + 1
}

/// Adds a frame to what is to be sent.
pub fn frame(out: &mut Vec<u8>, frame_type: u8, flags: u8, stream: u32, payload: &[u8]) {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    out.extend_from_slice(&[a, b, c, frame_type, flags, d, e, f, g]);
    out.extend_from_slice(payload);
}

#[cold]
fn unexpected(frame_type: u8, flags: u8, stream: u32) -> io::Error {
    io::Error::other(format!(
        "the server sent a frame of type {frame_type} with flags {flags:#x} on stream {stream}: it has ended the call or \
         the connection"
    ))
}

#[cfg(test)]
mod tests;
