//! The socket as HTTP/2 sees it: writes are collected until the connection's task has nothing more to do.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};

/// The size from which collected writes are sent without waiting for more.
const SEND_BYTES: usize = 32 * 1024;

/// A socket that first yields bytes that were read from it before, and whose writes go to a [`Cork`].
pub(super) struct CorkedSocket<T> {
    unread: &'static [u8],
    reading: ReadHalf<T>,
    cork: Cork<T>,
}

/// What has been written and not yet sent. h2 writes and flushes each larger frame by itself; a system call for each
/// would cost more than this copy does. Short lock, never held across an await, and only ever taken by the connection's
/// own task.
pub(super) struct Cork<T>(Arc<Mutex<Unsent<T>>>);

struct Unsent<T> {
    socket: WriteHalf<T>,
    /// At most [`SEND_BYTES`] and one frame.
    bytes: BytesMut,
    /// The peer reads more slowly than we write: nothing is added until everything collected has been sent.
    blocked: bool,
}

impl<T: AsyncRead + AsyncWrite> CorkedSocket<T> {
    pub(super) fn new(unread: &'static [u8], socket: T) -> (Self, Cork<T>) {
        let (reading, writing) = tokio::io::split(socket);
        let unsent = Arc::new(Mutex::new(Unsent { socket: writing, bytes: BytesMut::new(), blocked: false }));
        (Self { unread, reading, cork: Cork(Arc::clone(&unsent)) }, Cork(unsent))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for CorkedSocket<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.reading).poll_read(cx, buf);
        }
        let now = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..now]);
        self.unread.advance(now);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for CorkedSocket<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    /// Does nothing: the connection's task sends once everything that is ready has been written.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut unsent = self.cork.lock();
        ready!(unsent.poll_send(cx))?;
        Pin::new(&mut unsent.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut unsent = self.cork.lock();
        if unsent.blocked || unsent.bytes.len() >= SEND_BYTES {
            ready!(unsent.poll_send(cx))?;
        }
        for buf in bufs {
            unsent.bytes.extend_from_slice(buf);
        }
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

impl<T> Cork<T> {
    fn lock(&self) -> MutexGuard<'_, Unsent<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Cork<T> {
    /// Sends what has been collected.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_send(cx)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Unsent<T> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.blocked = true;
        while !self.bytes.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, &self.bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.bytes.advance(sent),
            }
        }
        self.blocked = false;
        // An idle connection keeps no buffer.
        self.bytes = BytesMut::new();
        Poll::Ready(Ok(()))
    }
}
