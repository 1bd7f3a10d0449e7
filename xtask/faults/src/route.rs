//! How a client reaches the server: directly, or through a proxy that breaks connections.

use std::sync::Arc;

use tonic::transport::Channel;

use super::proxy::Proxy;
use super::server::Server;

/// What a client connects to.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    Direct(Server),
    Proxied(Arc<Proxy>),
    /// An open connection that is shared with other clients.
    Shared(Channel),
}

impl Route {
    /// Cuts the client's connection now, if it goes through a proxy whose budget allows another cut.
    pub(crate) fn cut(&self) {
        if let Self::Proxied(proxy) = self {
            proxy.cut();
        }
    }
}
