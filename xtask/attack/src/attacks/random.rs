//! Frames and bytes that make no sense, the same in every run.

use std::io;

use fastrand::Rng;

use crate::attacker::Attacker;
use crate::frames::{PREFACE, call_headers, flag};
use crate::link::{Link, Reading};
use crate::messages::{EXAMPLE, LIST_MESSAGES, SESSION};

/// How many frames or bytes are sent on a connection that the service does not close.
const LENGTH: usize = 2_000;

/// Sends random frames behind a few calls, or, each fourth time, random bytes.
pub(super) fn run(attacker: Attacker) -> io::Result<()> {
    let mut random = Rng::with_seed((attacker.number as u64) << 32 | attacker.attempt as u64);
    if attacker.attempt % 4 == 3 {
        let mut link = Link::silent(attacker.target, Reading::Fast)?;
        if random.bool() {
            link.raw(PREFACE)?;
        }
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(LENGTH).collect();
        link.raw(&bytes)?;
        return link.rest();
    }
    let mut link = Link::open(attacker.target, Reading::Fast)?;
    for path in [EXAMPLE, SESSION, LIST_MESSAGES] {
        link.headers(flag::END_HEADERS, &call_headers(path, &[]))?;
    }
    for _ in 0..LENGTH {
        let mut payload = vec![0; random.usize(..64)];
        random.fill(&mut payload);
        let (frame_type, flags, stream) = (random.u8(..12), random.u8(..) & random.u8(..), random.u32(..12));
        link.frame(frame_type, flags, stream, &payload)?;
        // In pieces, because the service often ends the connection at the first frame.
        if random.u8(..) < 16 {
            link.rest()?;
        }
    }
    link.rest()
}
