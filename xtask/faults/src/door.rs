//! Where clients find the server: directly, or through a network that breaks.

use std::sync::Arc;

use tonic::transport::Channel;

use super::cutter::Cutter;
use super::server::Server;

/// Where a client connects to: the server itself, or a network in front of it.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    Straight(Server),
    Through(Arc<Cutter>),
    /// A connection that is open, and used by others as well.
    Shared(Channel),
}

impl Door {
    /// Cuts this client's connection now, if it is one that is to be cut.
    pub(crate) fn cut(&self) {
        if let Self::Through(cutter) = self {
            cutter.cut();
        }
    }
}
