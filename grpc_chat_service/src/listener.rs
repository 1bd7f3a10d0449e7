//! Accepting: a bounded number of connections, in all and per address, and a rest when there is no room.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::Limits;

/// Connections that the kernel completes for us before we accept them; Linux takes no more than
/// `net.core.somaxconn`. The usual 128 overflows when everybody reconnects at once, and then some are reset.
const QUEUE: u32 = 4_096;

/// A bound socket that hands out connections within the limits.
#[derive(Debug)]
pub(crate) struct Listener {
    tcp: TcpListener,
    local_addr: SocketAddr,
    places: Arc<Semaphore>,
    per_address: usize,
    addresses: Addresses,
}

/// How many connections each address has open. Entries go when the last one closes, so the map is never
/// larger than the number of connections. Short lock, no await under it.
type Addresses = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One accepted connection, and its place among the allowed ones.
pub(crate) struct Accepted {
    pub(crate) socket: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) place: Place,
}

/// Held as long as the connection is open; given back when dropped.
pub(crate) struct Place {
    _of_all: OwnedSemaphorePermit,
    address: IpAddr,
    addresses: Addresses,
}

impl Listener {
    /// # Errors
    ///
    /// The operating system's, if the address cannot be listened on.
    pub(crate) fn bind(address: SocketAddr, limits: &Limits) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A restart need not wait for the old connections to be forgotten. On Windows it would mean sharing.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let tcp = socket.listen(QUEUE)?;
        Ok(Self {
            local_addr: tcp.local_addr()?,
            tcp,
            places: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
            per_address: limits.connections_per_address,
            addresses: Addresses::default(),
        })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The next connection. Waits for a place first, so that at the limit newcomers stay in the kernel's
    /// queue. Never fails: an error of the operating system is waited out.
    pub(crate) async fn accept(&self) -> Accepted {
        let mut resting = false;
        loop {
            let Ok(of_all) = Arc::clone(&self.places).acquire_owned().await else {
                // The semaphore is never closed.
                return std::future::pending().await;
            };
            match self.tcp.accept().await {
                Ok((socket, peer)) => {
                    resting = false;
                    match self.admit(peer.ip(), of_all) {
                        Some(place) => return Accepted { socket, peer, place },
                        None => tracing::warn!(%peer, "refused: too many connections from this address"),
                    }
                }
                Err(error) => {
                    if let Some(rest) = rest_after(&error) {
                        if !resting {
                            tracing::error!(%error, "cannot accept connections; trying again until it works");
                        }
                        resting = true;
                        tokio::time::sleep(rest).await;
                    }
                }
            }
        }
    }

    fn admit(&self, address: IpAddr, of_all: OwnedSemaphorePermit) -> Option<Place> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let open = addresses.entry(address).or_default();
        if *open >= self.per_address {
            return None;
        }
        *open += 1;
        Some(Place { _of_all: of_all, address, addresses: Arc::clone(&self.addresses) })
    }
}

impl Drop for Place {
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

/// How long to wait before accepting again. A connection that died in the queue needs no wait; anything
/// else (out of descriptors, out of memory) lasts, and the listening socket stays readable meanwhile: without
/// a rest the loop would take a whole core.
fn rest_after(error: &io::Error) -> Option<Duration> {
    match error.kind() {
        io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::Interrupted => None,
        _ => Some(Duration::from_millis(100)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_rests_when_the_machine_is_short_and_not_when_a_peer_left() {
        for (error, rests) in [
            (io::Error::from_raw_os_error(24), true), // EMFILE
            (io::Error::from_raw_os_error(23), true), // ENFILE
            (io::Error::from_raw_os_error(12), true), // ENOMEM
            (io::ErrorKind::ConnectionAborted.into(), false),
            (io::ErrorKind::ConnectionReset.into(), false),
        ] {
            assert_eq!(rest_after(&error).is_some(), rests, "{error}");
        }
    }

    #[tokio::test]
    async fn an_address_gets_its_share_and_no_more_until_one_closes() {
        let limits = Limits { connections: 3, connections_per_address: 2, ..Limits::default() };
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), &limits).unwrap();
        let admit = |last: u8| {
            let of_all = Arc::clone(&listener.places).try_acquire_owned().unwrap();
            listener.admit([10, 0, 0, last].into(), of_all)
        };
        let first = admit(1).unwrap();
        let _second = admit(1).unwrap();
        assert!(admit(1).is_none());
        let _neighbour = admit(2).unwrap();
        assert_eq!(listener.places.available_permits(), 0);
        drop(first);
        assert!(admit(1).is_some());
    }
}
