//! How a client ends.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_that_is_dropped_still_sends_its_drafts() {
    let service = Service::start();
    // Before there is a session.
    let (sam, events) = open(&service, "sam").await;
    let sending = sam.try_enqueue(post("Hi")).unwrap();
    drop(sam);
    drop(events);
    assert_eq!(soon(sending).await.unwrap().seq, 1);

    let (sam, _events) = open(&service, "sam").await;
    let sending = sam.try_enqueue(post("Hi")).unwrap();
    soon(sam.close(Duration::MAX)).await.unwrap();
    assert_eq!(soon(sending).await.unwrap().seq, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_closed_client_says_so_to_every_handle() {
    let service = Service::start();
    let (sam, mut events) = open(&service, "sam").await;
    let other = sam.clone();
    soon(sam.close(Duration::from_secs(5))).await.unwrap();
    assert_eq!(soon(other.send("general", "Hi")).await.unwrap_err(), SendError::Closed);
    assert_eq!(soon(other.join("general", Start::Live)).await.unwrap_err(), JoinError::Closed);
    assert!(soon(other.history("general", PageAt::Newest, 1)).await.is_err());
    let mut last = None;
    while let Some(update) = soon(events.next()).await {
        last = Some(update);
    }
    assert_eq!(last, Some(Update::Connection(ConnectionState::Closed)));
}

#[test]
fn a_client_whose_runtime_ends_says_so() {
    let service = Service::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (sam, mut events) = runtime.block_on(async { open(&service, "sam").await });
    runtime.shutdown_timeout(Duration::from_secs(5));
    let last = std::iter::from_fn(|| events.try_next()).last();
    assert!(matches!(last, Some(Update::Connection(ConnectionState::Failed(_)))), "{last:?}");
    assert!(matches!(sam.connection_state(), ConnectionState::Failed(_)));
}
