//! Where clients find the server: directly or through a network that breaks; here today and elsewhere tomorrow.

use std::sync::{Arc, Mutex, PoisonError};

use tonic::transport::Channel;

use super::cutter::Cutter;

/// Where the server is; after a restart it may be elsewhere. Short lock, no await under it.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    address: Arc<Mutex<String>>,
}

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

impl Server {
    pub(crate) fn at(address: &str) -> Self {
        Self { address: Arc::new(Mutex::new(address.to_owned())) }
    }

    pub(crate) fn address(&self) -> String {
        self.address.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn moved(&self, address: &str) {
        address.clone_into(&mut self.address.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
