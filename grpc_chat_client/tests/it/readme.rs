//! The README's program: the README quotes it as it is, and it does what the README says.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::support::Service;

const EXAMPLE: &str = include_str!("../../examples/hello.rs");
const README: &str = include_str!("../../../README.md");

#[test]
fn the_readme_quotes_the_example() {
    assert!(README.contains(&format!("```rust\n{EXAMPLE}```\n")), "copy examples/hello.rs into the README");
}

/// Returns the path of the example, which `cargo test` builds beside this test unless it is told to build less.
fn hello() -> PathBuf {
    let tests = env::current_exe().unwrap();
    let hello = tests.parent().and_then(|deps| deps.parent()).unwrap().join("examples/hello");
    if !hello.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--package", "grpc_chat_client", "--example", "hello"]);
        assert!(cargo.status().unwrap().success());
    }
    hello
}

/// A process that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_example_prints_the_messages() {
    let service = Service::start();
    let mut hello = Command::new(hello());
    let mut running = Running(hello.arg(service.url()).stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let lines: Vec<String> = lines.take(2).map(Result::unwrap).collect();
    assert_eq!(lines, ["stored as message 1", "sam: Hi"]);
}
