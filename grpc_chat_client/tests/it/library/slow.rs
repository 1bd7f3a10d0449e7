//! Applications that are slow, and limits.

use std::collections::BTreeMap;

use super::*;

/// Returns Ann's client, which is in a room and takes no updates, and Sam's, which has sent `count` messages there: more than
/// may wait for her.
async fn slow_while_much_is_sent(service: &Service, count: usize) -> (Client, Events, Client) {
    let limits = MailboxLimits { updates: 256, bytes: usize::MAX };
    let config = config(&service.url(), "ann").mailbox_limits(limits);
    let (ann, events) = connect(config).await.unwrap();
    soon(ann.join("general", Start::Last(10))).await.unwrap();
    let (sam, _) = open(service, "sam").await;
    let mut sending = Vec::new();
    for n in 0..count {
        sending.push(sam.enqueue(post(n.to_string())).await.unwrap());
    }
    for sending in sending {
        soon(sending).await.unwrap();
    }
    (ann, events, sam)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_slow_application_can_join_rooms_between_updates() {
    let service = Service::start();
    let (ann, mut events, sam) = slow_while_much_is_sent(&service, 1_000).await;
    // The mailbox is full by now, and the application takes no updates while it waits for these.
    soon(ann.send("general", "it is alive")).await.unwrap();
    soon(ann.join("other", Start::Live)).await.unwrap();
    soon(sam.send("other", "Hi")).await.unwrap();
    let mut received = BTreeMap::<RoomId, usize>::new();
    while received.values().sum::<usize>() < 1_002 {
        *received.entry(next_event(&mut events).await.room).or_default() += 1;
    }
    assert_eq!(received["other"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_works_with_any_limits() {
    let service = Service::start();
    for (max_unsent, limits, delay) in [
        (0, MailboxLimits { updates: 0, bytes: 0 }, Duration::ZERO),
        (usize::MAX, MailboxLimits { updates: usize::MAX, bytes: usize::MAX }, Duration::MAX),
    ] {
        let config = config(&service.url(), "ann").max_unsent(max_unsent).mailbox_limits(limits);
        let config = config.backoff(Backoff { base: delay, max: delay });
        let (ann, mut events) = connect(config).await.unwrap();
        soon(ann.join("general", Start::Live)).await.unwrap();
        soon(ann.send("general", "Hi")).await.unwrap();
        assert_eq!(texts(&mut events, 1).await, ["Hi"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_slow_application_misses_nothing() {
    let service = Service::start();
    let (ann, mut events, _) = slow_while_much_is_sent(&service, 2_000).await;
    // Meanwhile the client goes on: its own drafts are acked.
    soon(ann.send("general", "end")).await.unwrap();
    let mut rejoined = 0;
    let mut received = Vec::new();
    while received.len() < 2_001 {
        match soon(events.next()).await.unwrap() {
            Update::Joined(_) => rejoined += 1,
            Update::Event(event) => received.push(text(&event).to_owned()),
            _ => {}
        }
    }
    let expected: Vec<String> = (0..2_000).map(|n| n.to_string()).chain(["end".to_owned()]).collect();
    assert_eq!(received, expected);
    assert!(rejoined > 1, "the application was not slow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_full_outbox_makes_drafts_wait_or_refuses_them() {
    let service = Service::start();
    let network = Network::before(service.address()).await;
    network.down();
    let (sam, _events) = connect(config(&network.url(), "sam").max_unsent(2)).await.unwrap();
    let first = sam.try_enqueue(post("1")).unwrap();
    drop(sam.try_enqueue(post("2")).unwrap());
    assert_eq!(sam.try_enqueue(post("3")).unwrap_err(), SendError::Full);
    let waits = sam.enqueue(post("4"));
    tokio::pin!(waits);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waits).await.is_err());
    network.up();
    assert_eq!(soon(first).await.unwrap().seq, 1);
    // The second was sent although nobody waited for it.
    assert_eq!(soon(soon(waits).await.unwrap()).await.unwrap().seq, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_goes_on_when_its_events_are_dropped_while_it_is_slow() {
    let service = Service::start();
    let limits = MailboxLimits { updates: 256, bytes: usize::MAX };
    let config = config(&service.url(), "ann").mailbox_limits(limits);
    let (ann, events) = connect(config).await.unwrap();
    soon(ann.join("general", Start::Live)).await.unwrap();
    let sending = (0..500).map(|n| ann.send("general", n.to_string()));
    for sent in soon(futures_util::future::join_all(sending)).await {
        sent.unwrap();
    }
    drop(events);
    soon(ann.join("other", Start::Live)).await.unwrap();
}
