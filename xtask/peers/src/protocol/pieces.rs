//! What the tests of the protocols have in common: bytes that arrive in pieces.

use std::io;

use super::{Arrival, PubSub};

/// An [`Arrival`] that has been recorded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    Ready,
    Receipt,
    Message(Vec<u8>),
}

/// Passes bytes to `receive` in two pieces, the first of this length, and what is not used of the first again with the
/// second. All have to be used at the end.
pub(crate) fn feed_in_two(
    bytes: &[u8],
    split: usize,
    mut receive: impl FnMut(&[u8]) -> io::Result<usize>,
) -> io::Result<()> {
    let used = receive(&bytes[..split])?;
    assert!(used <= split);
    let used = used + receive(&bytes[used..])?;
    assert_eq!(used, bytes.len(), "split at {split}");
    Ok(())
}

/// Checks that a client receives the same, and sends the same, wherever the bytes are split.
pub(crate) fn check_every_split<P: PubSub>(
    connect: impl Fn() -> P,
    bytes: &[u8],
    expected: &[Arrived],
    expected_replies: &[u8],
) {
    for split in 0..=bytes.len() {
        let (mut client, mut out, mut arrived) = (connect(), Vec::new(), Vec::new());
        feed_in_two(bytes, split, |bytes| {
            client.receive(bytes, &mut out, |arrival| {
                arrived.push(match arrival {
                    Arrival::Ready => Arrived::Ready,
                    Arrival::Receipt => Arrived::Receipt,
                    Arrival::Message(message) => Arrived::Message(message.to_vec()),
                });
                Ok(())
            })
        })
        .unwrap();
        assert_eq!(arrived, expected, "split at {split}");
        assert_eq!(out, expected_replies, "split at {split}");
    }
}
