//! A caller that does not read is held back, costs a bounded amount, and misses nothing.

use bytes::Bytes;
use futures_util::future::select_all;
use h2::RecvStream;
use tokio::task::{JoinHandle, JoinSet};

use crate::support::{
    Binary, Call, Sending, Wire, assert_alive, message, read, send_frame, soon, start, start_limited, strings, waits,
};

/// Sends `count` messages, one HTTP/2 frame each, as fast as the server takes them, then half-closes.
fn say_all(mut sending: Sending, count: usize, say: impl Fn(usize) -> Bytes + Send + 'static) -> JoinHandle<bool> {
    tokio::spawn(async move {
        for n in 0..count {
            if !send_frame(&mut sending, say(n)).await {
                return false;
            }
        }
        sending.send_data(Bytes::new(), true).is_ok()
    })
}

async fn assert_everything_arrives(count: usize, say: fn(usize) -> Bytes, expected: fn(usize) -> String) {
    let server = start().await;
    let mut wire = Wire::connect(server.addr).await;
    let (response, sending) = wire.chat().await;
    let mut answers = soon(response).await.unwrap().into_body();
    let mut saying = say_all(sending, count, say);
    assert!(waits(&mut saying).await, "the caller should be held back");
    let all = strings(&soon(read(&mut answers)).await.unwrap());
    assert!(soon(saying).await.unwrap());
    assert_eq!(all.len(), count);
    for (n, answer) in all.iter().enumerate() {
        assert_eq!(*answer, expected(n));
    }
    assert_eq!(soon(answers.trailers()).await.unwrap().unwrap()["grpc-status"], "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_pauses_and_reads_later_gets_all_of_100_000_small_messages() {
    assert_everything_arrives(100_000, |n| message("", &n.to_string()), |n| format!(": {n}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_is_with_the_smallest_message_there_is() {
    assert_everything_arrives(60_000, |_| message("", ""), |_| ": ".to_owned()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_is_with_large_messages() {
    let say = |n: usize| message(&n.to_string(), &"x".repeat(10_000));
    assert_everything_arrives(200, say, |n| format!("{n}: {}", "x".repeat(10_000))).await;
}

/// Calls on one connection that send frames of `size` bytes and do not read.
async fn stalled(wire: &mut Wire, calls: usize, count: usize, size: usize) -> Vec<(RecvStream, JoinHandle<bool>)> {
    // A frame holds the message's prefix, and the tag and the length of a text unless it is empty.
    let text = "x".repeat(size.saturating_sub(if size > 5 + 2 + 127 { 8 } else { 7 }));
    let said = message("", &text);
    assert_eq!(said.len(), size);
    let mut all = Vec::new();
    for _ in 0..calls {
        let (response, sending) = wire.chat().await;
        let answers = soon(response).await.unwrap().into_body();
        let said = said.clone();
        all.push((answers, say_all(sending, count, move |_| said.clone())));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_a_connection_may_be_held_back_at_once_with_the_smallest_messages() {
    const COUNT: usize = 20_000;
    let server = start_limited(|limits| limits.connection.streams = 8).await;
    let mut wire = Wire::connect(server.addr).await;
    let mut calls = stalled(&mut wire, 8, COUNT, 5).await;
    let mut anyone_done = select_all(calls.iter_mut().map(|(_, saying)| saying));
    assert!(waits(&mut anyone_done).await, "every caller should be held back");
    // Here h2 would have cut the connection if its budget for small frames were too small.
    let mut readers = JoinSet::new();
    for (mut answers, saying) in calls {
        readers.spawn(async move {
            assert_eq!(strings(&soon(read(&mut answers)).await.unwrap()).len(), COUNT);
            assert!(soon(saying).await.unwrap());
        });
    }
    while let Some(reader) = readers.join_next().await {
        reader.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_not_read_does_not_hold_up_its_neighbours() {
    let server = start().await;
    let mut client = crate::support::connect(server.addr).await;
    let mut deaf = Call::on(&mut client).await;
    let mut neighbour = Call::on(&mut client).await;
    let text = "x".repeat(1_000);
    let mut said = 0;
    loop {
        let mut saying = Box::pin(deaf.say("Sam", &text));
        if waits(&mut saying).await {
            break;
        }
        said += 1;
    }
    for n in 0..10 {
        assert_eq!(neighbour.ask("Ann", &n.to_string()).await, format!("Ann: {n}"));
    }
    for _ in 0..said {
        assert_eq!(deaf.next().await.unwrap().unwrap(), format!("Sam: {text}"));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_never_read_cost_a_bounded_amount_of_memory() {
    const CALLS: u64 = 50;
    let server = Binary::start(&[]).await;
    assert_alive(server.addr).await;
    let before = resident_kib(server.pid());
    let mut wire = Wire::connect(server.addr).await;
    let mut calls = stalled(&mut wire, CALLS as usize, usize::MAX, 1_000).await;
    let mut anyone_done = select_all(calls.iter_mut().map(|(_, saying)| saying));
    assert!(waits(&mut anyone_done).await, "every caller should be held back");
    let grown = resident_kib(server.pid()).saturating_sub(before);
    assert!(grown < CALLS * 400, "{grown} KiB for {CALLS} calls");
    assert_alive(server.addr).await;
}

#[cfg(target_os = "linux")]
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
