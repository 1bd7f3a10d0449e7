//! A connection's socket, with the bytes that are still to be sent or to be used.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::poller::Poller;

/// How many bytes are read at once. One buffer serves all connections, so that it stays in the processor's cache.
const READ: usize = 256 * 1024;

/// The buffer that sockets are read into.
pub(crate) struct Buffer(Vec<u8>);

impl Buffer {
    pub(crate) fn new() -> Self {
        Self(vec![0; READ])
    }
}

/// A connected socket.
pub(crate) struct Wire {
    socket: TcpStream,
    /// Bytes to be sent by the next flush.
    pub(crate) out: Vec<u8>,
    /// Bytes that have been read, but are not enough to be used.
    unused: Vec<u8>,
}

impl Wire {
    /// Connects to a server, and waits for it with this token.
    pub(crate) fn connect(address: SocketAddr, poller: &Poller, token: usize) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        poller.add(&socket, token)?;
        Ok(Self { socket, out: Vec::new(), unused: Vec::new() })
    }

    /// Reads everything there is, and passes it to `receive` with the buffer for what is to be sent. `receive` returns how many
    /// bytes it has used.
    pub(crate) fn receive(
        &mut self,
        buffer: &mut Buffer,
        mut receive: impl FnMut(&[u8], &mut Vec<u8>) -> io::Result<usize>,
    ) -> io::Result<()> {
        loop {
            let (unused, free) = buffer.0.split_at_mut(self.unused.len());
            unused.copy_from_slice(&self.unused);
            let room = free.len();
            let read = match self.socket.read(free) {
                Ok(0) if room > 0 => return Err(io::Error::other("the server has closed a connection")),
                Ok(0) => return Err(io::Error::other("the server sent something that is larger than the buffer")),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let bytes = &buffer.0[..self.unused.len() + read];
            let used = receive(bytes, &mut self.out)?;
            self.unused.clear();
            self.unused.extend_from_slice(&bytes[used..]);
            if read < room {
                // There was no more. What comes from now on makes the socket ready again.
                return Ok(());
            }
        }
    }

    /// Sends what is to be sent, as far as the socket takes it. When it takes more, it is ready again.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.out.len() {
            match self.socket.write(&self.out[sent..]) {
                Ok(bytes) => sent += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.drain(..sent);
        Ok(())
    }
}
