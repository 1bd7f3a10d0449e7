//! `cargo xtask gen`: generates `stubs/src/generated` from `proto/`, in memory, the same bytes every time.
//!
//! protox compiles the files (no protoc needed), prost-build generates the messages and tonic-build the services,
//! prettyplease formats the result.

mod services;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use prost::Message;
use prost_build::Module;
use xtask::{Outcome, root};

/// The file name for the example, which has no package to take one from.
const NAME_WITHOUT_PACKAGE: &str = "grpc_bidirectional_streaming";

/// The content of each file in `stubs/src/generated`, by file name.
type Generated = BTreeMap<String, Vec<u8>>;

fn main() -> ExitCode {
    xtask::command("gen", |words| match words {
        [] => write(),
        ["--check"] => check(),
        _ => Err("gen takes --check or nothing".into()),
    })
}

/// Writes the files that are missing or differ, and removes those that are not generated any more.
fn write() -> Outcome {
    let wanted = generate()?;
    let found = on_disk()?;
    fs::create_dir_all(folder())?;
    for name in found.keys().filter(|name| !wanted.contains_key(*name)) {
        fs::remove_file(folder().join(name))?;
        println!("removed {name}");
    }
    for (name, content) in &wanted {
        if found.get(name) != Some(content) {
            fs::write(folder().join(name), content)?;
            println!("wrote {name}");
        }
    }
    Ok(())
}

/// Checks that the folder is up to date. The error names the files that are not.
fn check() -> Outcome {
    let wanted = generate()?;
    let found = on_disk()?;
    let stale: Vec<&str> = wanted
        .keys()
        .chain(found.keys().filter(|name| !wanted.contains_key(*name)))
        .filter(|name| wanted.get(*name) != found.get(*name))
        .map(String::as_str)
        .collect();
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!(
        "stubs/src/generated does not match proto/ ({}); run `cargo xtask gen` and commit what it writes",
        stale.join(", ")
    )
    .into())
}

fn folder() -> PathBuf {
    root().join("stubs/src/generated")
}

fn on_disk() -> io::Result<Generated> {
    let entries = match fs::read_dir(folder()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Generated::new()),
        Err(error) => return Err(error),
    };
    entries
        .map(|entry| {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            Ok((name, fs::read(entry.path())?))
        })
        .collect()
}

fn generate() -> Result<Generated, Box<dyn std::error::Error>> {
    let folder = root().join("proto");
    let mut files = Vec::new();
    proto_files(&folder, &mut files)?;
    files.sort();
    let mut set = protox::compile(files, [folder])?;

    let mut generated = Generated::new();
    let requests =
        set.file.iter().map(|file| (Module::from_protobuf_package_name(file.package()), file.clone())).collect();
    let modules = prost_build::Config::new()
        .service_generator(Box::new(services::Generator))
        .extern_path(".google.rpc", "::tonic_types::pb")
        .bytes(["."])
        .generate(requests)?;
    for (module, code) in modules {
        let name = module.to_file_name_or(NAME_WITHOUT_PACKAGE);
        let code = prettyplease::unparse(&syn::parse_file(&code)?);
        let code = format!("// Written by `cargo xtask gen`. Do not edit.\n\n{code}");
        generated.insert(name, code.into_bytes());
    }

    // Reflection has no use for comments and positions, and without them an edit of a comment changes nothing here.
    for file in &mut set.file {
        file.source_code_info = None;
    }
    generated.insert("file_descriptor_set.binpb".to_owned(), set.encode_to_vec());
    Ok(generated)
}

fn proto_files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            proto_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checked_in_stubs_match_the_proto_files() {
        super::check().unwrap();
    }
}
