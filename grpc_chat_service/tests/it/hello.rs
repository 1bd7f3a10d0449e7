//! The beginning of a session: Hello, then Welcome.

use std::time::Duration;

use grpc_chat_service::Limits;
use tonic::Code;

use crate::support::channel;
use crate::support::frames::{ClientBody, hello, join, pb, ping, send, typing};
use crate::support::server::{start, start_with_limits};
use crate::support::session::Session;

#[tokio::test]
async fn welcome_comes_first_and_states_the_limits() {
    let set = |limits: &mut Limits| {
        limits.session.text_bytes = 100;
        limits.session.rooms = 3;
        limits.session.in_flight = 7;
        limits.session.heartbeat = Duration::from_millis(2500);
        limits.connection.message_bytes = 2000;
    };
    let server = start_with_limits(set).await;
    let welcome = Session::open(server.addr, "ann").await.welcome;
    let limits = welcome.limits.unwrap();
    assert_eq!((limits.max_text_bytes, limits.max_rooms), (100, 3));
    assert_eq!((limits.max_in_flight, limits.max_frame_bytes), (7, 2000));
    let heartbeat = welcome.heartbeat.unwrap();
    assert_eq!((heartbeat.seconds, heartbeat.nanos), (2, 500_000_000));
    assert_eq!(welcome.durability, i32::from(pb::Durability::Memory));
    assert_eq!(welcome.server_version, env!("CARGO_PKG_VERSION"));
    assert!(welcome.server_time.unwrap().seconds > 1_700_000_000);
    assert!(!welcome.session_id.is_empty());
}

#[tokio::test]
async fn a_second_hello_is_refused() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let refusal = ann.expect_refusal(hello("bob")).await;
    assert_eq!((refusal.code, refusal.precondition()), (Code::FailedPrecondition, "HELLO_TWICE"));
    ann.join("r", None).await;
    ann.post("r", "Hi").await;
    assert_eq!(ann.next_event("r").await.sender, "ann");
}

#[tokio::test]
async fn any_other_first_frame_ends_the_stream() {
    let server = start().await;
    let channel = channel(server.addr).await;
    for body in [join("r", None), send("r", "x"), ping(), typing("r")] {
        let mut session = Session::before_hello(&channel).await;
        session.send_frame(body);
        let refusal = session.expect_failure().await;
        assert_eq!((refusal.code, refusal.precondition()), (Code::FailedPrecondition, "HELLO_FIRST"));
    }
    let mut session = Session::before_hello(&channel).await;
    session.send_frame_with_id(0, ping());
    assert_eq!(session.expect_failure().await.code, Code::FailedPrecondition);
}

#[tokio::test]
async fn an_invalid_hello_ends_the_stream_with_the_reason() {
    let server = start().await;
    let channel = channel(server.addr).await;
    let valid = pb::Hello { user: "ann".to_owned(), ..pb::Hello::default() };
    for (hello, field) in [
        (pb::Hello { user: String::new(), ..valid.clone() }, "user"),
        (pb::Hello { user: "a/b".to_owned(), ..valid.clone() }, "user"),
        (pb::Hello { device: "my phone".to_owned(), ..valid.clone() }, "device"),
        (pb::Hello { client_name: "x".repeat(65), ..valid.clone() }, "client_name"),
        (pb::Hello { client_version: "\u{1b}".to_owned(), ..valid.clone() }, "client_version"),
    ] {
        let mut session = Session::before_hello(&channel).await;
        session.send_frame(ClientBody::Hello(hello));
        let refusal = session.expect_failure().await;
        assert_eq!((refusal.code, refusal.fields()), (Code::InvalidArgument, vec![field]));
    }
}

#[tokio::test]
async fn hello_has_a_deadline() {
    let server = start_with_limits(|limits| limits.session.hello = Duration::from_millis(200)).await;
    let channel = channel(server.addr).await;
    assert_eq!(Session::before_hello(&channel).await.expect_failure().await.code, Code::DeadlineExceeded);
    // The deadline does not apply after Hello.
    let mut ann = Session::open_on(&channel, "ann").await;
    assert!(ann.receives_nothing().await);
    ann.post("r", "Hi").await;
}

#[tokio::test]
async fn half_closing_before_hello_is_not_an_error() {
    let server = start().await;
    let mut session = Session::before_hello(&channel(server.addr).await).await;
    session.half_close();
    session.read_to_end().await.1.unwrap();
}
