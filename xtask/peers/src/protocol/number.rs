//! The numbers of messages. Every text begins with one, and a receiver checks that it gets each of them once and in order.

use std::io;

/// The length of a message's text, in bytes.
pub(crate) const TEXT: usize = 200;

const DIGITS: usize = 8;
const PLACEHOLDER: [u8; DIGITS] = *b"########";

/// The number of a message, as decimal digits: counting in the form that is sent saves converting it for every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number([u8; DIGITS]);

impl Number {
    /// Zero.
    pub(crate) const FIRST: Self = Self([b'0'; DIGITS]);

    /// Adds one. The number after the highest is zero.
    pub(crate) fn advance(&mut self) {
        for digit in self.0.iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
    }
}

/// Returns a text of [`TEXT`] bytes, with a placeholder for its number at the start.
pub(crate) fn text() -> String {
    format!("{:x<TEXT$}", placeholder())
}

/// Returns the placeholder that [`Template`] replaces.
pub(crate) fn placeholder() -> &'static str {
    str::from_utf8(&PLACEHOLDER).unwrap_or_default()
}

/// An encoded message that is sent again and again, each time with another number.
pub(crate) struct Template {
    bytes: Vec<u8>,
    /// Where the numbers are.
    at: Vec<usize>,
}

impl Template {
    /// Makes a template of a message with placeholders.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let places = bytes.windows(DIGITS).enumerate();
        let at = places.filter(|(_, window)| *window == PLACEHOLDER).map(|(at, _)| at).collect();
        Self { bytes, at }
    }

    /// Returns the message with this number.
    pub(crate) fn numbered(&mut self, number: Number) -> &mut [u8] {
        for &at in &self.at {
            self.bytes[at..at + DIGITS].copy_from_slice(&number.0);
        }
        &mut self.bytes
    }
}

/// The messages that one receiver has received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence {
    next: Number,
    received: u64,
}

impl Sequence {
    pub(crate) const EMPTY: Self = Self { next: Number::FIRST, received: 0 };

    /// Checks that a message, which ends with its text, is the next one.
    pub(crate) fn check(&mut self, message: &[u8]) -> io::Result<()> {
        let text = message.len().checked_sub(TEXT).and_then(|at| message[at..].first_chunk::<DIGITS>());
        if text != Some(&self.next.0) {
            return Err(self.unexpected(message));
        }
        self.next.advance();
        self.received += 1;
        Ok(())
    }

    /// Returns how many messages have been received.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    #[cold]
    fn unexpected(&self, message: &[u8]) -> io::Error {
        let start = &message[message.len().saturating_sub(TEXT)..];
        let start = String::from_utf8_lossy(&start[..start.len().min(DIGITS)]).into_owned();
        io::Error::other(format!("message {} was lost, repeated or overtaken: `{start}` arrived", self.received))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_in_decimal() {
        let mut number = Number::FIRST;
        for expected in 0..1_234 {
            assert_eq!(number.0, format!("{expected:08}").as_bytes());
            number.advance();
        }
        let mut highest = Number(*b"99999999");
        highest.advance();
        assert_eq!(highest, Number::FIRST);
    }

    #[test]
    fn a_template_has_the_number_in_every_place() {
        let mut template = Template::new(format!("id ######## text {}", text()).into_bytes());
        let mut number = Number::FIRST;
        number.advance();
        let message = template.numbered(number).to_vec();
        assert!(message.starts_with(b"id 00000001 text 00000001xxx"), "{}", String::from_utf8_lossy(&message));
        assert_eq!(message.len(), "id ######## text ".len() + TEXT);
        assert!(template.numbered(Number::FIRST).starts_with(b"id 00000000 text 00000000xxx"));
    }

    #[test]
    fn a_sequence_takes_the_next_message_and_no_other() {
        let mut template = Template::new(text().into_bytes());
        let mut messages = Vec::new();
        let mut number = Number::FIRST;
        for _ in 0..3 {
            messages.push(template.numbered(number).to_vec());
            number.advance();
        }
        let mut sequence = Sequence::EMPTY;
        sequence.check(&messages[0]).unwrap();
        sequence.check(&[b"something before it ".as_slice(), &messages[1]].concat()).unwrap();
        for wrong in [&messages[0], &messages[1], &messages[2][1..].to_vec(), &Vec::new()] {
            sequence.check(wrong).unwrap_err();
        }
        sequence.check(&messages[2]).unwrap();
        assert_eq!(sequence.received(), 3);
        sequence.check(&messages[2]).unwrap_err();
    }
}
