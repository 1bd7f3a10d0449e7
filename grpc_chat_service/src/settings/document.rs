//! A configuration file as keys and values, each with its line.

use serde::Deserialize;
use toml::Value;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::keys::{self, Keys};

/// A value in the file.
#[derive(Debug)]
pub(super) struct Entry {
    /// The names of its tables and its own, joined by dots.
    pub(super) key: String,
    pub(super) value: Value,
    /// Counted from 1.
    pub(super) line: usize,
}

/// What is wrong in a line of the file.
#[derive(Debug)]
pub(super) struct LineError {
    pub(super) line: usize,
    pub(super) why: String,
}

/// Reads the text of a file: its values, and what in it is no value of a known key.
pub(super) fn read(text: &str, keys: &Keys) -> (Vec<Entry>, Vec<LineError>) {
    let mut reader = Reader { text, keys, entries: Vec::new(), errors: Vec::new() };
    match DeTable::parse(text) {
        Ok(document) => reader.read_table(document.get_ref(), keys.all(), ""),
        Err(error) => {
            let line = reader.line(error.span().map_or(0, |span| span.start));
            reader.errors.push(LineError { line, why: error.message().to_owned() });
        }
    }
    (reader.entries, reader.errors)
}

struct Reader<'a> {
    text: &'a str,
    keys: &'a Keys,
    entries: Vec<Entry>,
    errors: Vec<LineError>,
}

impl Reader<'_> {
    fn read_table(&mut self, table: &DeTable<'_>, known: &toml::Table, prefix: &str) {
        for (name, value) in table {
            let line = self.line(name.span().start);
            let key = format!("{prefix}{}", name.get_ref());
            match (known.get(name.get_ref().as_ref()), value.get_ref()) {
                (None, _) => {
                    let why = self.keys.unknown(known, prefix, name.get_ref());
                    self.errors.push(LineError { line, why });
                }
                (Some(Value::Table(known)), DeValue::Table(table)) => {
                    self.read_table(table, known, &format!("{key}."));
                }
                (Some(known), _) => match Value::deserialize(ValueDeserializer::from(value.clone())) {
                    Ok(value) if known.is_table() => {
                        let why = format!("{key} is {}; expected a table of keys, [{key}]", keys::show(&value));
                        self.errors.push(LineError { line, why });
                    }
                    Ok(value) => self.entries.push(Entry { key, value, line }),
                    // An integer beyond 64 bits, which only its text can show.
                    Err(_) => {
                        let text = self.text.get(value.span()).unwrap_or_default();
                        let why = match self.keys.check(&key, &Value::Integer(i64::MAX)) {
                            Ok(()) => format!("{key} is {text}; expected a smaller number"),
                            Err(expected) => format!("{key} is {text}; expected {expected}"),
                        };
                        self.errors.push(LineError { line, why });
                    }
                },
            }
        }
    }

    /// Returns the line of a position in the text, counted from 1.
    fn line(&self, position: usize) -> usize {
        self.text.bytes().take(position).filter(|byte| *byte == b'\n').count() + 1
    }
}
