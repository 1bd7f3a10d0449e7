//! What the tests share: servers that stop with the test, clients at every level from tonic down to TCP, and timeouts.

pub(crate) mod admin;
pub(crate) mod example;
pub(crate) mod frames;
pub(crate) mod http2;
pub(crate) mod process;
pub(crate) mod raw_session;
pub(crate) mod refusal;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod tcp;

use std::net::SocketAddr;
use std::time::Duration;

use tonic::transport::Channel;

/// Waits for something that is expected to happen. The timeout is far longer than anything takes here, so that a defect
/// fails the test instead of blocking it.
pub(crate) async fn with_timeout<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("timed out after 30 s")
}

/// Returns whether `future` is still pending after 300 ms.
pub(crate) async fn stays_pending<F: Future + Unpin>(future: &mut F) -> bool {
    tokio::time::timeout(Duration::from_millis(300), future).await.is_err()
}

/// Connects a gRPC channel.
pub(crate) async fn channel(addr: SocketAddr) -> Channel {
    with_timeout(Channel::from_shared(format!("http://{addr}")).unwrap().connect()).await.unwrap()
}
