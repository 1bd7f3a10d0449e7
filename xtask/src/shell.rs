//! Runs other programs and shows their command lines.

use std::io::Write;
use std::process::{Command, Stdio};
use std::{fmt, thread};

use crate::{Outcome, cargo};

/// Shows the command and runs it. It is an error if the command fails.
pub fn run(command: &mut Command) -> Outcome {
    println!("$ {}", Shown(command));
    let status = command.stdin(Stdio::null()).status().map_err(|error| cannot_run(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", Shown(command)).into()) }
}

/// Runs the program of a package of this workspace.
pub fn run_package(name: &str, words: &[&str]) -> Outcome {
    run(cargo().args(["run", "--package", name, "--"]).args(words))
}

/// Runs the program of a package of this workspace, built for speed.
pub fn run_package_optimized(name: &str, words: &[&str]) -> Outcome {
    run(cargo().args(["run", "--release", "--package", name, "--"]).args(words))
}

/// Shows the command, runs it with this standard input and returns its standard output.
pub fn output(command: &mut Command, input: &str) -> Result<String, Box<dyn std::error::Error>> {
    println!("$ {}", Shown(command));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|error| cannot_run(command, &error))?;
    // Written by a thread of its own while the output is read, because both pipes are bounded. A write error is ignored: if
    // the program needed its input, its exit status says so.
    let stdin = child.stdin.take();
    let input = input.to_owned();
    let writing = thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output()?;
    let _ = writing.join();
    if !output.status.success() {
        return Err(format!("`{}` failed ({})", Shown(command), output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn cannot_run(command: &Command, error: &std::io::Error) -> String {
    format!("cannot run `{}`: {error}", command.get_program().display())
}

/// A command, displayed as a person would type it in the workspace's top folder.
struct Shown<'a>(&'a Command);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value) in self.0.get_envs() {
            if let Some(value) = value {
                write!(f, "{}='{}' ", key.display(), relative(value))?;
            }
        }
        // [`cargo`] uses the path of the cargo that runs this program.
        let program = self.0.get_program();
        if std::env::var_os("CARGO").is_some_and(|cargo| cargo == program) {
            write!(f, "cargo")?;
        } else {
            write!(f, "{}", relative(program))?;
        }
        for argument in self.0.get_args() {
            write!(f, " {}", relative(argument))?;
        }
        Ok(())
    }
}

/// Returns the word with paths inside the workspace relative to its top folder.
fn relative(word: &std::ffi::OsStr) -> String {
    word.to_string_lossy().replace(&format!("{}/", crate::root().display()), "")
}
