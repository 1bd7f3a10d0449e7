//! `demo`: the run order in one command. Service up and healthy, client, both sides' output, service down.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use xtask::{Outcome, root, service};

/// What the client has to print for the demo to succeed.
const EXPECTED: &str = "Sam: Hi\nAnn: Hey\nJohn: Hello\n";

/// How long the service may take from listening to serving.
const HEALTHY: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    xtask::command("demo", |_| run())
}

fn run() -> Outcome {
    println!("$ cargo run -p grpc_chat_service -- --listen 127.0.0.1:0 --memory");
    let service = service::start()?;
    println!("listening on http://{}", service.address());
    wait_until_serving(service.address())?;
    println!("grpc.health.v1: SERVING");
    println!();

    println!("$ cargo run -p grpc_chat_client -- --server http://{}", service.address());
    let program = service::program("grpc_chat_client")?;
    let client = Command::new(&program)
        .args(["--server", &format!("http://{}", service.address())])
        .current_dir(root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    let printed = String::from_utf8_lossy(&client.stdout);
    print!("{printed}");
    println!();

    let left = service.stop()?;
    println!("service stopped: {left}");
    if !client.status.success() {
        return Err(format!("the client failed: {}", client.status).into());
    }
    if printed != EXPECTED {
        return Err(format!("the client should have printed\n{EXPECTED}and printed what is above").into());
    }
    if !left.success() {
        return Err("the service did not leave in order; its log is above".into());
    }
    Ok(())
}

fn wait_until_serving(address: &str) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let channel = Endpoint::from_shared(format!("http://{address}"))?.connect_timeout(HEALTHY).connect().await?;
        let mut health = HealthClient::new(channel);
        let deadline = Instant::now() + HEALTHY;
        loop {
            let mut request = tonic::Request::new(HealthCheckRequest { service: "Chat".to_owned() });
            request.set_timeout(HEALTHY);
            let status = health.check(request).await?.into_inner().status();
            if status == ServingStatus::Serving {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("the service is {} and not SERVING", status.as_str_name()).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
}
