//! The binary's command line: one line for each error, and exit codes that mean something.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;

use bytes::Bytes;
use tokio::net::TcpStream;

use crate::support::example::assert_serving;
use crate::support::http2::{Http2Client, length_prefixed};
use crate::support::process::{Binary, binary, finish, run};
use crate::support::server::start;
use crate::support::with_timeout;

#[tokio::test]
async fn help_and_version_go_to_standard_output() {
    let help = run(&["--help"]).await;
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for flag in ["--listen", "--allow-anyone", "--grace", "--log-format"] {
        assert!(help.stdout.contains(flag), "{}", help.stdout);
    }
    let version = run(&["--version"]).await;
    assert_eq!((version.code, version.stderr.as_str()), (Some(0), ""));
    assert_eq!(version.stdout, concat!("grpc_chat_service ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[tokio::test]
async fn unusable_arguments_are_one_line_and_exit_code_2() {
    run(&["--listen", "nowhere"]).await.assert_error(2, "nowhere");
    run(&["--listen", "127.0.0.1:99999"]).await.assert_error(2, "99999");
    run(&["--colour"]).await.assert_error(2, "--colour");
    run(&["extra"]).await.assert_error(2, "extra");
    run(&["--grace", "soon"]).await.assert_error(2, "soon");
    run(&["--listen", "0.0.0.0:0"]).await.assert_error(2, "--allow-anyone");
    run(&["--listen", "[::]:0"]).await.assert_error(2, "--allow-anyone");
    finish(binary().env("CHAT_LISTEN", "nowhere")).await.assert_error(2, "nowhere");
}

#[tokio::test]
async fn an_unusable_environment_variable_is_named() {
    for (variable, value) in [
        ("CHAT_LISTEN", "foo"),
        ("CHAT_ALLOW_ANYONE", "nope"),
        ("CHAT_ALLOW_ANYONE", "disabled"),
        ("CHAT_MEMORY", "maybe"),
        ("CHAT_MEMORY", "2"),
        ("CHAT_DURABILITY", "never"),
        ("CHAT_GRACE", "soon"),
        ("CHAT_LOG_FORMAT", "xml"),
        ("RUST_LOG", "grpc_chat_service=loud=louder"),
    ] {
        let output = finish(binary().env(variable, value)).await;
        output.assert_error(2, &format!("the environment variable {variable}"));
        assert!(!output.stderr.contains("--listen "), "{}", output.stderr);
    }
}

#[tokio::test]
async fn a_switch_in_the_environment_can_be_off() {
    for value in ["false", "0", "no", "off"] {
        let mut command = binary();
        command.env("CHAT_ALLOW_ANYONE", value).args(["--listen", "0.0.0.0:0"]);
        finish(&mut command).await.assert_error(2, "--allow-anyone");
    }
}

#[tokio::test]
async fn a_file_is_not_a_data_directory() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let output = run(&["--listen", "127.0.0.1:0", "--data", path]).await;
    output.assert_error(1, &format!("the data directory {path} is a file: choose a directory with --data"));
}

#[tokio::test]
async fn an_unusable_address_is_explained_with_exit_code_1() {
    let server = start().await;
    let taken = server.addr.to_string();
    run(&["--listen", &taken]).await.assert_error(1, &format!("cannot listen on {taken}: another process does"));
    run(&["--listen", "192.0.2.1:0", "--allow-anyone"]).await.assert_error(1, "does not have that address");
    assert_serving(server.addr).await;
}

#[tokio::test]
async fn a_flag_overrides_the_environment() {
    let mut command = binary();
    command.env("CHAT_LISTEN", "nowhere").args(["--listen", "127.0.0.1:0"]);
    assert_serving(Binary::spawn(command).await.addr).await;
}

#[tokio::test]
async fn with_allow_anyone_it_listens_on_every_address() {
    let mut command = binary();
    command.args(["--listen", "0.0.0.0:0", "--allow-anyone"]);
    let server = Binary::spawn(command).await;
    assert_serving((Ipv4Addr::LOCALHOST, server.addr.port()).into()).await;
}

#[tokio::test]
async fn help_into_a_closed_pipe_succeeds() {
    for flag in ["--help", "--version"] {
        let mut child = binary().arg(flag).stdout(closed_pipe()).spawn().unwrap();
        assert_eq!(with_timeout(child.wait()).await.unwrap().code(), Some(0));
    }
}

#[tokio::test]
async fn it_serves_although_its_output_pipes_are_closed() {
    // No other test uses this address, so a port that was free a moment ago still is.
    let free = TcpListener::bind((Ipv4Addr::new(127, 77, 77, 77), 0)).unwrap().local_addr().unwrap();
    let mut command = binary();
    command.env("RUST_LOG", "debug").args(["--listen", &free.to_string()]).stdout(closed_pipe()).stderr(closed_pipe());
    let mut child = command.spawn().unwrap();
    let listening = async { while TcpStream::connect(free).await.is_err() {} };
    with_timeout(listening).await;
    // Both calls fail, and are logged on standard error.
    let mut client = Http2Client::connect(free).await;
    client.call_example(&length_prefixed(b"\xff")).await;
    client.call_example(&Bytes::from_static(&[0, 0])).await;
    assert_serving(free).await;
    assert!(child.try_wait().unwrap().is_none());
}

/// Returns the writing end of a pipe that has no reader.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}
