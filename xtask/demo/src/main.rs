//! `cargo xtask demo`: starts the service, waits until it is healthy, runs the client against it, and stops it.
//!
//! It prints what both print, as a transcript of the commands that a person would type.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use stubs::chat_server::SERVICE_NAME;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use xtask::{Outcome, root, service};

/// What the client must print.
const EXPECTED: &str = "Sam: Hi\nAnn: Hey\nJohn: Hello\n";

/// How long the service may take from listening to serving.
const SERVING_TIMEOUT: Duration = Duration::from_secs(30);

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

    let status = service.stop()?;
    println!("service stopped: {status}");
    if !client.status.success() {
        return Err(format!("the client failed: {}", client.status).into());
    }
    if printed != EXPECTED {
        return Err(format!("the client should have printed\n{EXPECTED}and printed what is above").into());
    }
    if !status.success() {
        return Err("the service did not stop in order; its log is above".into());
    }
    Ok(())
}

/// Waits until the service reports the example as serving.
fn wait_until_serving(address: &str) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.connect_timeout(SERVING_TIMEOUT);
        let mut health = HealthClient::new(endpoint.connect().await?);
        let deadline = Instant::now() + SERVING_TIMEOUT;
        loop {
            let mut request = tonic::Request::new(HealthCheckRequest { service: SERVICE_NAME.to_owned() });
            request.set_timeout(SERVING_TIMEOUT);
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
