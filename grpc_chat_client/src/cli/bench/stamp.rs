//! What a message of a bench says of itself, at the head of its text: whoever receives it knows when it was sent, and which
//! one it is.

/// Bytes of text that a stamp takes.
pub(super) const LENGTH: usize = 32;

/// The head of a text. Its fields are as wide as it takes for all of it to be [`LENGTH`] hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Tells this bench from another one in the same room.
    pub(super) bench: u32,
    /// Who sends it; 12 bits.
    pub(super) sender: u32,
    /// Which of that sender's messages it is, the first being 0; 36 bits.
    pub(super) number: u64,
    /// When it was sent, or should have been: nanoseconds of the bench's clock; 48 bits, three days.
    pub(super) at: u64,
}

const SENDER: u32 = 12;
const NUMBER: u32 = 36;
const AT: u32 = 48;

/// Senders that can be told apart.
pub(super) const SENDERS: u64 = 1 << SENDER;

impl Stamp {
    /// A text of this many bytes, at least [`LENGTH`], that begins with the stamp.
    pub(super) fn text(self, size: usize) -> String {
        let Self { bench, sender, number, at } = self;
        let sender = low(u128::from(sender), SENDER);
        let number = low(u128::from(number), NUMBER);
        let bits = ((u128::from(bench) << SENDER | sender) << NUMBER | number) << AT | low(u128::from(at), AT);
        format!("{bits:032x}{:.<1$}", "", size.saturating_sub(LENGTH))
    }

    /// The stamp of a text that has one, and the right length.
    pub(super) fn read(text: &str, size: usize) -> Option<Self> {
        let bits = text.get(..LENGTH).filter(|_| text.len() == size)?;
        let bits = u128::from_str_radix(bits, 16).ok()?;
        Some(Self {
            bench: (bits >> (SENDER + NUMBER + AT)) as u32,
            sender: low(bits >> (NUMBER + AT), SENDER) as u32,
            number: low(bits >> AT, NUMBER) as u64,
            at: low(bits, AT) as u64,
        })
    }
}

fn low(bits: u128, count: u32) -> u128 {
    bits & ((1 << count) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let ends = [
            Stamp { bench: 0, sender: 0, number: 0, at: 0 },
            Stamp { bench: u32::MAX, sender: 0xFFF, number: (1 << 36) - 1, at: (1 << 48) - 1 },
            Stamp { bench: 1, sender: 2, number: 3, at: 4 },
        ];
        for stamp in ends {
            for size in [LENGTH, LENGTH + 1, 8 * 1024] {
                let text = stamp.text(size);
                assert_eq!(text.len(), size);
                assert_eq!(Stamp::read(&text, size), Some(stamp));
            }
        }
    }

    #[test]
    fn what_others_say_has_none() {
        let stamped = Stamp { bench: 1, sender: 2, number: 3, at: 4 }.text(40);
        for (text, size) in [("", 40), ("Hi", 2), (&stamped, 41), (&stamped[..39], 40), (&"é".repeat(20), 40)] {
            assert_eq!(Stamp::read(text, size), None, "{text:?}");
        }
    }
}
