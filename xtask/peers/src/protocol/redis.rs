//! RESP2, the protocol of Redis, with one channel: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use std::io;

use super::number::{Number, TEXT, Template, text};
use super::{Arrival, PubSub, Role};

const END: &[u8] = b"\r\n";

/// A connection that subscribes to one channel, or publishes to it.
pub(crate) struct Redis {
    message: Template,
    /// What precedes the text of a message that is delivered.
    message_head: Vec<u8>,
    /// The reply to SUBSCRIBE.
    subscribed: Vec<u8>,
}

impl PubSub for Redis {
    const RECEIPTS: bool = true;

    fn connect(role: Role, room: &str, _user: &str, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(&match role {
            Role::Receiver => array(&["SUBSCRIBE", room]),
            Role::Publisher => array(&["PING"]),
        });
        let mut message_head = array(&["message", room, &text()]);
        message_head.truncate(message_head.len() - TEXT - END.len());
        let subscribed = format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n{room}\r\n:1\r\n", room.len());
        Self {
            message: Template::new(array(&["PUBLISH", room, &text()])),
            message_head,
            subscribed: subscribed.into_bytes(),
        }
    }

    fn publish(&mut self, number: Number, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(self.message.numbered(number));
        true
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        _out: &mut Vec<u8>,
        mut on_arrival: impl FnMut(Arrival<'_>) -> io::Result<()>,
    ) -> io::Result<usize> {
        let mut rest = bytes;
        loop {
            if let Some(message) = rest.strip_prefix(&self.message_head[..]) {
                let Some((message, after)) = message.split_at_checked(TEXT + END.len()) else { break };
                let Some(text) = message.strip_suffix(END) else { return Err(unexpected(message)) };
                on_arrival(Arrival::Message(text))?;
                rest = after;
            } else if let Some(after) = rest.strip_prefix(&self.subscribed[..]) {
                on_arrival(Arrival::Ready)?;
                rest = after;
            } else if self.message_head.starts_with(rest) || self.subscribed.starts_with(rest) {
                break;
            } else {
                // Everything else is a line.
                let Some(length) = rest.windows(END.len()).position(|window| window == END) else { break };
                match &rest[..length] {
                    b"+PONG" => on_arrival(Arrival::Ready)?,
                    // To how many receivers a message was sent.
                    [b':', ..] => on_arrival(Arrival::Receipt)?,
                    line => return Err(unexpected(line)),
                }
                rest = &rest[length + END.len()..];
            }
        }
        Ok(bytes.len() - rest.len())
    }
}

/// Encodes an array of strings.
fn array(words: &[&str]) -> Vec<u8> {
    let strings: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{strings}", words.len()).into_bytes()
}

#[cold]
fn unexpected(bytes: &[u8]) -> io::Error {
    io::Error::other(format!("Redis sent `{}`", String::from_utf8_lossy(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::pieces::{Arrived, check_every_split};

    fn receiver() -> Redis {
        Redis::connect(Role::Receiver, "room", "sam", &mut Vec::new())
    }

    #[test]
    fn messages_are_the_same_wherever_the_bytes_are_split() {
        let (one, other) = ("1".repeat(TEXT), "\r\n".repeat(TEXT / 2));
        let message = |text: &str| format!("*3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$200\r\n{text}\r\n");
        let bytes = ["*3\r\n$9\r\nsubscribe\r\n$4\r\nroom\r\n:1\r\n", &message(&one), &message(&other)].concat();
        let expected = [Arrived::Ready, Arrived::Message(one.into_bytes()), Arrived::Message(other.into_bytes())];
        check_every_split(receiver, bytes.as_bytes(), &expected, b"");
    }

    #[test]
    fn receipts_are_the_same_wherever_the_bytes_are_split() {
        let expected = [Arrived::Ready, Arrived::Receipt, Arrived::Receipt];
        check_every_split(receiver, b"+PONG\r\n:100\r\n:0\r\n", &expected, b"");
    }

    #[test]
    fn anything_else_is_an_error() {
        let too_long = format!("*3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$200\r\n{}\r\n", "1".repeat(TEXT + 2));
        for bytes in ["-ERR unknown command\r\n", "*3\r\n$7\r\nmessage\r\n$5\r\n", "$4\r\n", "\r\n", &too_long] {
            receiver().receive(bytes.as_bytes(), &mut Vec::new(), |_| Ok(())).unwrap_err();
        }
    }

    #[test]
    fn a_receiver_subscribes_and_a_publisher_sends_its_text() {
        let mut out = Vec::new();
        Redis::connect(Role::Receiver, "room", "sam", &mut out);
        assert_eq!(out, b"*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nroom\r\n");
        out.clear();
        assert!(Redis::connect(Role::Publisher, "room", "sam", &mut Vec::new()).publish(Number::FIRST, &mut out));
        let text = text().replace(crate::protocol::number::placeholder(), "00000000");
        let expected = format!("*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n$200\r\n{text}\r\n");
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}
