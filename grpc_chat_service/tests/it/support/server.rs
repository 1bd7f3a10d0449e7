//! A server in the test's own process.

use std::net::SocketAddr;

use grpc_chat_service::config::Config;
use grpc_chat_service::{Limits, server};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::with_timeout;

/// A server on a free port. Starts to shut down when dropped.
pub(crate) struct TestServer {
    pub(crate) addr: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

/// Starts a server with the default configuration.
pub(crate) async fn start() -> TestServer {
    start_with(Config::default()).await
}

/// Starts a server with the default configuration except for what `set` changes in its limits.
pub(crate) async fn start_with_limits(set: impl FnOnce(&mut Limits)) -> TestServer {
    let mut config = Config::default();
    set(&mut config.limits);
    start_with(config).await
}

/// Starts a server without rates, which are tested where they are the subject.
pub(crate) async fn start_with(mut config: Config) -> TestServer {
    config.rates = false;
    start_with_rates(config).await
}

/// Starts a server with the rates of the configuration.
pub(crate) async fn start_with_rates(config: Config) -> TestServer {
    let server = server::bind(config).await.unwrap();
    let (addr, admin) = (server.local_addr(), server.admin_addr());
    let (stop, stopping) = oneshot::channel();
    let running = tokio::spawn(server.run(async {
        let _ = stopping.await;
    }));
    TestServer { addr, admin, stop: Some(stop), running }
}

impl TestServer {
    /// Starts to shut down.
    pub(crate) fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// Waits until the server has shut down.
    pub(crate) async fn stopped(&mut self) {
        with_timeout(&mut self.running).await.unwrap();
    }
}
