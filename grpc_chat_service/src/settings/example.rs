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

/// A field of a struct, as the sources declare it.
struct Field {
    /// The name of its type.
    kind: String,
    comment: Vec<String>,
}

/// The fields of every struct in the sources, by the names of struct and key.
struct Declared(BTreeMap<String, BTreeMap<String, Field>>);

impl Declared {
    fn new() -> Self {
        let files = SOURCES.iter().map(|source| syn::parse_file(source).unwrap());
        let structs = files.flat_map(|file| file.items).filter_map(|item| match item {
            syn::Item::Struct(item) => Some((item.ident.to_string(), item.fields.iter().map(field).collect())),
            _ => None,
        });
        Self(structs.collect())
    }

    /// Returns a key of a struct, which has to have a comment.
    fn key(&self, name: &str, key: &str) -> &Field {
        let fields = self.0.get(name).unwrap_or_else(|| panic!("the struct {name} is in none of the SOURCES"));
        let field = &fields[key];
        assert!(!field.comment.is_empty(), "{key} of {name} has no comment");
        let is_linked = field.comment.iter().any(|line| line.contains("[`") || line.contains("]("));
        assert!(!is_linked, "the comment of {key} of {name} has a link, which is none in a file");
        field
    }
}

fn field(field: &syn::Field) -> (String, Field) {
    let key = field.ident.as_ref().unwrap().to_string().replace('_', "-");
    let kind = match &field.ty {
        syn::Type::Path(path) => path.path.segments.last().unwrap().ident.to_string(),
        _ => panic!("the type of {key} has no name"),
    };
    let comment = field.attrs.iter().filter_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(line), .. }) => Some(line.value().trim().to_owned()),
            _ => panic!("the comment of {key} is no text"),
        },
        _ => None,
    });
    (key.clone(), Field { kind, comment: comment.collect() })
}

/// Returns the text of the example file.
fn example() -> String {
    let keys = Keys::new();
    let mut text = HEADER.to_owned();
    write(&mut text, &keys, keys.all(), "", "Settings", &Declared::new());
    text
}

/// Writes the values of a table, then its tables.
fn write(text: &mut String, keys: &Keys, table: &Table, prefix: &str, name: &str, declared: &Declared) {
    for (key, value) in table.iter().filter(|(_, value)| !value.is_table()) {
        text.push('\n');
        comment(text, declared.key(name, key));
        if let Some(allowed) = keys.unusual(&format!("{prefix}{key}")) {
            text.push_str(&format!("# Allowed: {}.\n", allowed.range()));
        }
        text.push_str(&format!("#{key} = {value}\n"));
    }
    for (key, value) in table {
        let Value::Table(table) = value else { continue };
        text.push('\n');
        let field = declared.key(name, key);
        comment(text, field);
        text.push_str(&format!("[{prefix}{key}]\n"));
        write(text, keys, table, &format!("{prefix}{key}."), &field.kind, declared);
    }
}

fn comment(text: &mut String, field: &Field) {
    for line in &field.comment {
        text.push_str(format!("# {line}").trim_end());
        text.push('\n');
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
