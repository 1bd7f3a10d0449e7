//! Addresses of peers, and how they are logged.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// How the addresses of peers are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogAddresses {
    /// Completely.
    #[default]
    Full,
    /// As the network: IPv4 as `203.0.113.0/24`, IPv6 as `2001:db8:1::/48`.
    Short,
}

/// The address at the other end of a connection. Displayed as it is to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    address: SocketAddr,
    logged: LogAddresses,
}

impl Peer {
    pub(crate) fn new(address: SocketAddr, logged: LogAddresses) -> Self {
        Self { address, logged }
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.logged, self.ip().to_canonical()) {
            (LogAddresses::Full, _) => self.address.fmt(f),
            (LogAddresses::Short, IpAddr::V4(ip)) => {
                let [a, b, c, _] = ip.octets();
                write!(f, "{}/24", Ipv4Addr::new(a, b, c, 0))
            }
            (LogAddresses::Short, IpAddr::V6(ip)) => {
                let [a, b, c, ..] = ip.segments();
                write!(f, "{}/48", Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_address_is_the_network_and_has_no_port() {
        for (address, short) in [
            ("203.0.113.77:4242", "203.0.113.0/24"),
            ("127.0.0.1:1", "127.0.0.0/24"),
            ("[2001:db8:1:2:3:4:5:6]:4242", "2001:db8:1::/48"),
            ("[::ffff:203.0.113.77]:4242", "203.0.113.0/24"),
            ("[::1]:1", "::/48"),
        ] {
            let socket: SocketAddr = address.parse().unwrap();
            assert_eq!(Peer::new(socket, LogAddresses::Short).to_string(), short);
            assert_eq!(Peer::new(socket, LogAddresses::Full).to_string(), address);
        }
    }
}
