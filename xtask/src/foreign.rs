//! Runs clients that share no code with the service against it: grpcio, grpc-js and grpcurl (grpc-go).

use std::fs;
use std::process::Command;

use xtask::{Outcome, root, service, shell, tools};

use crate::readme;

/// Starts the service, runs each client against it, and checks that it stops in order.
pub(crate) fn run() -> Outcome {
    let clients = root().join("grpc_chat_service/tests/foreign");
    service::build()?;
    let service = service::start()?;
    let address = service.address();

    for client in ["python/client.py", "python/rooms.py"] {
        shell::run(Command::new(tools::python("python")).arg("-B").arg(clients.join(client)).arg(address))?;
    }
    shell::run(
        Command::new("node").arg(clients.join("node/client.js")).arg(address).env("NODE_PATH", tools::node_modules()),
    )?;
    grpcurl(address)?;

    let status = service.stop()?;
    if !status.success() {
        return Err(format!("the service was told to stop and ended with {status}").into());
    }

    // The README shows a service with an empty history on disk, as a new user starts it.
    let data = root().join("target/ci-tools/data");
    if data.exists() {
        fs::remove_dir_all(&data)?;
    }
    let service = service::start_with(&["--data", &data.to_string_lossy()])?;
    readme::check_grpcurl(service.address())?;
    let status = service.stop()?;
    if status.success() { Ok(()) } else { Err(format!("the service was told to stop and ended with {status}").into()) }
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
