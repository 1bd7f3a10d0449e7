//! Accepts connections: a bounded number in total and per network, with a pause when the machine is out of resources.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::address::{LogAddresses, Peer};
use crate::counts::{Counts, Held};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::model::{self, Account};
use crate::rates::{Kind, Rates};

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
    /// How many connections each network has open.
    networks: Counts<IpAddr>,
    per_network: usize,
    rates: Arc<Rates>,
    log_addresses: LogAddresses,
}

/// An accepted connection and the slot it occupies.
pub(crate) struct Accepted {
    pub(crate) socket: TcpStream,
    pub(crate) peer: Peer,
    pub(crate) slot: Slot,
}

/// One of the allowed connections, in total and of its network. Released when dropped.
pub(crate) struct Slot {
    _of_total: OwnedSemaphorePermit,
    _of_network: Held<IpAddr>,
}

impl Listener {
    /// Binds `address` and listens on it.
    ///
    /// # Errors
    ///
    /// The operating system's, if the address cannot be listened on.
    pub(crate) fn bind(
        address: SocketAddr,
        limits: &Limits,
        rates: Arc<Rates>,
        log_addresses: LogAddresses,
    ) -> io::Result<Self> {
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
            slots: Arc::new(Semaphore::new(limits.listener.connections.min(Semaphore::MAX_PERMITS))),
            networks: Counts::default(),
            per_network: per_network(limits),
            rates,
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
                            metrics.connections.refused("too_many_of_network");
                            tracing::warn!(%peer, "refused: too many connections from this network");
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
        let network = model::network(address);
        self.rates.check(Kind::Connections, &Account { user: None, network }).ok()?;
        let of_network = self.networks.take(&network, 1, self.per_network)?;
        Some(Slot { _of_total: of_total, _of_network: of_network })
    }
}

/// Returns how many connections a network may have open. Never more than a quarter of what the process may have open at all, so
/// that the others get in.
fn per_network(limits: &Limits) -> usize {
    let rate = limits.rates.connections_per_network;
    let limit = if rate == 0 { limits.listener.connections_per_address } else { rate };
    limit.min(descriptors() / 4).max(1)
}

#[cfg(unix)]
fn descriptors() -> usize {
    let limit = rlimit::Resource::NOFILE.get_soft().unwrap_or(u64::MAX);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

#[cfg(not(unix))]
fn descriptors() -> usize {
    usize::MAX
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
    use crate::limits::{ListenerLimits, RateLimits};

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
    async fn a_network_gets_its_share_and_no_more_until_one_connection_closes() {
        let listener = ListenerLimits { connections: 3, connections_per_address: 2 };
        let limits = Limits { listener, rates: RateLimits::none(), ..Limits::default() };
        let rates = Arc::new(Rates::new(&limits.rates));
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), &limits, rates, LogAddresses::Full).unwrap();
        let admit = |last: u16| {
            let of_total = Arc::clone(&listener.slots).try_acquire_owned().unwrap();
            // Addresses of one network.
            listener.admit([0x2001, 0xdb8, 0, last, 0, 0, 0, fastrand::u16(..)].into(), of_total)
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
