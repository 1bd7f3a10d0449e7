//! The library at its boundary: against the real service, over a network that breaks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use grpc_chat_client::{
    Body, Change, Client, Code, Config, ConnectionState, Cursor, Draft, Durability, Event, Events, JoinError,
    MailboxLimits, PageAt, ResetReason, RoomId, SendError, Start, Token, Update, Verdict, connect,
};
use grpc_chat_service::config::{Config as ServiceConfig, Store};

use crate::network::Network;
use crate::support::{Service, nobody};

/// Far longer than anything here takes, so that a bug is a failed test and not a hung one.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("this should have happened long ago")
}

fn room(name: &str) -> RoomId {
    name.parse().unwrap()
}

fn config(url: &str, user: &str) -> Config {
    let mut config = Config::new(url.parse().unwrap(), user.parse().unwrap());
    // A test does not wait for what a person would.
    config.backoff.max = Duration::from_millis(300);
    config.backoff.base = Duration::from_millis(20);
    config
}

async fn open(service: &Service, user: &str) -> (Client, Events) {
    connect(config(&format!("http://{}", service.address()), user)).await.unwrap()
}

async fn open_through(network: &Network, user: &str) -> (Client, Events) {
    connect(config(&network.url(), user)).await.unwrap()
}

/// The first update that fits.
async fn told<T>(events: &mut Events, mut fits: impl FnMut(Update) -> Option<T>) -> T {
    soon(async {
        loop {
            let update = events.next().await.expect("the client should not be over");
            if let Some(found) = fits(update) {
                return found;
            }
        }
    })
    .await
}

async fn next_event(events: &mut Events) -> Event {
    told(events, |update| if let Update::Event(event) = update { Some(event) } else { None }).await
}

fn text(event: &Event) -> &str {
    match &event.body {
        Body::Posted { text, .. } => text,
        other => panic!("{other:?}"),
    }
}

