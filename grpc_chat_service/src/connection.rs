//! One connection, from its first byte to its last: one task drives HTTP/2 and every call on it.

mod body;
mod call;
mod driver;
mod keep_alive;
mod opening;
mod pressure;
mod socket;
mod tasks;

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::OptionFuture;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::address::Peer;
use crate::budgets::Budget;
use crate::drain::Drain;
use crate::limits::ConnectionLimits;
use crate::metrics::Metrics;
pub(crate) use body::{AnyBody, Incoming, Part, RequestBody, ResponseBody};
use driver::Driver;
use opening::Opening;
use socket::CorkedSocket;
pub(crate) use tasks::Calls;
use tasks::{Ending, Tasks};

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: ConnectionLimits,
    pub(crate) drain: Drain,
    /// For what is received for calls whose responses are not read.
    pub(crate) budget: Budget,
    pub(crate) metrics: Arc<Metrics>,
}

/// Serves one connection until the peer closes it, or until the server shuts down and the open calls have ended, or until
/// the server gives up on them.
///
/// `service` is given the [`Calls`] of the connection, with which a call starts what has to run beside its response, and
/// returns the function that handles requests.
pub(crate) async fn serve<T, H, F, B>(mut socket: T, peer: Peer, service: impl FnOnce(Calls) -> H, shared: &Shared)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<RequestBody>) -> F + Unpin,
    F: Future<Output = Response<B>> + Send + Unpin + 'static,
    B: ResponseBody + Unpin + 'static,
{
    let Shared { limits, drain, metrics, .. } = shared;
    let metrics = &metrics.connections;
    let opening = tokio::select! {
        opening = tokio::time::timeout(limits.handshake, opening::read(&mut socket)) => opening,
        () = drain.begun() => return,
    };
    match opening {
        Ok(Ok(Opening::Http2)) => {}
        Ok(Ok(Opening::Http1)) => {
            metrics.refused("http1");
            // The connection is closed either way; whether the peer reads the explanation is up to it.
            let _ = tokio::time::timeout(limits.handshake, opening::reject_http1(&mut socket)).await;
            return;
        }
        Ok(Ok(Opening::Tls)) => {
            metrics.refused("tls");
            tracing::info!(%peer, "refused a TLS client: this port is not encrypted; connect with http://");
            return;
        }
        Ok(Ok(Opening::Other)) => {
            metrics.refused("not_http2");
            return tracing::debug!(%peer, "refused: the peer does not speak HTTP/2");
        }
        Ok(Err(error)) => {
            return tracing::debug!(%peer, %error, "the peer closed the connection before the HTTP/2 preface");
        }
        Err(_) => {
            metrics.refused("handshake_timeout");
            return tracing::debug!(%peer, "refused: no HTTP/2 preface within the handshake deadline");
        }
    }

    // In a box of its own, because the task is as large as the largest of its steps, for as long as it lives.
    let served = match Box::pin(open_http2(socket, service, shared)).await {
        Ok(driver) => driver.await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::debug!(%peer, error = &error as &dyn Error, "connection ended");
    }
}

/// Prepares to serve a connection whose preface has been read.
async fn open_http2<T, H, F, B>(
    socket: T,
    service: impl FnOnce(Calls) -> H,
    Shared { limits, drain, budget, .. }: &Shared,
) -> Result<Pin<Box<Driver<T, H>>>, h2::Error>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<RequestBody>) -> F + Unpin,
    F: Future<Output = Response<B>> + Send + Unpin + 'static,
    B: ResponseBody + Unpin + 'static,
{
    let (socket, cork) = CorkedSocket::new(&opening::PREFACE[..], socket);
    // Does not wait: the preface is there, and the cork takes the settings.
    let mut http2 = h2::server::Builder::new()
        .initial_window_size(limits.stream_window_bytes)
        .initial_connection_window_size(limits.window_bytes())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_bytes)
        .max_local_error_reset_streams(Some(limits.local_resets))
        .max_send_buffer_size(limits.send_buffer_bytes)
        .handshake(socket)
        .await?;

    let tasks = Tasks::new();
    let (begun, idle) = (drain.begun(), keep_alive::idle(tasks.calls(), *limits));
    tasks.start_ending(async {
        tokio::select! {
            () = begun => {}
            () = idle => tracing::debug!("the connection has had no calls for long"),
        }
        Ending::Graceful
    });
    let given_up = drain.given_up();
    let lost = http2.ping_pong().map(|pings| keep_alive::lost(cork.clone(), pings, *limits));
    tasks.start_ending(async {
        tokio::select! {
            () = given_up => {}
            Some(()) = OptionFuture::from(lost) => tracing::debug!("the peer does not answer"),
        }
        Ending::AtOnce
    });
    Ok(Box::pin(Driver::new(http2, cork, service(tasks.calls()), tasks, limits.stream_window_bytes, budget.clone())))
}
