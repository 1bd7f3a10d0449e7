//! Runs clients that share no code with the service against it, in Python, Node, Go and Java, and grpcurl.

use std::error::Error;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::{Outcome, root, service, shell, tools};

use crate::readme;

/// Starts the service, runs each client against it, and checks that it stops in order.
pub(crate) fn run() -> Outcome {
    let clients = root().join("grpc_chat_service/tests/foreign");
    service::build()?;
    // The clients send more at once than a user may.
    let service = service::start_with(&["--memory", "--no-rates"])?;
    let address = service.address();

    python(&clients.join("python"), address)?;
    node(&clients.join("node"), address)?;
    go(&clients.join("go"), address)?;
    java(&clients.join("java"), address)?;
    grpcurl(address)?;

    let status = service.stop()?;
    if !status.success() {
        return Err(format!("the service was told to stop and ended with {status}").into());
    }

    // The README shows a service with an empty history on disk, as a new user starts it.
    let data = tools::folder().join("data");
    if data.exists() {
        fs::remove_dir_all(&data)?;
    }
    let service = service::start_with(&["--data", &data.to_string_lossy()])?;
    readme::check_grpcurl(service.address())?;
    let status = service.stop()?;
    if status.success() { Ok(()) } else { Err(format!("the service was told to stop and ended with {status}").into()) }
}

fn python(client: &Path, address: &str) -> Outcome {
    let stubs = generate("python")?;
    for program in ["client.py", "rooms.py"] {
        let mut python = Command::new(tools::python("python"));
        shell::run(python.arg("-B").arg(client.join(program)).arg(address).env("PYTHONPATH", &stubs))?;
    }
    Ok(())
}

/// The library for Node loads the contract when it runs, so nothing is generated.
fn node(client: &Path, address: &str) -> Outcome {
    for program in ["client.js", "rooms.js"] {
        let mut node = Command::new("node");
        shell::run(node.arg(client.join(program)).arg(address).env("NODE_PATH", tools::node_modules()))?;
    }
    Ok(())
}

/// In Go, stubs are packages of the module that uses them, so the client is copied to them.
fn go(client: &Path, address: &str) -> Outcome {
    let module = generate("go")?;
    for file in fs::read_dir(client)? {
        let file = file?;
        fs::copy(file.path(), module.join(file.file_name()))?;
    }
    let mut go = Command::new(tools::python("go"));
    go.args(["test", "-v", "-count=1"]).arg(format!("-address={address}"));
    shell::run(go.current_dir(module))
}

/// Maven generates the stubs, compiles and runs the client.
fn java(client: &Path, address: &str) -> Outcome {
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--quiet", "--file"]).arg(client.join("pom.xml"));
    shell::run(maven.args(["compile", "exec:java"]).arg(format!("-Dexec.args={address}")))
}

/// Generates stubs with the README's command for a language. Returns the folder that they are in.
fn generate(language: &str) -> Result<PathBuf, Box<dyn Error>> {
    let folder = tools::folder().join("stubs").join(language);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    // The command reads the contract in `proto`.
    symlink(root().join("proto"), folder.join("proto"))?;
    let command = readme::block(&format!("sh {language}"))?;
    let script = format!("PATH=\"{}:$PATH\"; {}", tools::path(), command.trim_end());
    shell::run(Command::new("sh").args(["-ec", &script]).current_dir(&folder))?;
    Ok(folder)
}

/// Checks what a person sees with grpcurl and no proto file: everything is found by reflection.
fn grpcurl(address: &str) -> Outcome {
    let call = |words: &[&str], input: &str| {
        let mut command = Command::new(tools::grpcurl());
        shell::output(command.args(["-plaintext", "-max-time", "30"]).args(words), input)
    };
    let listed = call(&[address, "list"], "")?;
    for service in ["Chat", "chat.v1.ChatService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"] {
        expect(&listed, |listed| listed.lines().any(|line| line == service), &format!("a line `{service}`"))?;
    }
    let method = "rpc chat ( stream .ChatMessage ) returns ( stream .google.protobuf.StringValue );";
    expect(&call(&[address, "describe", "Chat"], "")?, |described| described.contains(method), method)?;

    let messages = r#"{"name": "Sam", "message": "Hi"} {"name": "Ann", "message": "Hey"}"#;
    let replies = "\"Sam: Hi\"\n\"Ann: Hey\"\n";
    expect(&call(&["-d", "@", address, "Chat/chat"], messages)?, |printed| printed == replies, replies)?;

    let serving = r#""status": "SERVING""#;
    expect(&call(&[address, "grpc.health.v1.Health/Check"], "")?, |health| health.contains(serving), serving)
}

fn expect(output: &str, is_right: impl FnOnce(&str) -> bool, wanted: &str) -> Outcome {
    if is_right(output) { Ok(()) } else { Err(format!("grpcurl: expected {wanted}, got {output}").into()) }
}
