//! Rooms: everyone sees the same events in the same order, however they come to be delivered.

use tonic::Code;

use crate::support::session::{
    Happened, Said, Say, Session, delete, edit, hello, join, last, leave, mark, pb, react, send,
};
use crate::support::{Binary, Wire, assert_alive, channel, framed, send_frame, soon, start, start_limited};

#[tokio::test]
async fn an_event_tells_who_when_and_what() {
    let server = start().await;
    let channel = channel(server.addr).await;
    let mut ann = Session::silent(&channel).await;
    let Say::Hello(hello) = hello("ann") else { unreachable!() };
    ann.say(Say::Hello(pb::Hello { device: "phone".to_owned(), ..hello }));
    let mut bob = Session::on(&channel, "bob").await;
    bob.join("team/eu", None).await;
    let first = ann.acked(send("team/eu", "Hi\n\tthere 👋")).await;
    let Say::Send(answer) = send("team/eu", "Hey") else { unreachable!() };
    let second = ann.acked(Say::Send(pb::Send { reply_to_seq: first.seq, ..answer })).await;

    let event = bob.event("team/eu").await;
    assert_eq!((event.seq, event.prev_seq, &event.time), (first.seq, 0, &first.time));
    assert_eq!((&event.sender[..], &event.device[..], &event.client_msg_id), ("ann", "phone", &first.client_msg_id));
    let posted = pb::Posted { text: "Hi\n\tthere 👋".to_owned(), reply_to_seq: 0, erased: false };
    assert_eq!(event.body, Some(Happened::Posted(posted)));
    let event = bob.event("team/eu").await;
    assert_eq!((event.seq, event.prev_seq), (second.seq, first.seq));
    assert!(matches!(event.body, Some(Happened::Posted(posted)) if posted.reply_to_seq == first.seq));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_readers_see_the_same_events_in_an_unbroken_chain() {
    const EACH: usize = 300;
    let server = start().await;
    let mut readers = [Session::open(server.addr, "x").await, Session::open(server.addr, "y").await];
    for reader in &mut readers {
        reader.enter("r").await;
    }
    let mut senders = Vec::new();
    for user in ["ann", "bob"] {
        let mut sender = Session::open(server.addr, user).await;
        senders.push(tokio::spawn(async move {
            let ids: Vec<u64> = (0..EACH).map(|n| sender.say(send("r", &format!("{user} {n}")))).collect();
            for id in ids {
                sender.ack(id).await;
            }
        }));
    }
    let seen = readers[0].texts("r", 0, 2 * EACH).await;
    assert_eq!(readers[1].texts("r", 0, 2 * EACH).await, seen);
    for user in ["ann", "bob"] {
        let theirs: Vec<&String> = seen.iter().filter(|text| text.starts_with(user)).collect();
        assert!(theirs.iter().enumerate().all(|(n, text)| **text == format!("{user} {n}")), "sent in this order");
    }
    for sender in senders {
        sender.await.unwrap();
    }
}

#[tokio::test]
async fn edits_and_reactions_are_events_like_any_other() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let mut bob = Session::open(server.addr, "bob").await;
    ann.join("r", None).await;
    let seq = ann.post("r", "Hi").await;
    ann.acked(edit("r", seq, "Hey")).await;
    bob.acked(react("r", seq, "👍", false)).await;
    bob.acked(react("r", seq, "👍", true)).await;
    ann.acked(delete("r", seq)).await;
    let mut happened = Vec::new();
    for place in 1..=5 {
        let event = ann.event("r").await;
        assert_eq!((event.seq, event.prev_seq), (place, place - 1));
        happened.push((event.sender, event.body.unwrap()));
    }
    let [posted, edited, reacted, taken_back, deleted] = &happened[..] else { unreachable!() };
    assert!(matches!(posted, (who, Happened::Posted(posted)) if who == "ann" && posted.text == "Hi"));
    let expected = pb::Edited { seq, text: "Hey".to_owned(), erased: false };
    assert_eq!(*edited, ("ann".to_owned(), Happened::Edited(expected)));
    for (reaction, removed) in [(reacted, false), (taken_back, true)] {
        let expected = pb::Reacted { seq, reaction: "👍".to_owned(), removed };
        assert_eq!(*reaction, ("bob".to_owned(), Happened::Reacted(expected)));
    }
    assert_eq!(deleted.1, Happened::Deleted(pb::Deleted { seq }));
}

