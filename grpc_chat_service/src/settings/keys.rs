//! The keys of the configuration: which there are, what each may be, and which one was probably meant.

use std::fmt;
use std::time::Duration;

use grpc_chat_service::units;
use serde::Deserialize;
use toml::{Table, Value};

use super::Settings;

/// Limits are at least 1, 1 byte and 1 ms: with 0 nothing would work. Their upper ends are what clocks and semaphores can
/// count, far beyond what is useful.
const COUNTS: (u64, u64) = (1, u32::MAX as u64);
const SIZES: (u64, u64) = (1, 1 << 40);
const MILLISECONDS: (u64, u64) = (1, 10 * 365 * 24 * 60 * 60 * 1000);

/// The keys with other bounds, in the same units: counts, bytes and milliseconds. A name with a dot at its end is of the
/// rest of a group.
const BOUNDS: [(&str, u64, u64); 9] = [
    ("grace", 0, MILLISECONDS.1),
    // A request has some hundred bytes of headers, before any that its library or a proxy adds.
    ("limits.connection.header-bytes", 1 << 10, GIB),
    ("limits.connection.message-bytes", 1 << 10, GIB),
    ("limits.connection.send-buffer-bytes", 1, GIB),
    ("limits.connection.stream-window-bytes", 1, GIB),
    // 0: the disk may be filled.
    ("limits.storage.free-floor-bytes", 0, SIZES.1),
    ("limits.storage.free-floor-percent", 0, 100),
    ("limits.rates.network-share", 1, 1 << 20),
    // 0 is no limit.
    ("limits.rates.", 0, GIB),
];

/// What HTTP/2's windows (RFC 9113, section 6.9.1) and gRPC's lengths can count, and a little less.
const GIB: u64 = 1 << 30;

/// All keys with their defaults, as tables in tables.
#[derive(Debug)]
pub(super) struct Keys(Table);

/// What a key may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    Count(u64, u64),
    Size(u64, u64),
    /// In milliseconds.
    Duration(u64, u64),
    /// What its type allows.
    Any,
}

impl Keys {
    #[expect(clippy::expect_used, reason = "nothing from outside is in the defaults; the tests write them as TOML")]
    pub(super) fn new() -> Self {
        Self(Table::try_from(Settings::default()).expect("the defaults are TOML"))
    }

    pub(super) fn all(&self) -> &Table {
        &self.0
    }

    /// Returns every key that has a value, with its default.
    pub(super) fn values(&self) -> Vec<(String, &Value)> {
        fn collect<'a>(table: &'a Table, prefix: &str, found: &mut Vec<(String, &'a Value)>) {
            for (name, value) in table {
                match value {
                    Value::Table(table) => collect(table, &format!("{prefix}{name}."), found),
                    value => found.push((format!("{prefix}{name}"), value)),
                }
            }
        }
        let mut found = Vec::new();
        collect(&self.0, "", &mut found);
        found
    }

    /// Checks one value: its type, and whether it is within the bounds.
    ///
    /// # Errors
    ///
    /// What is expected instead.
    pub(super) fn check(&self, key: &str, value: &Value) -> Result<(), String> {
        let allowed = self.allowed(key);
        let Err(error) = Settings::deserialize(nest(key, value.clone())) else {
            return if allowed.contains(value) { Ok(()) } else { Err(allowed.to_string()) };
        };
        if allowed != Allowed::Any {
            return Err(allowed.to_string());
        }
        let why = error.message();
        match why.rsplit_once("expected ").map_or(why, |(_, expected)| expected) {
            "a boolean" => Err("true or false".to_owned()),
            expected => Err(expected.replace('`', "\"")),
        }
    }

    /// Returns what a key may be, which follows from its name and its default.
    pub(super) fn allowed(&self, key: &str) -> Allowed {
        let default = key.split('.').try_fold(&Value::Table(self.0.clone()), |value, name| value.get(name)).cloned();
        let within = |usual: (u64, u64)| {
            let of_group = |name: &str| name.ends_with('.') && key.starts_with(name);
            let bounds = BOUNDS.iter().find(|(name, ..)| *name == key || of_group(name));
            bounds.map_or(usual, |(_, least, most)| (*least, *most))
        };
        match default {
            Some(value) if is_size(key) && size(&value).is_some() => {
                let (least, most) = within(SIZES);
                Allowed::Size(least, most)
            }
            Some(Value::Integer(_)) => {
                let (least, most) = within(COUNTS);
                Allowed::Count(least, most)
            }
            Some(value) if duration(&value).is_some() => {
                let (least, most) = within(MILLISECONDS);
                Allowed::Duration(least, most)
            }
            _ => Allowed::Any,
        }
    }

