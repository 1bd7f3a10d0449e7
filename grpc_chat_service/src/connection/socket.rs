//! The socket as HTTP/2 sees it: writes are collected until the connection's task has nothing more to do.

use std::cell::Cell;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;
use tokio::time::Instant;

/// The size from which collected writes are sent without waiting for more.
const SEND_BYTES: usize = 32 * 1024;

/// How many bytes cost as much of a connection's turn as a read: a turn of 128 reads ends after 128 KiB at the latest. With
/// turns of 128 full reads, one peer whose frames are expensive to decode would let all others wait for 0.2 s.
const BYTES_PER_READ: usize = 1024;

/// The largest buffer kept for reuse: enough for what is collected before it is sent.
const SPARE_BYTES: usize = 2 * SEND_BYTES;

thread_local! {
    /// A buffer for the next connection that writes on this thread. Most connections send what they have collected before
    /// the next one writes anything, so an idle one needs no buffer, and this one stays in the processor's cache.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A socket that first yields bytes that were read from it before, and whose writes are collected until they are sent.
///
/// h2 writes and flushes each larger frame by itself; a system call for each would cost more than collecting them does.
pub(super) struct CorkedSocket<T> {
    shared: Arc<Shared<T>>,
}

/// The connection's hold on its [`CorkedSocket`].
pub(super) struct Cork<T> {
    shared: Arc<Shared<T>>,
}

/// Short lock, never held across an await, and only ever taken by the connection's own task.
struct Shared<T>(Mutex<State<T>>);

struct State<T> {
    socket: T,
    /// Was read before, and is read again first.
    unread: &'static [u8],
    /// When the peer last gave a sign of life: bytes of its own, or room for more of ours after there was none.
    last_heard: Instant,
    /// Since when the peer has taken nothing of what waits for it, if something does.
    stuck_since: Option<Instant>,
    /// What has been written and not sent yet: at most [`SEND_BYTES`] and one frame.
    unsent: Vec<u8>,
    /// How much of it has been sent nevertheless, because the socket took only a part.
    sent: usize,
    /// The peer reads more slowly than we write: nothing is added until everything collected has been sent.
    blocked: bool,
}

impl<T: AsyncRead + AsyncWrite> CorkedSocket<T> {
    pub(super) fn new(unread: &'static [u8], socket: T) -> (Self, Cork<T>) {
        let state = State {
            socket,
            unread,
            last_heard: Instant::now(),
            stuck_since: None,
            unsent: Vec::new(),
            sent: 0,
            blocked: false,
        };
        let shared = Arc::new(Shared(Mutex::new(state)));
        (Self { shared: Arc::clone(&shared) }, Cork { shared })
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for CorkedSocket<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.lock();
        if state.unread.is_empty() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut state.socket).poll_read(cx, buf))?;
            state.last_heard = Instant::now();
            for _ in 0..(buf.filled().len() - before) / BYTES_PER_READ {
                let Poll::Ready(read) = coop::poll_proceed(cx) else { break };
                read.made_progress();
            }
            return Poll::Ready(Ok(()));
        }
        let now = state.unread.len().min(buf.remaining());
        buf.put_slice(&state.unread[..now]);
        state.unread.advance(now);
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
        let mut state = self.shared.lock();
        ready!(state.poll_send(cx))?;
        Pin::new(&mut state.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.shared.lock();
        if state.blocked || state.unsent.len() >= SEND_BYTES {
            ready!(state.poll_send(cx))?;
        }
        if state.unsent.capacity() == 0 {
            state.unsent = SPARE.take();
        }
        for buf in bufs {
            state.unsent.extend_from_slice(buf);
        }
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Cork<T> {
    /// Sends what has been collected.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.lock().poll_send(cx)
    }

    /// Returns since when the peer has given no sign of life, or since when it has read nothing although something waits for
    /// it: sending does not make up for that.
    pub(super) fn silent_since(&self) -> Instant {
        let state = self.shared.lock();
        state.stuck_since.map_or(state.last_heard, |stuck| stuck.min(state.last_heard))
    }
}

impl<T> Clone for Cork<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> State<T> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unsent.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let was_blocked = mem::replace(&mut self.blocked, true);
        while self.sent < self.unsent.len() {
            match Pin::new(&mut self.socket).poll_write(cx, &self.unsent[self.sent..])? {
                Poll::Pending => {
                    self.stuck_since.get_or_insert_with(Instant::now);
                    return Poll::Pending;
                }
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(sent) => self.sent += sent,
            }
            self.stuck_since = None;
            if was_blocked {
                self.last_heard = Instant::now();
            }
        }
        self.blocked = false;
        self.sent = 0;
        let mut spare = mem::take(&mut self.unsent);
        spare.clear();
        if spare.capacity() <= SPARE_BYTES {
            SPARE.set(spare);
        }
        Poll::Ready(Ok(()))
    }
}
