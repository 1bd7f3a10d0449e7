//! Accepts connections: a bounded number in total and per address, with a pause when the machine is out of resources.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::address::{LogAddresses, Peer};
use crate::limits::ListenerLimits;
use crate::metrics::Metrics;

/// Connections that the kernel completes before we accept them; Linux caps this at `net.core.somaxconn`. The usual 128
/// overflows when all clients reconnect at once, and then some connections are reset.
const BACKLOG: u32 = 4_096;

/// How long to pause after an error that is likely to persist.
const PAUSE: Duration = Duration::from_millis(100);

/// A bound socket that accepts connections within the limits.
#[derive(Debug)]
pub(crate) struct Listener {
    tcp: TcpListener,
    local_addr: SocketAddr,
    slots: Arc<Semaphore>,
    per_address: usize,
    addresses: Addresses,
    log_addresses: LogAddresses,
}

/// How many connections each address has open. An entry is removed when its last connection closes, so the map is never
/// larger than the number of connections. Short lock, never held across an await.
type Addresses = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// An accepted connection and the slot it occupies.
pub(crate) struct Accepted {
    pub(crate) socket: TcpStream,
    pub(crate) peer: Peer,
    pub(crate) slot: Slot,
}

/// One of the allowed connections, in total and of its address. Released when dropped.
pub(crate) struct Slot {
    _of_total: OwnedSemaphorePermit,
    address: IpAddr,
    addresses: Addresses,
}

impl Listener {
    /// Binds `address` and listens on it.
    ///
    /// # Errors
    ///
    /// The operating system's, if the address cannot be listened on.
    pub(crate) fn bind(address: SocketAddr, limits: &ListenerLimits, log_addresses: LogAddresses) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // So that a restart does not have to wait for old connections to leave TIME_WAIT. On Windows this option would
        // allow two processes on one port.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let tcp = socket.listen(BACKLOG)?;
        Ok(Self {
            local_addr: tcp.local_addr()?,
            tcp,
            slots: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
            per_address: limits.connections_per_address,
            addresses: Addresses::default(),
            log_addresses,
        })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Returns the next connection. Waits for a free slot first, so that at the limit new connections stay in the
    /// kernel's queue. Never fails: errors of the operating system are logged and retried.
    pub(crate) async fn accept(&self, metrics: &Metrics) -> Accepted {
        let mut failing = false;
        loop {
            if self.slots.available_permits() == 0 {
                metrics.limit_reached("listener.connections");
            }
            let Ok(of_total) = Arc::clone(&self.slots).acquire_owned().await else {
                // The semaphore is never closed.
                return std::future::pending().await;
            };
            match self.tcp.accept().await {
                Ok((socket, address)) => {
                    let peer = Peer::new(address, self.log_addresses);
                    failing = false;
                    match self.admit(peer.ip(), of_total) {
                        Some(slot) => return Accepted { socket, peer, slot },
                        None => {
                            metrics.connections.refused("too_many_of_address");
                            tracing::warn!(%peer, "refused: too many connections from this address");
                        }
                    }
                }
                Err(error) if is_persistent(&error) => {
                    if !failing {
                        tracing::error!(%error, "cannot accept connections; retrying until it works");
                        metrics.limit_reached("system.descriptors_or_memory");
                    }
                    failing = true;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(_) => {}
            }
        }
    }

    fn admit(&self, address: IpAddr, of_total: OwnedSemaphorePermit) -> Option<Slot> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let open = addresses.entry(address).or_default();
        if *open >= self.per_address {
            return None;
        }
        *open += 1;
        Some(Slot { _of_total: of_total, address, addresses: Arc::clone(&self.addresses) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = addresses.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

/// Whether to pause before accepting again. A connection that died in the queue needs no pause. Anything else (no file
/// descriptors, no memory) persists while the listening socket stays readable: without a pause the loop would spin.
fn is_persistent(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepting_pauses_when_resources_are_short_and_not_when_a_peer_left() {
        for (error, pauses) in [
            (io::Error::from_raw_os_error(24), true), // EMFILE
            (io::Error::from_raw_os_error(23), true), // ENFILE
            (io::Error::from_raw_os_error(12), true), // ENOMEM
            (io::ErrorKind::ConnectionAborted.into(), false),
            (io::ErrorKind::ConnectionReset.into(), false),
        ] {
            assert_eq!(is_persistent(&error), pauses, "{error}");
        }
    }

    #[tokio::test]
    async fn an_address_gets_its_share_and_no_more_until_one_connection_closes() {
        let limits = ListenerLimits { connections: 3, connections_per_address: 2 };
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), &limits, LogAddresses::Full).unwrap();
        let admit = |last: u8| {
            let of_total = Arc::clone(&listener.slots).try_acquire_owned().unwrap();
            listener.admit([10, 0, 0, last].into(), of_total)
        };
        let first = admit(1).unwrap();
        let _second = admit(1).unwrap();
        assert!(admit(1).is_none());
        let _neighbour = admit(2).unwrap();
        assert_eq!(listener.slots.available_permits(), 0);
        drop(first);
        assert!(admit(1).is_some());
    }
}
