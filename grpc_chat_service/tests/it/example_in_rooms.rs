//! The example's caller in a room: a line in is a message, a message is a line out.

use std::net::SocketAddr;

use stubs::ChatMessage;
use stubs::chat_client::ChatClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Request, Status, Streaming};

use crate::support::session::{Happened, Session, delete, edit, last, react};
use crate::support::{Call, channel, soon, start};

struct Lines {
    say: Option<mpsc::UnboundedSender<ChatMessage>>,
    lines: Streaming<String>,
}

impl Lines {
    async fn enter(addr: SocketAddr, room: &str) -> Result<Self, Status> {
        let (say, said) = mpsc::unbounded_channel();
        let mut request = Request::new(UnboundedReceiverStream::new(said));
        request.metadata_mut().insert("chat-room", room.parse().unwrap());
        let mut client = ChatClient::new(channel(addr).await);
        let lines = soon(client.chat(request)).await?.into_inner();
        Ok(Self { say: Some(say), lines })
    }

    fn say(&self, name: &str, text: &str) {
        let message = ChatMessage { name: name.to_owned(), message: text.to_owned() };
        self.say.as_ref().unwrap().send(message).unwrap();
    }

    async fn next(&mut self) -> Result<Option<String>, Status> {
        soon(self.lines.message()).await
    }

    async fn line(&mut self) -> String {
        self.next().await.unwrap().expect("a line")
    }
}

#[tokio::test]
async fn lines_go_to_everyone_the_sender_included() {
    let server = start().await;
    let mut sam = Lines::enter(server.addr, "r").await.unwrap();
    sam.say("Sam", "Hi");
    assert_eq!(sam.line().await, "Sam: Hi");
    // Only what is new.
    let mut ann = Lines::enter(server.addr, "r").await.unwrap();
    ann.say("Ann", "Hey");
    assert_eq!(ann.line().await, "Ann: Hey");
    assert_eq!(sam.line().await, "Ann: Hey");
    sam.say("John", "Hello");
    for lines in [&mut sam, &mut ann] {
        assert_eq!(lines.line().await, "John: Hello");
    }
}

#[tokio::test]
async fn a_room_of_lines_is_a_room_like_any_other() {
    let server = start().await;
    let mut session = Session::open(server.addr, "bob").await;
    session.enter("r").await;
    let mut sam = Lines::enter(server.addr, "r").await.unwrap();
    sam.say("Sam", "Hi");
    assert_eq!(sam.line().await, "Sam: Hi");
    let event = session.event("r").await;
    assert_eq!(event.sender, "Sam");
    assert!(matches!(event.body, Some(Happened::Posted(posted)) if posted.text == "Hi"));
    // What is not a message is not a line.
    let seq = session.post("r", "Hey").await;
    session.acked(edit("r", seq, "Hey!")).await;
    session.acked(react("r", event.seq, "👍", false)).await;
    session.acked(delete("r", seq)).await;
    session.post("r", "bye").await;
    assert_eq!(sam.line().await, "bob: Hey");
    assert_eq!(sam.line().await, "bob: bye");
    let present = Session::open(server.addr, "zoe").await.join("r", last(0)).await.present;
    assert!(present.contains(&"guest".to_owned()), "{present:?}");
}

#[tokio::test]
async fn half_closing_gets_all_lines_and_then_the_end() {
    let server = start().await;
    let mut sam = Lines::enter(server.addr, "r").await.unwrap();
    for n in 0..100 {
        sam.say("Sam", &n.to_string());
    }
    sam.say = None;
    for n in 0..100 {
        assert_eq!(sam.line().await, format!("Sam: {n}"));
    }
    assert_eq!(sam.next().await.unwrap(), None);
}

/// Far more than a session may have in flight, and more answers than it may leave unread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_a_lot_before_it_reads_is_held_back_and_not_refused() {
    const LINES: usize = 20_000;
    let server = start().await;
    let mut sam = Lines::enter(server.addr, "r").await.unwrap();
    for n in 0..LINES {
        sam.say("Sam", &n.to_string());
    }
    sam.say = None;
    for n in 0..LINES {
        assert_eq!(sam.line().await, format!("Sam: {n}"));
    }
    assert_eq!(sam.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_room_that_cannot_be_one_is_refused() {
    let server = start().await;
    for room in ["", "no room", "/r", "a//b", &"r".repeat(65)] {
        let refused = Lines::enter(server.addr, room).await.err().unwrap();
        assert_eq!(refused.code(), Code::InvalidArgument, "{room:?}: {refused:?}");
    }
}

#[tokio::test]
async fn a_name_or_a_text_that_a_room_cannot_take_ends_the_call_with_the_reason() {
    let server = start().await;
    let long = "x".repeat(8193);
    for (name, text, field) in
        [("", "Hi", "name"), ("Sam I am", "Hi", "name"), ("Sam", "", "message"), ("Sam", &long, "message")]
    {
        let mut sam = Lines::enter(server.addr, "r").await.unwrap();
        sam.say(name, text);
        let refused = crate::support::session::Refused::from(sam.next().await.unwrap_err());
        assert_eq!((refused.code, refused.fields()), (Code::InvalidArgument, vec![field]));
    }
}

#[tokio::test]
async fn without_a_room_callers_do_not_see_each_other_and_nothing_is_kept() {
    let server = start().await;
    let mut sam = Lines::enter(server.addr, "r").await.unwrap();
    let mut plain = Call::open(server.addr).await;
    // Names that no room would take.
    assert_eq!(plain.ask("Sam I am", "").await, "Sam I am: ");
    sam.say("Sam", "Hi");
    assert_eq!(sam.line().await, "Sam: Hi");
    assert_eq!(plain.ask("Ann", "Hey").await, "Ann: Hey");
    plain.close();
    assert_eq!(plain.next().await.unwrap(), None);
}

#[tokio::test]
async fn the_server_leaving_ends_the_lines() {
    let mut server = start().await;
    let mut sam = Lines::enter(server.addr, "r").await.unwrap();
    sam.say("Sam", "Hi");
    assert_eq!(sam.line().await, "Sam: Hi");
    server.stop();
    assert_eq!(sam.next().await.unwrap_err().code(), Code::Unavailable);
    server.left().await;
}
