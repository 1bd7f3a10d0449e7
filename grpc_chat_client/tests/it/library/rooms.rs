//! Messages, rooms, their history, and who is in them.

use std::collections::BTreeMap;

use grpc_chat_client::Durability;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn messages_and_all_changes_reach_the_other_user() {
    let service = Service::start();
    let (sam, mut events_of_sam) = open(&service, "sam").await;
    let (ann, _) = open(&service, "ann").await;
    let joined = soon(sam.join("general", Start::Last(10))).await.unwrap();
    assert_eq!((joined.verdict, joined.head), (Verdict::Live, 0));

    let ack = soon(ann.send("general", "Hi")).await.unwrap();
    assert_eq!((ack.seq, ack.duplicate, ack.durability), (1, false, Durability::Memory));
    let event = next_event(&mut events_of_sam).await;
    assert_eq!((event.sender.as_str(), text(&event), event.id), ("ann", "Hi", ack.id));
    assert_eq!(event.time, ack.time);

    soon(sam.reply("general", 1, "Hey")).await.unwrap();
    soon(sam.edit("general", 2, "Hello")).await.unwrap();
    soon(ann.react("general", 2, "👍")).await.unwrap();
    soon(ann.unreact("general", 2, "👍")).await.unwrap();
    soon(sam.delete("general", 2)).await.unwrap();
    let mut bodies = Vec::new();
    for _ in 0..5 {
        bodies.push(next_event(&mut events_of_sam).await.body);
    }
    assert!(matches!(&bodies[0], Body::Posted { reply_to: Some(1), .. }));
    assert!(matches!(&bodies[1], Body::Edited { seq: 2, .. }));
    assert!(matches!(&bodies[2], Body::Reacted { seq: 2, removed: false, reaction } if reaction == "👍"));
    assert!(matches!(&bodies[3], Body::Reacted { seq: 2, removed: true, reaction } if reaction == "👍"));
    assert_eq!(bodies[4], Body::Deleted { seq: 2 });

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
async fn presence_typing_and_read_marks_are_delivered() {
    let service = Service::start();
    let (sam, mut events_of_sam) = open(&service, "sam").await;
    let (ann, events_of_ann) = open(&service, "ann").await;
    soon(sam.join("general", Start::Live)).await.unwrap();
    soon(ann.join("general", Start::Live)).await.unwrap();
    find(&mut events_of_sam, |update| match update {
        Update::Present { users, count: 2, .. } => (users == ["ann", "sam"]).then_some(()),
        _ => None,
    })
    .await;
    ann.typing("general").await;
    find(&mut events_of_sam, |update| match update {
        Update::Typing { users, .. } => (users == ["ann"]).then_some(()),
        _ => None,
    })
    .await;

    soon(ann.send("general", "Hi")).await.unwrap();
    let (other, mut events_of_other) = open(&service, "sam").await;
    soon(other.join("general", Start::Live)).await.unwrap();
    sam.mark_read("general", 1).await;
    let read = |update| if let Update::Read { seq, .. } = update { Some(seq) } else { None };
    assert_eq!(find(&mut events_of_sam, read).await, 1);
    assert_eq!(find(&mut events_of_other, read).await, 1);

    soon(ann.close(Duration::from_secs(5))).await.unwrap();
    drop(events_of_ann);
    find(&mut events_of_sam, |update| match update {
        Update::Present { users, count: 1, .. } => (users == ["sam"]).then_some(()),
        _ => None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn many_rooms_stay_apart_over_many_cuts() {
    let service = Service::start();
    let network = Network::before(service.address()).await;
    let (sam, mut events) = open_through(&network, "sam").await;
    let rooms: Vec<RoomId> = (0..30).map(|n| room(&format!("room/{n}"))).collect();
    for room in &rooms {
        soon(sam.join(room, Start::Last(100))).await.unwrap();
    }
    let mut received: BTreeMap<RoomId, Vec<u64>> = BTreeMap::new();
    for round in 0..5 {
        let sending: Vec<_> = rooms
            .iter()
            .map(|room| sam.try_enqueue(Draft::new(room, Change::post(round.to_string()))).unwrap())
            .collect();
        network.cut();
        for sending in sending {
            soon(sending).await.unwrap();
        }
        while received.values().map(Vec::len).sum::<usize>() < (round + 1) * rooms.len() {
            let event = next_event(&mut events).await;
            received.entry(event.room).or_default().push(event.seq);
        }
    }
    assert!(received.values().all(|seqs| *seqs == [1, 2, 3, 4, 5]), "{received:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_text_that_is_too_long_is_refused_and_blocks_no_other() {
    let service = Service::start();
    let (sam, _events) = open(&service, "sam").await;
    let long = sam.try_enqueue(post("x".repeat(70_000))).unwrap();
    let short = sam.try_enqueue(post("short")).unwrap();
    let SendError::Refused(why) = soon(long).await.unwrap_err() else { panic!("refused") };
    assert_eq!(why.code, Code::InvalidArgument);
    assert_eq!(soon(short).await.unwrap().seq, 1);
}
