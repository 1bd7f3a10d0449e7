//! One connection, from its first bytes to its last: one task that drives HTTP/2 and every call on it.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::{FuturesUnordered, Stream};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};

use crate::drain::Drain;
use crate::limits::Limits;

/// What every HTTP/2 connection starts with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is sent in one go, about.
const SEND_BYTES: usize = 32 * 1024;

/// The answer to a browser, or to a tool that was told nothing better.
const WRONG_VERSION: &[u8] = b"HTTP/1.1 505 HTTP Version Not Supported\r\n\
content-type: text/plain\r\nconnection: close\r\ncontent-length: 76\r\n\r\n\
This port speaks gRPC over HTTP/2. Call it with a gRPC client, or grpcurl.\r\n";

/// Serves one connection until the peer leaves, or until the server does and the open calls have ended.
///
/// `service` is given the hand with which a call starts what has to run beside its answers.
pub(crate) async fn serve<T, S, B>(mut socket: T, service: impl FnOnce(Calls) -> S, limits: &Limits, drain: &Drain)
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut opening = [0; PREFACE.len()];
    let first = tokio::select! {
        first = tokio::time::timeout(limits.handshake, read_opening(&mut socket, &mut opening)) => first,
        () = drain.begun() => return,
    };
    match first {
        Ok(Ok(Opening::Http2)) => {}
        Ok(Ok(Opening::Http1)) => {
            // It leaves either way; whether it reads the explanation is up to it.
            let _ = tokio::time::timeout(limits.handshake, explain(&mut socket)).await;
            return;
        }
        Ok(Ok(Opening::Tls)) => {
            tracing::info!("refused a TLS client: this port is not encrypted; connect with http://");
            return;
        }
        Ok(Ok(Opening::Other)) => return tracing::debug!("refused: the peer does not speak HTTP/2"),
        Ok(Err(error)) => return tracing::debug!(%error, "the peer left before it said anything"),
        Err(_) => return tracing::debug!("refused: no HTTP/2 preface within the handshake deadline"),
    }

    let calls = Calls::default();
    let service = service(calls.clone());
    let (reading, writing) = tokio::io::split(socket);
    let unsent = Unsent::new(writing);
    let connection = http2::Builder::new(calls.clone())
        .timer(TokioTimer::new())
        .initial_stream_window_size(limits.stream_window_bytes)
        .initial_connection_window_size(limits.connection_window_bytes())
        .max_concurrent_streams(limits.streams_per_connection)
        .max_header_list_size(limits.header_bytes)
        .max_local_error_reset_streams(limits.local_resets)
        .max_send_buf_size(limits.send_buffer_bytes)
        .keep_alive_interval(limits.ping_after)
        .keep_alive_timeout(limits.ping_timeout)
        .serve_connection(
            TokioIo::new(Socket { unread: &PREFACE[..], reading, unsent: Unsent(Arc::clone(&unsent.0)) }),
            service,
        );
    let mut connection = pin!(calls.drive(connection, unsent));

    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = drain.begun() => {
            connection.as_mut().connection().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn Error, "connection ended");
    }
}

/// What a peer turns out to speak.
#[derive(Debug, PartialEq, Eq)]
enum Opening {
    Http2,
    Http1,
    Tls,
    Other,
}

/// Reads no further than the preface, and only as far as it takes to know.
async fn read_opening(socket: &mut (impl AsyncRead + Unpin), opening: &mut [u8; PREFACE.len()]) -> io::Result<Opening> {
    let mut filled = 0;
    while filled < opening.len() {
        let more = socket.read(&mut opening[filled..]).await?;
        if more == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += more;
        let so_far = &opening[..filled];
        if !PREFACE.starts_with(so_far) {
            return Ok(match so_far {
                [0x16, ..] => Opening::Tls,
                // Every HTTP/1 method is written in capitals.
                [b'A'..=b'Z', ..] => Opening::Http1,
                _ => Opening::Other,
            });
        }
    }
    Ok(Opening::Http2)
}

async fn explain(socket: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    socket.write_all(WRONG_VERSION).await?;
    socket.shutdown().await?;
    // Closing with unread bytes would reset the connection and take the explanation with it.
    let mut rest = [0; 4096];
    let mut most = 16;
    while most > 0 && socket.read(&mut rest).await? > 0 {
        most -= 1;
    }
    Ok(())
}