#[tokio::test]
async fn what_is_deleted_has_no_text_for_later_readers_from_the_tail_or_the_history() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    // Keeps the room's tail in memory.
    let mut live = Session::open(server.addr, "live").await;
    live.enter("r").await;
    let seq = ann.post("r", "secret").await;
    ann.acked(edit("r", seq, "secret too")).await;
    ann.post("r", "kept").await;
    ann.acked(delete("r", seq)).await;
    for _ in 0..4 {
        live.event("r").await;
    }

    let mut late = Session::open(server.addr, "late").await;
    late.join("r", last(10)).await;
    let mut texts = Vec::new();
    for _ in 0..4 {
        match late.event("r").await.body.unwrap() {
            Happened::Posted(posted) => texts.push((posted.text, posted.erased)),
            Happened::Edited(edited) => texts.push((edited.text, edited.erased)),
            Happened::Deleted(deleted) => assert_eq!(deleted.seq, seq),
            Happened::Reacted(_) => unreachable!(),
        }
    }
    assert_eq!(texts, [(String::new(), true), (String::new(), true), ("kept".to_owned(), false)]);
}

#[tokio::test]
async fn leaving_stops_the_room_and_no_other() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let mut bob = Session::open(server.addr, "bob").await;
    for room in ["a", "b"] {
        ann.enter(room).await;
    }
    ann.done(leave("a")).await;
    bob.post("a", "unheard").await;
    bob.post("b", "heard").await;
    ann.texts("b", 0, 1).await;
    let heard = ann.so_far().await;
    assert!(!heard.iter().any(|frame| matches!(&frame.body, Some(Said::Event(_)))), "{heard:?}");
}

#[tokio::test]
async fn a_read_mark_only_moves_forward_and_reaches_the_users_other_sessions() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let mut other = Session::open(server.addr, "ann").await;
    let mut bob = Session::open(server.addr, "bob").await;
    for n in 1..=3 {
        ann.post("r", &n.to_string()).await;
    }
    for session in [&mut ann, &mut other, &mut bob] {
        assert_eq!(session.enter("r").await.read_seq, 0);
    }
    ann.done(mark("r", 2)).await;
    let told = |frame: &pb::ServerFrame| match &frame.body {
        Some(Said::ReadChanged(read)) => Some((read.room.clone(), read.seq)),
        _ => None,
    };
    assert_eq!(other.wait(told).await, ("r".to_owned(), 2));
    ann.done(mark("r", 1)).await;
    other.done(mark("r", 3)).await;
    assert_eq!(ann.wait(told).await, ("r".to_owned(), 3), "one's own mark is not told");
    assert_eq!(Session::open(server.addr, "ann").await.enter("r").await.read_seq, 3);
    assert_eq!(Session::open(server.addr, "bob").await.enter("r").await.read_seq, 0);
    assert_eq!(bob.refused(mark("r", 4)).await.code, Code::NotFound);
    let heard = bob.so_far().await;
    assert!(!heard.iter().any(|frame| told(frame).is_some()), "{heard:?}");
}

#[tokio::test]
async fn a_hundred_rooms_share_a_stream() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let mut bob = Session::open(server.addr, "bob").await;
    let rooms: Vec<String> = (0..100).map(|n| format!("room-{n}")).collect();
    let ids: Vec<u64> = rooms.iter().map(|room| ann.say(join(room, None))).collect();
    for id in ids {
        assert!(matches!(ann.reply(id).await, Said::Joined(_)));
    }
    let ids: Vec<u64> = (0..5)
        .flat_map(|n| rooms.iter().map(move |room| (room, n)))
        .map(|(room, n)| bob.say(send(room, &n.to_string())))
        .collect();
    for id in ids {
        bob.ack(id).await;
    }
    for room in &rooms {
        assert_eq!(ann.texts(room, 0, 5).await, ["0", "1", "2", "3", "4"]);
    }
}

/// A caller that reads nothing until it is told to: the window of its stream fills, and the server has to hold on.
struct Stalled {
    body: h2::RecvStream,
    sending: crate::support::Sending,
    _wire: Wire,
}

impl Stalled {
    async fn join(addr: std::net::SocketAddr, rooms: &[&str]) -> Self {
        let mut wire = Wire::connect(addr).await;
        let (response, mut sending) = wire.open("/chat.v1.ChatService/Session", &[]).await;
        let joins = rooms.iter().map(|room| join(room, None));
        for (id, body) in (1..).zip([hello("stalled")].into_iter().chain(joins)) {
            assert!(send_frame(&mut sending, frame(id, body)).await);
        }
        let body = soon(response).await.unwrap().into_body();
        Self { body, sending, _wire: wire }
    }

