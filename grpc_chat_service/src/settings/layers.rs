//! The layers of the configuration: the file, the environment, the flags. Later ones take precedence.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use super::Settings;
use super::document::{self, Entry, LineError};
use super::keys::{self, Keys};
use super::origin::{Origin, Origins};

/// The variables of limits. Other settings have a flag, with a variable beside it.
const VARIABLES: &str = "CHAT_LIMITS_";

/// What the layers below the flags set, and what is wrong with them.
#[derive(Debug)]
pub(crate) struct Layers {
    keys: Keys,
    values: Table,
    origins: Origins,
    errors: Vec<String>,
}

impl Layers {
    /// The defaults.
    pub(crate) fn new() -> Self {
        Self { keys: Keys::new(), values: Table::new(), origins: Origins::default(), errors: Vec::new() }
    }

    /// Adds the values of a configuration file, which `name` names: a flag or a variable.
    pub(crate) fn add_file(&mut self, path: &Path, name: &str) {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                self.errors.push(format!("cannot read {}, which {name} names: {error}", path.display()));
                return;
            }
        };
        let (entries, mut errors) = document::read(&text, &self.keys);
        for Entry { key, value, line } in entries {
            match self.keys.check(&key, &value) {
                Ok(()) => self.set(&key, value, Origin::File { path: path.to_owned(), line }),
                Err(expected) => {
                    let why = format!("{key} is {}; expected {expected}", keys::show(&value));
                    errors.push(LineError { line, why });
                }
            }
        }
        errors.sort_by_key(|error| error.line);
        let located = |LineError { line, why }| format!("{}, line {line}: {why}", path.display());
        self.errors.extend(errors.into_iter().map(located));
    }

    /// Adds the variables of limits: the key in capitals, with underscores.
    pub(crate) fn add_variables(&mut self, variables: impl Iterator<Item = (OsString, OsString)>) {
        let known: BTreeMap<String, (String, bool)> = self
            .keys
            .values()
            .into_iter()
            .filter_map(|(key, default)| {
                let limit = variable(&key).strip_prefix(VARIABLES)?.to_owned();
                Some((limit, (key, default.is_str())))
            })
            .collect();
        for (name, value) in variables {
            let Some(limit) = name.to_str().and_then(|name| name.strip_prefix(VARIABLES)) else { continue };
            let Some((key, is_text)) = known.get(limit) else {
                let meant = keys::nearest(limit, known.keys().map(String::as_str));
                let hint = meant.map_or_else(String::new, |meant| format!("; did you mean {VARIABLES}{meant}?"));
                self.errors.push(format!("unknown environment variable {VARIABLES}{limit}{hint}"));
                continue;
            };
            let value = value_of(&value, *is_text);
            match self.keys.check(key, &value) {
                Ok(()) => self.set(key, value, Origin::Variable(variable(key))),
                Err(expected) => {
                    let (name, value) = (variable(key), keys::show(&value));
                    self.errors.push(format!("the environment variable {name} is {value}; expected {expected}"));
                }
            }
        }
    }

    fn set(&mut self, key: &str, value: Value, origin: Origin) {
        merge(&mut self.values, keys::nest(key, value));
        self.origins.set(key, origin);
    }

    /// Returns the settings, with the origin of each.
    ///
    /// # Errors
    ///
    /// A sentence for everything that cannot be used.
    pub(crate) fn finish(self) -> Result<(Settings, Origins), Vec<String>> {
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        match Settings::deserialize(self.values) {
            Ok(settings) => Ok((settings, self.origins)),
            Err(error) => Err(vec![error.message().to_owned()]),
        }
    }
}

/// Returns the variable of a key.
fn variable(key: &str) -> String {
    format!("CHAT_{}", key.replace(['.', '-'], "_").to_uppercase())
}

/// Returns the value that a variable has, which is written as in a file, but a text without quotes.
fn value_of(text: &OsStr, is_text: bool) -> Value {
    let text = text.to_string_lossy();
    match text.parse() {
        Ok(value) if !is_text => value,
        _ => Value::String(text.into_owned()),
    }
}

/// Adds a value in its tables to other tables.
fn merge(into: &mut Table, nested: Value) {
    let Value::Table(nested) = nested else { return };
    for (name, value) in nested {
        match into.get_mut(&name) {
            Some(Value::Table(inner)) if value.is_table() => merge(inner, value),
            _ => {
                into.insert(name, value);
            }
        }
    }
}
