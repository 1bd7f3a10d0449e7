//! Lines of text as messages.

use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};

use stubs::ChatMessage;
use tokio::io::AsyncRead;
use tokio_stream::Stream;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

/// The longest line that is sent, in bytes. The service takes messages of up to 64 KiB of text.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// Returns a stream of the reader's lines, each as a message from `name`, that ends with the reader or at the first line that
/// cannot be sent.
///
/// Why that line cannot be sent comes through the receiver, as a sentence. The stream itself only ends, so that the call is
/// half-closed and the replies to what was sent still come.
pub fn lines<R: AsyncRead + Unpin>(reader: R, name: String) -> (Lines<R>, mpsc::Receiver<String>) {
    let (problems, received) = mpsc::sync_channel(1);
    let lines = FramedRead::new(reader, LinesCodec::new_with_max_length(MAX_LINE_BYTES));
    (Lines { lines, name, problems, ended: false }, received)
}

/// The stream that [`lines`] returns.
#[derive(Debug)]
pub struct Lines<R> {
    lines: FramedRead<R, LinesCodec>,
    name: String,
    problems: mpsc::SyncSender<String>,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Stream for Lines<R> {
    type Item = ChatMessage;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ChatMessage>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(next) = Pin::new(&mut self.lines).poll_next(cx) else {
            return Poll::Pending;
        };
        Poll::Ready(match next {
            Some(Ok(message)) => Some(ChatMessage { name: self.name.clone(), message }),
            Some(Err(error)) => {
                self.ended = true;
                // The channel has room for one, and this is the only one.
                let _ = self.problems.try_send(problem(&error));
                None
            }
            None => {
                self.ended = true;
                None
            }
        })
    }
}

fn problem(error: &LinesCodecError) -> String {
    match error {
        LinesCodecError::MaxLineLengthExceeded => {
            format!("a line is longer than {MAX_LINE_BYTES} bytes; it and all that follows was not sent")
        }
        LinesCodecError::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            "a line is not UTF-8; it and all that follows was not sent".to_owned()
        }
        LinesCodecError::Io(error) => format!("cannot read standard input: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    async fn read(input: &[u8]) -> (Vec<String>, Option<String>) {
        let (lines, problem) = lines(input, "Sam".to_owned());
        (lines.map(|sent| sent.message).collect().await, problem.try_recv().ok())
    }

    #[tokio::test]
    async fn each_line_is_a_message_the_last_one_with_or_without_its_end() {
        for input in ["a\n\nb c\n", "a\n\nb c", "a\r\n\r\nb c\r\n"] {
            let (sent, problem) = read(input.as_bytes()).await;
            assert_eq!((sent, problem), (vec!["a".to_owned(), String::new(), "b c".to_owned()], None), "{input:?}");
        }
        assert_eq!(read(b"").await, (vec![], None));
    }

    #[tokio::test]
    async fn a_line_that_cannot_be_sent_ends_the_stream_and_is_reported() {
        let (sent, problem) = read(b"good\n\xff\xfe\nafter\n").await;
        assert_eq!(sent, ["good"]);
        assert!(problem.unwrap().contains("UTF-8"));

        let longest = "x".repeat(MAX_LINE_BYTES);
        let (sent, problem) = read(format!("{longest}\n{longest}x\nafter\n").as_bytes()).await;
        assert_eq!(sent, [longest]);
        assert!(problem.unwrap().contains("longer than"));
    }
}
