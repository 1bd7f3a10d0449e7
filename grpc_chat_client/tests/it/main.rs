//! The client at its boundary: the real binary against a real service.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod bench;
mod commands;
mod endless;
mod errors;
mod hand_made;
mod identity;
mod library;
mod network;
mod rates;
mod readme;
mod restored;
mod scripted;
mod support;
mod tls;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use support::{Service, client, run};

#[test]
fn without_arguments_it_runs_the_example() {
    let service = Service::start();
    let output = run(client(&service).stdin(Stdio::null()), b"");
    assert_eq!(output.stdout, "Sam: Hi\nAnn: Hey\nJohn: Hello\n");
    assert_eq!(output.stderr, "");
    assert_eq!(output.code, 0);
}

#[test]
fn with_a_name_it_sends_each_line_of_standard_input() {
    let service = Service::start();
    let output = run(client(&service).args(["--name", "Sam"]), "Hi\n\nthere, 漢字".as_bytes());
    assert_eq!(output.stdout, "Sam: Hi\nSam: \nSam: there, 漢字\n");
    assert_eq!(output.code, 0);
}

#[test]
fn a_reply_is_printed_before_the_next_line_is_typed() {
    let service = Service::start();
    let mut child =
        client(&service).args(["--name", "Sam"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut typed = child.stdin.take().unwrap();
    let mut printed = BufReader::new(child.stdout.take().unwrap());
    for n in 0..50 {
        writeln!(typed, "{n}").unwrap();
        let mut line = String::new();
        printed.read_line(&mut line).unwrap();
        assert_eq!(line, format!("Sam: {n}\n"));
    }
    drop(typed);
    let mut rest = String::new();
    printed.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_large_input_comes_back_whole_and_in_order() {
    let service = Service::start();
    let lines: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    let output = run(client(&service).args(["--name", "x"]), lines.as_bytes());
    let expected: String = (0..20_000).map(|n| format!("x: line {n}\n")).collect();
    assert!(output.stdout == expected, "{} bytes of {}", output.stdout.len(), expected.len());
    assert_eq!(output.code, 0);
}

#[test]
fn a_line_that_cannot_be_sent_is_reported_after_the_replies_to_earlier_ones() {
    let service = Service::start();
    let output = run(client(&service).args(["--name", "Sam"]), b"good\n\xff\xff\nafter\n");
    assert_eq!(output.stdout, "Sam: good\n");
    assert!(output.stderr.contains("not UTF-8"), "{}", output.stderr);
    assert_eq!(output.code, 1);
}

#[test]
fn a_refusal_of_the_service_is_printed() {
    let service = Service::start();
    let name = "n".repeat(2 * 1024);
    let line = "x".repeat(64 * 1024);
    let output = run(client(&service).args(["--name", &name]), line.as_bytes());
    assert!(output.stderr.contains("over the limit"), "{}", output.stderr);
    assert_eq!(output.code, 1);
}

#[test]
fn without_a_service_it_says_what_to_run() {
    let (_socket, url) = support::nobody();
    let output = run(support::command().args(["--server", &url]), b"");
    assert_eq!(output.code, 1);
    assert_eq!(output.stdout, "");
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    assert!(output.stderr.contains("cargo run -p grpc_chat_service"), "{}", output.stderr);
}

#[test]
fn an_invalid_command_line_is_exit_code_2() {
    for args in [&["--server", "ftp://x"][..], &["--frobnicate"], &["extra"]] {
        let output = run(support::command().args(args), b"");
        assert_eq!(output.code, 2, "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains("error:"), "{}", output.stderr);
    }
}

#[test]
fn a_reader_that_closes_the_pipe_is_success() {
    let service = Service::start();
    let (child, mut typed, printed) = in_conversation(&service);
    drop(printed);
    // The client may have left between two of these; that is what is being tested.
    for _ in 0..1000 {
        if writeln!(typed, "more").is_err() {
            break;
        }
    }
    drop(typed);
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
}

#[test]
fn a_service_that_stops_ends_the_conversation_although_input_is_open() {
    let service = Service::start();
    let (mut child, typed, _printed) = in_conversation(&service);
    service.stop();

    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(stderr.contains("the server is shutting down"), "{stderr}");
    drop(typed);
}

/// Returns a client that has sent a line and printed the reply, with its input and its output.
fn in_conversation(service: &Service) -> (Child, ChildStdin, BufReader<ChildStdout>) {
    let mut child = client(service)
        .args(["--name", "Sam"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut typed = child.stdin.take().unwrap();
    let mut printed = BufReader::new(child.stdout.take().unwrap());
    writeln!(typed, "one").unwrap();
    let mut line = String::new();
    printed.read_line(&mut line).unwrap();
    assert_eq!(line, "Sam: one\n");
    (child, typed, printed)
}
