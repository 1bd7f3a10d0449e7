//! Parsers of values on the command line that clap has none for. Their errors say what is expected.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use grpc_chat_client::MsgId;

/// Returns a parser of whole numbers in `range`.
pub(crate) fn whole<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| match (range.start(), range.end()) {
            (0, &u64::MAX) => "expected a whole number".to_owned(),
            (least, most) => format!("expected a whole number from {least} to {most}"),
        })
    }
}

/// Parses the seq of a message.
pub(crate) fn seq(text: &str) -> Result<u64, String> {
    const EXPECTED: &str = "expected the number of a message, which `history` shows in front of it";
    text.parse().ok().filter(|seq| *seq > 0).ok_or_else(|| EXPECTED.to_owned())
}

/// A place in a room's history, perhaps of a certain epoch, and perhaps of a certain event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct After {
    pub(crate) epoch: Option<u64>,
    pub(crate) seq: u64,
    pub(crate) id: Option<MsgId>,
}

impl FromStr for After {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected SEQ, EPOCH:SEQ or EPOCH:SEQ:CLIENT_MSG_ID, as in --json";
        let (epoch, seq, id) = match text.split(':').collect::<Vec<_>>()[..] {
            [seq] => (None, seq, None),
            [epoch, seq] => (Some(epoch), seq, None),
            [epoch, seq, id] => (Some(epoch), seq, Some(id)),
            _ => return Err(EXPECTED),
        };
        let epoch = epoch.map(str::parse).transpose().map_err(|_| EXPECTED)?;
        let id = id.map(str::parse).transpose().map_err(|_| EXPECTED)?;
        Ok(Self { epoch, seq: seq.parse().map_err(|_| EXPECTED)?, id })
    }
}

/// Parses a value of the configuration file. The error has the text, made visible, and why it cannot be used.
pub(crate) fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|why| format!("\"{}\" cannot be used: {why}", text.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_in_its_range_and_in_its_type() {
        let percent = whole::<u8>(0..=100);
        assert_eq!([percent("0"), percent("100")], [Ok(0), Ok(100)]);
        for text in ["101", "-1", "1.5", "abc", ""] {
            assert_eq!(percent(text).unwrap_err(), "expected a whole number from 0 to 100", "{text:?}");
        }
        assert_eq!(whole::<u64>(0..=u64::MAX)("abc").unwrap_err(), "expected a whole number");
        whole::<u8>(0..=1_000)("256").unwrap_err();
    }

    #[test]
    fn a_seq_is_1_or_more() {
        assert_eq!(seq("7"), Ok(7));
        for text in ["0", "-1", "abc", ""] {
            assert!(seq(text).unwrap_err().contains("the number of a message"), "{text:?}");
        }
    }

    #[test]
    fn a_place_is_a_number_or_two_and_perhaps_an_id() {
        assert_eq!("12".parse(), Ok(After { epoch: None, seq: 12, id: None }));
        assert_eq!("7:12".parse(), Ok(After { epoch: Some(7), seq: 12, id: None }));
        let id = MsgId([0x11; 16]);
        assert_eq!(format!("7:12:{id}").parse(), Ok(After { epoch: Some(7), seq: 12, id: Some(id) }));
        for bad in ["", ":", "1:", ":1", "-1", "a", "1:2:3", "1:2:", &format!("1:2:{id}:"), &id.to_string()] {
            bad.parse::<After>().unwrap_err();
        }
    }
}
