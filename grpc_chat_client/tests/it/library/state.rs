//! The state file, from one run of a program to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn unsent_drafts_and_unseen_events_are_there_in_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start();
    let network = Network::before(service.address()).await;
    let saved = || config(&network.url(), "sam").state_file(folder.path().join("state.db"));
    let resume = Start::Resume { or_last: 100 };
    let (ann, _) = open(&service, "ann").await;
    for text in ["1", "2", "3"] {
        soon(ann.send("general", text)).await.unwrap();
    }
    {
        let (sam, mut events) = connect(saved()).await.unwrap();
        soon(sam.join("general", resume)).await.unwrap();
        assert_eq!(texts(&mut events, 3).await, ["1", "2", "3"]);
        // "3" was delivered and does not count as seen, since no other update was asked for.
        soon(sam.close(Duration::from_secs(5))).await.unwrap();
    }
    network.down();
    let unsent = post("unsent");
    {
        let (sam, _events) = connect(saved()).await.unwrap();
        let lost = sam.try_enqueue(unsent.clone()).unwrap();
        soon(sam.close(Duration::ZERO)).await.unwrap();
        assert_eq!(soon(lost).await.unwrap_err(), SendError::Closed);
    }
    network.up();
    let (sam, mut events) = connect(saved()).await.unwrap();
    // How many are unsent may be replaced by the next number before it is taken.
    find(&mut events, |update| (update == Update::Restored(unsent.clone())).then_some(())).await;
    soon(sam.join("general", resume)).await.unwrap();
    assert_eq!(texts(&mut events, 2).await, ["3", "unsent"]);
    soon(sam.flush()).await.unwrap();
    // Now it counts as seen.
    let _ = events.try_next();
    soon(sam.close(Duration::from_secs(5))).await.unwrap();

    let (sam, mut events) = connect(saved()).await.unwrap();
    let joined = soon(sam.join("general", resume)).await.unwrap();
    assert_eq!((joined.verdict, joined.start, joined.head), (Verdict::Recovered, 4, 4));
    soon(ann.send("general", "5")).await.unwrap();
    assert_eq!(texts(&mut events, 1).await, ["5"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_draft_enqueued_while_the_client_is_closed_is_there_in_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let (_socket, url) = nobody();
    let saved = || config(&url, "sam").state_file(folder.path().join("state.db")).max_unsent(100_000);
    let (sam, _events) = connect(saved()).await.unwrap();
    let other = sam.clone();
    let enqueued = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&enqueued);
    let enqueuing = tokio::task::spawn_blocking(move || {
        loop {
            match other.try_enqueue(post("Hi")) {
                Ok(_) => {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                Err(SendError::Full) => std::thread::yield_now(),
                Err(error) => return error,
            }
        }
    });
    while enqueued.load(Ordering::Relaxed) < 100 {
        tokio::task::yield_now().await;
    }
    soon(sam.close(Duration::ZERO)).await.unwrap();
    assert_eq!(soon(enqueuing).await.unwrap(), SendError::Closed);

    let (_sam, mut events) = connect(saved()).await.unwrap();
    let unsent = find(&mut events, |update| if let Update::Unsent(n) = update { Some(n) } else { None }).await;
    assert_eq!(unsent, enqueued.load(Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn updates_not_taken_when_the_client_is_closed_are_delivered_once_in_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start();
    let saved = || config(&service.url(), "sam").state_file(folder.path().join("state.db"));
    let resume = Start::Resume { or_last: 100 };
    let (ann, _) = open(&service, "ann").await;
    let (sam, mut events) = connect(saved()).await.unwrap();
    soon(sam.join("general", resume)).await.unwrap();
    for n in 1..=10 {
        soon(ann.send("general", n.to_string())).await.unwrap();
    }
    let mut received = texts(&mut events, 3).await;
    soon(sam.send("general", "11")).await.unwrap();
    soon(sam.close(Duration::from_secs(5))).await.unwrap();
    // The application takes updates until there are no more.
    while let Some(update) = soon(events.next()).await {
        if let Update::Event(event) = update {
            received.push(text(&event).to_owned());
        }
    }
    // The third was delivered and does not count as seen, since no other update was asked for before the end.
    received.truncate(received.len() - 1);
    let (sam, mut events) = connect(saved()).await.unwrap();
    soon(sam.join("general", resume)).await.unwrap();
    received.extend(texts(&mut events, 9).await);
    assert_eq!(received, (1..=11).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_state_file_belongs_to_one_user_and_one_client() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start();
    let saved = |user: &str| config(&service.url(), user).state_file(folder.path().join("state.db"));
    let (sam, _events) = connect(saved("sam")).await.unwrap();
    // Neither another client of this process can open the file, nor another process after that.
    for _ in 0..2 {
        let refused = connect(saved("sam")).await.unwrap_err();
        assert!(refused.to_string().contains("used by another client"), "{refused}");
    }
    let mut python = std::process::Command::new("python3");
    let script = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN EXCLUSIVE')";
    // Where there is no Python this part is not tried.
    if let Ok(output) = python.args(["-c", script]).arg(folder.path().join("state.db")).output() {
        assert!(String::from_utf8_lossy(&output.stderr).contains("locked"), "{output:?}");
    }
    soon(sam.close(Duration::from_secs(5))).await.unwrap();
    for _ in 0..20 {
        let refused = connect(saved("ann")).await.unwrap_err();
        assert!(refused.to_string().contains("belongs to the user sam"), "{refused}");
        // The owner can open it after that.
        let (sam, _events) = connect(saved("sam")).await.unwrap();
        soon(sam.close(Duration::ZERO)).await.unwrap();
    }
}
