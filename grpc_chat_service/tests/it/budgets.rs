//! Budgets: what peers may have the service hold is bounded, those who hold it lose it, and the others do not notice.

use std::time::{Duration, Instant};

use bytes::Bytes;
use grpc_chat_service::config::{Admin, Config};
use prost::Message;
use stubs::chat::v1::chat_service_client::ChatServiceClient;
use tonic::{Code, Request};

use crate::support::admin::{metrics, value};
use crate::support::frames::{last, leave, pb};
use crate::support::http2::{
    Http2Client, Outcome, RequestBody, chat_message, length_prefixed, response_body, send_data,
};
use crate::support::raw_session::RawSession;
use crate::support::refusal::Refusal;
use crate::support::server::{TestServer, start_with, start_with_limits};
use crate::support::session::Session;
use crate::support::tcp::{TcpClient, frame_type, http2_opening};
use crate::support::{channel, stays_pending, with_timeout};

const LIST: &str = "/chat.v1.ChatService/ListMessages";

/// The newest page of the room `r`, as the request of a call.
fn newest_page() -> Bytes {
    length_prefixed(&pb::ListMessagesRequest { room: "r".to_owned(), ..Default::default() }.encode_to_vec())
}

/// Posts as many messages into the room `r` as fill a page of 32 KiB.
async fn fill_a_page(server: &TestServer) {
    let text = "x".repeat(8_000);
    Session::open(server.addr, "ann").await.post_all("r", std::iter::repeat_n(&text, 5)).await;
}

/// Opens a call for a page.
async fn open_page(client: &mut Http2Client) -> (h2::client::ResponseFuture, RequestBody) {
    let (response, mut request) = client.open(LIST, &[]).await;
    request.send_data(newest_page(), true).unwrap();
    (response, request)
}

#[tokio::test]
async fn pages_that_are_not_read_are_bounded_for_each_network_and_given_up_after_a_while() {
    let server = start_with_limits(|limits| {
        limits.room.page_bytes = 32 * 1024;
        limits.connection.stall = Duration::from_millis(400);
        // Of a page, 32 KiB of text and 100 events of 256 bytes, twice; three for each network.
        limits.memory.page_bytes = 8 * 3 * 2 * (32 * 1024 + 100 * 256);
    })
    .await;
    fill_a_page(&server).await;
    let mut stalled = Http2Client::connect_with_window(server.addr, 0).await;
    let mut calls = Vec::new();
    for _ in 0..3 {
        let (response, request) = open_page(&mut stalled).await;
        calls.push((response_body(response).await, request));
    }
    let mut client = ChatServiceClient::new(channel(server.addr).await);
    let page = pb::ListMessagesRequest { room: "r".to_owned(), ..Default::default() };
    let refused = Refusal::from(client.list_messages(page.clone()).await.unwrap_err());
    assert_eq!((refused.code, refused.reason()), (Code::ResourceExhausted, "OVERLOADED"));
    assert!(refused.has_retry_delay());
    // Whoever does not read loses its calls, and then there is room again.
    for (mut body, _request) in calls {
        let reset = with_timeout(body.data()).await.unwrap().unwrap_err();
        assert_eq!(reset.reason(), Some(h2::Reason::CANCEL));
    }
    assert_eq!(client.list_messages(page).await.unwrap().into_inner().events.len(), 5);
}

