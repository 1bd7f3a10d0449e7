//! The binary's manners: one line for what is wrong, exit codes that mean something.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::{Binary, Wire, assert_alive, binary, framed, soon, start};

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

async fn run(args: &[&str]) -> Ran {
    finish(binary().args(args)).await
}

async fn finish(command: &mut Command) -> Ran {
    let output = soon(command.output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Ran {
    fn complained_with(&self, code: i32, named: &str) {
        let Self { stderr, .. } = self;
        assert_eq!(self.code, Some(code), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("grpc_chat_service: ") && stderr.contains(named), "{stderr}");
        assert!(!stderr.contains("panicked") && !stderr.contains("backtrace"), "{stderr}");
        assert_eq!(self.stdout, "");
    }
}

#[tokio::test]
async fn help_and_version_are_answers() {
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
async fn what_cannot_be_used_is_a_line_and_code_2() {
    run(&["--listen", "nowhere"]).await.complained_with(2, "nowhere");
    run(&["--listen", "127.0.0.1:99999"]).await.complained_with(2, "99999");
    run(&["--colour"]).await.complained_with(2, "--colour");
    run(&["extra"]).await.complained_with(2, "extra");
    run(&["--grace", "soon"]).await.complained_with(2, "soon");
    run(&["--listen", "0.0.0.0:0"]).await.complained_with(2, "--allow-anyone");
    run(&["--listen", "[::]:0"]).await.complained_with(2, "--allow-anyone");
    finish(binary().env("CHAT_LISTEN", "nowhere")).await.complained_with(2, "nowhere");
}

#[tokio::test]
async fn an_environment_variable_that_cannot_be_used_is_named() {
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
        let ran = finish(binary().env(variable, value)).await;
        ran.complained_with(2, &format!("the environment variable {variable}"));
        assert!(!ran.stderr.contains("--listen "), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn a_switch_in_the_environment_can_say_no() {
    for value in ["false", "0", "no", "off"] {
        let mut command = binary();
        command.env("CHAT_ALLOW_ANYONE", value).args(["--listen", "0.0.0.0:0"]);
        finish(&mut command).await.complained_with(2, "--allow-anyone");
    }
}

#[tokio::test]
async fn a_file_is_not_a_data_directory() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let ran = run(&["--listen", "127.0.0.1:0", "--data", path]).await;
    ran.complained_with(1, &format!("the data directory {path} is a file: choose a directory with --data"));
}

#[tokio::test]
async fn where_it_cannot_listen_it_says_why_with_code_1() {
    let server = start().await;
    let taken = server.addr.to_string();
    run(&["--listen", &taken]).await.complained_with(1, &format!("cannot listen on {taken}: another process does"));
    run(&["--listen", "192.0.2.1:0", "--allow-anyone"]).await.complained_with(1, "does not have that address");
    assert_alive(server.addr).await;
}

#[tokio::test]
async fn a_flag_wins_over_the_environment() {
    let mut command = binary();
    command.env("CHAT_LISTEN", "nowhere").args(["--listen", "127.0.0.1:0"]);
    assert_alive(Binary::spawn(command).await.addr).await;
}

#[tokio::test]
async fn with_leave_to_do_so_it_listens_for_everyone() {
    let mut command = binary();
    command.args(["--listen", "0.0.0.0:0", "--allow-anyone"]);
    let server = Binary::spawn(command).await;
    assert_alive((Ipv4Addr::LOCALHOST, server.addr.port()).into()).await;
}

#[tokio::test]
async fn help_into_a_closed_pipe_is_no_error() {
    for flag in ["--help", "--version"] {
        let mut child = binary().arg(flag).stdout(closed_pipe()).spawn().unwrap();
        assert_eq!(soon(child.wait()).await.unwrap().code(), Some(0));
    }
}

#[tokio::test]
async fn nobody_has_to_read_what_it_prints() {
    // Nobody else in this test run uses this address, so a port that was free a moment ago still is.
    let free = TcpListener::bind((Ipv4Addr::new(127, 77, 77, 77), 0)).unwrap().local_addr().unwrap();
    let mut command = binary();
    command.args(["--listen", &free.to_string()]).stdout(closed_pipe()).stderr(closed_pipe());
    let mut child = command.spawn().unwrap();
    let up = async { while TcpStream::connect(free).await.is_err() {} };
    soon(up).await;
    let mut wire = Wire::connect(free).await;
    wire.call("/Chat/chat", &[], &framed(b"\xff")).await;
    wire.call("/Chat/chat", &[], &Bytes::from_static(&[0, 0])).await;
    assert_alive(free).await;
    assert!(child.try_wait().unwrap().is_none());
}

/// The writing end of a pipe that has no reader.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}