async fn texts(events: &mut Events, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        texts.push(text(&next_event(events).await).to_owned());
    }
    texts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_one_says_the_other_hears_and_everything_about_it() {
    let service = Service::start();
    let (sam, mut heard_by_sam) = open(&service, "sam").await;
    let (ann, _) = open(&service, "ann").await;
    let joined = soon(sam.join("general", Start::Last(10))).await.unwrap();
    assert_eq!((joined.verdict, joined.head), (Verdict::Live, 0));

    let ack = soon(ann.send("general", "Hi")).await.unwrap();
    assert_eq!((ack.seq, ack.duplicate, ack.durability), (1, false, Durability::Memory));
    let event = next_event(&mut heard_by_sam).await;
    assert_eq!((event.sender.as_str(), text(&event), event.id), ("ann", "Hi", ack.id));
    assert_eq!(event.time, ack.time);

    let reply = Change::Post { text: "Hey".to_owned(), reply_to: Some(1) };
    soon(sam.post(Draft::new(room("general"), reply))).await.unwrap();
    soon(sam.edit("general", 2, "Hello")).await.unwrap();
    soon(ann.react("general", 2, "👍")).await.unwrap();
    soon(sam.delete("general", 2)).await.unwrap();
    let mut bodies = Vec::new();
    for _ in 0..4 {
        bodies.push(next_event(&mut heard_by_sam).await.body);
    }
    assert!(matches!(&bodies[0], Body::Posted { reply_to: Some(1), .. }));
    assert!(matches!(&bodies[1], Body::Edited { seq: 2, .. }));
    assert!(matches!(&bodies[2], Body::Reacted { seq: 2, removed: false, reaction } if reaction == "👍"));
    assert_eq!(bodies[3], Body::Deleted { seq: 2 });

    let SendError::Refused(why) = soon(ann.edit("general", 2, "mine")).await.unwrap_err() else { panic!("refused") };
    assert!(matches!(why.code, Code::PermissionDenied | Code::NotFound), "{why:?}");
    let SendError::Refused(why) = soon(ann.send("no such room", "Hi")).await.unwrap_err() else { panic!("refused") };
    assert_eq!(why.code, Code::InvalidArgument);
    let JoinError::Refused(why) = soon(ann.join("no such room", Start::Live)).await.unwrap_err() else {
        panic!("refused")
    };
    assert_eq!(why.code, Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn history_and_rooms_come_in_pages() {
    let service = Service::start();
    let (sam, _) = open(&service, "sam").await;
    for n in 0..5 {
        soon(sam.send("general", n.to_string())).await.unwrap();
    }
    soon(sam.send("a/b", "Hi")).await.unwrap();
    let page = soon(sam.history("general", PageAt::Newest, 2)).await.unwrap();
    assert_eq!(page.events.iter().map(text).collect::<Vec<_>>(), ["3", "4"]);
    assert_eq!((page.head, page.more), (5, true));
    let page = soon(sam.history("general", PageAt::Before(page.events[0].seq), 100)).await.unwrap();
    assert_eq!((page.events.len(), page.more), (3, false));
    let page = soon(sam.history("general", PageAt::After(4), 100)).await.unwrap();
    assert_eq!(page.events.iter().map(text).collect::<Vec<_>>(), ["4"]);
    let rooms = soon(sam.rooms()).await.unwrap();
    assert_eq!(
        rooms.iter().map(|room| (room.id.as_str(), room.head)).collect::<Vec<_>>(),
        [("a/b", 1), ("general", 5)]
    );
    let refused = soon(sam.history("no such room", PageAt::Newest, 2)).await.unwrap_err();
    assert_eq!(refused.code, Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_is_there_and_types_and_has_read_is_told() {
    let service = Service::start();
    let (sam, mut heard_by_sam) = open(&service, "sam").await;
    let (ann, heard_by_ann) = open(&service, "ann").await;
    soon(sam.join("general", Start::Live)).await.unwrap();
    soon(ann.join("general", Start::Live)).await.unwrap();
    told(&mut heard_by_sam, |update| match update {
        Update::Present { users, count: 2, .. } => (users == ["ann", "sam"]).then_some(()),
        _ => None,
    })
    .await;
    ann.typing("general").await;
    told(&mut heard_by_sam, |update| match update {
        Update::Typing { users, .. } => (users == ["ann"]).then_some(()),
        _ => None,
    })
    .await;

    soon(ann.send("general", "Hi")).await.unwrap();
    let (other, mut heard_by_other) = open(&service, "sam").await;
    soon(other.join("general", Start::Live)).await.unwrap();
    sam.mark_read("general", 1).await;
    let read = |update| if let Update::Read { seq, .. } = update { Some(seq) } else { None };
    assert_eq!(told(&mut heard_by_sam, read).await, 1);
    assert_eq!(told(&mut heard_by_other, read).await, 1);

    soon(ann.close(Duration::from_secs(5))).await.unwrap();
    drop(heard_by_ann);
    told(&mut heard_by_sam, |update| match update {
        Update::Present { users, count: 1, .. } => (users == ["sam"]).then_some(()),
        _ => None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_connection_that_is_cut_again_and_again_loses_and_repeats_nothing() {
    let service = Service::start();
    let network = Network::before(service.address()).await;
    let (sam, _) = open_through(&network, "sam").await;
    let (ann, mut heard) = open_through(&network, "ann").await;
    soon(ann.join("general", Start::Last(0))).await.unwrap();
    let mut received = Vec::new();
    let mut sent = Vec::new();
    for round in 0..20 {
        let mut sending = Vec::new();
        for n in 0..10 {
            sent.push(format!("{round} {n}"));
            let draft = Draft::new(room("general"), Change::post(format!("{round} {n}")));
            sending.push(sam.enqueue(draft).await.unwrap());
            if n == round % 10 {
                network.cut();
            }
        }
        received.extend(texts(&mut heard, 10).await);
        for sending in sending {
            soon(sending).await.unwrap();
        }
    }
    assert!(network.connected() > 20, "{}", network.connected());
    assert_eq!(received, sent);
    // And that was all.
    soon(ann.send("general", "end")).await.unwrap();
    assert_eq!(texts(&mut heard, 1).await, ["end"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_said_while_the_service_is_away_is_sent_when_it_is_back() {
    let data = tempfile::tempdir().unwrap();
    let on_disk = || ServiceConfig { store: Store::disk(data.path()), ..ServiceConfig::default() };
    let first = Service::start_with(on_disk());
    let network = Network::before(first.address()).await;
    let (sam, mut heard) = open_through(&network, "sam").await;
    soon(sam.join("general", Start::Last(10))).await.unwrap();
    soon(sam.send("general", "before")).await.unwrap();
    assert_eq!(texts(&mut heard, 1).await, ["before"]);
    network.down();
    first.stop();
    told(&mut heard, |update| matches!(update, Update::Connection(ConnectionState::Reconnecting { .. })).then_some(()))
        .await;

    let sending: Vec<_> =
        ["one", "two"].map(|text| sam.try_enqueue(Draft::new(room("general"), Change::post(text))).unwrap()).into();
    told(&mut heard, |update| matches!(update, Update::Unsent(2)).then_some(())).await;
    let second = Service::start_with(on_disk());
    network.leads_to(second.address());
    network.up();
    for sending in sending {
        assert!(!soon(sending).await.unwrap().duplicate);
    }
    soon(sam.flush()).await.unwrap();
    told(&mut heard, |update| {
        matches!(update, Update::Joined(joined) if joined.verdict == Verdict::Recovered).then_some(())
    })
    .await;
    assert_eq!(texts(&mut heard, 2).await, ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_service_that_is_asked_to_leave_is_left_in_order_and_found_again() {
    let data = tempfile::tempdir().unwrap();
    let on_disk = || ServiceConfig { store: Store::disk(data.path()), ..ServiceConfig::default() };
    let first = Service::start_with(on_disk());
    let network = Network::before(first.address()).await;
    let (sam, mut heard) = open_through(&network, "sam").await;
    soon(sam.join("general", Start::Last(10))).await.unwrap();
    let stopping = std::thread::spawn(|| first.stop());
    told(&mut heard, |update| match update {
        // The second replaces the first if nobody has taken that yet.
        Update::Connection(ConnectionState::Draining | ConnectionState::Reconnecting { .. }) => Some(()),
        _ => None,
    })
    .await;
    let sending = sam.try_enqueue(Draft::new(room("general"), Change::post("meanwhile"))).unwrap();
    tokio::task::spawn_blocking(|| stopping.join().unwrap()).await.unwrap();
    let second = Service::start_with(on_disk());
    network.leads_to(second.address());
    assert!(!soon(sending).await.unwrap().duplicate);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_silent_network_is_noticed_by_a_session_and_by_one_that_waits_to_open() {
    let mut config = ServiceConfig::default();
    config.limits.session.heartbeat = Duration::from_millis(200);
    let service = Service::start_with(config);
    let network = Network::before(service.address()).await;
    let (sam, mut heard) = open_through(&network, "sam").await;
    soon(sam.join("general", Start::Live)).await.unwrap();
    network.silent(true);
    told(&mut heard, |update| matches!(update, Update::Connection(ConnectionState::Reconnecting { .. })).then_some(()))
        .await;
    let sending = sam.try_enqueue(Draft::new(room("general"), Change::post("Hi"))).unwrap();
    // The next attempt meets silence from the beginning.
    told(&mut heard, |update| matches!(update, Update::Connection(ConnectionState::Reconnecting { .. })).then_some(()))
        .await;
    network.silent(false);
    soon(sending).await.unwrap();
    assert_eq!(texts(&mut heard, 1).await, ["Hi"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn another_life_of_the_history_is_a_reset_and_no_guess() {
    let first = Service::start();
    let network = Network::before(first.address()).await;
    let (sam, mut heard) = open_through(&network, "sam").await;
    soon(sam.join("general", Start::Last(10))).await.unwrap();
    soon(sam.send("general", "Hi")).await.unwrap();
    texts(&mut heard, 1).await;
    let second = Service::start();
    network.leads_to(second.address());
    network.cut();
    let verdict =
        told(&mut heard, |update| if let Update::Joined(joined) = update { Some(joined.verdict) } else { None }).await;
    assert_eq!(verdict, Verdict::Reset(ResetReason::Epoch));
    soon(sam.send("general", "anew")).await.unwrap();
    assert_eq!(texts(&mut heard, 1).await, ["anew"]);

    let after = Start::After(Cursor { epoch: 5, seq: 1 });
    let joined = soon(sam.join("general", after)).await.unwrap();
    assert_eq!(joined.verdict, Verdict::Reset(ResetReason::Epoch));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_said_about_a_message_is_not_said_about_another_one_of_a_later_history() {
    let first = Service::start();
    let network = Network::before(first.address()).await;
    let (sam, mut heard) = open_through(&network, "sam").await;
    soon(sam.join("general", Start::Last(10))).await.unwrap();
    soon(sam.send("general", "old")).await.unwrap();
    let old = next_event(&mut heard).await;
    network.down();
    told(&mut heard, |update| matches!(update, Update::Connection(ConnectionState::Reconnecting { .. })).then_some(()))
        .await;
    let about = |change| sam.try_enqueue(Draft::new(room("general"), change)).unwrap();
    let changes = [
        about(Change::Delete { seq: old.seq }),
        about(Change::Edit { seq: old.seq, text: "changed".to_owned() }),
        about(Change::React { seq: old.seq, reaction: "x".to_owned(), remove: false }),
        about(Change::Post { text: "an answer".to_owned(), reply_to: Some(old.seq) }),
    ];
    // The same user has a message at the same place there.
    let second = Service::start();
    let (elsewhere, _) = open(&second, "sam").await;
    let new = soon(elsewhere.send("general", "new")).await.unwrap();
    assert_eq!(new.seq, old.seq);
    network.leads_to(second.address());
    network.up();
    for change in changes {
        let SendError::Refused(why) = soon(change).await.unwrap_err() else { panic!("refused") };
        assert_eq!((why.code, why.reason.as_str()), (Code::FailedPrecondition, "OTHER_EPOCH"));
    }
    told(&mut heard, |update| matches!(update, Update::Joined(_)).then_some(())).await;
    // Now it is told of the new one.
    soon(sam.edit("general", new.seq, "newer")).await.unwrap();
    let page = soon(sam.history("general", PageAt::Newest, 10)).await.unwrap();
    assert_eq!(page.events.len(), 2, "{page:?}");
}

/// Ann, who is in a room and takes nothing, and Sam, who says so much there; it is more than may wait for her.
async fn slow_while_much_is_said(service: &Service, count: usize) -> (Client, Events, Client) {
    let mut config = config(&format!("http://{}", service.address()), "ann");
    config.mailbox_limits = MailboxLimits { updates: 256, bytes: usize::MAX };
    let (ann, heard) = connect(config).await.unwrap();
    soon(ann.join("general", Start::Last(10))).await.unwrap();
    let (sam, _) = open(service, "sam").await;
    let mut sending = Vec::new();
    for n in 0..count {
        sending.push(sam.enqueue(Draft::new(room("general"), Change::post(n.to_string()))).await.unwrap());
    }
    for sending in sending {
        soon(sending).await.unwrap();
    }
    (ann, heard, sam)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_application_that_is_slow_may_join_rooms_because_of_what_it_hears() {
    let service = Service::start();
    let (ann, mut heard, sam) = slow_while_much_is_said(&service, 1_000).await;
    // Its mailbox is full by now, and it takes nothing while it waits for this.
    soon(ann.send("general", "it is alive")).await.unwrap();
    soon(ann.join("other", Start::Live)).await.unwrap();
    soon(sam.send("other", "Hi")).await.unwrap();
    let mut received = BTreeMap::<RoomId, usize>::new();
    while received.values().sum::<usize>() < 1_002 {
        *received.entry(next_event(&mut heard).await.room).or_default() += 1;
    }
    assert_eq!(received["other"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn whatever_is_configured_there_is_a_client() {
    let service = Service::start();
    for (max_unsent, waiting, backoff) in [
        (0, MailboxLimits { updates: 0, bytes: 0 }, Duration::ZERO),
        (usize::MAX, MailboxLimits { updates: usize::MAX, bytes: usize::MAX }, Duration::MAX),
    ] {
        let mut config = config(&format!("http://{}", service.address()), "ann");
        (config.max_unsent, config.mailbox_limits) = (max_unsent, waiting);
        (config.backoff.base, config.backoff.max) = (backoff, backoff);
        let (ann, mut heard) = connect(config).await.unwrap();
        soon(ann.join("general", Start::Live)).await.unwrap();
        soon(ann.send("general", "Hi")).await.unwrap();
        assert_eq!(texts(&mut heard, 1).await, ["Hi"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_application_that_is_slow_misses_nothing_and_costs_little() {
    let service = Service::start();
    let (ann, mut heard, _) = slow_while_much_is_said(&service, 2_000).await;
    // It is alive all the while: its own sends are answered.
    soon(ann.send("general", "end")).await.unwrap();
    let mut rejoined = 0;
    let mut received = Vec::new();
    while received.len() < 2_001 {
        match soon(heard.next()).await.unwrap() {
            Update::Joined(_) => rejoined += 1,
            Update::Event(event) => received.push(text(&event).to_owned()),
            _ => {}
        }
    }
    let expected: Vec<String> = (0..2_000).map(|n| n.to_string()).chain(["end".to_owned()]).collect();
    assert_eq!(received, expected);
    assert!(rejoined > 1, "it never was slow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn more_than_may_be_unsent_waits_or_is_refused() {
    let service = Service::start();
    let network = Network::before(service.address()).await;
    network.down();
    let mut config = config(&network.url(), "sam");
    config.max_unsent = 2;
    let (sam, _events) = connect(config).await.unwrap();
    let draft = |text: &str| Draft::new(room("general"), Change::post(text));
    let first = sam.try_enqueue(draft("1")).unwrap();
    drop(sam.try_enqueue(draft("2")).unwrap());
    assert_eq!(sam.try_enqueue(draft("3")).unwrap_err(), SendError::Full);
    let waits = sam.enqueue(draft("4"));
    tokio::pin!(waits);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waits).await.is_err());
    network.up();
    assert_eq!(soon(first).await.unwrap().seq, 1);
    // The second was sent although nobody waited for it.
    assert_eq!(soon(soon(waits).await.unwrap()).await.unwrap().seq, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_unsent_and_unseen_when_a_program_ends_is_there_when_it_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start();
    let network = Network::before(service.address()).await;
    let kept = || {
        let mut config = config(&network.url(), "sam");
        config.state_file = Some(folder.path().join("state.db"));
        config
    };
    let resume = Start::Resume { or_last: 100 };
    let (ann, _) = open(&service, "ann").await;
    for text in ["1", "2", "3"] {
        soon(ann.send("general", text)).await.unwrap();
    }
    {
        let (sam, mut heard) = connect(kept()).await.unwrap();
        soon(sam.join("general", resume)).await.unwrap();
        assert_eq!(texts(&mut heard, 3).await, ["1", "2", "3"]);
        // "3" was given and does not count as seen, since nothing more was asked for.
        soon(sam.close(Duration::from_secs(5))).await.unwrap();
    }
    network.down();
    {
        let (sam, _heard) = connect(kept()).await.unwrap();
        let lost = sam.try_enqueue(Draft::new(room("general"), Change::post("unsent"))).unwrap();
        soon(sam.close(Duration::ZERO)).await.unwrap();
        assert_eq!(soon(lost).await.unwrap_err(), SendError::Closed);
    }
    network.up();
    let (sam, mut heard) = connect(kept()).await.unwrap();
    told(&mut heard, |update| matches!(update, Update::Unsent(1)).then_some(())).await;
    soon(sam.join("general", resume)).await.unwrap();
    assert_eq!(texts(&mut heard, 2).await, ["3", "unsent"]);
    soon(sam.flush()).await.unwrap();
    // Asking for more.
    let _ = heard.try_next();
    soon(sam.close(Duration::from_secs(5))).await.unwrap();

    let (sam, mut heard) = connect(kept()).await.unwrap();
    let joined = soon(sam.join("general", resume)).await.unwrap();
    assert_eq!((joined.verdict, joined.start, joined.head), (Verdict::Recovered, 4, 4));
    soon(ann.send("general", "5")).await.unwrap();
    assert_eq!(texts(&mut heard, 1).await, ["5"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_draft_that_is_taken_while_the_client_is_closed_is_there_when_the_program_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (_socket, url) = nobody();
    let kept = || {
        let mut config = config(&url, "sam");
        config.state_file = Some(folder.path().join("state.db"));
        config.max_unsent = 100_000;
        config
    };
    let (sam, _heard) = connect(kept()).await.unwrap();
    let other = sam.clone();
    let posting = tokio::task::spawn_blocking(move || {
        let mut taken = 0;
        loop {
            match other.try_enqueue(Draft::new(room("general"), Change::post("Hi"))) {
                Ok(_) => taken += 1,
                Err(SendError::Full) => std::thread::yield_now(),
                Err(error) => return (taken, error),
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    soon(sam.close(Duration::ZERO)).await.unwrap();
    let (taken, error) = soon(posting).await.unwrap();
    assert_eq!(error, SendError::Closed);

    let (_sam, mut heard) = connect(kept()).await.unwrap();
    let unsent = told(&mut heard, |update| if let Update::Unsent(n) = update { Some(n) } else { None }).await;
    assert_eq!(unsent, taken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_not_taken_when_the_client_is_closed_is_given_once_and_by_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start();
    let kept = || {
        let mut config = config(&format!("http://{}", service.address()), "sam");
        config.state_file = Some(folder.path().join("state.db"));
        config
    };
    let resume = Start::Resume { or_last: 100 };
    let (ann, _) = open(&service, "ann").await;
    let (sam, mut heard) = connect(kept()).await.unwrap();
    soon(sam.join("general", resume)).await.unwrap();
    for n in 1..=10 {
        soon(ann.send("general", n.to_string())).await.unwrap();
    }
    let mut received = texts(&mut heard, 3).await;
    soon(sam.send("general", "11")).await.unwrap();
    soon(sam.close(Duration::from_secs(5))).await.unwrap();
    // An application that takes updates until there are no more.
    while let Some(update) = soon(heard.next()).await {
        if let Update::Event(event) = update {
            received.push(text(&event).to_owned());
        }
    }
    // The third was the last one before, and the next one had not been asked for.
    received.truncate(received.len() - 1);
    let (sam, mut heard) = connect(kept()).await.unwrap();
    soon(sam.join("general", resume)).await.unwrap();
    received.extend(texts(&mut heard, 9).await);
    assert_eq!(received, (1..=11).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_that_is_dropped_still_says_what_it_was_asked_to() {
    let service = Service::start();
    // Before there is a session.
    let (sam, heard) = open(&service, "sam").await;
    let sending = sam.try_enqueue(Draft::new(room("general"), Change::post("Hi"))).unwrap();
    drop(sam);
    drop(heard);
    assert_eq!(soon(sending).await.unwrap().seq, 1);

    let (sam, _heard) = open(&service, "sam").await;
    let sending = sam.try_enqueue(Draft::new(room("general"), Change::post("Hi"))).unwrap();
    soon(sam.close(Duration::MAX)).await.unwrap();
    assert_eq!(soon(sending).await.unwrap().seq, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_closed_client_says_so_to_everyone() {
    let service = Service::start();
    let (sam, mut heard) = open(&service, "sam").await;
    let other = sam.clone();
    soon(sam.close(Duration::from_secs(5))).await.unwrap();
    assert_eq!(soon(other.send("general", "Hi")).await.unwrap_err(), SendError::Closed);
    assert_eq!(soon(other.join("general", Start::Live)).await.unwrap_err(), JoinError::Closed);
    assert!(soon(other.history("general", PageAt::Newest, 1)).await.is_err());
    let mut last = None;
    while let Some(update) = soon(heard.next()).await {
        last = Some(update);
    }
    assert_eq!(last, Some(Update::Connection(ConnectionState::Closed)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_source_is_asked_before_each_connection() {
    let service = Service::start();
    let network = Network::before(service.address()).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let mut config = config(&network.url(), "sam");
    let counted = Arc::clone(&asked);
    config.token = Token::source(move || {
        let n = counted.fetch_add(1, Ordering::Relaxed);
        async move { if n == 1 { Err("the file is gone".to_owned()) } else { Ok(format!("token-{n}")) } }
    });
    let (sam, mut heard) = connect(config).await.unwrap();
    soon(sam.send("general", "1")).await.unwrap();
    network.cut();
    let why = told(&mut heard, |update| match update {
        Update::Connection(ConnectionState::Reconnecting { why, .. }) if why.contains("file") => Some(why),
        _ => None,
    })
    .await;
    assert_eq!(why, "the file is gone");
    soon(sam.send("general", "2")).await.unwrap();
    assert!(asked.load(Ordering::Relaxed) >= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn many_rooms_on_many_cuts_stay_apart() {
    let service = Service::start();
    let network = Network::before(service.address()).await;
    let (sam, mut heard) = open_through(&network, "sam").await;
    let rooms: Vec<String> = (0..30).map(|n| format!("room/{n}")).collect();
    for room in &rooms {
        soon(sam.join(room.clone(), Start::Last(100))).await.unwrap();
    }
    let mut received: BTreeMap<RoomId, Vec<u64>> = BTreeMap::new();
    for round in 0..5 {
        let sending: Vec<_> = rooms
            .iter()
            .map(|room| sam.try_enqueue(Draft::new(self::room(room), Change::post(round.to_string()))).unwrap())
            .collect();
        network.cut();
        for sending in sending {
            soon(sending).await.unwrap();
        }
        while received.values().map(Vec::len).sum::<usize>() < (round + 1) * rooms.len() {
            let event = next_event(&mut heard).await;
            received.entry(event.room).or_default().push(event.seq);
        }
    }
    assert!(received.values().all(|seqs| *seqs == [1, 2, 3, 4, 5]), "{received:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_text_that_is_too_long_is_refused_and_holds_up_nothing() {
    let service = Service::start();
    let (sam, _events) = open(&service, "sam").await;
    let long = sam.try_enqueue(Draft::new(room("general"), Change::post("x".repeat(70_000)))).unwrap();
    let short = sam.try_enqueue(Draft::new(room("general"), Change::post("short"))).unwrap();
    let SendError::Refused(why) = soon(long).await.unwrap_err() else { panic!("refused") };
    assert_eq!(why.code, Code::InvalidArgument);
    assert_eq!(soon(short).await.unwrap().seq, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_whose_events_are_dropped_while_it_is_slow_is_a_client() {
    let service = Service::start();
    let mut config = config(&format!("http://{}", service.address()), "ann");
    config.mailbox_limits = MailboxLimits { updates: 256, bytes: usize::MAX };
    let (ann, events) = connect(config).await.unwrap();
    soon(ann.join("general", Start::Live)).await.unwrap();
    let sending = (0..500).map(|n| ann.send("general", n.to_string()));
    for sent in soon(futures_util::future::join_all(sending)).await {
        sent.unwrap();
    }
    drop(events);
    soon(ann.join("other", Start::Live)).await.unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_users_state_is_not_anothers() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start();
    let kept = |user: &str| {
        let mut config = config(&format!("http://{}", service.address()), user);
        config.state_file = Some(folder.path().join("state.db"));
        config
    };
    let (sam, _events) = connect(kept("sam")).await.unwrap();
    // Not in this process, and not in another one either, whatever this one has tried.
    for _ in 0..2 {
        let refused = connect(kept("sam")).await.unwrap_err();
        assert!(refused.to_string().contains("used by another client"), "{refused}");
    }
    let mut lock = std::process::Command::new("python3");
    let script = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN EXCLUSIVE')";
    // Where there is no Python this part is not tried.
    if let Ok(output) = lock.args(["-c", script]).arg(folder.path().join("state.db")).output() {
        assert!(String::from_utf8_lossy(&output.stderr).contains("locked"), "{output:?}");
    }
    soon(sam.close(Duration::from_secs(5))).await.unwrap();
    for _ in 0..20 {
        let refused = connect(kept("ann")).await.unwrap_err();
        assert!(refused.to_string().contains("belongs to the user sam"), "{refused}");
        // Whose it is finds it free.
        let (sam, _events) = connect(kept("sam")).await.unwrap();
        soon(sam.close(Duration::ZERO)).await.unwrap();
    }
}
