//! The example's call in a room, which its metadata names: each message that it sends is posted, and each message of the
//! room is a reply, a line.

use tonic::Code;

use crate::support::example::ExampleCall;
use crate::support::frames::{EventBody, delete, edit, last, react};
use crate::support::refusal::Refusal;
use crate::support::server::start;
use crate::support::session::Session;

#[tokio::test]
async fn lines_reach_every_caller_including_the_sender() {
    let server = start().await;
    let mut sam = ExampleCall::open_in_room(server.addr, "r").await.unwrap();
    assert_eq!(sam.echo("Sam", "Hi").await, "Sam: Hi");
    // A caller gets only lines that are posted from now on.
    let mut ann = ExampleCall::open_in_room(server.addr, "r").await.unwrap();
    assert_eq!(ann.echo("Ann", "Hey").await, "Ann: Hey");
    assert_eq!(sam.reply().await, "Ann: Hey");
    sam.send("John", "Hello").await;
    for call in [&mut sam, &mut ann] {
        assert_eq!(call.reply().await, "John: Hello");
    }
}

#[tokio::test]
async fn lines_are_messages_of_an_ordinary_room() {
    let server = start().await;
    let mut bob = Session::open(server.addr, "bob").await;
    bob.join_live("r").await;
    let mut sam = ExampleCall::open_in_room(server.addr, "r").await.unwrap();
    assert_eq!(sam.echo("Sam", "Hi").await, "Sam: Hi");
    let event = bob.next_event("r").await;
    assert_eq!(event.sender, "Sam");
    assert!(matches!(event.body, Some(EventBody::Posted(posted)) if posted.text == "Hi"));
    // Events that are not posts are not lines.
    let seq = bob.post("r", "Hey").await;
    bob.expect_ack(edit("r", seq, "Hey!")).await;
    bob.expect_ack(react("r", event.seq, "👍", false)).await;
    bob.expect_ack(delete("r", seq)).await;
    bob.post("r", "bye").await;
    assert_eq!(sam.reply().await, "bob: Hey");
    assert_eq!(sam.reply().await, "bob: bye");
    let present = Session::open(server.addr, "kim").await.join("r", last(0)).await.present;
    assert!(present.contains(&"guest".to_owned()), "{present:?}");
}

#[tokio::test]
async fn a_caller_can_ask_for_the_last_lines() {
    let server = start().await;
    let mut bob = Session::open(server.addr, "bob").await;
    bob.post_all("r", ["1", "2", "3"]).await;
    let open = async |last: &str| {
        let metadata = [("chat-room", "r"), ("chat-last", last)];
        ExampleCall::open_with_metadata(server.addr, &metadata).await
    };
    let mut sam = open("2").await.unwrap();
    assert_eq!([sam.reply().await, sam.reply().await], ["bob: 2", "bob: 3"]);
    assert_eq!(sam.echo("Sam", "Hi").await, "Sam: Hi");
    assert_eq!(open("0").await.unwrap().echo("Ann", "Hey").await, "Ann: Hey");
    assert_eq!(open("1000").await.unwrap().reply().await, "bob: 1");
    for invalid in ["1001", "-1", "many", ""] {
        let refusal = Refusal::from(open(invalid).await.err().unwrap());
        assert_eq!((refusal.code, refusal.fields()), (Code::InvalidArgument, vec!["chat-last"]));
    }
}

/// Sends `count` messages, then half-closes, and only then reads.
async fn assert_all_lines_arrive(count: usize) {
    let server = start().await;
    let mut sam = ExampleCall::open_in_room(server.addr, "r").await.unwrap();
    for n in 0..count {
        sam.send("Sam", &n.to_string()).await;
    }
    sam.half_close();
    for n in 0..count {
        assert_eq!(sam.reply().await, format!("Sam: {n}"));
    }
    assert_eq!(sam.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_half_closed_call_gets_all_lines_and_then_the_end() {
    assert_all_lines_arrive(100).await;
}

/// These are far more messages than a session may have in flight, and more replies than it may leave unread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_sends_before_it_reads_is_slowed_down_and_not_refused() {
    assert_all_lines_arrive(20_000).await;
}

#[tokio::test]
async fn an_invalid_room_is_refused() {
    let server = start().await;
    for room in ["", "no room", "/r", "a//b", &"r".repeat(65)] {
        let status = ExampleCall::open_in_room(server.addr, room).await.err().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument, "{room:?}: {status:?}");
    }
}

#[tokio::test]
async fn an_invalid_name_or_text_ends_the_call_with_the_reason() {
    let server = start().await;
    let long = "x".repeat(8193);
    for (name, text, field) in
        [("", "Hi", "name"), ("Sam I am", "Hi", "name"), ("Sam", "", "message"), ("Sam", &long, "message")]
    {
        let mut sam = ExampleCall::open_in_room(server.addr, "r").await.unwrap();
        sam.send(name, text).await;
        let refusal = Refusal::from(sam.next().await.unwrap_err());
        assert_eq!((refusal.code, refusal.fields()), (Code::InvalidArgument, vec![field]));
    }
}

#[tokio::test]
async fn a_call_without_a_room_gets_only_its_own_replies() {
    let server = start().await;
    let mut sam = ExampleCall::open_in_room(server.addr, "r").await.unwrap();
    let mut without_room = ExampleCall::open(server.addr).await;
    // In a room this name and this text are invalid.
    assert_eq!(without_room.echo("Sam I am", "").await, "Sam I am: ");
    assert_eq!(sam.echo("Sam", "Hi").await, "Sam: Hi");
    assert_eq!(without_room.echo("Ann", "Hey").await, "Ann: Hey");
    without_room.half_close();
    assert_eq!(without_room.next().await.unwrap(), None);
}

#[tokio::test]
async fn shutdown_ends_the_lines_with_unavailable() {
    let mut server = start().await;
    let mut sam = ExampleCall::open_in_room(server.addr, "r").await.unwrap();
    assert_eq!(sam.echo("Sam", "Hi").await, "Sam: Hi");
    server.stop();
    assert_eq!(sam.next().await.unwrap_err().code(), Code::Unavailable);
    server.stopped().await;
}
