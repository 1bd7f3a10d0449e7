//! Calls and connections that the service may want to log.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::calls::CALLS;
use crate::attacker::Attacker;
use crate::link::{Link, Reading};
use crate::messages::{self, EXAMPLE, SESSION};
use crate::progress;

/// Sessions that end when they have begun.
pub(super) fn hello(attacker: Attacker) -> io::Result<()> {
    repeat(attacker, SESSION, &messages::hello(&attacker.name(0)))
}

/// A prefix that announces more than the service takes.
pub(super) fn long(attacker: Attacker) -> io::Result<()> {
    repeat(attacker, EXAMPLE, &[0, 0, 0x10, 0, 0])
}

/// A message that is not one of Protocol Buffers.
pub(super) fn garbage(attacker: Attacker) -> io::Result<()> {
    repeat(attacker, SESSION, &[0, 0, 0, 0, 3, 0xff, 0xff, 0xff])
}

fn repeat(attacker: Attacker, path: &str, message: &[u8]) -> io::Result<()> {
    let mut link = Link::open(attacker.target, Reading::Fast)?;
    loop {
        while link.calls() < CALLS {
            link.ask(path, message)?;
        }
        link.rest()?;
    }
}

/// One request on each connection.
pub(super) fn http1(attacker: Attacker) -> io::Result<()> {
    loop {
        let mut socket = TcpStream::connect(attacker.target)?;
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
        socket.write_all(request)?;
        progress::connected();
        progress::sent(request.len());
        // Until the service closes the connection.
        progress::received(socket.read_to_end(&mut Vec::new())?);
    }
}
