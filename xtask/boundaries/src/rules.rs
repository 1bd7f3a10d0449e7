//! The rules about imports.

use std::path::Path;

use crate::cycles;
use crate::modules::{Crate, Target};

const SERVICE: &str = "grpc_chat_service/src";

/// The crates of gRPC. A crate such as `tonic_health` counts as `tonic`.
const WIRE: [&str; 3] = ["tonic", "prost", "stubs"];

/// The edge: the only sources of the service that may import [`WIRE`].
const EDGE: [&str; 2] = ["grpc.rs", "grpc/"];

/// The layers of the service's library, from the top. A module may import those of its own layer and below, and none above.
const LAYERS: [&[&str]; 11] = [
    &["server"],
    &["config"],
    &["cluster"],
    &["grpc"],
    &["listener", "connection", "session", "pages", "posting", "admin"],
    &["rooms"],
    &["access"],
    &["refusal"],
    &["history", "peers"],
    &["address", "budgets", "counts", "drain", "limits", "metrics", "model", "pace", "rates", "rotation", "turns"],
    &["units"],
];

/// Returns every import of [`WIRE`] outside of the edge, tests included.
pub(crate) fn edge(crates: &[Crate]) -> Vec<String> {
    let mut broken = Vec::new();
    for (file, imports) in crates.iter().flat_map(|krate| &krate.imports) {
        let Ok(name) = file.strip_prefix(SERVICE) else { continue };
        if EDGE.iter().any(|edge| name.to_string_lossy().starts_with(edge)) {
            continue;
        }
        for import in imports {
            if let Target::Elsewhere(to) = &import.target
                && WIRE
                    .iter()
                    .any(|wire| to.strip_prefix(wire).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')))
            {
                broken.push(format!("{}:{} imports {to}; only grpc.rs and grpc/ may", file.display(), import.line));
            }
        }
    }
    broken
}

/// Returns every import of the service that goes up, and every module of its library without a layer.
pub(crate) fn layers(crates: &[Crate]) -> Vec<String> {
    let mut broken = Vec::new();
    let top = Path::new(SERVICE).join("lib.rs");
    let library = crates.iter().filter(|krate| krate.imports.contains_key(&top));
    for (file, imports) in library.flat_map(|krate| &krate.imports).filter(|(file, _)| **file != top) {
        let Some(from) = layer(file) else {
            broken.push(format!("{} is in no layer; add its module to LAYERS", file.display()));
            continue;
        };
        for import in imports.iter().filter(|import| !import.for_tests) {
            if let Target::Module(to) = &import.target
                && layer(to).is_some_and(|to| to < from)
            {
                let (file, line, to) = (file.display(), import.line, to.display());
                broken.push(format!("{file}:{line} imports {to}, which is in a layer above it"));
            }
        }
    }
    broken
}

/// Returns the number of a file's layer, from the top.
fn layer(file: &Path) -> Option<usize> {
    let first = file.strip_prefix(SERVICE).ok()?.iter().next()?.to_str()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Returns the import cycles of every crate.
pub(crate) fn cycles(crates: &[Crate]) -> Vec<String> {
    crates
        .iter()
        .flat_map(cycles::cycles)
        .map(|cycle| {
            let steps =
                cycle.iter().map(|step| format!("{}:{} imports {}", step.from.display(), step.line, step.to.display()));
            format!("an import cycle: {}", steps.collect::<Vec<_>>().join(", "))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::crates_of;

    /// A service with this text in one of its files.
    fn service(file: &str, text: &str) -> Vec<Crate> {
        let names = ["server", "grpc", "session", "pages", "rooms", "history", "model", "limits"];
        let top: String = names.iter().map(|name| format!("mod {name};")).collect();
        let paths = names.map(|name| format!("{SERVICE}/{name}.rs"));
        let (top_path, file) = (format!("{SERVICE}/lib.rs"), format!("{SERVICE}/{file}"));
        let mut files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "")).collect();
        files.extend([(top_path.as_str(), top.as_str()), (file.as_str(), text)]);
        crates_of(&files)
    }

    #[test]
    fn every_way_to_name_a_crate_of_the_wire_is_seen() {
        for line in [
            "use tonic::Status;",
            "    pub use stubs;",
            "use prost as wire;",
            "use {std::io, tonic::Code};",
            "extern crate prost;",
            "fn f(status: &tonic::Status) {}",
            "fn f() { let message = stubs::ChatMessage::default(); }",
            "fn f() { let list: Vec<::tonic::Status> = vec![]; }",
            "fn f() { let list = vec![tonic::Code::Ok]; }",
            "use tonic_health::ServingStatus;",
            "#[tonic::async_trait] impl T for S {}",
            "#[cfg(test)] mod tests { use tonic::Status; }",
        ] {
            let broken = edge(&service("session.rs", &format!("\n{line}")));
            assert_eq!(broken.len(), 1, "{line}: {broken:?}");
            assert!(broken[0].starts_with("grpc_chat_service/src/session.rs:2 imports "), "{broken:?}");
            assert!(edge(&service("grpc.rs", line)).is_empty());
        }
    }

    #[test]
    fn what_only_looks_like_the_wire_is_not() {
        for line in [
            "// tonic::Status is for grpc/ alone",
            "const X: u8 = 1; // not tonic::Status",
            "/// Not `stubs`.\nfn f() {}",
            "use tonics::Status;",
            "use crate::stubs::Made;",
            "fn f() { let stubs = 3; }",
            "use atonic::x;",
        ] {
            assert!(edge(&service("session.rs", line)).is_empty(), "{line}");
        }
    }

    #[test]
    fn an_import_goes_down_or_stays_in_its_layer() {
        for (file, text, up) in [
            ("rooms.rs", "use crate::session::Session;", true),
            ("rooms.rs", "fn f() { crate::grpc::serve() }", true),
            ("model.rs", "use crate::history;", true),
            ("grpc.rs", "use super::server::Server;", true),
            ("rooms.rs", "#[cfg(test)] mod tests { use crate::session::Session; }", false),
            ("rooms.rs", "use crate::{history::History, model::Event, limits::Limits};", false),
            ("session.rs", "use crate::pages::Page;", false),
            ("limits.rs", "use crate::server::Server;", true),
        ] {
            let broken = layers(&service(file, text));
            assert_eq!(!broken.is_empty(), up, "{file}: {text}: {broken:?}");
        }
    }

    #[test]
    fn a_module_of_the_library_without_a_layer_is_found() {
        let files = |root| [(root, "mod other;"), ("grpc_chat_service/src/other.rs", "")];
        let broken = layers(&crates_of(&files("grpc_chat_service/src/lib.rs")));
        assert_eq!(broken, ["grpc_chat_service/src/other.rs is in no layer; add its module to LAYERS"]);
        assert!(layers(&crates_of(&files("grpc_chat_service/src/main.rs"))).is_empty(), "the program has no layers");
    }

    #[test]
    fn a_module_below_a_layer_belongs_to_it() {
        let file = Path::new("grpc_chat_service/src/rooms/seat.rs");
        assert_eq!(layer(file), layer(Path::new("grpc_chat_service/src/rooms.rs")));
        assert_eq!(layer(Path::new("grpc_chat_client/src/session.rs")), None);
    }
}