/// The socket as HTTP/2 sees it: bytes that were read from it are put back in front, and what is written waits for the
/// rest of it.
struct Socket<T> {
    unread: &'static [u8],
    reading: ReadHalf<T>,
    unsent: Unsent<T>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<T> {
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

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    /// The connection's task sends, when all that is ready has been written.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut outgoing = self.unsent.lock();
        ready!(outgoing.poll_send(cx))?;
        Pin::new(&mut outgoing.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut outgoing = self.unsent.lock();
        if outgoing.held_up || outgoing.bytes.len() >= SEND_BYTES {
            ready!(outgoing.poll_send(cx))?;
        }
        for buf in bufs {
            outgoing.bytes.extend_from_slice(buf);
        }
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

/// What has been written and not yet sent. h2 writes and flushes each larger frame by itself; a call to the kernel for
/// each would cost more than the copy does. Short lock, no await under it; only ever taken by the connection's own
/// task.
struct Unsent<T>(Arc<Mutex<Outgoing<T>>>);

struct Outgoing<T> {
    socket: WriteHalf<T>,
    /// At most [`SEND_BYTES`] and a frame.
    bytes: BytesMut,
    /// The peer reads more slowly than we write: nothing is added until it has caught up.
    held_up: bool,
}

impl<T> Unsent<T> {
    fn new(socket: WriteHalf<T>) -> Self {
        Self(Arc::new(Mutex::new(Outgoing { socket, bytes: BytesMut::new(), held_up: false })))
    }

    fn lock(&self) -> MutexGuard<'_, Outgoing<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Outgoing<T> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.held_up = true;
        while !self.bytes.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, &self.bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.bytes.advance(sent),
            }
        }
        self.held_up = false;
        // An idle connection keeps no buffer.
        self.bytes = BytesMut::new();
        Poll::Ready(Ok(()))
    }
}

/// The calls of one connection, run by the connection's own task instead of a task each: all that are ready
/// put their frames into the connection's buffer, and then it writes once. No call outlives its connection.
#[derive(Clone, Default)]
pub(crate) struct Calls {
    /// What hyper has started since the task last looked. Short lock, no await under it; only ever taken by
    /// the connection's own task.
    started: Arc<Mutex<Vec<Call>>>,
}

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Calls {
    fn execute(&self, call: F) {
        self.start(call);
    }
}

impl Calls {
    /// Runs it on the connection's task, until it is done or the connection is gone.
    pub(crate) fn start(&self, call: impl Future<Output = ()> + Send + 'static) {
        self.started.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(call));
    }

    fn drive<C, T>(self, connection: C, unsent: Unsent<T>) -> Driver<C, T> {
        Driver { calls: self, running: FuturesUnordered::new(), connection: Box::pin(connection), unsent }
    }
}

/// A connection together with its calls, as one future.
struct Driver<C, T> {
    calls: Calls,
    running: FuturesUnordered<Call>,
    connection: Pin<Box<C>>,
    unsent: Unsent<T>,
}

impl<C, T> Driver<C, T> {
    fn connection(self: Pin<&mut Self>) -> Pin<&mut C> {
        self.get_mut().connection.as_mut()
    }
}

impl<C, T> Drop for Driver<C, T> {
    /// A call that was started and not run yet may hold the list it is on; neither would ever go.
    fn drop(&mut self) {
        let unstarted = mem::take(&mut *self.calls.started.lock().unwrap_or_else(PoisonError::into_inner));
        drop(unstarted);
    }
}

impl<C: Future, T: AsyncRead + AsyncWrite + Unpin> Future for Driver<C, T> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let this = &mut *self;
        loop {
            while let Poll::Ready(Some(())) = Pin::new(&mut this.running).poll_next(cx) {}
            if let Poll::Ready(ended) = this.connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            let started = mem::take(&mut *this.calls.started.lock().unwrap_or_else(PoisonError::into_inner));
            if started.is_empty() {
                // If it fails, HTTP/2 meets the same error when it writes or reads next.
                let _ = this.unsent.lock().poll_send(cx);
                return Poll::Pending;
            }
            // Polled once more around: they register their wakers, and what they write goes out with it.
            this.running.extend(started);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn opening(bytes: &[u8]) -> io::Result<Opening> {
        read_opening(&mut &bytes[..], &mut [0; PREFACE.len()]).await
    }

    #[tokio::test]
    async fn a_peer_is_known_by_its_first_bytes() {
        assert_eq!(opening(PREFACE).await.unwrap(), Opening::Http2);
        for http1 in ["GET / HTTP/1.1\r\n", "POST /Chat/chat HTTP/1.1\r\n", "PRI * HTTP/1.1", "PUT /"] {
            assert_eq!(opening(http1.as_bytes()).await.unwrap(), Opening::Http1, "{http1}");
        }
        assert_eq!(opening(&[0x16, 3, 1, 2, 0]).await.unwrap(), Opening::Tls);
        assert_eq!(opening(&[0, 0]).await.unwrap(), Opening::Other);
        for short in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
            assert_eq!(opening(short).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn the_explanation_is_as_long_as_it_says() {
        let text = std::str::from_utf8(WRONG_VERSION).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
    }
}
