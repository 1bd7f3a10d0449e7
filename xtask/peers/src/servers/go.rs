//! The servers that are written in Go: one on grpc-go, in `xtask/peers/go`, and NATS. Both are built in the target folder,
//! with the tools that Go programmers use.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, thread};

use prost::Message;
use prost_types::FileDescriptorSet;
use prost_types::compiler::{CodeGeneratorRequest, CodeGeneratorResponse};
use xtask::root;

use crate::target::folder;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const NATS: &str = "github.com/nats-io/nats-server/v2";
const NATS_VERSION: &str = "2.15.2";

/// The contract's files, and the Go module that their `go_package` is in.
const PROTOS: [&str; 2] = ["grpc_bidirectional_streaming.proto", "chat/v1/chat.proto"];
const MODULE: &str = "chat";

/// The plugins of protoc that generate Go: messages and services.
const PLUGINS: [&str; 2] = ["protoc-gen-go", "protoc-gen-go-grpc"];

/// Builds the server on grpc-go. Returns its program and the version of grpc-go.
pub(super) fn build_grpc_go() -> Result<(PathBuf, String)> {
    check_go()?;
    let (sources, module) = (root().join("xtask/peers/go"), folder()?.join("go"));
    fs::create_dir_all(&module)?;
    for file in fs::read_dir(&sources)? {
        let file = file?;
        fs::copy(file.path(), module.join(file.file_name()))?;
    }
    generate(&module)?;
    let program = folder()?.join("grpc_go");
    run(Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(&module))?;
    let requirements = fs::read_to_string(module.join("go.mod"))?;
    let version = requirements.lines().find_map(|line| line.trim().strip_prefix("google.golang.org/grpc v"));
    Ok((program, version.unwrap_or_default().to_owned()))
}

/// Builds the server of NATS. Returns its program and its version.
pub(super) fn build_nats() -> Result<(PathBuf, String)> {
    check_go()?;
    run(Command::new("go").arg("install").arg(format!("{NATS}@v{NATS_VERSION}")).env("GOBIN", folder()?))?;
    Ok((folder()?.join("nats-server"), NATS_VERSION.to_owned()))
}

fn check_go() -> Result<()> {
    let version = Command::new("go").arg("version").output();
    if version.is_ok_and(|version| version.status.success()) { Ok(()) } else { Err("Go is not installed".into()) }
}

/// Generates the packages that the server imports. The plugins of protoc take what protoc would have parsed on standard
/// input, and return the files on standard output.
fn generate(module: &Path) -> Result<()> {
    let contract = FileDescriptorSet::decode(stubs::FILE_DESCRIPTOR_SET)?;
    let request = CodeGeneratorRequest {
        file_to_generate: PROTOS.map(str::to_owned).to_vec(),
        parameter: Some(format!("module={MODULE}")),
        proto_file: contract.file,
        ..CodeGeneratorRequest::default()
    };
    let request = request.encode_to_vec();
    for plugin in PLUGINS {
        let response = pipe(Command::new("go").args(["tool", plugin]).current_dir(module), &request)?;
        let response = CodeGeneratorResponse::decode(response.as_slice())?;
        if let Some(error) = response.error {
            return Err(format!("{plugin}: {error}").into());
        }
        for file in response.file {
            let path = module.join(file.name());
            fs::create_dir_all(path.parent().unwrap_or(module))?;
            fs::write(path, file.content())?;
        }
    }
    Ok(())
}

/// Runs a command, and shows its errors.
fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("`{command:?}` failed ({status})").into()) }
}

/// Runs a command with this standard input, and returns its standard output.
fn pipe(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let stdin = child.stdin.take();
    let output = thread::scope(|scope| {
        // Written while the output is read, because both pipes are bounded. If that fails, so does the command.
        scope.spawn(|| stdin.map(|mut stdin| stdin.write_all(input)));
        child.wait_with_output()
    })?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!("`{command:?}` failed ({})", output.status).into())
    }
}
