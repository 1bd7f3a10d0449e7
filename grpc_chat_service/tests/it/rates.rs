//! Rates: what exceeds one is refused with a hint, loses nothing, and affects only its user or network.

use std::time::{Duration, Instant};

use grpc_chat_service::config::Config;
use grpc_chat_service::limits::RateLimits;
use stubs::chat::v1::chat_service_client::ChatServiceClient;
use tonic::Code;

use crate::support::example::ExampleCall;
use crate::support::frames::{hello, join, last, mark_read, pb, send};
use crate::support::refusal::Refusal;
use crate::support::server::{TestServer, start_with_rates};
use crate::support::session::Session;
use crate::support::tcp::{TcpClient, frame_type, http2_opening};
use crate::support::{channel, with_timeout};

/// Starts a server with these rates, and no others.
async fn start_limited(set: impl FnOnce(&mut RateLimits)) -> TestServer {
    let mut config = Config::default();
    config.limits.rates = RateLimits::none();
    set(&mut config.limits.rates);
    start_with_rates(config).await
}

/// Asserts that this is a refusal because of a rate, and returns how long to wait.
fn wait_of(refusal: &Refusal, rate: &str) -> Duration {
    assert_eq!((refusal.code, refusal.reason()), (Code::ResourceExhausted, "RATE_LIMITED"), "{refusal:?}");
    assert_eq!(refusal.details.error_info().unwrap().metadata["rate"], rate);
    assert!(refusal.details.quota_failure().is_some());
    let delay = refusal.details.retry_info().unwrap().retry_delay.unwrap();
    assert!(delay > Duration::ZERO && delay <= Duration::from_secs(5), "{delay:?}");
    delay
}

