//! The README's commands do what it says they do.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::root;

/// A command of the README, and what it shows below it.
struct Shown {
    command: String,
    output: String,
}

/// Every fenced block marked `console`: its first line is `$ COMMAND`, the rest is standard output.
fn shown() -> Vec<Shown> {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = readme.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks
        .map(|block| {
            let (first, output) = block.split_once('\n').unwrap();
            let command = first.strip_prefix("$ ").unwrap_or_else(|| panic!("not a command: {first}"));
            Shown { command: command.to_owned(), output: output.to_owned() }
        })
        .collect()
}

/// The README shows the port of one run; a test gets another.
fn without_ports(text: &str) -> String {
    let mut parts = text.split("127.0.0.1:");
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        result.push_str("127.0.0.1:PORT");
        result.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    result
}

fn shell(command: &str, server: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(root()).env("CHAT_LISTEN", "127.0.0.1:0").env("CHAT_SERVER", server);
    shell.stdin(Stdio::null());
    shell
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_command_of_the_readme_prints_what_the_readme_shows() {
    let mut service = None;
    let mut server = String::new();
    let mut run = Vec::new();
    for Shown { command, output } in shown() {
        let printed = if command == "cargo run -p grpc_chat_service" {
            // `exec`, so that the child is the service and not a shell around it.
            let mut child = shell(&format!("exec {command}"), "").stdout(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            service = Some(Running(child));
            server = line.trim_end().trim_start_matches("listening on ").to_owned();
            line
        } else {
            let finished = shell(&command, &server).stderr(Stdio::inherit()).output().unwrap();
            assert!(finished.status.success(), "{command}: {}", finished.status);
            String::from_utf8(finished.stdout).unwrap()
        };
        assert_eq!(without_ports(&printed), without_ports(&output), "$ {command}");
        run.push(command);
    }
    assert!(service.is_some() && run.iter().any(|command| command == "cargo xtask demo"), "{run:?}");
}
