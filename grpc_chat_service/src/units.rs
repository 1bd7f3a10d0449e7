//! Durations and sizes as people write them in a configuration file: `"1m30s"`, `"64 KiB"`.
//!
//! Each module is used by its name: `#[serde(with = "units::duration")]`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserializer, Serialize, Serializer};

/// A [`Duration`](std::time::Duration) as text: `"500ms"`, `"10s"`, `"1m30s"`, `"24h"`.
pub mod duration {
    use std::time::Duration;

    use jiff::fmt::friendly::{Spacing, SpanParser, SpanPrinter};

    use super::{Deserializer, Serializer, Unexpected, Visitor, de, fmt};

    const PARSER: SpanParser = SpanParser::new();
    const PRINTER: SpanPrinter = SpanPrinter::new().spacing(Spacing::None);

    /// Reads a duration from a text.
    ///
    /// # Errors
    ///
    /// What is expected, if the text is not a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        deserializer.deserialize_str(Text)
    }

    /// Writes a duration as text.
    ///
    /// # Errors
    ///
    /// The serializer's.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(*duration))
    }

    /// Returns a duration as text.
    #[must_use]
    pub fn text(duration: Duration) -> String {
        PRINTER.unsigned_duration_to_string(&duration)
    }

    struct Text;

    impl Visitor<'_> for Text {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration such as \"10s\" or \"1m30s\"")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
            PARSER.parse_unsigned_duration(text).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
        }
    }
}

/// A number of bytes: a whole number, or text with a unit such as `"64 KiB"`.
pub mod size {
    use super::{Deserializer, PhantomData, Serialize, Serializer, Size};

    /// Reads a size from a whole number or a text.
    ///
    /// # Errors
    ///
    /// What is expected, if it is neither, or does not fit into the type.
    pub fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<u64>>(deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(Size(PhantomData))
    }

    /// Writes a size with the largest unit that shows it exactly.
    ///
    /// # Errors
    ///
    /// The serializer's.
    pub fn serialize<S: Serializer, T: Copy + Serialize + TryInto<u64>>(
        size: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match (*size).try_into().ok().and_then(super::with_unit) {
            Some(text) => serializer.serialize_str(&text),
            None => size.serialize(serializer),
        }
    }

    /// Returns a number of bytes as text.
    #[must_use]
    pub fn text(bytes: u64) -> String {
        super::with_unit(bytes).unwrap_or_else(|| format!("{bytes} B"))
    }
}

/// The units of sizes, the largest first.
const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Returns a size with the largest unit that it is a multiple of, or `None` if there is none.
fn with_unit(bytes: u64) -> Option<String> {
    let (unit, factor) = UNITS.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))?;
    Some(format!("{} {unit}", bytes / factor))
}

/// Reads a number with one of the [`UNITS`], or without a unit.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

struct Size<T>(PhantomData<T>);

impl<T: TryFrom<u64>> Visitor<'_> for Size<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes, or a size such as \"64 KiB\"")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        let size = u64::try_from(number).ok().and_then(|size| T::try_from(size).ok());
        size.ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        T::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        let size = bytes(text).and_then(|size| T::try_from(size).ok());
        size.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde::Deserialize;
    use serde::de::IntoDeserializer;
    use serde::de::value::Error;

    use super::*;

    fn read_duration(text: &str) -> Result<Duration, Error> {
        duration::deserialize(text.into_deserializer())
    }

    fn read_size(text: &str) -> Result<u32, Error> {
        size::deserialize(text.into_deserializer())
    }

    #[test]
    fn a_duration_is_read_as_it_is_written() {
        #[derive(Serialize, Deserialize)]
        #[serde(transparent)]
        struct Written(#[serde(with = "duration")] Duration);
        for (text, milliseconds) in
            [("0s", 0), ("500ms", 500), ("10s", 10_000), ("1m30s", 90_000), ("24h", 24 * 60 * 60 * 1000)]
        {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(read_duration(text), Ok(duration));
            assert_eq!(serde_json::to_value(Written(duration)).unwrap(), text);
        }
        assert_eq!(read_duration("1 hour, 2 minutes"), Ok(Duration::from_secs(3720)));
        for text in ["", "10", "soon", "-5s", "5s ago", "10 apples"] {
            let error = read_duration(text).unwrap_err().to_string();
            assert!(error.ends_with("expected a duration such as \"10s\" or \"1m30s\""), "{error}");
        }
    }

    #[test]
    fn a_size_is_read_as_it_is_written() {
        #[derive(Serialize, Deserialize)]
        #[serde(transparent)]
        struct Written(#[serde(with = "size")] u32);
        for (text, bytes) in [("1 KiB", 1024), ("65 KiB", 65 * 1024), ("1 MiB", 1 << 20), ("3 GiB", 3 << 30)] {
            assert_eq!(read_size(text), Ok(bytes));
            assert_eq!(serde_json::to_value(Written(bytes)).unwrap(), text);
        }
        for (text, bytes) in [("0", 0), ("1000", 1000), ("1000B", 1000), ("2KiB", 2048)] {
            assert_eq!(read_size(text), Ok(bytes));
        }
        assert_eq!(serde_json::to_value(Written(1000)).unwrap(), 1000);
        for text in ["", "KiB", "-1 KiB", "1.5 KiB", "1 KB", "4 GiB", "99999999999999999999", "16777216 TiB"] {
            let error = read_size(text).unwrap_err().to_string();
            assert!(error.ends_with("expected a number of bytes, or a size such as \"64 KiB\""), "{error}");
        }
    }
}
