//! What a service of a later version says, and how it ends sessions.

use grpc_chat_client::{Joined, ResetReason};
use stubs::chat::v1::{self as pb, Reason, join, server_frame};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use super::*;
use crate::hand_made::{HandMade, Session, after, posted};

/// A value that no enum of this version has.
const UNKNOWN: i32 = 99;

async fn next_joined(events: &mut Events) -> Joined {
    find(events, |update| if let Update::Joined(joined) = update { Some(joined) } else { None }).await
}

/// Opens a client that has joined "general" at its beginning.
async fn joined(service: &mut HandMade) -> (Client, Events, Session) {
    let (sam, mut events) = connect(config(&service.url(), "sam")).await.unwrap();
    let mut session = service.session().await;
    let joining = sam.clone();
    let joining = tokio::spawn(async move { joining.join("general", Start::Last(10)).await });
    assert_eq!(session.joined(pb::Joined::default()).await, Some(join::Start::Last(10)));
    soon(joining).await.unwrap().unwrap();
    next_joined(&mut events).await;
    (sam, events, session)
}

fn cut() -> Status {
    Status::unavailable("cut")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn unknown_events_and_frames_are_skipped_and_nothing_is_missed_or_read_again() {
    let mut service = HandMade::start().await;
    let (_sam, mut events, mut session) = joined(&mut service).await;
    session.event(1, posted("1")).await;
    // A body that this version does not know is none.
    session.event(2, None).await;
    session.end(cut()).await;
    assert_eq!(text(&next_event(&mut events).await), "1");
    let unknown = next_event(&mut events).await;
    assert_eq!((unknown.seq, unknown.body), (2, Body::Unknown));

    session = service.session().await;
    let recovered =
        |start_seq| pb::Joined { verdict: pb::Verdict::Recovered.into(), start_seq, ..pb::Joined::default() };
    assert_eq!(session.joined(recovered(2)).await, after(2));
    session.send(0, None).await;
    session.event(3, posted("3")).await;
    session.send(0, None).await;
    session.event(4, posted("4")).await;
    let draining = pb::Draining { reason: UNKNOWN, ..pb::Draining::default() };
    session.send(0, server_frame::Body::Draining(draining)).await;
    session.end(cut()).await;
    assert_eq!(texts(&mut events, 2).await, ["3", "4"]);
    assert_eq!(service.session().await.joined(recovered(4)).await, after(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_unknown_verdict_or_reason_is_a_reset() {
    let reset = pb::Verdict::Reset.into();
    for (verdict, reset_reason) in [(UNKNOWN, 0), (reset, UNKNOWN), (reset, 0)] {
        let mut service = HandMade::start().await;
        let (_sam, mut events, session) = joined(&mut service).await;
        session.event(1, posted("1")).await;
        session.end(cut()).await;
        let mut session = service.session().await;
        let reply = pb::Joined { verdict, reset_reason, start_seq: 5, head_seq: 5, ..pb::Joined::default() };
        assert_eq!(session.joined(reply).await, after(1));
        let joined = next_joined(&mut events).await;
        assert_eq!((joined.verdict, joined.start), (Verdict::Reset(ResetReason::Unknown), 5));
        session.event(6, posted("6")).await;
        assert_eq!(texts(&mut events, 1).await, ["6"]);
        session.end(cut()).await;
        let recovered = pb::Joined { verdict: pb::Verdict::Recovered.into(), start_seq: 6, ..pb::Joined::default() };
        assert_eq!(service.session().await.joined(recovered).await, after(6));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_whose_next_events_have_expired_is_followed_by_a_reset() {
    let mut service = HandMade::start().await;
    let (_sam, mut events, session) = joined(&mut service).await;
    session.event(1, posted("1")).await;
    let room = ("room".to_owned(), "general".to_owned());
    let details = ErrorDetails::with_error_info(Reason::Expired.as_str_name(), "chat.v1", [room]);
    session.end(Status::with_error_details(Code::Unavailable, "events are no longer kept", details)).await;
    assert_eq!(texts(&mut events, 1).await, ["1"]);
    let mut session = service.session().await;
    let (verdict, reset_reason) = (pb::Verdict::Reset.into(), pb::ResetReason::Expired.into());
    let reply = pb::Joined { verdict, reset_reason, start_seq: 9, head_seq: 9, oldest_seq: 5, ..pb::Joined::default() };
    assert_eq!(session.joined(reply).await, after(1));
    let joined = next_joined(&mut events).await;
    assert_eq!((joined.verdict, joined.start, joined.oldest), (Verdict::Reset(ResetReason::Expired), 9, 5));
    session.event(10, posted("10")).await;
    assert_eq!(texts(&mut events, 1).await, ["10"]);
}
