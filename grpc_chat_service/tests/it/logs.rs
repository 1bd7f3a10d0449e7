//! Logs: one line for each session that ends and, at the level DEBUG, for each call that fails; without names or texts of
//! messages, and so many a second.

use std::time::Instant;

use bytes::Bytes;
use tonic::Code;

use crate::support::admin::{metrics, value};
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

/// Starts a binary that logs at this level: by default, calls are not logged.
async fn start_logging(level: &str, args: &[&str]) -> Binary {
    let mut command = binary();
    command
        .env("RUST_LOG", format!("info,grpc_chat_service::grpc::responses={level}"))
        .args(["--listen", "127.0.0.1:0"])
        .args(args);
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

/// Leaves out the lines of calls that have succeeded.
fn without_completed(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().filter(|line| !line.contains("a call completed")).collect()
}

/// Opens a call, sends a message, and waits for the reply.
async fn open_answered_call(client: &mut Http2Client) -> RequestBody {
    let (response, mut request) = client.open_example().await;
    with_timeout(send_data(&mut request, chat_message("Sam", SECRET))).await;
    next_data(&mut response_body(response).await).await;
    request
}

#[tokio::test]
async fn calls_are_not_logged_whether_or_not_they_fail() {
    let server = start_logging("info", &[]).await;
    let mut call = ExampleCall::open(server.addr).await;
    call.echo("Sam", SECRET).await;
    call.half_close();
    assert_eq!(call.next().await.unwrap(), None);
    let mut client = Http2Client::connect(server.addr).await;
    client.call_example(&length_prefixed(&[b"\xff\xff", SECRET.as_bytes()].concat())).await;
    client.call_example(&Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff])).await;
    open_answered_call(&mut client).await.send_reset(h2::Reason::CANCEL);
    client.call_example(b"").await;
    assert_eq!(logged(server).await, [""; 0]);
}

#[tokio::test]
async fn a_reset_call_is_one_line() {
    let server = start_logging("debug", &[]).await;
    let mut client = Http2Client::connect(server.addr).await;
    let mut request = open_answered_call(&mut client).await;
    request.send_reset(h2::Reason::CANCEL);
    // The server handles the frames of a connection in order, so it has seen the reset when it has answered this call.
    client.call_example(b"").await;
    let lines = without_completed(logged(server).await);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("DEBUG ") && lines[0].contains("the caller left during a call"), "{lines:?}");
    assert!(lines[0].contains("sent=1"), "{lines:?}");
}

#[tokio::test]
async fn a_broken_connection_is_one_line() {
    let server = start_logging("debug", &[]).await;
    let mut client = Http2Client::connect(server.addr).await;
    let _request = open_answered_call(&mut client).await;
    client.disconnect();
    let _ = with_timeout(client.connection).await;
    Http2Client::connect(server.addr).await.call_example(b"").await;
    let stderr = stop(server).await;
    // The server may be told to stop before it notices.
    let left = ["the caller left during a call", "code=Unavailable"].map(|why| stderr.matches(why).count());
    assert_eq!(left.iter().sum::<usize>(), 1, "{stderr}");
    assert!(!stderr.contains("WARN"), "{stderr}");
}

#[tokio::test]
async fn an_undecodable_message_is_one_line() {
    let server = start_logging("debug", &[]).await;
    let mut client = Http2Client::connect(server.addr).await;
    let undecodable = length_prefixed(&[b"\xff\xff", SECRET.as_bytes()].concat());
    client.call_example(&[&chat_message("Sam", SECRET)[..], &undecodable].concat()).await;
    let lines = logged(server).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("DEBUG ") && lines[0].contains("a call failed"), "{lines:?}");
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
        let server = start_logging("info", &[]).await;
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
    let server = start_logging("debug", &[]).await;
    let undecodable = length_prefixed(&[&[0x0a, 30][..], SECRET.as_bytes(), b"\xff\xff"].concat());
    Http2Client::connect(server.addr).await.call_example(&undecodable).await;
    assert_eq!(logged(server).await.len(), 1);
}

#[tokio::test]
async fn names_and_texts_cannot_forge_log_lines() {
    let server = start_logging("debug", &["--log-format", "json"]).await;
    let mut client = Http2Client::connect(server.addr).await;
    client.call_example(&chat_message("Sam\n2030-01-01 ERROR fake", "\u{1b}[2J")).await;
    client.call_example(&Bytes::from_static(&[0, 0, 0])).await;
    let lines = without_completed(logged(server).await);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with('{') && lines[0].ends_with('}'), "{lines:?}");
}

#[tokio::test]
async fn addresses_are_logged_as_networks_if_that_is_asked_for() {
    for (how, logged) in [("full", "peer=127.0.0.1:"), ("short", "peer=127.0.0.0/24 ")] {
        let server = start_logging("info", &["--log-addresses", how]).await;
        let mut sam = RawSession::open(server.addr, "sam").await;
        sam.half_close();
        sam.read_to_end().await;
        let stderr = stop(server).await;
        assert!(stderr.contains(logged), "{stderr}");
        assert_eq!(stderr.contains("peer=127.0.0.1"), how == "full", "{stderr}");
    }
}

#[tokio::test]
async fn nobody_can_flood_the_log() {
    const SESSIONS: usize = 600;
    // No other test uses this address, so a port that was free a moment ago still is.
    let admin = std::net::TcpListener::bind("127.77.77.78:0").unwrap().local_addr().unwrap();
    let server = start_logging("info", &["--admin", &admin.to_string(), "--no-rates"]).await;
    let started = Instant::now();
    let mut client = Http2Client::connect(server.addr).await;
    for session in 0..SESSIONS {
        let mut session = RawSession::open_on(&mut client, &format!("user-{session}")).await;
        session.half_close();
        assert_eq!(session.read_to_end().await.1.code(), Code::Ok);
        client.call_example(&length_prefixed(b"\xff")).await;
        client.call_example(&Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff])).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    let suppressed = value(&metrics(admin).await, "chat_log_lines_suppressed_total");
    let stderr = stop(server).await;
    let ended = stderr.matches("session ended").count();
    // A burst of 200, and 20 a second.
    assert!((200.0..=200.0 + 20.0 * (seconds + 1.0)).contains(&(ended as f64)), "{ended} lines in {seconds} s");
    assert_eq!(ended as f64 + suppressed, SESSIONS as f64, "{stderr}");
    assert!(stderr.lines().count() <= ended + 10, "{stderr}");
    assert!(stderr.contains("shut down"), "the operator's own lines are not held back: {stderr}");
}
