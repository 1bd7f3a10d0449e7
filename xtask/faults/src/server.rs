//! Where the server is: here today, and elsewhere after a restart.

use std::sync::{Arc, Mutex, PoisonError};

/// Nothing listens there.
const NOWHERE: &str = "127.0.0.1:1";

/// Where the server is; after a restart it may be elsewhere. Short lock, no await under it.
#[derive(Clone, Debug)]
pub struct Server {
    address: Arc<Mutex<String>>,
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