    /// Half-closes and reads everything.
    async fn rest(mut self) -> Vec<pb::ServerFrame> {
        self.sending.send_data(bytes::Bytes::new(), true).unwrap();
        let mut all = soon(crate::support::read(&mut self.body)).await.unwrap();
        let mut frames = Vec::new();
        while !all.is_empty() {
            let length = u32::from_be_bytes([all[1], all[2], all[3], all[4]]) as usize;
            frames.push(prost::Message::decode(&all.split_to(5 + length)[5..]).unwrap());
        }
        let trailers = soon(self.body.trailers()).await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        frames
    }
}

fn frame(id: u64, body: Say) -> bytes::Bytes {
    framed(&prost::Message::encode_to_vec(&pb::ClientFrame { id, body: Some(body) }))
}

fn posts(frames: &[pb::ServerFrame], room: &str) -> Vec<(u64, u64)> {
    let events = frames.iter().filter_map(|frame| match &frame.body {
        Some(Said::Event(event)) if event.room == room => Some((event.prev_seq, event.seq)),
        _ => None,
    });
    events.collect()
}

/// Posts so many messages of 1,000 bytes, a few hundred at a time.
async fn flood(sender: &mut Session, room: &str, count: usize) {
    let text = "x".repeat(1000);
    for _ in 0..count / 200 {
        let ids: Vec<u64> = (0..200).map(|_| sender.say(send(room, &text))).collect();
        for id in ids {
            sender.ack(id).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_reader_gets_everything_later_in_order() {
    let server = start_limited(|limits| limits.room.tail_bytes = 100_000).await;
    let mut sender = Session::open(server.addr, "ann").await;
    let stalled = Stalled::join(server.addr, &["hot"]).await;
    // Present, hence seated.
    let mut witness = Session::open(server.addr, "bob").await;
    wait_present(&mut witness, "hot", "stalled").await;
    flood(&mut sender, "hot", 2000).await;
    // Others are not kept from anything.
    assert_eq!(witness.texts("hot", 0, 2000).await.len(), 2000);
    let frames = stalled.rest().await;
    let chain: Vec<(u64, u64)> = (1..=2000).map(|seq| (seq - 1, seq)).collect();
    assert_eq!(posts(&frames, "hot"), chain);
}

async fn wait_present(session: &mut Session, room: &str, user: &str) {
    let joined = session.enter(room).await;
    if joined.present.iter().any(|one| one == user) {
        return;
    }
    session
        .wait(|frame| match &frame.body {
            Some(Said::PresenceChanged(presence)) => presence.came.iter().any(|one| one == user).then_some(()),
            _ => None,
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hot_room_does_not_starve_a_quiet_one() {
    let server = start().await;
    let mut sender = Session::open(server.addr, "ann").await;
    let stalled = Stalled::join(server.addr, &["hot", "quiet"]).await;
    let mut witness = Session::open(server.addr, "bob").await;
    wait_present(&mut witness, "quiet", "stalled").await;
    flood(&mut sender, "hot", 1000).await;
    sender.post("quiet", "psst").await;
    flood(&mut sender, "hot", 1000).await;
    let frames = stalled.rest().await;
    let of =
        |room| move |frame: &pb::ServerFrame| matches!(&frame.body, Some(Said::Event(event)) if event.room == room);
    let quiet = frames.iter().position(of("quiet")).unwrap();
    let before = frames[..quiet].iter().filter(|frame| of("hot")(frame)).count();
    // What the windows hold, and a turn or two of the hot room; there was a megabyte more.
    assert!(before < 500, "{before} events of the hot room came before the quiet one's");
    assert_eq!(posts(&frames, "hot").len(), 2000);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_readers_of_a_busy_room_cost_a_bounded_amount_of_memory() {
    const READERS: u64 = 40;
    let server = Binary::start(&[]).await;
    let mut sender = Session::open(server.addr, "ann").await;
    let mut witness = Session::open(server.addr, "bob").await;
    wait_present(&mut witness, "hot", "bob").await;
    // The room's own history and tail are there before.
    flood(&mut sender, "hot", 4000).await;
    let one = resident_kib(server.pid());
    flood(&mut sender, "hot", 4000).await;
    let history = resident_kib(server.pid()).saturating_sub(one);
    let mut stalled = Vec::new();
    for _ in 0..READERS {
        stalled.push(Stalled::join(server.addr, &["hot"]).await);
        flood(&mut sender, "hot", 200).await;
    }
    let before = resident_kib(server.pid());
    flood(&mut sender, "hot", 4000).await;
    let grown = resident_kib(server.pid()).saturating_sub(before).saturating_sub(2 * history);
    assert!(grown < READERS * 400, "{grown} KiB for {READERS} readers");
    assert_alive(server.addr).await;
    drop(stalled);
}

#[cfg(target_os = "linux")]
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