    /// Returns what a key may be, if it has [`BOUNDS`] of its own.
    #[cfg(test)]
    pub(super) fn unusual(&self, key: &str) -> Option<Allowed> {
        BOUNDS.iter().any(|(name, ..)| *name == key).then(|| self.allowed(key))
    }

    /// Returns a sentence about a key that does not exist in one of the tables, with the key that was probably meant.
    pub(super) fn unknown(&self, table: &Table, prefix: &str, name: &str) -> String {
        let unknown = format!("unknown key {prefix}{}", plain(name));
        let elsewhere = self.values().into_iter().map(|(key, _)| key).find(|key| last(key) == name);
        let similar = || nearest(name, table.keys().map(String::as_str)).map(|name| format!("{prefix}{name}"));
        match elsewhere.or_else(similar) {
            Some(meant) => format!("{unknown}; did you mean {meant}?"),
            None => format!("{unknown}; `grpc_chat_service config` prints all keys"),
        }
    }
}

impl Allowed {
    /// Returns the least and the greatest value.
    pub(super) fn range(&self) -> String {
        let duration = |milliseconds| units::duration::text(Duration::from_millis(milliseconds));
        match self {
            Self::Count(least, most) => format!("{least} to {most}"),
            Self::Size(least, most) => format!("{} to {}", units::size::text(*least), units::size::text(*most)),
            Self::Duration(least, most) => format!("{} to {}", duration(*least), duration(*most)),
            Self::Any => String::new(),
        }
    }

    fn contains(&self, value: &Value) -> bool {
        let (least, most, value) = match self {
            Self::Count(least, most) => (least, most, value.as_integer().and_then(|count| u64::try_from(count).ok())),
            Self::Size(least, most) => (least, most, size(value)),
            Self::Duration(least, most) => {
                (least, most, duration(value).and_then(|duration| u64::try_from(duration.as_millis()).ok()))
            }
            Self::Any => return true,
        };
        value.is_some_and(|value| (*least..=*most).contains(&value))
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = self.range();
        match self {
            Self::Count(..) => write!(f, "a whole number from {range}"),
            Self::Size(..) => write!(f, "a size from {range}, as a number of bytes or such as \"64 KiB\""),
            Self::Duration(..) => write!(f, "a duration from {range}, such as \"1m30s\""),
            Self::Any => Ok(()),
        }
    }
}

/// Returns a value for a sentence.
pub(super) fn show(value: &Value) -> String {
    match value {
        Value::Table(_) => "a table".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        value => value.to_string(),
    }
}

/// Returns the name that is the most like this one, if any is.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |other| strsim::jaro_winkler(&name.to_lowercase(), &str::to_lowercase(other));
    let likely = names.map(|other| (likeness(other), other)).filter(|(likeness, _)| *likeness > 0.8);
    likely.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, name)| name)
}

/// Returns the value in the tables that the key names.
pub(super) fn nest(key: &str, value: Value) -> Value {
    key.rsplit('.').fold(value, |value, name| Value::Table(Table::from_iter([(name.to_owned(), value)])))
}

/// Returns whether a key is named like a size.
fn is_size(key: &str) -> bool {
    last(key).split('-').any(|word| word == "bytes")
}

fn size(value: &Value) -> Option<u64> {
    units::size::deserialize(value.clone()).ok()
}

fn duration(value: &Value) -> Option<Duration> {
    units::duration::deserialize(value.clone()).ok()
}

/// Returns the last name of a key.
fn last(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(_, name)| name)
}

