//! The server's current address, which changes when the service is restarted.

use std::sync::{Arc, Mutex, PoisonError};

/// An address that nothing listens on.
const UNREACHABLE: &str = "127.0.0.1:1";

/// The server's current address, shared by all of its clients. The lock is held briefly, and never across an await.
#[derive(Clone, Debug)]
pub struct Server {
    address: Arc<Mutex<String>>,
}

impl Server {
    /// Returns a server that is not reachable yet.
    pub fn unreachable() -> Self {
        Self::at(UNREACHABLE)
    }

    /// Returns a server with this address.
    pub fn at(address: &str) -> Self {
        Self { address: Arc::new(Mutex::new(address.to_owned())) }
    }

    /// Returns the current address.
    pub fn address(&self) -> String {
        self.address.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the server unreachable, so that no client connects to another process that was given its port.
    pub fn set_unreachable(&self) {
        self.set_address(UNREACHABLE);
    }

    /// Changes the address.
    pub fn set_address(&self, address: &str) {
        address.clone_into(&mut self.address.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
