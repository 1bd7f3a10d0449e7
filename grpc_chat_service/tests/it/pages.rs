//! History and rooms, page by page, for callers without a stream.

use std::net::SocketAddr;

use stubs::chat::v1::chat_service_client::ChatServiceClient;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::session::{Happened, Refused, Session, delete, pb, send};
use crate::support::{channel, soon, start};

struct Pages(ChatServiceClient<Channel>);

impl Pages {
    async fn of(addr: SocketAddr) -> Self {
        Self(ChatServiceClient::new(channel(addr).await))
    }

    async fn messages(&mut self, ask: pb::ListMessagesRequest) -> Result<pb::ListMessagesResponse, Refused> {
        soon(self.0.list_messages(ask)).await.map(tonic::Response::into_inner).map_err(Refused::from)
    }

    async fn rooms(&mut self, page_size: u32, page_token: &str) -> Result<pb::ListRoomsResponse, Refused> {
        let ask = pb::ListRoomsRequest { page_size, page_token: page_token.to_owned() };
        soon(self.0.list_rooms(ask)).await.map(tonic::Response::into_inner).map_err(Refused::from)
    }
}

fn room(page_size: u32) -> pb::ListMessagesRequest {
    pb::ListMessagesRequest { room: "r".to_owned(), page_size, ..pb::ListMessagesRequest::default() }
}

fn after(seq: u64, page_size: u32) -> pb::ListMessagesRequest {
    pb::ListMessagesRequest { after_seq: Some(seq), ..room(page_size) }
}

fn before(seq: u64, page_size: u32) -> pb::ListMessagesRequest {
    pb::ListMessagesRequest { before_seq: Some(seq), ..room(page_size) }
}

fn seqs(page: &pb::ListMessagesResponse) -> Vec<u64> {
    assert!(page.events.iter().all(|event| event.prev_seq + 1 == event.seq));
    page.events.iter().map(|event| event.seq).collect()
}

async fn fill(session: &mut Session, room: &str, count: usize, text: &str) {
    let ids: Vec<u64> = (0..count).map(|_| session.say(send(room, text))).collect();
    for id in ids {
        session.ack(id).await;
    }
}

#[tokio::test]
async fn a_history_is_paged_in_both_directions() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    fill(&mut ann, "r", 250, "Hi").await;
    let epoch = ann.join("r", None).await.epoch;
    let mut pages = Pages::of(server.addr).await;
    for (ask, expected, more) in [
        (room(0), 151..=250, true),
        (room(1), 250..=250, true),
        (room(250), 1..=250, false),
        (room(1000), 1..=250, false),
        (after(0, 100), 1..=100, true),
        (after(100, 100), 101..=200, true),
        (after(200, 100), 201..=250, false),
        (after(150, 100), 151..=250, false),
        (before(151, 100), 51..=150, true),
        (before(51, 100), 1..=50, false),
        (before(101, 100), 1..=100, false),
        (before(u64::MAX, 2), 249..=250, true),
    ] {
        let page = pages.messages(ask.clone()).await.unwrap();
        assert_eq!(seqs(&page), expected.collect::<Vec<_>>(), "{ask:?}");
        assert_eq!((page.more, page.head_seq, page.epoch), (more, 250, epoch), "{ask:?}");
    }
    for nothing in [after(250, 0), after(u64::MAX, 0), before(1, 0), before(0, 0)] {
        let page = pages.messages(nothing.clone()).await.unwrap();
        assert_eq!((seqs(&page), page.more, page.head_seq), (vec![], false, 250), "{nothing:?}");
    }
}

#[tokio::test]
async fn an_unknown_room_has_an_empty_page() {
    let server = start().await;
    let page = Pages::of(server.addr).await.messages(room(0)).await.unwrap();
    assert_eq!((page.events.len(), page.head_seq, page.more), (0, 0, false));
    assert_ne!(page.epoch, 0);
}

#[tokio::test]
async fn a_page_of_long_messages_is_shorter_and_says_that_there_is_more() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    fill(&mut ann, "r", 400, &"x".repeat(8192)).await;
    let mut pages = Pages::of(server.addr).await;
    let (mut place, mut all) = (0, Vec::new());
    loop {
        let page = pages.messages(after(place, 1000)).await.unwrap();
        assert!((1..400).contains(&page.events.len()));
        all.extend(seqs(&page));
        place = *all.last().unwrap();
        if !page.more {
            break;
        }
    }
    assert_eq!(all, (1..=400).collect::<Vec<_>>());
    let newest = pages.messages(room(1000)).await.unwrap();
    assert!(newest.more);
    assert_eq!(newest.events.last().unwrap().seq, 400);
}

#[tokio::test]
async fn a_page_shows_what_was_erased_without_its_text() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let seq = ann.post("r", "secret").await;
    ann.acked(delete("r", seq)).await;
    let page = Pages::of(server.addr).await.messages(room(0)).await.unwrap();
    let erased = pb::Posted { text: String::new(), reply_to_seq: 0, erased: true };
    assert_eq!(page.events[0].body, Some(Happened::Posted(erased)));
    assert_eq!(page.events[1].body, Some(Happened::Deleted(pb::Deleted { seq })));
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_named() {
    let server = start().await;
    let mut pages = Pages::of(server.addr).await;
    let both = pb::ListMessagesRequest { after_seq: Some(1), ..before(2, 0) };
    let no_room = pb::ListMessagesRequest { room: "no room".to_owned(), ..room(0) };
    for (ask, field) in [(both, "before_seq"), (no_room, "room"), (room(1001), "page_size")] {
        let refused = pages.messages(ask).await.unwrap_err();
        assert_eq!((refused.code, refused.fields()), (Code::InvalidArgument, vec![field]));
    }
    for (size, token, field) in [(1001, "", "page_size"), (0, "no room", "page_token")] {
        let refused = pages.rooms(size, token).await.unwrap_err();
        assert_eq!((refused.code, refused.fields()), (Code::InvalidArgument, vec![field]));
    }
}

#[tokio::test]
async fn rooms_are_listed_by_id_page_by_page() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let mut pages = Pages::of(server.addr).await;
    assert_eq!(pages.rooms(0, "").await.unwrap(), pb::ListRoomsResponse::default());
    let mut names: Vec<String> = (0..205).map(|n| format!("room-{n:03}")).collect();
    names.push("a/b".to_owned());
    for name in names.iter().rev() {
        ann.post(name, "Hi").await;
    }
    let last = ann.acked(send("a/b", "Hey")).await;
    // Joined is not spoken in.
    ann.join("nobody-speaks", None).await;
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
    // Exactly a page is the last one.
    assert_eq!(pages.rooms(206, "").await.unwrap().next_page_token, "");
    assert_eq!(pages.rooms(3, "").await.unwrap().rooms.len(), 3);
}
