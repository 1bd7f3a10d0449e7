//! Resuming: the verdict on a cursor, then everything that was missed, once, then live events.

use crate::support::frames::{EventBody, ServerBody, after, is_event, join, last, pb};
use crate::support::server::{TestServer, start};
use crate::support::session::Session;

/// Starts a server with the messages `1` to `count` in the room `r`. Returns the session that sent them, and one that has
/// not joined the room.
async fn room_with_messages(count: u64) -> (TestServer, Session, Session) {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    ann.post_all("r", numbers(1..=count)).await;
    let bob = Session::open(server.addr, "bob").await;
    (server, ann, bob)
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

fn verdict(joined: &pb::Joined) -> (pb::Verdict, pb::ResetReason) {
    (joined.verdict(), joined.reset_reason())
}

/// Asserts that the session, which has joined, receives exactly the `missed` texts after `start`, and then CaughtUp.
async fn assert_catches_up(session: &mut Session, start: u64, missed: Vec<String>) {
    let is_part = |frame: &pb::ServerFrame| is_event(frame) || matches!(frame.body, Some(ServerBody::CaughtUp(_)));
    let mut texts = Vec::new();
    loop {
        match session.wait_for(|frame| is_part(frame).then(|| frame.body.clone())).await {
            Some(ServerBody::CaughtUp(caught_up)) => {
                assert_eq!(caught_up.seq, start + missed.len() as u64);
                break;
            }
            Some(ServerBody::Event(event)) => {
                assert_eq!(event.prev_seq, start + texts.len() as u64);
                let Some(EventBody::Posted(posted)) = event.body else { panic!("not a post: {event:?}") };
                texts.push(posted.text);
            }
            _ => unreachable!(),
        }
    }
    assert_eq!(texts, missed);
    let more = session.received_so_far().await;
    assert!(!more.iter().any(is_part), "{more:?}");
}

#[tokio::test]
async fn a_cursor_gets_everything_after_it_then_caught_up_then_live_events() {
    for start in [0, 1, 300, 999, 1000] {
        let (_server, mut ann, mut bob) = room_with_messages(1000).await;
        let epoch = bob.join("r", None).await.epoch;
        bob.caught_up("r").await;
        let joined = bob.join("r", after(epoch, start)).await;
        assert_eq!(verdict(&joined), (pb::Verdict::Recovered, pb::ResetReason::Unspecified));
        assert_eq!((joined.epoch, joined.start_seq, joined.head_seq, joined.oldest_seq), (epoch, start, 1000, 1));
        assert_catches_up(&mut bob, start, numbers(start + 1..=1000)).await;
        ann.post("r", "live").await;
        assert_eq!(bob.next_texts("r", 1000, 1).await, ["live"]);
    }
}

#[tokio::test]
async fn the_beginning_needs_no_epoch() {
    let (_server, _ann, mut bob) = room_with_messages(10).await;
    let joined = bob.join("r", after(0, 0)).await;
    assert_eq!(joined.verdict(), pb::Verdict::Recovered);
    assert_catches_up(&mut bob, 0, numbers(1..=10)).await;
}

#[tokio::test]
async fn the_last_events_come_before_caught_up_and_live_events() {
    for (count, first) in [(0, 11), (1, 10), (3, 8), (10, 1), (11, 1), (1000, 1)] {
        let (_server, mut ann, mut bob) = room_with_messages(10).await;
        let joined = bob.join("r", last(count)).await;
        assert_eq!((joined.verdict(), joined.start_seq, joined.head_seq), (pb::Verdict::Live, first - 1, 10));
        assert_catches_up(&mut bob, first - 1, numbers(first..=10)).await;
        ann.post("r", "live").await;
        assert_eq!(bob.next_texts("r", 10, 1).await, ["live"]);
    }
}

#[tokio::test]
async fn an_empty_room_is_caught_up_at_once() {
    let (_server, mut ann, mut bob) = room_with_messages(1).await;
    for start in [None, last(5), after(0, 0)] {
        let joined = bob.join("new", start).await;
        assert_eq!((joined.start_seq, joined.head_seq, joined.oldest_seq), (0, 0, 0));
        assert_catches_up(&mut bob, 0, vec![]).await;
    }
    ann.post("new", "first").await;
    assert_eq!(bob.next_texts("new", 0, 1).await, ["first"]);
}

#[tokio::test]
async fn a_cursor_of_another_epoch_or_ahead_of_the_head_is_reset() {
    let (_server, mut ann, mut bob) = room_with_messages(10).await;
    let epoch = bob.join("r", None).await.epoch;
    bob.caught_up("r").await;
    for (cursor, reason) in [
        (after(epoch + 1, 5), pb::ResetReason::Epoch),
        (after(0, 5), pb::ResetReason::Epoch),
        (after(epoch + 1, 99), pb::ResetReason::Epoch),
        (after(epoch, 11), pb::ResetReason::Ahead),
        (after(epoch, u64::MAX), pb::ResetReason::Ahead),
    ] {
        let joined = bob.join("r", cursor).await;
        assert_eq!(verdict(&joined), (pb::Verdict::Reset, reason));
        assert_eq!((joined.epoch, joined.start_seq, joined.head_seq), (epoch, 10, 10));
        assert_catches_up(&mut bob, 10, vec![]).await;
    }
    ann.post("r", "live").await;
    assert_eq!(bob.next_texts("r", 10, 1).await, ["live"]);
}

#[tokio::test]
async fn joining_again_moves_the_reader() {
    let (_server, mut ann, mut bob) = room_with_messages(10).await;
    let epoch = bob.join_live("r").await.epoch;
    for start in [2, 9, 0] {
        bob.join("r", after(epoch, start)).await;
        assert_catches_up(&mut bob, start, numbers(start + 1..=10)).await;
    }
    ann.post("r", "once").await;
    assert_eq!(bob.next_texts("r", 10, 1).await, ["once"]);
    let more = bob.received_so_far().await;
    assert!(!more.iter().any(is_event), "{more:?}");
}

/// Every message that is posted while a reader joins is delivered once, after the start that Joined states.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joining_a_busy_room_misses_nothing() {
    let (server, mut ann, mut bob) = room_with_messages(5).await;
    let posting = tokio::spawn(async move {
        for n in 6..=1000 {
            ann.post("r", &n.to_string()).await;
        }
    });
    let epoch = bob.join_live("r").await.epoch;
    let mut joins = 0;
    while !posting.is_finished() {
        joins += 1;
        let mut late = Session::open(server.addr, "late").await;
        let joined = match joins % 3 {
            0 => late.join("r", None).await,
            1 => late.join("r", last(3)).await,
            _ => late.join("r", after(epoch, 2)).await,
        };
        let count = usize::try_from(joined.head_seq - joined.start_seq).unwrap();
        late.next_texts("r", joined.start_seq, count).await;
        assert!(late.caught_up("r").await >= joined.head_seq);
        late.half_close();
        late.read_to_end().await.1.unwrap();
    }
    posting.await.unwrap();
    assert!(joins > 3, "{joins}");
}

#[tokio::test]
async fn half_closing_after_a_join_still_delivers_missed_events() {
    let (_server, _ann, mut bob) = room_with_messages(700).await;
    let id = bob.send_frame(join("r", after(0, 0)));
    bob.half_close();
    assert!(matches!(bob.reply(id).await, ServerBody::Joined(_)));
    assert_eq!(bob.next_texts("r", 0, 700).await, numbers(1..=700));
    bob.caught_up("r").await;
    bob.read_to_end().await.1.unwrap();
}
