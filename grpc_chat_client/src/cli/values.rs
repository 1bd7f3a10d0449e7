//! Parsers of values on the command line that clap has none for, with errors that name what is expected.

use std::ops::RangeInclusive;
use std::str::FromStr;

/// Returns a parser of whole numbers in `range`.
pub(crate) fn whole(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> + Clone {
    move |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ if *range.end() == u64::MAX => Err(format!("expected a whole number, {} or more", range.start())),
        _ => Err(format!("expected a whole number from {} to {}", range.start(), range.end())),
    }
}

/// A place in a room's history, perhaps in a certain epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct After {
    pub(crate) epoch: Option<u64>,
    pub(crate) seq: u64,
}

impl FromStr for After {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().map_err(|_| "expected SEQ or EPOCH:SEQ, in digits".to_owned());
        match text.split_once(':') {
            Some((epoch, seq)) => Ok(Self { epoch: Some(number(epoch)?), seq: number(seq)? }),
            None => Ok(Self { epoch: None, seq: number(text)? }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_in_its_range() {
        let percent = whole(0..=100);
        assert_eq!([percent("0"), percent("100")], [Ok(0), Ok(100)]);
        for text in ["101", "-1", "1.5", "abc", ""] {
            assert_eq!(percent(text).unwrap_err(), "expected a whole number from 0 to 100", "{text:?}");
        }
        assert_eq!(whole(1..=u64::MAX)("abc").unwrap_err(), "expected a whole number, 1 or more");
    }

    #[test]
    fn a_place_is_a_number_or_two() {
        assert_eq!("12".parse(), Ok(After { epoch: None, seq: 12 }));
        assert_eq!("7:12".parse(), Ok(After { epoch: Some(7), seq: 12 }));
        for bad in ["", ":", "1:", ":1", "-1", "a", "1:2:3"] {
            bad.parse::<After>().unwrap_err();
        }
    }
}
