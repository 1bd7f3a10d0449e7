use super::*;
use crate::protocol::pieces::feed_in_two;

/// A connection with two calls, and what a server sends on it: settings, headers, and messages of both calls in frames
/// that begin and end in the middle of messages.
fn conversation() -> (Vec<u8>, Vec<(usize, Vec<u8>)>) {
    let message = |length: usize| prefixed(&vec![b'm'; length]);
    let (first, second, long) = ([message(3), message(0), message(300)].concat(), message(7), message(40_000));
    let mut bytes = Vec::new();
    frame(&mut bytes, SETTINGS, 0, 0, &[0, 4, 0, 0, 0x40, 0, 0, 5, 0, 0, 0x40, 0]);
    frame(&mut bytes, SETTINGS, ACK, 0, &[]);
    frame(&mut bytes, HEADERS, END_HEADERS, 1, b"some block");
    frame(&mut bytes, HEADERS, END_HEADERS, 3, b"another");
    frame(&mut bytes, DATA, 0, 1, &first[..2]);
    frame(&mut bytes, DATA, 0, 3, &second);
    frame(&mut bytes, DATA, 0, 1, &[]);
    frame(&mut bytes, DATA, 0, 1, &first[2..20]);
    frame(&mut bytes, PING, 0, 0, b"01234567");
    frame(&mut bytes, WINDOW_UPDATE, 0, 0, &100_u32.to_be_bytes());
    frame(&mut bytes, DATA, 0, 1, &first[20..]);
    frame(&mut bytes, DATA, 0, 3, &[second.clone(), second].concat());
    for piece in long.chunks(16_384) {
        frame(&mut bytes, DATA, 0, 3, piece);
    }
    frame(&mut bytes, WINDOW_UPDATE, 0, 3, &100_u32.to_be_bytes());
    let expected = [(1, 7), (0, 3), (0, 0), (0, 300), (1, 7), (1, 7), (1, 40_000)];
    (bytes, expected.map(|(call, length)| (call, vec![b'm'; length])).to_vec())
}

fn connection() -> Http2 {
    let mut out = Vec::new();
    let mut http2 = Http2::connect(&mut out);
    http2.open("/Chat/chat", &mut out);
    http2.open("/Chat/chat", &mut out);
    http2
}

#[test]
fn messages_are_the_same_wherever_the_bytes_are_split() {
    let (bytes, expected) = conversation();
    // Every place up to the long message, then some.
    for split in (0..700).chain((700..bytes.len()).step_by(97)) {
        let (mut http2, mut out, mut messages) = (connection(), Vec::new(), Vec::new());
        feed_in_two(&bytes, split, |bytes| {
            http2.receive(bytes, &mut out, |call, message| {
                messages.push((call, message.to_vec()));
                Ok(())
            })
        })
        .unwrap();
        assert_eq!(messages, expected, "split at {split}");
        let mut replies = Vec::new();
        frame(&mut replies, SETTINGS, ACK, 0, &[]);
        frame(&mut replies, PING, ACK, 0, b"01234567");
        assert_eq!(out, replies, "split at {split}");
        assert_eq!((http2.window, http2.initial_window), (DEFAULT_WINDOW + 100, 16_384), "split at {split}");
        assert_eq!([http2.calls[0].window, http2.calls[1].window], [16_384, 16_484], "split at {split}");
    }
}

#[test]
fn messages_are_the_same_byte_by_byte() {
    let (bytes, expected) = conversation();
    let (mut http2, mut messages, mut rest) = (connection(), Vec::new(), Vec::new());
    for byte in bytes {
        rest.push(byte);
        let used = http2.receive(&rest, &mut Vec::new(), |call, message| {
            messages.push((call, message.to_vec()));
            Ok(())
        });
        rest.drain(..used.unwrap());
    }
    assert_eq!(messages, expected);
    assert!(rest.is_empty());
}

#[test]
fn a_window_is_given_back_when_half_of_it_is_used() {
    let (mut http2, mut out, mut messages) = (connection(), Vec::new(), 0);
    let mut bytes = Vec::new();
    frame(&mut bytes, DATA, 0, 1, &prefixed(&[0; 16_379]));
    for _ in 0..WINDOW / 2 / 16_384 {
        assert!(out.is_empty());
        let used = http2.receive(&bytes, &mut out, |_, _| {
            messages += 1;
            Ok(())
        });
        assert_eq!(used.unwrap(), bytes.len());
    }
    let mut update = Vec::new();
    frame(&mut update, WINDOW_UPDATE, 0, 1, &(WINDOW / 2).to_be_bytes());
    assert_eq!(out, update);
    assert_eq!((messages, http2.received, http2.calls[0].received), (32, WINDOW / 2, 0));
}

#[test]
fn a_call_is_limited_by_its_own_window_and_the_connections() {
    let (mut http2, mut out) = (connection(), Vec::new());
    assert!(http2.may_send(0, 65_535) && !http2.may_send(0, 65_536));
    http2.send(0, &[0; 60_000], &mut out);
    assert_eq!(out.len(), FRAME_HEAD + 60_000);
    assert!(http2.may_send(1, 5_535) && !http2.may_send(1, 5_536));
}

#[test]
fn what_ends_a_call_or_a_connection_is_an_error() {
    const RST_STREAM: u8 = 3;
    const GOAWAY: u8 = 7;
    for (frame_type, flags, stream) in [
        (HEADERS, END_HEADERS | END_STREAM, 1),
        (DATA, END_STREAM, 1),
        (DATA, PADDED, 1),
        (DATA, 0, 0),
        (DATA, 0, 5),
        (RST_STREAM, 0, 1),
        (GOAWAY, 0, 0),
    ] {
        let mut bytes = Vec::new();
        frame(&mut bytes, frame_type, flags, stream, &[0; 8]);
        let received = connection().receive(&bytes, &mut Vec::new(), |_, _| Ok(()));
        assert!(received.is_err(), "{frame_type} {flags} {stream}");
    }
    let mut compressed = Vec::new();
    frame(&mut compressed, DATA, 0, 1, &[1, 0, 0, 0, 1, 0]);
    connection().receive(&compressed, &mut Vec::new(), |_, _| Ok(())).unwrap_err();
}
