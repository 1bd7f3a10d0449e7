//! gRPC's length-prefixed messages, taken from the body of a request.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::Request;
use http_body::Body;
use tokio_stream::Stream;

use crate::pace::Pace;

/// The length of the prefix of every message on the wire: a flag for compression, and the message's length.
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, "Length-Prefixed-Message".
pub(super) const PREFIX_BYTES: usize = 5;

/// The messages of a request, without their prefixes.
pub(super) struct Messages<B> {
    body: B,
    max_bytes: usize,
    /// Received and not looked at yet.
    received: Bytes,
    /// The beginning of a message whose rest has not been received yet. Grows with what is received, not with what a prefix
    /// announces.
    partial: BytesMut,
    ended: bool,
    pace: Pace,
}

/// Why there are no more messages, although the stream has not ended.
#[derive(Debug)]
pub(super) enum Broken {
    /// A message is longer than it may be.
    TooLong { bytes: usize, max_bytes: usize },
    /// The messages are compressed.
    Compressed,
    /// A message is compressed although the request does not say so, or its prefix is no prefix.
    Flag(u8),
    /// The stream ended within a message.
    CutOff,
    /// The caller has reset the call, or the connection is lost.
    Disconnected,
}

/// Returns the messages, of up to `max_bytes` each, of a request.
///
/// # Errors
///
/// [`Broken::Compressed`].
pub(super) fn of<B>(request: Request<B>, max_bytes: usize) -> Result<Messages<B>, Broken> {
    if request.headers().get("grpc-encoding").is_some_and(|encoding| encoding != "identity") {
        return Err(Broken::Compressed);
    }
    Ok(Messages::new(request.into_body(), max_bytes))
}

impl<B> Messages<B> {
    fn new(body: B, max_bytes: usize) -> Self {
        Self { body, max_bytes, received: Bytes::new(), partial: BytesMut::new(), ended: false, pace: Pace::default() }
    }

    /// Returns the next message of which everything has been received.
    fn split_off(&mut self) -> Result<Option<Bytes>, Broken> {
        if self.partial.is_empty() {
            match self.message_bytes(&self.received)? {
                Some(length) if self.received.len() >= PREFIX_BYTES + length => {
                    self.received.advance(PREFIX_BYTES);
                    return Ok(Some(self.received.split_to(length)));
                }
                _ => {}
            }
        }
        while !self.received.is_empty() {
            let length = self.message_bytes(&self.partial)?;
            let missing = PREFIX_BYTES + length.unwrap_or(0) - self.partial.len();
            let more = self.received.split_to(missing.min(self.received.len()));
            self.partial.extend_from_slice(&more);
            if let Some(length) = self.message_bytes(&self.partial)?
                && self.partial.len() == PREFIX_BYTES + length
            {
                let mut message = std::mem::take(&mut self.partial).freeze();
                message.advance(PREFIX_BYTES);
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Returns the length of the message that begins with these bytes, once they suffice to tell.
    fn message_bytes(&self, bytes: &[u8]) -> Result<Option<usize>, Broken> {
        let Some((&[flag, a, b, c, d], _)) = bytes.split_first_chunk() else { return Ok(None) };
        if flag != 0 {
            return Err(Broken::Flag(flag));
        }
        let bytes = u32::from_be_bytes([a, b, c, d]) as usize;
        if bytes > self.max_bytes {
            return Err(Broken::TooLong { bytes, max_bytes: self.max_bytes });
        }
        Ok(Some(bytes))
    }
}

impl<B> Stream for Messages<B>
where
    B: Body<Data = Bytes, Error: Error + 'static> + Unpin,
{
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        if this.pace.is_over(cx) {
            return Poll::Pending;
        }
        this.pace.add(1);
        let next = loop {
            if let Some(next) = this.split_off().transpose() {
                break next;
            }
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                // Trailers of a request mean nothing in gRPC.
                Some(Ok(frame)) => this.received = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    tracing::debug!(error = &error as &dyn Error, "a request broke off");
                    break Err(Broken::Disconnected);
                }
                None if this.partial.is_empty() => {
                    this.ended = true;
                    return Poll::Ready(None);
                }
                None => break Err(Broken::CutOff),
            }
        };
        this.ended = next.is_err();
        Poll::Ready(Some(next))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;

    use http_body::Frame;
    use proptest::prelude::*;

    use super::*;

    /// A body of these pieces.
    struct Pieces(VecDeque<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }
    }

    /// Returns what is taken from `bytes` in pieces that end where `ends` says.
    fn take(bytes: &[u8], ends: &[usize], max_bytes: usize) -> (Vec<Bytes>, Option<Broken>) {
        let mut ends: Vec<_> = ends.iter().map(|end| end % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
        ends.sort_unstable();
        let pieces = ends.windows(2).map(|ends| Bytes::copy_from_slice(&bytes[ends[0]..ends[1]])).collect();
        let mut messages = Messages::new(Pieces(pieces), max_bytes);
        let mut taken = Vec::new();
        let waker = std::task::Waker::noop();
        loop {
            match Pin::new(&mut messages).poll_next(&mut Context::from_waker(waker)) {
                Poll::Ready(Some(Ok(message))) => taken.push(message),
                Poll::Ready(Some(Err(broken))) => {
                    let next = Pin::new(&mut messages).poll_next(&mut Context::from_waker(waker));
                    assert!(matches!(next, Poll::Ready(None)), "nothing follows");
                    return (taken, Some(broken));
                }
                Poll::Ready(None) => return (taken, None),
                Poll::Pending => unreachable!("the pieces are there"),
            }
        }
    }

    fn on_the_wire(messages: &[Vec<u8>]) -> Vec<u8> {
        let prefixed = messages.iter().flat_map(|message| {
            let length = u32::try_from(message.len()).unwrap().to_be_bytes();
            [&[0], &length[..], message].concat()
        });
        prefixed.collect()
    }

    proptest! {
        #[test]
        fn the_messages_do_not_depend_on_the_pieces_they_come_in(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            ends in prop::collection::vec(any::<usize>(), 0..30),
            cut in 0..200usize,
        ) {
            let bytes = on_the_wire(&messages);
            let (taken, broken) = take(&bytes, &ends, 40);
            prop_assert!(broken.is_none(), "{broken:?}");
            prop_assert_eq!(&taken, &messages);
            // The same, cut off somewhere.
            let cut = cut.min(bytes.len());
            let (taken, broken) = take(&bytes[..cut], &ends, 40);
            let whole = on_the_wire(&messages[..taken.len()]).len();
            prop_assert_eq!(&taken[..], &messages[..taken.len()]);
            prop_assert_eq!(matches!(broken, Some(Broken::CutOff)), cut > whole, "{:?}", broken);
        }
    }

    #[test]
    fn a_prefix_is_checked_before_the_message_arrives() {
        let good = on_the_wire(&[b"good".to_vec()]);
        for ends in [&[][..], &[10], &[3, 9, 10, 11, 12, 13], &(0..14).collect::<Vec<_>>()] {
            let (taken, broken) = take(&[&good[..], &[0, 0, 0, 0, 5]].concat(), ends, 4);
            assert_eq!(taken, ["good"]);
            assert!(matches!(broken, Some(Broken::TooLong { bytes: 5, max_bytes: 4 })), "{broken:?}");
            for flag in [1, 2, 255] {
                let (taken, broken) = take(&[&good[..], &[flag, 0, 0, 0, 1]].concat(), ends, 4);
                assert_eq!(taken, ["good"]);
                assert!(matches!(broken, Some(Broken::Flag(f)) if f == flag), "{broken:?}");
            }
        }
    }
}
