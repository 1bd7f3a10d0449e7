//! An attacker's connection: blocking writes, and a thread that reads as fast, or as slowly, as the attack wants.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::frames::{
    self, DEFAULT_WINDOW, HEAD, INITIAL_WINDOW_SIZE, LARGEST_WINDOW, PREFACE, flag, frame, frame_type,
};
use crate::progress;

/// How much is collected before it is written.
const BATCH: usize = 64 * 1024;

/// How long an attacker waits at once for a window or for the end of a call.
const WAIT: Duration = Duration::from_millis(50);

/// The stack of a thread that reads: there may be hundreds.
const READER_STACK: usize = 128 * 1024;

/// How the peer's bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As fast as they come.
    Fast,
    /// At most so many bytes each tenth of a second.
    Slow(usize),
    /// Not at all.
    Never,
}

/// A connection that speaks HTTP/2.
pub(crate) struct Link {
    socket: TcpStream,
    peer: Arc<Peer>,
    out: Vec<u8>,
    next_stream: u32,
}

/// What the reading thread knows of the peer.
#[derive(Default)]
struct Peer {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    is_closed: bool,
    /// Windows for what is sent.
    connection: i64,
    initial: i64,
    /// Open calls, and the windows of their requests.
    calls: HashMap<u32, i64>,
    /// Acknowledgements to be written with the next flush.
    replies: Vec<u8>,
}

impl Default for State {
    fn default() -> Self {
        let window = i64::from(DEFAULT_WINDOW);
        Self { is_closed: false, connection: window, initial: window, calls: HashMap::new(), replies: Vec::new() }
    }
}

impl Link {
    /// Connects with the largest windows for responses.
    pub(crate) fn open(address: SocketAddr, reading: Reading) -> io::Result<Self> {
        Self::open_with_window(address, reading, LARGEST_WINDOW)
    }

    /// Connects with this window for each response.
    pub(crate) fn open_with_window(address: SocketAddr, reading: Reading, window: u32) -> io::Result<Self> {
        let mut link = Self::silent(address, reading)?;
        link.open_http2(window)?;
        Ok(link)
    }

    /// Uses a connected socket, with the largest windows for responses. `on_data` is called with what arrives on each stream.
    pub(crate) fn over(socket: TcpStream, on_data: impl FnMut(u32, &[u8]) + Send + 'static) -> io::Result<Self> {
        let mut link = Self::new(socket, Reading::Fast, on_data)?;
        link.open_http2(LARGEST_WINDOW)?;
        Ok(link)
    }

    /// Connects without sending anything.
    pub(crate) fn silent(address: SocketAddr, reading: Reading) -> io::Result<Self> {
        Self::new(TcpStream::connect(address)?, reading, |_, _| ())
    }

    fn new(socket: TcpStream, reading: Reading, on_data: impl FnMut(u32, &[u8]) + Send + 'static) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        progress::connected();
        let peer = Arc::new(Peer::default());
        if reading != Reading::Never {
            let (socket, peer) = (socket.try_clone()?, Arc::clone(&peer));
            thread::Builder::new().stack_size(READER_STACK).spawn(move || {
                // However reading ends, the connection is over.
                let _ = read(&socket, reading, &peer, on_data);
                peer.lock().is_closed = true;
                peer.changed.notify_all();
            })?;
        }
        Ok(Self { socket, peer, out: Vec::new(), next_stream: 1 })
    }

    /// Sends what a client sends first.
    fn open_http2(&mut self, window: u32) -> io::Result<()> {
        self.raw(PREFACE)?;
        self.frame(frame_type::SETTINGS, 0, 0, &frames::setting(INITIAL_WINDOW_SIZE, window))?;
        self.frame(frame_type::WINDOW_UPDATE, 0, 0, &(LARGEST_WINDOW - DEFAULT_WINDOW).to_be_bytes())?;
        self.flush()
    }

    /// Opens a call with the end of its headers, and returns its stream.
    pub(crate) fn call(&mut self, path: &str, more: &[(&str, &str)]) -> io::Result<u32> {
        let block = frames::call_headers(path, more);
        self.headers(flag::END_HEADERS, &block)
    }

    /// Makes a call with one message, and half-closes it.
    pub(crate) fn ask(&mut self, path: &str, message: &[u8]) -> io::Result<()> {
        let stream = self.call(path, &[])?;
        if self.charge(stream, message.len()) {
            self.frame(frame_type::DATA, flag::END_STREAM, stream, message)?;
        }
        Ok(())
    }

    /// Opens a stream with this header block.
    pub(crate) fn headers(&mut self, flags: u8, block: &[u8]) -> io::Result<u32> {
        let stream = self.next_stream;
        self.next_stream += 2;
        let mut state = self.peer.lock();
        let window = state.initial;
        state.calls.insert(stream, window);
        drop(state);
        self.frame(frame_type::HEADERS, flags, stream, block)?;
        Ok(stream)
    }

    /// Sends `data` on a stream if flow control allows it. Returns whether it did.
    pub(crate) fn data(&mut self, stream: u32, data: &[u8]) -> io::Result<bool> {
        let is_allowed = self.charge(stream, data.len());
        if is_allowed {
            self.frame(frame_type::DATA, 0, stream, data)?;
        }
        Ok(is_allowed)
    }

    /// Resets a call.
    pub(crate) fn reset(&mut self, stream: u32) -> io::Result<()> {
        self.peer.lock().calls.remove(&stream);
        self.frame(frame_type::RST_STREAM, 0, stream, &frames::CANCEL.to_be_bytes())
    }

