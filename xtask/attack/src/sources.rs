//! The addresses of this machine that connections come from: the service treats each as another machine.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

/// Whom the attack is meant to hurt. Attackers connect from 127.0.0.1.
pub(crate) const HONEST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Those who connect during an attack.
pub(crate) const NEWCOMERS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// Connects from this address.
pub(crate) fn connect(from: Ipv4Addr, target: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&target.into())?;
    Ok(socket.into())
}
