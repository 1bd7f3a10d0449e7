//! Runs the commands in the README and compares their output with what it shows.

use std::fs;
use std::process::Command;

use xtask::{Outcome, root, shell, tools};

/// A command in the README and the output below it.
struct Shown {
    command: String,
    output: String,
}

/// Runs the README's commands with grpcurl, in order, against a service with an empty history. It is an error if one prints
/// anything else. Generated ids and times may differ, and so may the order of frames, which the contract leaves open.
pub(crate) fn check_grpcurl(address: &str) -> Outcome {
    let grpcurl = tools::grpcurl();
    for Shown { command, output } in shown("console grpcurl")? {
        let here = command.replace("127.0.0.1:9090", address).replacen("grpcurl", "\"$GRPCURL\" -max-time 30", 1);
        let printed = shell::output(Command::new("sh").args(["-c", &here]).env("GRPCURL", &grpcurl), "")?;
        if frames(&printed) != frames(&output) {
            return Err(format!("the README shows for\n{command}\nthis:\n{output}\nand it prints:\n{printed}").into());
        }
    }
    Ok(())
}

/// Returns the text of the fenced block with this mark.
pub(crate) fn block(mark: &str) -> Result<String, Box<dyn std::error::Error>> {
    let blocks = blocks(mark)?;
    match &blocks[..] {
        [block] => Ok(block.clone()),
        _ => Err(format!("the README should have one block marked {mark}, and has {}", blocks.len()).into()),
    }
}

fn blocks(mark: &str) -> std::io::Result<Vec<String>> {
    let readme = fs::read_to_string(root().join("README.md"))?;
    let mark = format!("```{mark}\n");
    Ok(readme.split(&mark).skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect())
}

/// Returns every fenced block with this mark: a line `$ COMMAND`, its here-document if it has one, then standard output.
fn shown(mark: &str) -> Result<Vec<Shown>, Box<dyn std::error::Error>> {
    let shown: Option<Vec<Shown>> = blocks(mark)?.iter().map(|block| command_and_output(block)).collect();
    match shown {
        Some(shown) if !shown.is_empty() => Ok(shown),
        Some(_) => Err(format!("the README has no block marked {mark}").into()),
        None => Err(format!("a block marked {mark} does not begin with a command").into()),
    }
}

fn command_and_output(block: &str) -> Option<Shown> {
    let block = block.strip_prefix("$ ")?;
    let (command, output) = match block.split_once("\nEND\n") {
        Some((command, output)) => (format!("{command}\nEND"), output),
        None => block.split_once('\n').map(|(command, output)| (command.to_owned(), output))?,
    };
    Some(Shown { command, output: output.to_owned() })
}

/// Returns the JSON values in grpcurl's output, sorted, without the fields that differ between runs.
fn frames(output: &str) -> Vec<String> {
    const GENERATED: [&str; 6] =
        ["\"sessionId\":", "\"serverTime\":", "\"time\":", "\"headTime\":", "\"epoch\":", "\"serverVersion\":"];
    let kept = |line: &&str| !GENERATED.iter().any(|key| line.trim_start().starts_with(key));
    let mut frames: Vec<String> = output
        .split_inclusive("\n}\n")
        .map(|frame| frame.lines().filter(kept).map(|line| line.trim_end_matches(',')).collect::<Vec<_>>().join("\n"))
        .collect();
    frames.sort();
    frames
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::path::Path;
    use std::process::{Child, Stdio};

    use super::*;

    /// Replaces ports, which differ between runs.
    fn without_ports(text: &str) -> String {
        let mut parts = text.split("127.0.0.1:");
        let mut result = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            result.push_str("127.0.0.1:PORT");
            result.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
        }
        result
    }

    /// Replaces times such as `2026-11-24 09:15:03`.
    fn without_times(text: &str) -> String {
        let is_time = |word: &str, mark: char, parts: usize| {
            let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            word.split(mark).count() == parts && word.split(mark).all(number)
        };
        let word = |word: &str| {
            if is_time(word, '-', 3) || is_time(word, ':', 3) { "TIME".to_owned() } else { word.to_owned() }
        };
        text.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }

    fn shell(command: &str, server: &str, data: &Path) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(root()).env("CHAT_LISTEN", "127.0.0.1:0").env("CHAT_SERVER", server);
        shell.env("CHAT_DATA", data).env("CHAT_STATE", data.join("state")).env("CHAT_CONFIG", "/dev/null");
        shell.env("CHAT_ADMIN", "off");
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
    fn calls_in_other_languages_are_those_of_the_clients_that_are_tested() {
        let clients = [
            ("python", "python/rooms.py"),
            ("js", "node/rooms.js"),
            ("go", "go/client_test.go"),
            ("java", "java/src/main/java/foreign/Client.java"),
        ];
        for (language, file) in clients {
            let client = fs::read_to_string(root().join("grpc_chat_service/tests/foreign").join(file)).unwrap();
            for line in block(language).unwrap().lines() {
                // The client may keep the value in another variable.
                let call = line.split_once("= ").map_or(line, |(_, call)| call);
                let call = call.trim().trim_end_matches(';');
                assert!(client.contains(call), "the README shows `{call}`, which is not in {file}");
            }
        }
    }

    #[test]
    fn every_command_in_the_readme_prints_what_it_shows() {
        let data = tempfile::tempdir().unwrap();
        let mut service = None;
        let mut server = String::new();
        let mut run = Vec::new();
        for Shown { command, output } in shown("console").unwrap() {
            let printed = if command == "cargo run -p grpc_chat_service" {
                // With `exec` the child is the service itself and not a shell around it.
                let mut child =
                    shell(&format!("exec {command}"), "", data.path()).stdout(Stdio::piped()).spawn().unwrap();
                let mut line = String::new();
                BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
                service = Some(Running(child));
                server = line.trim_end().trim_start_matches("listening on ").to_owned();
                line
            } else {
                let finished = shell(&command, &server, data.path()).stderr(Stdio::inherit()).output().unwrap();
                assert!(finished.status.success(), "{command}: {}", finished.status);
                String::from_utf8(finished.stdout).unwrap()
            };
            let normalized = |text: &str| without_times(&without_ports(text));
            assert_eq!(normalized(&printed), normalized(&output), "$ {command}");
            run.push(command);
        }
        assert!(service.is_some() && run.iter().any(|command| command == "cargo xtask demo"), "{run:?}");
    }
}
