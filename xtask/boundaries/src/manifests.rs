//! The rule about manifests: the service and the client know only `stubs` of each other.

use std::{fs, io};

use xtask::root;

/// Two programs that know each other only through `stubs`. Their tests may use the other one.
const APART: [(&str, &str); 2] = [("grpc_chat_client", "grpc_chat_service"), ("grpc_chat_service", "grpc_chat_client")];

/// Returns what breaks the rule.
pub(crate) fn check() -> io::Result<Vec<String>> {
    let mut broken = Vec::new();
    for (one, other) in APART {
        if ships_with(&fs::read_to_string(root().join(one).join("Cargo.toml"))?, other) {
            broken.push(format!("{one}/Cargo.toml depends on {other}; they share stubs and nothing else"));
        }
    }
    Ok(broken)
}

/// Whether a manifest names the crate in any table of dependencies but `dev-dependencies`.
fn ships_with(manifest: &str, name: &str) -> bool {
    let mut inside = false;
    manifest.lines().map(|line| line.split('#').next().unwrap_or(line)).any(|line| {
        if line.trim_start().starts_with('[') {
            inside = line.contains("dependencies") && !line.contains("dev-dependencies");
        }
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        inside && words.any(|word| word == name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
