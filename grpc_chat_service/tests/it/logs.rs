//! What an operator reads: one line for a call that failed, and nothing of what people said.

use bytes::Bytes;

use crate::support::session::{Said, Session};
use crate::support::{Binary, Call, Wire, binary, framed, message, send_frame, soon};

const SECRET: &str = "correct horse battery staple";

async fn logging(args: &[&str]) -> Binary {
    let mut command = binary();
    command.env("RUST_LOG", "info").args(["--listen", "127.0.0.1:0"]).args(args);
    Binary::spawn(command).await
}

/// Stops the server and returns what it logged between its start and its shutdown.
async fn logged(mut server: Binary) -> Vec<String> {
    server.signal("TERM").await;
    let (status, stderr) = server.left().await;
    assert!(status.success(), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert!(!stderr.contains("horse"), "{stderr}");
    let from_server = |line: &&str| line.contains("grpc_chat_service::server");
    let lines: Vec<_> = stderr.lines().skip_while(from_server).map(str::to_owned).collect();
    assert!(stderr.lines().next().is_some_and(|line| line.contains("serving")), "{stderr}");
    lines.into_iter().take_while(|line| !from_server(&line.as_str())).collect()
}

#[tokio::test]
async fn calls_that_go_well_are_not_worth_a_line() {
    let server = logging(&[]).await;
    let mut call = Call::open(server.addr).await;
    call.ask("Sam", SECRET).await;
    call.close();
    assert_eq!(call.next().await.unwrap(), None);
    assert_eq!(logged(server).await, [""; 0]);
}

#[tokio::test]
async fn a_caller_that_resets_is_one_line() {
    let server = logging(&[]).await;
    let mut wire = Wire::connect(server.addr).await;
    let (response, mut sending) = wire.chat().await;
    soon(send_frame(&mut sending, message("Sam", SECRET))).await;
    soon(soon(response).await.unwrap().into_body().data()).await.unwrap().unwrap();
    sending.send_reset(h2::Reason::CANCEL);
    // One after the other on one connection: when this is answered, the reset has been seen.
    wire.call("/Chat/chat", &[], b"").await;
    let lines = logged(server).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(" INFO ") && lines[0].contains("the caller left during a call"), "{lines:?}");
    assert!(lines[0].contains("sent=1"), "{lines:?}");
}

#[tokio::test]
async fn a_caller_whose_connection_breaks_is_one_line() {
    let server = logging(&[]).await;
    let mut wire = Wire::connect(server.addr).await;
    let (response, mut sending) = wire.chat().await;
    soon(send_frame(&mut sending, message("Sam", SECRET))).await;
    soon(soon(response).await.unwrap().into_body().data()).await.unwrap().unwrap();
    wire.ended.abort();
    let _ = wire.ended.await;
    let mut wire = Wire::connect(server.addr).await;
    wire.call("/Chat/chat", &[], b"").await;
    let mut server = server;
    server.signal("TERM").await;
    let (_, stderr) = server.left().await;
    assert_eq!(stderr.matches("the caller left during a call").count(), 1, "{stderr}");
    assert!(!stderr.contains("WARN"), "{stderr}");
}

#[tokio::test]
async fn a_caller_that_sends_no_message_is_one_warning() {
    let server = logging(&[]).await;
    let mut wire = Wire::connect(server.addr).await;
    let bad = [&message("Sam", SECRET)[..], &framed(&[b"\xff\xff", SECRET.as_bytes()].concat())].concat();
    wire.call("/Chat/chat", &[], &bad).await;
    let lines = logged(server).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(" WARN ") && lines[0].contains("a call failed"), "{lines:?}");
    assert!(lines[0].contains("sent=1") && lines[0].contains("peer="), "{lines:?}");
}

#[tokio::test]
async fn the_start_names_version_address_data_and_durability() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = binary();
    command.env("RUST_LOG", "info").env("CHAT_MEMORY", "0").args(["--listen", "127.0.0.1:0", "--data"]).arg(dir.path());
    let mut server = Binary::spawn(command).await;
    server.signal("TERM").await;
    let (_, stderr) = server.left().await;
    let first = stderr.lines().next().unwrap();
    let (address, data) = (format!("address={}", server.addr), format!("data=\"{}\"", dir.path().display()));
    for part in [concat!("version=\"", env!("CARGO_PKG_VERSION"), "\""), &address, &data, "durability=Synced"] {
        assert!(first.contains(part), "{part}: {first}");
    }
}

#[tokio::test]
async fn the_end_of_a_session_is_one_line_however_it_ends() {
    for (abrupt, reason) in [(false, "completed"), (true, "disconnected")] {
        let mut server = logging(&[]).await;
        let mut bob = Session::open(server.addr, "bob").await;
        bob.enter("a").await;
        let mut ann = Session::open(server.addr, "ann").await;
        ann.enter("a").await;
        if abrupt {
            drop(ann);
        } else {
            ann.close();
            ann.rest().await.1.unwrap();
        }
        bob.wait(|frame| match &frame.body {
            Some(Said::PresenceChanged(changed)) if changed.left == ["ann"] => Some(()),
            _ => None,
        })
        .await;
        server.signal("TERM").await;
        let (_, stderr) = server.left().await;
        let of_ann = |line: &&str| line.contains("session ended") && line.contains("user=ann");
        let ended: Vec<_> = stderr.lines().filter(of_ann).collect();
        assert_eq!(ended.len(), 1, "{stderr}");
        assert!(ended[0].contains(reason), "{stderr}");
    }
}

#[tokio::test]
async fn a_text_that_is_not_utf_8_is_not_logged_either() {
    let server = logging(&[]).await;
    let bad = framed(&[&[0x0a, 30][..], SECRET.as_bytes(), b"\xff\xff"].concat());
    Wire::connect(server.addr).await.call("/Chat/chat", &[], &bad).await;
    assert_eq!(logged(server).await.len(), 1);
}

#[tokio::test]
async fn names_and_texts_cannot_write_lines_of_their_own() {
    let server = logging(&["--log-format", "json"]).await;
    let mut wire = Wire::connect(server.addr).await;
    wire.call("/Chat/chat", &[], &message("Sam\n2030-01-01 ERROR fake", "\u{1b}[2J")).await;
    wire.call("/Chat/chat", &[], &Bytes::from_static(&[0, 0, 0])).await;
    let lines = logged(server).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with('{') && lines[0].ends_with('}'), "{lines:?}");
}