    /// Takes so many bytes from the windows, if they have them.
    fn charge(&self, stream: u32, bytes: usize) -> bool {
        let mut state = self.peer.lock();
        let bytes = bytes as i64;
        let Some(window) = state.calls.get(&stream).copied() else { return false };
        if window < bytes || state.connection < bytes {
            return false;
        }
        state.calls.insert(stream, window - bytes);
        state.connection -= bytes;
        true
    }

    /// Returns whether the call has not ended.
    pub(crate) fn is_open(&self, stream: u32) -> bool {
        self.peer.lock().calls.contains_key(&stream)
    }

    /// Returns how many calls are open. A call that is never read never ends.
    pub(crate) fn calls(&self) -> usize {
        self.peer.lock().calls.len()
    }

    /// Writes everything, and waits until the peer sends something, but not for long.
    pub(crate) fn rest(&mut self) -> io::Result<()> {
        self.flush()?;
        let state = self.peer.lock();
        let (state, _) = self.peer.changed.wait_timeout(state, WAIT).unwrap_or_else(PoisonError::into_inner);
        if state.is_closed { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }

    /// Keeps the connection until the peer ends it.
    pub(crate) fn hold(&mut self) -> io::Result<()> {
        loop {
            self.rest()?;
        }
    }

    /// Adds a frame to what is to be written.
    pub(crate) fn frame(&mut self, frame_type: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        frame(&mut self.out, frame_type, flags, stream, payload);
        if self.out.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    /// Adds bytes to what is to be written.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.extend_from_slice(bytes);
        if self.out.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    /// Writes everything.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        {
            let mut state = self.peer.lock();
            if state.is_closed {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            self.out.append(&mut state.replies);
        }
        self.socket.write_all(&self.out)?;
        progress::sent(self.out.len());
        self.out.clear();
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Ends the reading thread, too. It fails if the connection is closed already.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

impl Peer {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads until the connection ends.
fn read(mut socket: &TcpStream, reading: Reading, peer: &Peer, mut on_data: impl FnMut(u32, &[u8])) -> io::Result<()> {
    let mut buffer = vec![0; BATCH];
    let mut unused = Vec::new();
    loop {
        let at_once = match reading {
            Reading::Slow(bytes) => {
                thread::sleep(Duration::from_millis(100));
                bytes
            }
            Reading::Fast | Reading::Never => BATCH,
        };
        let read = socket.read(&mut buffer[..at_once])?;
        if read == 0 {
            return Ok(());
        }
        progress::received(read);
        unused.extend_from_slice(&buffer[..read]);
        let used = receive(&unused, &mut peer.lock(), &mut on_data);
        unused.drain(..used);
        peer.changed.notify_all();
    }
}

/// Handles all complete frames. Returns how many bytes they have.
fn receive(bytes: &[u8], state: &mut State, on_data: &mut impl FnMut(u32, &[u8])) -> usize {
    let mut rest = bytes;
    while let Some((&[a, b, c, frame_type, flags, d, e, f, g], after)) = rest.split_first_chunk::<HEAD>() {
        let (length, stream) = (u32::from_be_bytes([0, a, b, c]) as usize, u32::from_be_bytes([d, e, f, g]));
        let Some((payload, after)) = after.split_at_checked(length) else { break };
        rest = after;
        if frame_type == frame_type::DATA {
            on_data(stream, payload);
        }
        match (frame_type, payload) {
            (frame_type::SETTINGS, _) if flags & flag::ACK == 0 => {
                for setting in payload.chunks_exact(6) {
                    if let &[high, low, a, b, c, d] = setting
                        && u16::from_be_bytes([high, low]) == INITIAL_WINDOW_SIZE
                    {
                        let window = i64::from(u32::from_be_bytes([a, b, c, d]));
                        let change = window - state.initial;
                        state.calls.values_mut().for_each(|window| *window += change);
                        state.initial = window;
                    }
                }
                frame(&mut state.replies, frame_type::SETTINGS, flag::ACK, 0, &[]);
            }
            (frame_type::PING, _) if flags & flag::ACK == 0 => {
                frame(&mut state.replies, frame_type::PING, flag::ACK, 0, payload);
            }
            (frame_type::WINDOW_UPDATE, &[a, b, c, d]) => {
                let increment = i64::from(u32::from_be_bytes([a, b, c, d]));
                if stream == 0 {
                    state.connection += increment;
                } else if let Some(window) = state.calls.get_mut(&stream) {
                    *window += increment;
                }
            }
            (frame_type::RST_STREAM, _) => drop(state.calls.remove(&stream)),
            (frame_type::DATA | frame_type::HEADERS, _) if flags & flag::END_STREAM != 0 => {
                state.calls.remove(&stream);
            }
            (frame_type::GOAWAY, _) => progress::goaway(),
            _ => {}
        }
    }
    bytes.len() - rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_frames_change_windows_and_end_calls() {
        let mut state = State { calls: [(1, 65_535), (3, 65_535)].into(), ..State::default() };
        let mut bytes = Vec::new();
        frame(&mut bytes, frame_type::SETTINGS, 0, 0, &frames::setting(INITIAL_WINDOW_SIZE, 16_384));
        frame(&mut bytes, frame_type::WINDOW_UPDATE, 0, 1, &100_u32.to_be_bytes());
        frame(&mut bytes, frame_type::HEADERS, flag::END_STREAM, 3, b"status");
        let whole = bytes.len();
        bytes.extend([0, 0, 8, frame_type::PING]);
        assert_eq!(receive(&bytes, &mut state, &mut |_, _| ()), whole);
        assert_eq!((state.calls.len(), state.calls[&1], state.initial), (1, 16_484, 16_384));
        let mut acknowledged = Vec::new();
        frame(&mut acknowledged, frame_type::SETTINGS, flag::ACK, 0, &[]);
        assert_eq!(state.replies, acknowledged);
    }
}
