//! Coming back: a clear verdict, everything that was missed once, then live.

use crate::support::session::{Said, Session, after, join, last, pb, send};
use crate::support::{InProcess, start};

/// A room with this many messages, `1` to `count`, and someone who comes to read it.
async fn room_of(count: u64) -> (InProcess, Session, Session) {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let ids: Vec<u64> = (1..=count).map(|n| ann.say(send("r", &n.to_string()))).collect();
    for id in ids {
        ann.ack(id).await;
    }
    let bob = Session::open(server.addr, "bob").await;
    (server, ann, bob)
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

fn verdict(joined: &pb::Joined) -> (pb::Verdict, pb::ResetReason) {
    (joined.verdict(), joined.reset_reason())
}

/// What comes after Joined: so many events after `place`, and one CaughtUp, right after them.
async fn catches_up(session: &mut Session, place: u64, missed: Vec<String>) {
    let head = place + missed.len() as u64;
    let before = |frame: &pb::ServerFrame| matches!(frame.body, Some(Said::Event(_) | Said::CaughtUp(_)));
    let mut texts = Vec::new();
    loop {
        let frame = session.wait(|frame| before(frame).then(|| frame.clone())).await;
        match frame.body {
            Some(Said::CaughtUp(at)) => {
                assert_eq!(at.seq, head);
                break;
            }
            Some(Said::Event(event)) => {
                assert_eq!(event.prev_seq, place + texts.len() as u64);
                let Some(crate::support::session::Happened::Posted(posted)) = event.body else { panic!("{event:?}") };
                texts.push(posted.text);
            }
            _ => unreachable!(),
        }
    }
    assert_eq!(texts, missed);
    let more = session.so_far().await;
    assert!(!more.iter().any(before), "{more:?}");
}

#[tokio::test]
async fn everything_after_a_cursor_then_caught_up_then_live() {
    for place in [0, 1, 300, 999, 1000] {
        let (_server, mut ann, mut bob) = room_of(1000).await;
        let epoch = bob.join("r", None).await.epoch;
        bob.caught_up("r").await;
        let joined = bob.join("r", after(epoch, place)).await;
        assert_eq!(verdict(&joined), (pb::Verdict::Recovered, pb::ResetReason::Unspecified));
        assert_eq!((joined.epoch, joined.start_seq, joined.head_seq, joined.oldest_seq), (epoch, place, 1000, 1));
        catches_up(&mut bob, place, numbers(place + 1..=1000)).await;
        ann.post("r", "live").await;
        assert_eq!(bob.texts("r", 1000, 1).await, ["live"]);
    }
}

#[tokio::test]
async fn the_beginning_is_known_without_an_epoch() {
    let (_server, _ann, mut bob) = room_of(10).await;
    let joined = bob.join("r", after(0, 0)).await;
    assert_eq!(joined.verdict(), pb::Verdict::Recovered);
    catches_up(&mut bob, 0, numbers(1..=10)).await;
}

#[tokio::test]
async fn the_last_so_many_then_live() {
    for (count, first) in [(0, 11), (1, 10), (3, 8), (10, 1), (11, 1), (1000, 1)] {
        let (_server, mut ann, mut bob) = room_of(10).await;
        let joined = bob.join("r", last(count)).await;
        assert_eq!((joined.verdict(), joined.start_seq, joined.head_seq), (pb::Verdict::Live, first - 1, 10));
        catches_up(&mut bob, first - 1, numbers(first..=10)).await;
        ann.post("r", "live").await;
        assert_eq!(bob.texts("r", 10, 1).await, ["live"]);
    }
}

#[tokio::test]
async fn a_room_nobody_has_spoken_in_is_caught_up_at_once() {
    let (_server, mut ann, mut bob) = room_of(1).await;
    for start in [None, last(5), after(0, 0)] {
        let joined = bob.join("new", start).await;
        assert_eq!((joined.start_seq, joined.head_seq, joined.oldest_seq), (0, 0, 0));
        catches_up(&mut bob, 0, vec![]).await;
    }
    ann.post("new", "first").await;
    assert_eq!(bob.texts("new", 0, 1).await, ["first"]);
}

#[tokio::test]
async fn a_cursor_of_another_history_or_from_the_future_is_reset() {
    let (_server, mut ann, mut bob) = room_of(10).await;
    let epoch = bob.join("r", None).await.epoch;
    bob.caught_up("r").await;
    for (start, reason) in [
        (after(epoch + 1, 5), pb::ResetReason::Epoch),
        (after(0, 5), pb::ResetReason::Epoch),
        (after(epoch + 1, 99), pb::ResetReason::Epoch),
        (after(epoch, 11), pb::ResetReason::Ahead),
        (after(epoch, u64::MAX), pb::ResetReason::Ahead),
    ] {
        let joined = bob.join("r", start).await;
        assert_eq!(verdict(&joined), (pb::Verdict::Reset, reason));
        assert_eq!((joined.epoch, joined.start_seq, joined.head_seq), (epoch, 10, 10));
        catches_up(&mut bob, 10, vec![]).await;
    }
    ann.post("r", "live").await;
    assert_eq!(bob.texts("r", 10, 1).await, ["live"]);
}

#[tokio::test]
async fn joining_again_moves_the_reader() {
    let (_server, mut ann, mut bob) = room_of(10).await;
    let epoch = bob.enter("r").await.epoch;
    for place in [2, 9, 0] {
        bob.join("r", after(epoch, place)).await;
        catches_up(&mut bob, place, numbers(place + 1..=10)).await;
    }
    ann.post("r", "once").await;
    assert_eq!(bob.texts("r", 10, 1).await, ["once"]);
    let more = bob.so_far().await;
    assert!(!more.iter().any(|frame| matches!(frame.body, Some(Said::Event(_)))), "{more:?}");
}

/// Whatever is said while somebody joins is seen once: after Joined's start, in an unbroken chain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joining_a_room_while_it_is_busy_misses_nothing() {
    let (server, mut ann, mut bob) = room_of(5).await;
    let talking = tokio::spawn(async move {
        for n in 6..=1000 {
            ann.post("r", &n.to_string()).await;
        }
    });
    let epoch = bob.enter("r").await.epoch;
    let mut round = 0;
    while !talking.is_finished() {
        round += 1;
        let mut late = Session::open(server.addr, "late").await;
        let joined = match round % 3 {
            0 => late.join("r", None).await,
            1 => late.join("r", last(3)).await,
            _ => late.join("r", after(epoch, 2)).await,
        };
        let count = usize::try_from(joined.head_seq - joined.start_seq).unwrap();
        late.texts("r", joined.start_seq, count).await;
        assert!(late.caught_up("r").await >= joined.head_seq);
        late.close();
        late.rest().await.1.unwrap();
    }
    talking.await.unwrap();
    assert!(round > 3, "{round}");
}

#[tokio::test]
async fn half_closing_right_after_a_join_still_delivers_what_was_missed() {
    let (_server, _ann, mut bob) = room_of(700).await;
    let id = bob.say(join("r", after(0, 0)));
    bob.close();
    assert!(matches!(bob.reply(id).await, Said::Joined(_)));
    assert_eq!(bob.texts("r", 0, 700).await, numbers(1..=700));
    bob.caught_up("r").await;
    bob.rest().await.1.unwrap();
}
