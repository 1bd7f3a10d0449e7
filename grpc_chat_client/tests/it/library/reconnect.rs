//! Connections that are cut, services that stop, and what survives that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use grpc_chat_client::{Cursor, ResetReason, Token};
use grpc_chat_service::cluster::MemoryCluster;
use grpc_chat_service::config::{Config as ServiceConfig, Store};
use stubs::chat::v1::Reason;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nothing_is_lost_or_repeated_when_the_connection_is_cut_again_and_again() {
    let service = Service::start();
    let network = Network::before(service.address()).await;
    let (sam, _) = open_through(&network, "sam").await;
    let (ann, mut events) = open_through(&network, "ann").await;
    soon(ann.join("general", Start::Last(0))).await.unwrap();
    let mut received = Vec::new();
    let mut sent = Vec::new();
    for round in 0..20 {
        let mut sending = Vec::new();
        for n in 0..10 {
            sent.push(format!("{round} {n}"));
            let draft = post(format!("{round} {n}"));
            sending.push(sam.enqueue(draft).await.unwrap());
            if n == round % 10 {
                network.cut();
            }
        }
        received.extend(texts(&mut events, 10).await);
        for sending in sending {
            soon(sending).await.unwrap();
        }
    }
    assert!(network.connected() > 20, "{}", network.connected());
    assert_eq!(received, sent);
    // There was nothing else.
    soon(ann.send("general", "end")).await.unwrap();
    assert_eq!(texts(&mut events, 1).await, ["end"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn messages_of_an_outage_are_sent_after_it() {
    let data = tempfile::tempdir().unwrap();
    let on_disk = || ServiceConfig { store: Store::disk(data.path()), ..ServiceConfig::default() };
    let first = Service::start_with(on_disk());
    let network = Network::before(first.address()).await;
    let (sam, mut events) = open_through(&network, "sam").await;
    soon(sam.join("general", Start::Last(10))).await.unwrap();
    soon(sam.send("general", "before")).await.unwrap();
    assert_eq!(texts(&mut events, 1).await, ["before"]);
    network.down();
    first.stop();
    until_reconnecting(&mut events).await;

    let sending: Vec<_> = ["one", "two"].map(|text| sam.try_enqueue(post(text)).unwrap()).into();
    find(&mut events, |update| matches!(update, Update::Unsent(2)).then_some(())).await;
    let second = Service::start_with(on_disk());
    network.redirect(second.address());
    network.up();
    for sending in sending {
        assert!(!soon(sending).await.unwrap().duplicate);
    }
    soon(sam.flush()).await.unwrap();
    find(&mut events, |update| {
        matches!(update, Update::Joined(joined) if joined.verdict == Verdict::Recovered).then_some(())
    })
    .await;
    assert_eq!(texts(&mut events, 2).await, ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_service_that_drains_is_left_and_found_again() {
    let data = tempfile::tempdir().unwrap();
    let on_disk = || ServiceConfig { store: Store::disk(data.path()), ..ServiceConfig::default() };
    let first = Service::start_with(on_disk());
    let network = Network::before(first.address()).await;
    let (sam, mut events) = open_through(&network, "sam").await;
    soon(sam.join("general", Start::Last(10))).await.unwrap();
    let stopping = std::thread::spawn(|| first.stop());
    find(&mut events, |update| match update {
        // The second replaces the first if nobody has taken it yet.
        Update::Connection(ConnectionState::Draining | ConnectionState::Reconnecting { .. }) => Some(()),
        _ => None,
    })
    .await;
    let sending = sam.try_enqueue(post("meanwhile")).unwrap();
    tokio::task::spawn_blocking(|| stopping.join().unwrap()).await.unwrap();
    let second = Service::start_with(on_disk());
    network.redirect(second.address());
    assert!(!soon(sending).await.unwrap().duplicate);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_silent_network_is_noticed_in_a_session_and_before_one() {
    let mut config = ServiceConfig::default();
    config.limits.session.heartbeat = Duration::from_millis(200);
    let service = Service::start_with(config);
    let network = Network::before(service.address()).await;
    let (sam, mut events) = open_through(&network, "sam").await;
    soon(sam.join("general", Start::Live)).await.unwrap();
    network.silent(true);
    until_reconnecting(&mut events).await;
    let sending = sam.try_enqueue(post("Hi")).unwrap();
    // The next attempt meets a silent network from the beginning.
    until_reconnecting(&mut events).await;
    network.silent(false);
    soon(sending).await.unwrap();
    assert_eq!(texts(&mut events, 1).await, ["Hi"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_new_epoch_of_the_history_is_a_reset() {
    let first = Service::start();
    let network = Network::before(first.address()).await;
    let (sam, mut events) = open_through(&network, "sam").await;
    soon(sam.join("general", Start::Last(10))).await.unwrap();
    soon(sam.send("general", "Hi")).await.unwrap();
    texts(&mut events, 1).await;
    let second = Service::start();
    network.redirect(second.address());
    network.cut();
    let verdict =
        find(&mut events, |update| if let Update::Joined(joined) = update { Some(joined.verdict) } else { None }).await;
    assert_eq!(verdict, Verdict::Reset(ResetReason::Epoch));
    soon(sam.send("general", "anew")).await.unwrap();
    assert_eq!(texts(&mut events, 1).await, ["anew"]);

    let after = Start::After(Cursor { epoch: 5, seq: 1, id: None });
    let joined = soon(sam.join("general", after)).await.unwrap();
    assert_eq!(joined.verdict, Verdict::Reset(ResetReason::Epoch));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_service_that_starts_a_new_epoch_drains_and_is_joined_again_with_a_reset() {
    let cluster = MemoryCluster::default();
    let store = Store::Memory(cluster.clone());
    let service = Service::start_with(ServiceConfig { store, ..ServiceConfig::default() });
    let (sam, mut events) = open(&service, "sam").await;
    soon(sam.join("general", Start::Last(10))).await.unwrap();
    soon(sam.send("general", "Hi")).await.unwrap();
    texts(&mut events, 1).await;
    cluster.store.start_epoch();
    let joined =
        find(&mut events, |update| if let Update::Joined(joined) = update { Some(joined) } else { None }).await;
    assert_eq!((joined.verdict, joined.start), (Verdict::Reset(ResetReason::Epoch), 1));
    soon(sam.send("general", "anew")).await.unwrap();
    assert_eq!(texts(&mut events, 1).await, ["anew"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_change_to_a_message_is_not_applied_to_one_of_a_later_epoch() {
    let first = Service::start();
    let network = Network::before(first.address()).await;
    let (sam, mut events) = open_through(&network, "sam").await;
    soon(sam.join("general", Start::Last(10))).await.unwrap();
    soon(sam.send("general", "old")).await.unwrap();
    let old = next_event(&mut events).await;
    network.down();
    until_reconnecting(&mut events).await;
    let enqueue = |change| sam.try_enqueue(Draft::new(room("general"), change)).unwrap();
    let changes = [
        enqueue(Change::Delete { target: old.seq.into() }),
        enqueue(Change::Edit { target: old.seq.into(), text: "changed".to_owned() }),
        enqueue(Change::React { target: old.seq.into(), reaction: "x".to_owned(), remove: false }),
        enqueue(Change::reply(old.seq, "a reply")),
    ];
    // There the same user has a message with the same seq.
    let second = Service::start();
    let (elsewhere, _) = open(&second, "sam").await;
    let new = soon(elsewhere.send("general", "new")).await.unwrap();
    assert_eq!(new.seq, old.seq);
    network.redirect(second.address());
    network.up();
    for change in changes {
        let SendError::Refused(why) = soon(change).await.unwrap_err() else { panic!("refused") };
        assert_eq!((why.code, why.reason.as_str()), (Code::FailedPrecondition, Reason::OtherEpoch.as_str_name()));
    }
    find(&mut events, |update| matches!(update, Update::Joined(_)).then_some(())).await;
    // From now on changes belong to the new epoch.
    soon(sam.edit("general", new.seq, "newer")).await.unwrap();
    let page = soon(sam.history("general", PageAt::Newest, 10)).await.unwrap();
    assert_eq!(page.events.len(), 2, "{page:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_source_is_called_before_each_connection() {
    let service = Service::start();
    let network = Network::before(service.address()).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let token = Token::source(move || {
        let n = counted.fetch_add(1, Ordering::Relaxed);
        async move { if n == 1 { Err("the file is gone".to_owned()) } else { Ok(format!("token-{n}")) } }
    });
    let (sam, mut events) = connect(config(&network.url(), "sam").token(token)).await.unwrap();
    soon(sam.send("general", "1")).await.unwrap();
    network.cut();
    let why = find(&mut events, |update| match update {
        Update::Connection(ConnectionState::Reconnecting { why, .. }) if why.contains("file") => Some(why),
        _ => None,
    })
    .await;
    assert_eq!(why, "the file is gone");
    soon(sam.send("general", "2")).await.unwrap();
    assert!(calls.load(Ordering::Relaxed) >= 3);
}
