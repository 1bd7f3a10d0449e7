//! One connection, from its first byte to its last: one task drives HTTP/2 and every call on it.

mod calls;
mod opening;
mod socket;

use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::drain::Drain;
use crate::limits::ConnectionLimits;

pub(crate) use calls::Calls;
use opening::Opening;
use socket::CorkedSocket;

/// Serves one connection until the peer closes it, or until the server shuts down and the open calls have ended.
///
/// `service` is given the [`Calls`] of the connection, with which a call starts what has to run beside its response.
pub(crate) async fn serve<T, S, B>(
    mut socket: T,
    service: impl FnOnce(Calls) -> S,
    limits: &ConnectionLimits,
    drain: &Drain,
) where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let opening = tokio::select! {
        opening = tokio::time::timeout(limits.handshake, opening::read(&mut socket)) => opening,
        () = drain.begun() => return,
    };
    match opening {
        Ok(Ok(Opening::Http2)) => {}
        Ok(Ok(Opening::Http1)) => {
            // The connection is closed either way; whether the peer reads the explanation is up to it.
            let _ = tokio::time::timeout(limits.handshake, opening::reject_http1(&mut socket)).await;
            return;
        }
        Ok(Ok(Opening::Tls)) => {
            tracing::info!("refused a TLS client: this port is not encrypted; connect with http://");
            return;
        }
        Ok(Ok(Opening::Other)) => return tracing::debug!("refused: the peer does not speak HTTP/2"),
        Ok(Err(error)) => return tracing::debug!(%error, "the peer closed the connection before the HTTP/2 preface"),
        Err(_) => return tracing::debug!("refused: no HTTP/2 preface within the handshake deadline"),
    }

    let calls = Calls::default();
    let service = service(calls.clone());
    let (socket, cork) = CorkedSocket::new(&opening::PREFACE[..], socket);
    let connection = http2::Builder::new(calls.clone())
        .timer(TokioTimer::new())
        .initial_stream_window_size(limits.stream_window_bytes)
        .initial_connection_window_size(limits.window_bytes())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_bytes)
        .max_local_error_reset_streams(limits.local_resets)
        .max_send_buf_size(limits.send_buffer_bytes)
        .keep_alive_interval(limits.ping_after)
        .keep_alive_timeout(limits.ping_timeout)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(calls.drive(connection, cork));

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
