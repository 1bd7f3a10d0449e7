//! Rules about who may know whom, which the compiler does not check.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use xtask::{Outcome, root};

/// What is gRPC's business alone; `tonic_health` and the like count as `tonic`.
const WIRE: [&str; 3] = ["tonic", "prost", "stubs"];

/// The edge: the only sources of the service that may know [`WIRE`].
const EDGE: [&str; 2] = ["grpc.rs", "grpc/"];

/// Two programs that know each other only through `stubs`. In their tests they may meet.
const APART: [(&str, &str); 2] = [("grpc_chat_client", "grpc_chat_service"), ("grpc_chat_service", "grpc_chat_client")];

fn main() -> ExitCode {
    xtask::command("boundaries", |_| check())
}

/// Fails, naming every line and manifest that breaks a rule.
fn check() -> Outcome {
    let sources = root().join("grpc_chat_service/src");
    let mut files = Vec::new();
    rust_files(&sources, &mut files)?;
    files.sort();

    let mut broken = Vec::new();
    for file in files {
        let name = file.strip_prefix(&sources)?.to_string_lossy().replace('\\', "/");
        if EDGE.iter().any(|edge| name.starts_with(edge)) {
            continue;
        }
        for line in lines_that_use(&WIRE, &fs::read_to_string(&file)?) {
            broken.push(format!("grpc_chat_service/src/{name}:{line} knows the wire; only grpc.rs and grpc/ may"));
        }
    }
    for (one, other) in APART {
        let manifest = fs::read_to_string(root().join(one).join("Cargo.toml"))?;
        if ships_with(&manifest, other) {
            broken.push(format!("{one}/Cargo.toml depends on {other}; they share stubs and nothing else"));
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n       ").into()) }
}

/// The numbers of the lines whose code names one of the crates: in a `use`, or in front of a `::`.
fn lines_that_use(crates: &[&str], source: &str) -> Vec<usize> {
    let named = |line: &str| {
        let code = line.split("//").next().unwrap_or(line);
        let imports = ["use ", "pub use ", "extern crate "].iter().any(|word| code.trim_start().starts_with(word));
        words(code).any(|(before, word, after)| {
            let first_in_path = !before.ends_with("::") || before.trim_end_matches(':').ends_with([' ', '(', '<', '&']);
            let ours = crates
                .iter()
                .any(|name| word.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')));
            ours && first_in_path && (after.starts_with("::") || imports)
        })
    };
    source.lines().enumerate().filter(|(_, line)| named(line)).map(|(index, _)| index + 1).collect()
}

/// The identifiers of a line, each with what stands before and after it.
fn words(code: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + code[from..].find(part_of_word)?;
        let end = code[start..].find(|c| !part_of_word(c)).map_or(code.len(), |length| start + length);
        from = end;
        Some((&code[..start], &code[start..end], &code[end..]))
    })
}

/// Whether a manifest names the crate in any table of dependencies but `dev-dependencies`.
fn ships_with(manifest: &str, name: &str) -> bool {
    let mut inside = false;
    manifest.lines().map(|line| line.split('#').next().unwrap_or(line)).any(|line| {
        if line.trim_start().starts_with('[') {
            inside = line.contains("dependencies") && !line.contains("dev-dependencies");
        }
        inside && words(line).any(|(_, word, _)| word == name)
    })
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_hold() {
        check().unwrap();
    }

    #[test]
    fn every_way_to_name_a_crate_is_seen() {
        for line in [
            "use tonic::Status;",
            "    pub use stubs;",
            "use prost as wire;",
            "use {std::io, tonic::Code};",
            "extern crate prost;",
            "fn f(status: &tonic::Status) {}",
            "    let message = stubs::ChatMessage::default();",
            "let list: Vec<::tonic::Status> = vec![];",
            "use tonic_health::ServingStatus;",
            "#[tonic::async_trait]",
        ] {
            assert_eq!(lines_that_use(&WIRE, &format!("\n{line}\n")), [2], "{line}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_not() {
        for line in [
            "// tonic::Status is for grpc/ alone",
            "let x = 1; // not tonic::Status",
            "/// Not `stubs`.",
            "use tonics::Status;",
            "use crate::stubs::Made;",
            "let stubs = 3;",
            "use atonic::x;",
        ] {
            assert!(lines_that_use(&WIRE, line).is_empty(), "{line}");
        }
    }

    #[test]
    fn a_dependency_counts_unless_it_is_for_tests() {
        for (manifest, counts) in [
            ("[dependencies]\nother = 1\n", true),
            ("[dependencies]\nother.workspace = true\n", true),
            ("[dependencies.other]\npath = \"../other\"\n", true),
            ("[dependencies]\nalias = { package = \"other\", path = \"..\" }\n", true),
            ("[build-dependencies]\nother = 1\n", true),
            ("[target.'cfg(unix)'.dependencies]\nother = 1\n", true),
            ("[package]\nname = \"other\"\n[dependencies]\n# other\nanother = 1\n", false),
            ("[dependencies]\nthis = 1\n[dev-dependencies]\nother = 1\n", false),
            ("[dev-dependencies.other]\npath = \"../other\"\n", false),
        ] {
            assert_eq!(ships_with(manifest, "other"), counts, "{manifest}");
        }
    }
}
