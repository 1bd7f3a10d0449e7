//! Pages of the history and of the list of rooms, for callers without a session.

use std::net::SocketAddr;

use stubs::chat::v1::chat_service_client::ChatServiceClient;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::frames::{EventBody, delete, pb, send};
use crate::support::refusal::Refusal;
use crate::support::server::start;
use crate::support::session::Session;
use crate::support::{channel, with_timeout};

/// A client of the two methods.
struct Pages(ChatServiceClient<Channel>);

impl Pages {
    async fn connect(addr: SocketAddr) -> Self {
        Self(ChatServiceClient::new(channel(addr).await))
    }

    async fn messages(&mut self, request: pb::ListMessagesRequest) -> Result<pb::ListMessagesResponse, Refusal> {
        with_timeout(self.0.list_messages(request)).await.map(tonic::Response::into_inner).map_err(Refusal::from)
    }

    async fn rooms(&mut self, page_size: u32, page_token: &str) -> Result<pb::ListRoomsResponse, Refusal> {
        let request = pb::ListRoomsRequest { page_size, page_token: page_token.to_owned() };
        with_timeout(self.0.list_rooms(request)).await.map(tonic::Response::into_inner).map_err(Refusal::from)
    }
}

/// Requests the newest page of the room `r`.
fn newest(page_size: u32) -> pb::ListMessagesRequest {
    pb::ListMessagesRequest { room: "r".to_owned(), page_size, ..pb::ListMessagesRequest::default() }
}

fn after(seq: u64, page_size: u32) -> pb::ListMessagesRequest {
    pb::ListMessagesRequest { after_seq: Some(seq), ..newest(page_size) }
}

fn before(seq: u64, page_size: u32) -> pb::ListMessagesRequest {
    pb::ListMessagesRequest { before_seq: Some(seq), ..newest(page_size) }
}

fn seqs(page: &pb::ListMessagesResponse) -> Vec<u64> {
    assert!(page.events.iter().all(|event| event.prev_seq + 1 == event.seq));
    page.events.iter().map(|event| event.seq).collect()
}

#[tokio::test]
async fn a_history_is_paged_in_both_directions() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    ann.post_all("r", ["Hi"; 250]).await;
    let epoch = ann.join("r", None).await.epoch;
    let mut pages = Pages::connect(server.addr).await;
    for (request, expected, more) in [
        (newest(0), 151..=250, true),
        (newest(1), 250..=250, true),
        (newest(250), 1..=250, false),
        (newest(1000), 1..=250, false),
        (after(0, 100), 1..=100, true),
        (after(100, 100), 101..=200, true),
        (after(200, 100), 201..=250, false),
        (after(150, 100), 151..=250, false),
        (before(151, 100), 51..=150, true),
        (before(51, 100), 1..=50, false),
        (before(101, 100), 1..=100, false),
        (before(u64::MAX, 2), 249..=250, true),
    ] {
        let page = pages.messages(request.clone()).await.unwrap();
        assert_eq!(seqs(&page), expected.collect::<Vec<_>>(), "{request:?}");
        assert_eq!((page.more, page.head_seq, page.epoch), (more, 250, epoch), "{request:?}");
    }
    for request in [after(250, 0), after(u64::MAX, 0), before(1, 0), before(0, 0)] {
        let page = pages.messages(request.clone()).await.unwrap();
        assert_eq!((seqs(&page), page.more, page.head_seq), (vec![], false, 250), "{request:?}");
    }
}

#[tokio::test]
async fn an_unknown_room_has_an_empty_page() {
    let server = start().await;
    let page = Pages::connect(server.addr).await.messages(newest(0)).await.unwrap();
    assert_eq!((page.events.len(), page.head_seq, page.more), (0, 0, false));
    assert_ne!(page.epoch, 0);
}

#[tokio::test]
async fn a_page_of_long_messages_is_cut_short_and_reports_more() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    ann.post_all("r", vec!["x".repeat(8192); 400]).await;
    let mut pages = Pages::connect(server.addr).await;
    let (mut cursor, mut all) = (0, Vec::new());
    loop {
        let page = pages.messages(after(cursor, 1000)).await.unwrap();
        assert!((1..400).contains(&page.events.len()));
        all.extend(seqs(&page));
        cursor = *all.last().unwrap();
        if !page.more {
            break;
        }
    }
    assert_eq!(all, (1..=400).collect::<Vec<_>>());
    let newest = pages.messages(newest(1000)).await.unwrap();
    assert!(newest.more);
    assert_eq!(newest.events.last().unwrap().seq, 400);
}

#[tokio::test]
async fn a_page_contains_erased_messages_without_their_text() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let seq = ann.post("r", "secret").await;
    ann.expect_ack(delete("r", seq)).await;
    let page = Pages::connect(server.addr).await.messages(newest(0)).await.unwrap();
    let erased = pb::Posted { text: String::new(), reply_to_seq: 0, erased: true };
    assert_eq!(page.events[0].body, Some(EventBody::Posted(erased)));
    assert_eq!(page.events[1].body, Some(EventBody::Deleted(pb::Deleted { seq })));
}

#[tokio::test]
async fn an_invalid_field_of_a_request_is_named() {
    let server = start().await;
    let mut pages = Pages::connect(server.addr).await;
    let both = pb::ListMessagesRequest { after_seq: Some(1), ..before(2, 0) };
    let bad_room = pb::ListMessagesRequest { room: "no room".to_owned(), ..newest(0) };
    for (request, field) in [(both, "before_seq"), (bad_room, "room"), (newest(1001), "page_size")] {
        let refusal = pages.messages(request).await.unwrap_err();
        assert_eq!((refusal.code, refusal.fields()), (Code::InvalidArgument, vec![field]));
    }
    for (size, token, field) in [(1001, "", "page_size"), (0, "no room", "page_token")] {
        let refusal = pages.rooms(size, token).await.unwrap_err();
        assert_eq!((refusal.code, refusal.fields()), (Code::InvalidArgument, vec![field]));
    }
}

#[tokio::test]
async fn rooms_are_listed_by_id_in_pages() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let mut pages = Pages::connect(server.addr).await;
    assert_eq!(pages.rooms(0, "").await.unwrap(), pb::ListRoomsResponse::default());
    let mut names: Vec<String> = (0..205).map(|n| format!("room-{n:03}")).collect();
    names.push("a/b".to_owned());
    for name in names.iter().rev() {
        ann.post(name, "Hi").await;
    }
    let last = ann.expect_ack(send("a/b", "Hey")).await;
    // A room without a history is not listed.
    ann.join("empty", None).await;
    names.sort_unstable();

    let (mut token, mut listed, mut lengths) = (String::new(), Vec::new(), Vec::new());
    loop {
        let page = pages.rooms(0, &token).await.unwrap();
        lengths.push(page.rooms.len());
        listed.extend(page.rooms);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(lengths, [100, 100, 6]);
    assert_eq!(listed.iter().map(|room| room.room.clone()).collect::<Vec<_>>(), names);
    let expected = pb::Room { room: "a/b".to_owned(), head_seq: 2, head_time: last.time };
    assert_eq!(listed[0], expected);
    // A page that holds exactly the remaining rooms is the last one.
    assert_eq!(pages.rooms(206, "").await.unwrap().next_page_token, "");
    assert_eq!(pages.rooms(3, "").await.unwrap().rooms.len(), 3);
}