#[tokio::test]
async fn changes_over_the_rate_are_refused_until_the_hint_has_passed() {
    let server = start_limited(|rates| (rates.changes_per_second, rates.change_burst) = (10, 3)).await;
    let mut ann = Session::open(server.addr, "ann").await;
    let limits = ann.welcome.limits.unwrap();
    assert_eq!((limits.changes_per_second, limits.change_burst, limits.bytes_per_second), (10, 3, 0));
    ann.post_all("r", ["1", "2", "3"]).await;
    let ids: Vec<_> = ["4", "5"].map(|text| ann.send_frame(send("r", text))).into();
    let began = Instant::now();
    let wait = wait_of(&ann.refusal(ids[0]).await, "changes");
    // A later one does not overtake it, although a place would be free soon.
    wait_of(&ann.refusal(ids[1]).await, "changes");
    while began.elapsed() < wait - Duration::from_millis(150) {
        let refusal = ann.expect_refusal(send("r", "5")).await;
        assert!(wait_of(&refusal, "changes") < wait);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let wait = wait_of(&ann.expect_refusal(mark_read("r", 1)).await, "changes");
    tokio::time::sleep(wait).await;
    ann.post_all("r", ["4", "5"]).await;

    let mut bob = Session::open(server.addr, "bob").await;
    bob.join("r", last(10)).await;
    for text in ["1", "2", "3", "4", "5"] {
        let event = bob.next_event("r").await;
        assert!(matches!(event.body, Some(pb::event::Body::Posted(posted)) if posted.text == text));
    }
    // Another user is not affected.
    bob.post_all("r", ["6", "7"]).await;
}

#[tokio::test]
async fn all_sessions_of_a_user_share_a_rate_and_all_users_of_a_network_another() {
    let server = start_limited(|rates| {
        (rates.changes_per_second, rates.change_burst, rates.network_share) = (1, 2, 2);
    })
    .await;
    let mut ann = Session::open(server.addr, "ann").await;
    let mut anns_other = Session::open(server.addr, "ann").await;
    ann.post("r", "1").await;
    anns_other.post("r", "2").await;
    wait_of(&ann.expect_refusal(send("r", "3")).await, "changes");
    let mut client = ChatServiceClient::new(channel(server.addr).await);
    let mut message = async |user: &str| {
        let (user, room, text) = (user.to_owned(), "r".to_owned(), "x".to_owned());
        let message = pb::SendMessageRequest { user, room, text, ..pb::SendMessageRequest::default() };
        with_timeout(client.send_message(message)).await.map(|_| ()).map_err(Refusal::from)
    };
    wait_of(&message("ann").await.unwrap_err(), "changes");
    for user in ["bob", "kim"] {
        message(user).await.unwrap();
    }
    wait_of(&message("sam").await.unwrap_err(), "changes");
}

#[tokio::test]
async fn bytes_have_a_rate() {
    let server = start_limited(|rates| (rates.bytes_per_second, rates.burst_bytes) = (1_000, 4_000)).await;
    let mut ann = Session::open(server.addr, "ann").await;
    ann.post("r", &"x".repeat(3_500)).await;
    assert!(wait_of(&ann.expect_refusal(send("r", &"x".repeat(1_000))).await, "bytes") <= Duration::from_millis(500));
}

#[tokio::test]
async fn a_refused_join_can_be_repeated_and_an_earlier_one_stays() {
    let server = start_limited(|rates| (rates.joins_per_second, rates.join_burst) = (2, 2)).await;
    let mut ann = Session::open(server.addr, "ann").await;
    ann.join_live("a").await;
    ann.join_live("b").await;
    let wait = wait_of(&ann.expect_refusal(join("a", None)).await, "joins");
    wait_of(&ann.expect_refusal(join("c", None)).await, "joins");
    ann.post("a", "Hi").await;
    assert_eq!(ann.next_event("a").await.seq, 1);
    tokio::time::sleep(wait).await;
    ann.join_live("c").await;
}

#[tokio::test]
async fn pages_have_a_rate() {
    let set = |rates: &mut RateLimits| (rates.pages_per_second, rates.page_burst, rates.network_share) = (1, 2, 8);
    let server = start_limited(set).await;
    let mut client = ChatServiceClient::new(channel(server.addr).await);
    let page = pb::ListMessagesRequest { room: "r".to_owned(), ..pb::ListMessagesRequest::default() };
    // Callers without a user have the share of a network.
    for n in 0..16 {
        if n % 2 == 0 {
            client.list_messages(page.clone()).await.unwrap();
        } else {
            client.list_rooms(pb::ListRoomsRequest::default()).await.unwrap();
        }
    }
    wait_of(&client.list_messages(page).await.unwrap_err().into(), "pages");
    wait_of(&client.list_rooms(pb::ListRoomsRequest::default()).await.unwrap_err().into(), "pages");
}

#[tokio::test]
async fn new_rooms_have_a_rate_over_every_store() {
    let data = tempfile::tempdir().unwrap();
    for on_disk in [false, true] {
        let mut config = Config::default();
        if on_disk {
            config.store = grpc_chat_service::config::Store::disk(data.path());
        }
        // Two seconds for each.
        config.limits.rates =
            RateLimits { new_rooms_per_hour: 1_800, new_room_burst: 2, network_share: 8, ..RateLimits::none() };
        let server = start_with_rates(config).await;
        let mut ann = Session::open(server.addr, "ann").await;
        ann.post("a", "Hi").await;
        ann.post("b", "Hi").await;
        let refusal = ann.expect_refusal(send("c", "Hi")).await;
        let wait = wait_of(&refusal, "new_rooms");
        ann.post_all("a", ["an", "existing", "room"]).await;
        tokio::time::sleep(wait).await;
        ann.post("c", "Hi").await;
    }
}

#[tokio::test]
async fn sessions_have_a_number_and_a_rate() {
    let server = start_limited(|rates| (rates.sessions, rates.sessions_per_network) = (2, 3)).await;
    let refused = async |user: &str| {
        let mut session = Session::before_hello(&channel(server.addr).await).await;
        session.send_frame(hello(user));
        wait_of(&session.expect_failure().await, "sessions");
    };
    let first = Session::open(server.addr, "ann").await;
    let _second = Session::open(server.addr, "ann").await;
    refused("ann").await;
    let _bob = Session::open(server.addr, "bob").await;
    refused("kim").await;
    drop(first);
    let again = async {
        loop {
            let mut session = Session::before_hello(&channel(server.addr).await).await;
            session.send_frame(hello("kim"));
            session.half_close();
            if !session.read_to_end().await.0.is_empty() {
                return;
            }
        }
    };
    with_timeout(again).await;

    let server = start_limited(|rates| (rates.hellos_per_second, rates.hello_burst) = (1, 2)).await;
    for _ in 0..2 {
        Session::open(server.addr, "ann").await;
    }
    let mut session = Session::before_hello(&channel(server.addr).await).await;
    session.send_frame(hello("ann"));
    wait_of(&session.expect_failure().await, "hellos");
}

#[tokio::test]
async fn connections_have_a_rate() {
    let set = |rates: &mut RateLimits| {
        (rates.connections_per_second, rates.connection_burst, rates.network_share) = (1, 3, 1);
    };
    let server = start_limited(set).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut client = TcpClient::connect(server.addr).await;
        client.write(&http2_opening()).await;
        assert_eq!(client.next_frame().await.unwrap().frame_type, frame_type::SETTINGS);
        open.push(client);
    }
    assert_eq!(TcpClient::connect(server.addr).await.read_to_end().await, b"");
    let mut other = TcpClient::connect_from([127, 0, 0, 2], server.addr).await;
    other.write(&http2_opening()).await;
    assert_eq!(other.next_frame().await.unwrap().frame_type, frame_type::SETTINGS);
}

#[tokio::test]
async fn a_caller_of_the_example_in_a_room_waits_instead() {
    let server = start_limited(|rates| {
        (rates.changes_per_second, rates.change_burst, rates.network_share) = (20, 5, 1);
    })
    .await;
    let mut sam = ExampleCall::open_in_room(server.addr, "r").await.unwrap();
    let began = Instant::now();
    for n in 0..25 {
        sam.send("Sam", &n.to_string()).await;
    }
    sam.half_close();
    for n in 0..25 {
        assert_eq!(sam.reply().await, format!("Sam: {n}"));
    }
    assert_eq!(sam.next().await.unwrap(), None);
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
}
