//! A history that is restored from a copy of the data directory, and goes on differently.

use grpc_chat_client::{Ack, ResetReason};
use stubs::chat::v1::Reason;
use tempfile::TempDir;

use super::*;
use crate::restored::copy;

/// A service with one message, and a copy of its data.
struct World {
    service: Service,
    network: Network,
    _data: TempDir,
    backup: TempDir,
}

impl World {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let service = Service::start_on(data.path());
        let (ann, _) = open(&service, "ann").await;
        soon(ann.send("general", "A")).await.unwrap();
        drop(ann);
        service.stop();
        let backup = copy(data.path());
        let service = Service::start_on(data.path());
        let network = Network::before(service.address()).await;
        Self { service, network, _data: data, backup }
    }

    /// Replaces the service by one on the copy, in which Sam posts "C".
    async fn restore(&mut self) -> Ack {
        let restored = Service::start_on(self.backup.path());
        let (sam, _) = open(&restored, "sam").await;
        let posted = soon(sam.send("general", "C")).await.unwrap();
        self.network.redirect(restored.address());
        std::mem::replace(&mut self.service, restored).stop();
        posted
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fork_is_a_reset() {
    let mut world = World::new().await;
    let (sam, mut events) = open_through(&world.network, "sam").await;
    soon(sam.join("general", Start::Last(10))).await.unwrap();
    let old = soon(sam.send("general", "B")).await.unwrap();
    assert_eq!(texts(&mut events, 2).await, ["A", "B"]);
    let new = world.restore().await;
    assert_eq!(new.seq, old.seq);
    let joined =
        find(&mut events, |update| if let Update::Joined(joined) = update { Some(joined) } else { None }).await;
    assert_eq!((joined.verdict, joined.start), (Verdict::Reset(ResetReason::Forked), new.seq));
    soon(sam.send("general", "D")).await.unwrap();
    assert_eq!(texts(&mut events, 1).await, ["D"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_change_to_a_message_is_not_applied_to_one_of_a_fork() {
    let mut world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let saved = || config(&world.network.url(), "sam").state_file(folder.path().join("state.db"));
    let (sam, mut events) = connect(saved()).await.unwrap();
    soon(sam.join("general", Start::Live)).await.unwrap();
    let ack = soon(sam.send("general", "B")).await.unwrap();
    let event = next_event(&mut events).await;
    world.network.down();
    until_reconnecting(&mut events).await;
    let enqueue = |change| sam.try_enqueue(Draft::new(room("general"), change)).unwrap();
    let changes = [
        enqueue(Change::Delete { target: (&ack).into() }),
        enqueue(Change::Edit { target: (&event).into(), text: "changed".to_owned() }),
        enqueue(Change::React { target: (&event).into(), reaction: "x".to_owned(), remove: false }),
        enqueue(Change::reply(&event, "a reply")),
    ];
    soon(sam.close(Duration::ZERO)).await.unwrap();
    for change in changes {
        assert_eq!(soon(change).await.unwrap_err(), SendError::Closed);
    }
    let saved = saved();
    world.restore().await;
    world.network.up();
    // The drafts are sent in the next run, with what they were about.
    let (sam, mut events) = connect(saved).await.unwrap();
    for _ in 0..4 {
        let why =
            find(&mut events, |update| if let Update::Refused { why, .. } = update { Some(why) } else { None }).await;
        assert_eq!((why.code, why.reason.as_str()), (Code::FailedPrecondition, Reason::Forked.as_str_name()));
    }
    let SendError::Refused(why) = soon(sam.edit("general", &event, "changed")).await.unwrap_err() else {
        panic!("refused")
    };
    assert_eq!(why.reason, Reason::Forked.as_str_name());
    let page = soon(sam.history("general", PageAt::Newest, 10)).await.unwrap();
    assert_eq!(page.events.iter().map(text).collect::<Vec<_>>(), ["A", "C"]);
}
