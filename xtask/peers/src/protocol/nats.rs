//! The protocol of NATS, with one subject: <https://docs.nats.io/reference/reference-protocols/nats-protocol>.

use std::io;

use super::number::{Number, TEXT, Template, text};
use super::{Arrival, PubSub, Role};

const END: &[u8] = b"\r\n";

/// A connection that subscribes to one subject, or publishes to it.
pub(crate) struct Nats {
    message: Template,
    /// What precedes the text of a message that is delivered.
    message_head: Vec<u8>,
}

impl PubSub for Nats {
    const RECEIPTS: bool = false;

    fn connect(role: Role, room: &str, _user: &str, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
        if role == Role::Receiver {
            out.extend_from_slice(format!("SUB {room} 1\r\n").as_bytes());
        }
        // The reply comes when everything before it has been carried out.
        out.extend_from_slice(b"PING\r\n");
        Self {
            message: Template::new(format!("PUB {room} {TEXT}\r\n{}\r\n", text()).into_bytes()),
            message_head: format!("MSG {room} 1 {TEXT}\r\n").into_bytes(),
        }
    }

    fn publish(&mut self, number: Number, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(self.message.numbered(number));
        true
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        mut on_arrival: impl FnMut(Arrival<'_>) -> io::Result<()>,
    ) -> io::Result<usize> {
        let mut rest = bytes;
        loop {
            if let Some(message) = rest.strip_prefix(&self.message_head[..]) {
                let Some((message, after)) = message.split_at_checked(TEXT + END.len()) else { break };
                let Some(text) = message.strip_suffix(END) else { return Err(unexpected(message)) };
                on_arrival(Arrival::Message(text))?;
                rest = after;
                continue;
            }
            // Everything else is a line.
            let Some(length) = rest.windows(END.len()).position(|window| window == END) else { break };
            match &rest[..length] {
                b"PING" => out.extend_from_slice(b"PONG\r\n"),
                b"PONG" => on_arrival(Arrival::Ready)?,
                line if line.starts_with(b"INFO ") => {}
                line => return Err(unexpected(line)),
            }
            rest = &rest[length + END.len()..];
        }
        Ok(bytes.len() - rest.len())
    }
}

#[cold]
fn unexpected(bytes: &[u8]) -> io::Error {
    io::Error::other(format!("NATS sent `{}`", String::from_utf8_lossy(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::pieces::{Arrived, check_every_split};

    fn receiver() -> Nats {
        Nats::connect(Role::Receiver, "room", "sam", &mut Vec::new())
    }

    #[test]
    fn messages_are_the_same_wherever_the_bytes_are_split() {
        let (one, other) = ("1".repeat(TEXT), "\r\n".repeat(TEXT / 2));
        let bytes = format!(
            "INFO {{\"max_payload\":1048576}} \r\nPONG\r\nMSG room 1 200\r\n{one}\r\nPING\r\nMSG room 1 200\r\n{other}\r\n"
        );
        let expected = [Arrived::Ready, Arrived::Message(one.into_bytes()), Arrived::Message(other.into_bytes())];
        check_every_split(receiver, bytes.as_bytes(), &expected, b"PONG\r\n");
    }

    #[test]
    fn anything_else_is_an_error() {
        let too_long = format!("MSG room 1 200\r\n{}\r\n", "1".repeat(TEXT + 2));
        for bytes in ["-ERR 'Slow Consumer'\r\n", "MSG room 1 199\r\n", "MSG room 2 200\r\n", "\r\n", &too_long] {
            receiver().receive(bytes.as_bytes(), &mut Vec::new(), |_| Ok(())).unwrap_err();
        }
    }

    #[test]
    fn a_receiver_subscribes_and_a_publisher_sends_its_text() {
        let mut out = Vec::new();
        Nats::connect(Role::Receiver, "room", "sam", &mut out);
        assert!(String::from_utf8_lossy(&out).ends_with("SUB room 1\r\nPING\r\n"));
        out.clear();
        assert!(Nats::connect(Role::Publisher, "room", "sam", &mut Vec::new()).publish(Number::FIRST, &mut out));
        assert_eq!(out.len(), "PUB room 200\r\n".len() + TEXT + END.len());
        assert!(out.starts_with(b"PUB room 200\r\n00000000xxx") && out.ends_with(b"x\r\n"));
    }
}
