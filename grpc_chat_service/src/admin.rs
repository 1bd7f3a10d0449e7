//! The admin listener: figures and probes over HTTP/1.1, for operators and their tools.
//!
//! It has neither authentication nor encryption, and says nothing about messages, rooms or users. Whoever reaches it can keep
//! others from it, and no more: connections, their pace, their size and their time are bounded.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::metrics::{self, Metrics};

/// Connections open at once. Further ones wait in the kernel's queue.
const CONNECTIONS: usize = 16;

/// Connections that wait in the kernel's queue.
const BACKLOG: u32 = 64;

/// The time from one connection to the next. Each carries one request: 100 a second are many scrapes, and little work.
const PACE: Duration = Duration::from_millis(10);

/// How long a connection may take, from its first byte to its last.
const DEADLINE: Duration = Duration::from_secs(5);

/// Bytes of a request's head. The least that hyper accepts.
const HEAD_BYTES: usize = 8 * 1024;

/// Headers of a request.
const HEADERS: usize = 32;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A bound socket for the admin's requests.
#[derive(Debug)]
pub(crate) struct Admin {
    tcp: TcpListener,
    local_addr: SocketAddr,
}

/// What the admin listener shows.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) metrics: Arc<Metrics>,
    /// Whether the service wants traffic.
    pub(crate) ready: watch::Receiver<bool>,
}

impl Admin {
    /// Binds `address` and listens on it.
    ///
    /// # Errors
    ///
    /// The operating system's, if the address cannot be listened on.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // As for the service's own port: a restart does not wait for old connections.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let tcp = socket.listen(BACKLOG)?;
        Ok(Self { local_addr: tcp.local_addr()?, tcp })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves for ever.
    pub(crate) async fn serve(self, shown: Shown) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            // The semaphore is never closed.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            if let Ok((socket, _)) = self.tcp.accept().await {
                let shown = shown.clone();
                tokio::spawn(async move {
                    if tokio::time::timeout(DEADLINE, connection(socket, shown)).await.is_err() {
                        tracing::debug!("a connection to the admin listener took too long");
                    }
                    drop(slot);
                });
            }
            tokio::time::sleep(PACE).await;
        }
    }
}

/// Answers the one request of a connection.
async fn connection(socket: TcpStream, shown: Shown) {
    let respond = service_fn(|request| {
        let response = shown.respond(&request);
        async { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(socket), respond)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a request to the admin listener failed");
    }
}

impl Shown {
    fn respond(&self, request: &Request<Incoming>) -> Response<String> {
        let (status, content_type, text) = match (request.uri().path(), request.method()) {
            ("/metrics" | "/live" | "/ready", method) if !matches!(*method, Method::GET | Method::HEAD) => {
                (StatusCode::METHOD_NOT_ALLOWED, TEXT, "use GET\n".to_owned())
            }
            ("/metrics", _) => (StatusCode::OK, HeaderValue::from_static(metrics::CONTENT_TYPE), self.metrics.encode()),
            // Whoever answers is alive.
            ("/live", _) => (StatusCode::OK, TEXT, "live\n".to_owned()),
            ("/ready", _) if *self.ready.borrow() => (StatusCode::OK, TEXT, "ready\n".to_owned()),
            ("/ready", _) => {
                let why = "not ready: the service is shutting down, or cannot write its history\n";
                (StatusCode::SERVICE_UNAVAILABLE, TEXT, why.to_owned())
            }
            _ => (StatusCode::NOT_FOUND, TEXT, "there is /metrics, /live and /ready\n".to_owned()),
        };
        let mut response = Response::new(text);
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    }
}
