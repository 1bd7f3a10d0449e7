//! HTTP/2 frames (RFC 9113) and header blocks (RFC 7541), written byte by byte.

pub(crate) use peers::http2::{frame, prefixed};

/// What an HTTP/2 client sends first, without the SETTINGS frame that follows.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The length of a frame's head.
pub(crate) const HEAD: usize = 9;

/// Types of frames.
pub(crate) mod frame_type {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub(crate) mod flag {
    pub(crate) const ACK: u8 = 1;
    pub(crate) const END_STREAM: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;
}

/// The setting of the receive window of each stream.
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

/// The largest flow-control window.
pub(crate) const LARGEST_WINDOW: u32 = (1 << 31) - 1;

/// The window that HTTP/2 begins with.
pub(crate) const DEFAULT_WINDOW: u32 = 65_535;

/// The error code CANCEL.
pub(crate) const CANCEL: u32 = 8;

/// Encodes the payload of a SETTINGS frame with one setting.
pub(crate) fn setting(id: u16, value: u32) -> [u8; 6] {
    let ([a, b], [c, d, e, f]) = (id.to_be_bytes(), value.to_be_bytes());
    [a, b, c, d, e, f]
}

/// Encodes the header block of a gRPC call, with more fields behind the usual ones.
pub(crate) fn call_headers(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    // Indices of HPACK's static table: 3 is `:method: POST`, and 6 is `:scheme: http`.
    let mut block = vec![0x80 | 3, 0x80 | 6];
    let usual =
        [(":path", path), (":authority", "localhost"), ("te", "trailers"), ("content-type", "application/grpc")];
    for (name, value) in usual.iter().chain(more) {
        literal(&mut block, name.as_bytes(), value.as_bytes());
    }
    block
}

/// Adds a header field that is not indexed, without Huffman coding.
pub(crate) fn literal(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    string(block, name);
    string(block, value);
}

/// Adds a header field that is added to the peer's dynamic table.
pub(crate) fn indexed_literal(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0x40);
    string(block, name);
    string(block, value);
}

/// Adds a string of HPACK.
fn string(block: &mut Vec<u8>, text: &[u8]) {
    const LARGEST_IN_ONE_BYTE: usize = 127;
    if text.len() < LARGEST_IN_ONE_BYTE {
        block.push(text.len() as u8);
    } else {
        block.push(LARGEST_IN_ONE_BYTE as u8);
        let mut rest = text.len() - LARGEST_IN_ONE_BYTE;
        while rest >= 128 {
            block.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        block.push(rest as u8);
    }
    block.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_strings_have_a_length_of_several_bytes() {
        let mut block = Vec::new();
        // RFC 7541, C.1.2: 1337 with a prefix of 5 bits is 31, 154, 10; here the prefix has 7 bits.
        string(&mut block, &[b'x'; 1337]);
        assert_eq!(block[..3], [127, 186, 9]);
        assert_eq!(block.len(), 3 + 1337);
        block.clear();
        string(&mut block, b"te");
        assert_eq!(block, b"\x02te");
    }

    #[test]
    fn a_setting_is_an_id_and_a_value() {
        assert_eq!(setting(INITIAL_WINDOW_SIZE, 0x0102_0304), [0, 4, 1, 2, 3, 4]);
    }
}
