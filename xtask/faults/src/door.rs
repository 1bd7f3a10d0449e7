//! Where clients find the server: directly or through a network that breaks; here today and elsewhere tomorrow.

use std::sync::{Arc, Mutex, PoisonError};

use tonic::transport::Channel;

use super::cutter::Cutter;

/// Nothing listens there.
const NOWHERE: &str = "127.0.0.1:1";

/// Where the server is; after a restart it may be elsewhere. Short lock, no await under it.
#[derive(Clone, Debug)]
pub struct Server {
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
    /// Not there yet.
    pub fn nowhere() -> Self {
        Self::at(NOWHERE)
    }

    /// Returns a server that listens there.
    pub fn at(address: &str) -> Self {
        Self { address: Arc::new(Mutex::new(address.to_owned())) }
    }

    /// Returns where the server is now.
    pub fn address(&self) -> String {
        self.address.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nobody is where it was, whoever may be given its port.
    pub fn gone(&self) {
        self.moved(NOWHERE);
    }

    /// Sets where the server is from now on.
    pub fn moved(&self, address: &str) {
        address.clone_into(&mut self.address.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
