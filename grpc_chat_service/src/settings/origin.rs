//! Where the values of the configuration are from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Where a value is from. Later ones take precedence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Variable(String),
    Flag(String),
}

/// Where each value is from that is no default, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origins(BTreeMap<String, Origin>);

impl Origins {
    pub(crate) fn set(&mut self, key: &str, origin: Origin) {
        self.0.insert(key.to_owned(), origin);
    }

    pub(crate) fn of(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }

    /// Returns a sentence about some keys, after the place in the file that sets one of them.
    pub(super) fn located(&self, keys: &[&str], sentence: &str) -> String {
        match keys.iter().map(|key| self.of(key)).find(|origin| matches!(origin, Origin::File { .. })) {
            Some(origin) => format!("{origin}: {sentence}"),
            None => sentence.to_owned(),
        }
    }
}

impl Origin {
    /// Returns the number of its layer: a higher one takes precedence.
    pub(crate) fn layer(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Variable(_) => 2,
            Self::Flag(_) => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}