#[tokio::test]
async fn a_page_that_is_read_slowly_is_sent_completely() {
    let server = start_with_limits(|limits| {
        limits.room.page_bytes = 32 * 1024;
        limits.connection.stall = Duration::from_millis(400);
    })
    .await;
    fill_a_page(&server).await;
    let mut client = Http2Client::connect_with_window(server.addr, 1_000).await;
    let (response, _request) = open_page(&mut client).await;
    let mut body = response_body(response).await;
    let (began, mut bytes) = (Instant::now(), 0);
    while let Some(data) = with_timeout(body.data()).await {
        let data = data.unwrap().len();
        bytes += data;
        body.flow_control().release_capacity(data).unwrap();
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    assert!(bytes > 32_000 && began.elapsed() > Duration::from_millis(500), "{bytes} in {:?}", began.elapsed());
    assert_eq!(with_timeout(body.trailers()).await.unwrap().unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn unary_calls_over_the_number_for_a_connection_wait() {
    let server = start_with_limits(|limits| limits.connection.unary_calls = 2).await;
    fill_a_page(&server).await;
    let mut client = Http2Client::connect_with_window(server.addr, 0).await;
    let mut first = open_page(&mut client).await;
    let body = response_body(first.0).await;
    let second = open_page(&mut client).await;
    let _second = response_body(second.0).await;
    let mut third = Box::pin(open_page(&mut client).await.0);
    assert!(stays_pending(&mut third).await);
    // A call of the example is none of them.
    let (response, mut request) = client.open_example().await;
    assert!(request.send_data(chat_message("Sam", "Hi"), true).is_ok());
    let _ = response_body(response).await;
    first.1.send_reset(h2::Reason::CANCEL);
    drop(body);
    with_timeout(third).await.unwrap();
}

#[tokio::test]
async fn a_deadline_ends_a_unary_call() {
    let server = start_with_limits(|limits| limits.connection.unary_calls = 1).await;
    fill_a_page(&server).await;
    let mut client = Http2Client::connect_with_window(server.addr, 0).await;
    let (response, _request) = open_page(&mut client).await;
    let _holds_the_place = response_body(response).await;
    let late = client.call(LIST, &[("grpc-timeout", "100m")], &newest_page()).await;
    assert_eq!(late.code, Some(Code::DeadlineExceeded), "{late:?}");
    let mut other = ChatServiceClient::new(channel(server.addr).await);
    let mut request = Request::new(pb::ListRoomsRequest::default());
    request.set_timeout(Duration::from_secs(30));
    assert_eq!(other.list_rooms(request).await.unwrap().into_inner().rooms.len(), 1);
}

#[tokio::test]
async fn a_connection_without_calls_is_closed_in_order_and_one_with_calls_is_not() {
    const IDLE: Duration = Duration::from_millis(300);
    let server = start_with_limits(|limits| limits.connection.idle = IDLE).await;
    let mut session = Session::open(server.addr, "ann").await;
    let began = Instant::now();
    let mut idle = TcpClient::connect(server.addr).await;
    idle.write(&http2_opening()).await;
    let closed = async {
        loop {
            let frame = idle.next_frame().await.expect("closed without GOAWAY");
            if frame.frame_type == frame_type::GOAWAY {
                return (frame.payload[4..8].to_vec(), began.elapsed());
            }
        }
    };
    // It has no call most of the time, and never for long.
    let mut used = Http2Client::connect(server.addr).await;
    let in_use = async {
        while began.elapsed() < 3 * IDLE {
            let outcome: Outcome = used.call_example(&chat_message("Sam", "Hi")).await;
            assert_eq!(outcome.code, Some(Code::Ok));
            tokio::time::sleep(IDLE / 10).await;
        }
    };
    let ((error, after), ()) = tokio::join!(closed, in_use);
    assert_eq!(error, [0; 4], "NO_ERROR");
    assert!(after >= IDLE, "{after:?}");
    session.post("r", "Hi").await;
}

#[tokio::test]
async fn tails_are_bounded_together_and_readers_miss_nothing() {
    let server = start_with_limits(|limits| limits.memory.tail_bytes = 100 * 1024).await;
    let mut ann = Session::open(server.addr, "ann").await;
    let rooms: Vec<_> = (0..20).map(|n| format!("room-{n}")).collect();
    for room in &rooms {
        ann.join(room, last(0)).await;
    }
    let text = "x".repeat(2_000);
    for round in 0..10 {
        for room in &rooms {
            ann.post(room, &format!("{round} {text}")).await;
        }
    }
    for room in &rooms {
        for seq in 1..=10 {
            assert_eq!(ann.next_event(room).await.seq, seq);
        }
    }
}

#[tokio::test]
async fn sessions_that_do_not_read_share_a_budget_for_replies() {
    let server = start_with_limits(|limits| limits.memory.reply_bytes = 64 * 1024).await;
    let mut client = Http2Client::connect_with_window(server.addr, 1_000).await;
    let mut sessions = Vec::new();
    for n in 0..4 {
        sessions.push(RawSession::open_on(&mut client, &format!("user-{n}")).await);
    }
    let mut reads = Session::open(server.addr, "ann").await;
    // Each is refused, in fewer bytes than a session alone may leave unread.
    for id in 2..500 {
        for session in &mut sessions {
            session.send_frame(id, leave("r")).await;
        }
        reads.expect_refusal(leave("r")).await;
    }
    let mut ended = 0;
    for session in sessions {
        let (.., status) = session.half_closed_to_end().await;
        ended += usize::from(status.code() == Code::ResourceExhausted);
    }
    assert!(ended >= 1);
    reads.post("r", "Hi").await;
}

#[tokio::test]
async fn what_is_sent_to_calls_that_are_not_read_has_a_budget() {
    let server = start_with_limits(|limits| limits.memory.request_bytes = 40 * 1024).await;
    let mut client = Http2Client::connect_with_window(server.addr, 0).await;
    let mut calls = Vec::new();
    for _ in 0..6 {
        let (response, mut request) = client.open_example().await;
        assert!(send_data(&mut request, chat_message("Sam", "Hi")).await);
        calls.push((response_body(response).await, request));
    }
    // All of them wait now with a response: this call came later on the same connection, and its headers have arrived.
    let _ = response_body(client.open_example().await.0).await;
    for (_, request) in &mut calls {
        for _ in 0..12 * 1024 / 5 {
            if !send_data(request, chat_message("", "")).await {
                break;
            }
        }
    }
    let resets = async {
        loop {
            let mut reset = 0;
            for (_, request) in &mut calls {
                let mut poll = std::pin::pin!(std::future::poll_fn(|cx| request.poll_reset(cx)));
                if let Some(reason) = futures_util::FutureExt::now_or_never(&mut poll) {
                    assert_eq!(reason.unwrap(), h2::Reason::ENHANCE_YOUR_CALM);
                    reset += 1;
                }
            }
            if reset > 0 {
                return reset;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let reset = with_timeout(resets).await;
    assert!(reset < 6, "{reset}");
    let mut other = Http2Client::connect(server.addr).await;
    assert_eq!(other.call_example(&chat_message("Sam", "Hi")).await.replies, ["Sam: Hi"]);
}

#[tokio::test]
async fn what_is_held_is_in_the_figures() {
    let mut config = Config { admin: Admin::At(([127, 0, 0, 1], 0).into()), ..Config::default() };
    config.limits.connection.stall = Duration::from_secs(2);
    config.limits.memory.tail_bytes = 20 * 1024;
    let server = start_with(config).await;
    let admin = server.admin.unwrap();
    let held = async |name: &str| value(&metrics(admin).await, name);
    for name in ["chat_page_bytes", "chat_tail_bytes", "chat_unread_reply_bytes", "chat_unread_request_bytes"] {
        assert_eq!(held(name).await, 0.0, "{name}");
    }
    let mut ann = Session::open(server.addr, "ann").await;
    ann.join_live("a").await;
    ann.join_live("b").await;
    ann.post("a", &"x".repeat(8_000)).await;
    assert!(held("chat_tail_bytes").await >= 8_000.0);
    ann.post_all("b", std::iter::repeat_n("x".repeat(8_000), 4)).await;
    let evictions = "chat_limits_reached_total{limit=\"memory.tail-bytes\"}";
    assert!(held(evictions).await >= 1.0);

    ann.post_all("r", std::iter::repeat_n("x".repeat(8_000), 5)).await;
    let mut stalled = Http2Client::connect_with_window(server.addr, 0).await;
    let (page, _request) = open_page(&mut stalled).await;
    let mut page = response_body(page).await;
    assert!(held("chat_page_bytes").await > 40_000.0);
    let mut session = RawSession::open_on(&mut stalled, "bob").await;
    for id in 2..200 {
        session.send_frame(id, leave("r")).await;
    }
    let (example, mut request) = stalled.open_example().await;
    assert!(send_data(&mut request, chat_message("Sam", &"x".repeat(8_000))).await);
    let _example = response_body(example).await;
    assert!(held("chat_unread_reply_bytes").await > 16_000.0);
    assert!(held("chat_unread_request_bytes").await > 8_000.0);
    with_timeout(page.data()).await.unwrap().unwrap_err();
    assert_eq!(held("chat_page_bytes").await, 0.0);
}
