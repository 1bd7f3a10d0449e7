//! Logs: one line for each call that fails and each session that ends, without names or texts of messages.

use bytes::Bytes;
use tonic::Code;

use crate::support::example::ExampleCall;
use crate::support::frames::join;
use crate::support::http2::{
    Http2Client, RequestBody, chat_message, length_prefixed, next_data, response_body, send_data,
};
use crate::support::process::{Binary, binary};
use crate::support::raw_session::RawSession;
use crate::support::session::Session;
use crate::support::with_timeout;

const SECRET: &str = "correct horse battery staple";

/// Starts a binary that logs at the level INFO.
async fn start_logging(args: &[&str]) -> Binary {
    let mut command = binary();
    command.env("RUST_LOG", "info").args(["--listen", "127.0.0.1:0"]).args(args);
    Binary::spawn(command).await
}

/// Stops the server and returns everything it wrote to standard error.
async fn stop(mut server: Binary) -> String {
    server.signal("TERM").await;
    let (status, stderr) = server.exited().await;
    assert!(status.success(), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert!(!stderr.contains("horse"), "{stderr}");
    stderr
}

/// Stops the server and returns the lines that it logged between its start and its shutdown.
async fn logged(server: Binary) -> Vec<String> {
    let stderr = stop(server).await;
    assert!(stderr.lines().next().is_some_and(|line| line.contains("serving")), "{stderr}");
    let from_server = |line: &&str| line.contains("grpc_chat_service::server");
    let lines = stderr.lines().skip_while(from_server).take_while(|line| !from_server(line));
    lines.map(str::to_owned).collect()
}

/// Opens a call, sends a message, and waits for the reply.
async fn open_answered_call(client: &mut Http2Client) -> RequestBody {
    let (response, mut request) = client.open_example().await;
    with_timeout(send_data(&mut request, chat_message("Sam", SECRET))).await;
    next_data(&mut response_body(response).await).await;
    request
}

#[tokio::test]
async fn successful_calls_are_not_logged() {
    let server = start_logging(&[]).await;
    let mut call = ExampleCall::open(server.addr).await;
    call.echo("Sam", SECRET).await;
    call.half_close();
    assert_eq!(call.next().await.unwrap(), None);
    assert_eq!(logged(server).await, [""; 0]);
}

#[tokio::test]
async fn a_reset_call_is_one_line() {
    let server = start_logging(&[]).await;
    let mut client = Http2Client::connect(server.addr).await;
    let mut request = open_answered_call(&mut client).await;
    request.send_reset(h2::Reason::CANCEL);
    // The server handles the frames of a connection in order, so it has seen the reset when it has answered this call.
    client.call_example(b"").await;
    let lines = logged(server).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(" INFO ") && lines[0].contains("the caller left during a call"), "{lines:?}");
    assert!(lines[0].contains("sent=1"), "{lines:?}");
}

#[tokio::test]
async fn a_broken_connection_is_one_line() {
    let server = start_logging(&[]).await;
    let mut client = Http2Client::connect(server.addr).await;
    let _request = open_answered_call(&mut client).await;
    client.disconnect();
    let _ = with_timeout(client.connection).await;
    Http2Client::connect(server.addr).await.call_example(b"").await;
    let stderr = stop(server).await;
    assert_eq!(stderr.matches("the caller left during a call").count(), 1, "{stderr}");
    assert!(!stderr.contains("WARN"), "{stderr}");
}

#[tokio::test]
async fn an_undecodable_message_is_one_warning() {
    let server = start_logging(&[]).await;
    let mut client = Http2Client::connect(server.addr).await;
    let undecodable = length_prefixed(&[b"\xff\xff", SECRET.as_bytes()].concat());
    client.call_example(&[&chat_message("Sam", SECRET)[..], &undecodable].concat()).await;
    let lines = logged(server).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(" WARN ") && lines[0].contains("a call failed"), "{lines:?}");
    assert!(lines[0].contains("sent=1") && lines[0].contains("peer="), "{lines:?}");
}

#[tokio::test]
async fn the_first_line_has_version_address_data_and_durability() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = binary();
    command.env("RUST_LOG", "info").env("CHAT_MEMORY", "0").args(["--listen", "127.0.0.1:0", "--data"]).arg(dir.path());
    let server = Binary::spawn(command).await;
    let (address, data) = (format!("address={}", server.addr), format!("data=\"{}\"", dir.path().display()));
    let stderr = stop(server).await;
    let first = stderr.lines().next().unwrap();
    for part in [concat!("version=\"", env!("CARGO_PKG_VERSION"), "\""), &address, &data, "durability=Synced"] {
        assert!(first.contains(part), "{part}: {first}");
    }
}

#[tokio::test]
async fn the_end_of_a_session_is_one_line_however_it_ends() {
    for (abrupt, reason) in [(false, "completed"), (true, "disconnected")] {
        let server = start_logging(&[]).await;
        let mut bob = Session::open(server.addr, "bob").await;
        bob.join_live("a").await;
        let mut client = Http2Client::connect(server.addr).await;
        let mut ann = RawSession::open_on(&mut client, "ann").await;
        assert!(ann.send_frame(2, join("a", None)).await);
        bob.wait_for_enter("ann").await;
        if abrupt {
            client.disconnect();
        } else {
            ann.half_close();
            assert_eq!(ann.read_to_end().await.1.code(), Code::Ok);
        }
        bob.wait_for_leave("ann").await;
        let stderr = stop(server).await;
        let of_ann = |line: &&str| line.contains("session ended") && line.contains("user=ann");
        let ended: Vec<_> = stderr.lines().filter(of_ann).collect();
        assert_eq!(ended.len(), 1, "{stderr}");
        assert!(ended[0].contains(reason), "{stderr}");
    }
}

#[tokio::test]
async fn a_text_that_is_not_utf_8_is_not_logged() {
    let server = start_logging(&[]).await;
    let undecodable = length_prefixed(&[&[0x0a, 30][..], SECRET.as_bytes(), b"\xff\xff"].concat());
    Http2Client::connect(server.addr).await.call_example(&undecodable).await;
    assert_eq!(logged(server).await.len(), 1);
}

#[tokio::test]
async fn names_and_texts_cannot_forge_log_lines() {
    let server = start_logging(&["--log-format", "json"]).await;
    let mut client = Http2Client::connect(server.addr).await;
    client.call_example(&chat_message("Sam\n2030-01-01 ERROR fake", "\u{1b}[2J")).await;
    client.call_example(&Bytes::from_static(&[0, 0, 0])).await;
    let lines = logged(server).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with('{') && lines[0].ends_with('}'), "{lines:?}");
}