/// Returns a name as it can be shown: quoted, unless it has only the characters of a bare key.
fn plain(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && name.bytes().all(is_bare) { name.to_owned() } else { format!("{name:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_named_like_a_flag() {
        for (key, _) in Keys::new().values() {
            let is_kebab_case = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte == b'.');
            assert!(is_kebab_case, "{key}: give its struct `rename_all = \"kebab-case\"`");
        }
    }

    #[test]
    fn every_limit_is_a_count_a_size_or_a_duration() {
        let keys = Keys::new();
        for (key, default) in keys.values().into_iter().filter(|(key, _)| key.starts_with("limits.")) {
            let hint = "give a Duration `#[serde(with = \"units::duration\")]`";
            assert_ne!(keys.allowed(&key), Allowed::Any, "{key} is {default}; {hint}");
            assert_eq!(keys.check(&key, default), Ok(()), "{key}");
            if is_size(&key) {
                let hint = "give a size `#[serde(with = \"units::size\")]`";
                assert_eq!(keys.check(&key, &"64 KiB".into()), Ok(()), "{key}: {hint}");
            }
        }
    }

    #[test]
    fn what_the_bounds_allow_fits_into_the_types() {
        let keys = Keys::new();
        for (key, _) in keys.values() {
            let ends = match keys.allowed(&key) {
                Allowed::Count(least, most) | Allowed::Size(least, most) => {
                    [least, most].map(|end| Value::Integer(end.try_into().unwrap()))
                }
                Allowed::Duration(least, most) => {
                    [least, most].map(|end| units::duration::text(Duration::from_millis(end)).into())
                }
                Allowed::Any => continue,
            };
            for end in ends {
                assert_eq!(keys.check(&key, &end), Ok(()), "{key} = {end}: add the key to BOUNDS");
            }
        }
        for (key, ..) in BOUNDS {
            let is_known = key.ends_with('.') || keys.values().iter().any(|(known, _)| known == key);
            assert!(is_known, "{key} in BOUNDS is no key");
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_with_what_is_allowed() {
        let keys = Keys::new();
        let expected = |key, value: Value| keys.check(key, &value).unwrap_err();
        let count = "a whole number from 1 to 4294967295";
        let size = "a size from 1 B to 1 TiB, as a number of bytes or such as \"64 KiB\"";
        let duration = "a duration from 1ms to 87600h, such as \"1m30s\"";
        for value in [0.into(), (-1).into(), (1_i64 << 32).into(), "many".into(), 1.5.into(), true.into()] {
            assert_eq!(expected("limits.session.rooms", value), count);
        }
        for value in [0.into(), (-1).into(), "2 TiB".into(), "64 KB".into(), "".into(), false.into()] {
            assert_eq!(expected("limits.room.tail-bytes", value), size);
        }
        for value in ["0s".into(), "-1s".into(), "1us".into(), "87600h1s".into(), "soon".into(), 10.into()] {
            assert_eq!(expected("limits.session.hello", value), duration);
        }
        assert_eq!(expected("memory", "yes".into()), "true or false");
        assert_eq!(expected("durability", "never".into()), "\"synced\" or \"written\"");
        assert_eq!(expected("listen", "here".into()), "an IP address and a port, such as 127.0.0.1:9090");
        assert_eq!(keys.check("grace", &"0s".into()), Ok(()));
    }

    #[test]
    fn the_key_that_was_probably_meant_is_named() {
        let keys = Keys::new();
        let session = keys.all()["limits"]["session"].as_table().unwrap();
        for (name, sentence) in [
            ("room", "unknown key limits.session.room; did you mean limits.session.rooms?"),
            ("in_flight", "unknown key limits.session.in_flight; did you mean limits.session.in-flight?"),
            ("handshake", "unknown key limits.session.handshake; did you mean limits.connection.handshake?"),
            ("z z", "unknown key limits.session.\"z z\"; `grpc_chat_service config` prints all keys"),
        ] {
            assert_eq!(keys.unknown(session, "limits.session.", name), sentence);
        }
        for (name, sentence) in [
            ("Listen", "unknown key Listen; did you mean listen?"),
            ("log_format", "unknown key log_format; did you mean log-format?"),
            ("limit", "unknown key limit; did you mean limits?"),
        ] {
            assert_eq!(keys.unknown(keys.all(), "", name), sentence);
        }
    }
}
