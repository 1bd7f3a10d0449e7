//! The example file, made from the defaults and the comments in the sources.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::keys::Keys;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml");

/// The sources in which settings are declared.
const SOURCES: [&str; 2] = [include_str!("../settings.rs"), include_str!("../limits.rs")];

const HEADER: &str = "\
# The configuration of grpc_chat_service: every key, with its default in a comment. Remove the # in front of what you want to
# change, and start the service with `--config FILE`, or with FILE in the environment variable CHAT_CONFIG.
#
# Environment variables take precedence over this file, and flags over both. The variable of a limit is its key in capitals:
# that of `rooms` in [limits.session] is CHAT_LIMITS_SESSION_ROOMS. `grpc_chat_service config` prints what is in effect, and
# where each value is from; `grpc_chat_service config --check FILE` checks a file.
#
# Durations are text, such as \"500ms\", \"10s\" or \"1m30s\". Sizes are numbers of bytes, or text such as \"64 KiB\".
";

/// A struct or a field, as the sources declare it.
struct Declared {
    comment: Vec<String>,
    /// The name of the field's type.
    kind: String,
}

/// The structs in the sources by name, and their fields by `STRUCT.KEY`.
fn declarations() -> BTreeMap<String, Declared> {
    let mut found = BTreeMap::new();
    for item in SOURCES.iter().flat_map(|source| syn::parse_file(source).unwrap().items) {
        let syn::Item::Struct(item) = item else { continue };
        for field in &item.fields {
            let key = field.ident.as_ref().unwrap().to_string().replace('_', "-");
            let syn::Type::Path(path) = &field.ty else { panic!("the type of {key} has no name") };
            let kind = path.path.segments.last().unwrap().ident.to_string();
            let declared = Declared { comment: comment(&field.attrs), kind };
            found.insert(format!("{}.{key}", item.ident), declared);
        }
        found.insert(item.ident.to_string(), Declared { comment: comment(&item.attrs), kind: String::new() });
    }
    found
}

/// Returns the lines of a doc comment.
fn comment(attributes: &[syn::Attribute]) -> Vec<String> {
    let line = |attribute: &syn::Attribute| match &attribute.meta {
        syn::Meta::NameValue(syn::MetaNameValue {
            path,
            value: syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(line), .. }),
            ..
        }) if path.is_ident("doc") => Some(line.value().trim().to_owned()),
        _ => None,
    };
    attributes.iter().filter_map(line).collect()
}

/// Returns the text of the example file.
fn example() -> String {
    let mut example = Example { text: HEADER.to_owned(), keys: Keys::new(), declared: declarations() };
    let all = example.keys.all().clone();
    example.add_table(&all, "", "Settings");
    example.text
}

struct Example {
    text: String,
    keys: Keys,
    declared: BTreeMap<String, Declared>,
}

impl Example {
    /// Adds the values of a table, which is a struct with this name, then its tables.
    fn add_table(&mut self, table: &Table, prefix: &str, name: &str) {
        for (key, value) in table.iter().filter(|(_, value)| !value.is_table()) {
            self.add_comment(&format!("{name}.{key}"));
            if let Some(allowed) = self.keys.unusual(&format!("{prefix}{key}")) {
                self.text.push_str(&format!("# Allowed: {}.\n", allowed.range()));
            }
            self.text.push_str(&format!("#{key} = {value}\n"));
        }
        for (key, value) in table {
            let Value::Table(table) = value else { continue };
            let kind = self.declared[&format!("{name}.{key}")].kind.clone();
            self.add_comment(&kind);
            self.text.push_str(&format!("[{prefix}{key}]\n"));
            self.add_table(table, &format!("{prefix}{key}."), &kind);
        }
    }

    fn add_comment(&mut self, name: &str) {
        let declared = self.declared.get(name).unwrap_or_else(|| panic!("{name} is in none of the SOURCES"));
        assert!(!declared.comment.is_empty(), "{name} has no comment");
        let is_linked = declared.comment.iter().any(|line| line.contains("[`") || line.contains("]("));
        assert!(!is_linked, "the comment of {name} has a link, which is none in a file");
        self.text.push('\n');
        for line in &declared.comment {
            self.text.push_str(format!("# {line}").trim_end());
            self.text.push('\n');
        }
    }
}

#[test]
fn the_example_file_is_up_to_date() {
    let example = example();
    if std::env::var_os("UPDATE_EXAMPLE").is_some() {
        std::fs::write(PATH, &example).unwrap();
    }
    let file = std::fs::read_to_string(PATH).unwrap_or_default();
    let outdated = "config.example.toml is not what the sources say; run \
                    `UPDATE_EXAMPLE=1 cargo test -p grpc_chat_service --bin grpc_chat_service example` and commit it";
    assert!(file == example, "{outdated}");
}

#[test]
fn without_its_comment_signs_the_example_file_has_the_defaults() {
    let text = example();
    let lines = text.lines().map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line));
    let read: Table = lines.collect::<Vec<_>>().join("\n").parse().unwrap();
    assert_eq!(&read, Keys::new().all());
}
