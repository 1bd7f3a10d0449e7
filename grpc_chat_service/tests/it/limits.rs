//! Every limit holds, is felt only by who goes over it, and ends when there is room again.

use std::time::{Duration, Instant};

use grpc_chat_service::Limits;
use tokio::net::TcpSocket;
use tonic::Code;

use crate::support::{
    Bare, Binary, Call, Outcome, PREFACE, Wire, assert_alive, chat_headers, connect, frame, kind, message, soon, start,
    start_limited, waits,
};

const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

#[tokio::test]
async fn a_call_over_the_limit_of_its_connection_waits_for_a_place() {
    let server = start().await;
    let mut client = connect(server.addr).await;
    let mut calls = Vec::new();
    for _ in 0..128 {
        let mut call = Call::on(&mut client).await;
        call.ask("Sam", "Hi").await;
        calls.push(call);
    }
    let mut one_more = Box::pin(Call::on(&mut client));
    assert!(waits(&mut one_more).await);
    assert_alive(server.addr).await;

    let mut first = calls.swap_remove(0);
    first.close();
    assert_eq!(first.next().await.unwrap(), None);
    assert_eq!(one_more.await.ask("Ann", "Hey").await, "Ann: Hey");
}

#[tokio::test]
async fn a_peer_that_ignores_the_limit_of_calls_has_the_call_refused() {
    let server = start_limited(|limits| limits.connection.streams = 3).await;
    let mut peer = Bare::connect(server.addr).await;
    peer.write(PREFACE).await;
    peer.write(&frame(kind::SETTINGS, 0, 0, &[])).await;
    for stream in [1, 3, 5, 7] {
        peer.write(&frame(kind::HEADERS, END_HEADERS, stream, &chat_headers())).await;
    }
    let refused = loop {
        let frame = peer.frame().await.expect("the connection should live");
        if frame.kind == kind::RST_STREAM {
            break frame;
        }
    };
    assert_eq!((refused.stream, &refused.payload[..]), (7, &7_u32.to_be_bytes()[..]), "REFUSED_STREAM");
}

#[tokio::test]
async fn a_peer_that_makes_the_server_reset_call_after_call_is_sent_away() {
    let server = start().await;
    let limit = Limits::default().connection.local_resets;
    let mut peer = Bare::connect(server.addr).await;
    let mut attack = [PREFACE, &frame(kind::SETTINGS, 0, 0, &[])].concat();
    for n in 0..u32::try_from(limit).unwrap() + 10 {
        attack.extend(frame(kind::HEADERS, END_HEADERS, 2 * n + 1, &chat_headers()));
        // "MadeYouReset": a window beyond 2^31 is an error for which the server has to reset the call.
        attack.extend(frame(kind::WINDOW_UPDATE, 0, 2 * n + 1, &0x7fff_ffff_u32.to_be_bytes()));
    }
    peer.write(&attack).await;
    let mut resets = 0;
    let goaway = loop {
        let frame = peer.frame().await.expect("GOAWAY before the end");
        match frame.kind {
            kind::RST_STREAM => resets += 1,
            kind::GOAWAY => break frame,
            _ => {}
        }
    };
    assert!(resets <= limit, "{resets}");
    assert_eq!(goaway.payload[4..8], 11_u32.to_be_bytes(), "ENHANCE_YOUR_CALM");
    assert_alive(server.addr).await;
}

#[tokio::test]
async fn a_peer_that_opens_and_resets_call_after_call_harms_nobody_else() {
    let server = start().await;
    let mut peer = Bare::connect(server.addr).await;
    let mut attack = [PREFACE, &frame(kind::SETTINGS, 0, 0, &[])].concat();
    for n in 0..5_000 {
        attack.extend(frame(kind::HEADERS, END_HEADERS, 2 * n + 1, &chat_headers()));
        attack.extend(frame(kind::RST_STREAM, 0, 2 * n + 1, &8_u32.to_be_bytes()));
    }
    peer.write(&attack).await;
    while peer.frame().await.expect("GOAWAY before the end").kind != kind::GOAWAY {}
    assert_alive(server.addr).await;
}

#[tokio::test]
async fn a_peer_that_does_not_open_http_2_in_time_is_closed() {
    let server = start_limited(|limits| limits.connection.handshake = Duration::from_millis(300)).await;
    let mut talking = Call::open(server.addr).await;
    for opening in [&b""[..], b"P", &PREFACE[..12], &PREFACE[..23]] {
        let began = Instant::now();
        let mut peer = Bare::connect(server.addr).await;
        peer.write(opening).await;
        assert_eq!(peer.rest().await, b"");
        assert!(began.elapsed() >= Duration::from_millis(250), "{opening:?} was closed early");
    }
    // The deadline was for the opening only.
    assert_eq!(talking.ask("Sam", "Hi").await, "Sam: Hi");
}

#[tokio::test]
async fn a_peer_that_drips_its_opening_gains_no_time() {
    let server = start_limited(|limits| limits.connection.handshake = Duration::from_millis(300)).await;
    let mut peer = Bare::connect(server.addr).await;
    let began = Instant::now();
    let dripping = async {
        for byte in PREFACE {
            if tokio::io::AsyncWriteExt::write_all(&mut peer.socket, &[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(peer.rest().await, b"");
    };
    soon(dripping).await;
    assert!(began.elapsed() < Duration::from_millis(100) * 23 + Duration::from_secs(5));
    assert_alive(server.addr).await;
}

#[tokio::test]
async fn a_peer_that_no_longer_answers_pings_is_closed() {
    let (ping_after, ping_timeout) = (Duration::from_millis(100), Duration::from_millis(300));
    let server = start_limited(|limits| {
        limits.connection.ping_after = ping_after;
        limits.connection.ping_timeout = ping_timeout;
    })
    .await;
    let mut there = Call::open(server.addr).await;

    let mut gone = Bare::connect(server.addr).await;
    gone.write(&[PREFACE, &frame(kind::SETTINGS, 0, 0, &[]), &frame(kind::SETTINGS, ACK, 0, &[])].concat()).await;
    let mut asked = false;
    while let Some(frame) = gone.frame().await {
        asked |= frame.kind == kind::PING && frame.flags == 0;
    }
    assert!(asked);
    // As silent, but its library answers the pings.
    assert_eq!(there.ask("Sam", "Hi").await, "Sam: Hi");
}

#[tokio::test]
async fn metadata_over_the_limit_is_refused_and_the_connection_lives() {
    let server = start().await;
    let mut wire = Wire::connect(server.addr).await;
    let large = "x".repeat(20 * 1024);
    assert_eq!(wire.call("/Chat/chat", &[("x-large", &large)], b"").await.http, 431);
    assert_eq!(wire.call("/Chat/chat", &[("x-large", &large[..8_000])], b"").await.code, Some(Code::Ok));
}

#[tokio::test]
async fn a_connection_over_the_limit_waits_until_one_closes() {
    let server = start_limited(|limits| limits.listener.connections = 2).await;
    let first = Call::open(server.addr).await;
    let mut second = Call::open(server.addr).await;
    let addr = server.addr;
    let mut third = Box::pin(async move {
        let mut wire = Wire::connect(addr).await;
        wire.call("/Chat/chat", &[], &message("John", "Hello")).await
    });
    assert!(waits(&mut third).await);
    assert_eq!(second.ask("Ann", "Hey").await, "Ann: Hey");
    drop(first);
    assert_eq!(third.await.answers, ["John: Hello"]);
}

#[tokio::test]
async fn a_connection_over_the_limit_of_its_address_is_closed_at_once() {
    let server = start_limited(|limits| limits.listener.connections_per_address = 2).await;
    let first = Call::open(server.addr).await;
    let mut second = Call::open(server.addr).await;
    assert_eq!(Bare::connect(server.addr).await.rest().await, b"");
    assert_eq!(second.ask("Ann", "Hey").await, "Ann: Hey");

    let neighbour = TcpSocket::new_v4().unwrap();
    neighbour.bind(([127, 0, 0, 2], 0).into()).unwrap();
    let mut neighbour = Bare { socket: soon(neighbour.connect(server.addr)).await.unwrap() };
    neighbour.write(&[PREFACE, &frame(kind::SETTINGS, 0, 0, &[])].concat()).await;
    assert_eq!(neighbour.frame().await.unwrap().kind, kind::SETTINGS);

    drop(first);
    // The server takes a moment to see that it left.
    let admitted = async {
        loop {
            let mut again = Bare::connect(server.addr).await;
            let opening = [PREFACE, &frame(kind::SETTINGS, 0, 0, &[])].concat();
            let _ = tokio::io::AsyncWriteExt::write_all(&mut again.socket, &opening).await;
            if again.frame().await.is_some() {
                return;
            }
        }
    };
    soon(admitted).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn out_of_descriptors_the_service_rests_and_recovers() {
    let mut command = tokio::process::Command::new("sh");
    command.args([
        "-c",
        "ulimit -n 40; exec \"$0\" --listen 127.0.0.1:0 --memory",
        env!("CARGO_BIN_EXE_grpc_chat_service"),
    ]);
    command.kill_on_drop(true).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut server = Binary::spawn(command).await;
    let mut early = Call::open(server.addr).await;
    assert_eq!(early.ask("Sam", "Hi").await, "Sam: Hi");

    let mut crowd = Vec::new();
    for _ in 0..60 {
        crowd.push(Wire::connect(server.addr).await);
    }
    let mut late = Box::pin(Call::open(server.addr));
    assert!(waits(&mut late).await);

    // Ticks are hundredths of a second: a loop that does not rest takes about a hundred in this time.
    let before = cpu_ticks(server.pid());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let spent = cpu_ticks(server.pid()) - before;
    assert!(spent < 25, "{spent} ticks of CPU while there was nothing to do");
    assert_eq!(early.ask("Sam", "still here").await, "Sam: still here");

    drop(crowd);
    assert_eq!(late.await.ask("Ann", "Hey").await, "Ann: Hey");
    assert_alive(server.addr).await;
    server.signal("TERM").await;
    let (status, stderr) = server.left().await;
    assert!(status.success(), "{status}");
    // Once for each time that it came to this, not once for each try.
    assert!((1..10).contains(&stderr.matches("cannot accept connections").count()), "{stderr}");
}

/// The time that a process has had of the processor, in user and in system.
#[cfg(target_os = "linux")]
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn a_service_with_narrow_limits_says_which_one_was_passed() {
    let server = start_limited(|limits| limits.connection.message_bytes = 16).await;
    let mut wire = Wire::connect(server.addr).await;
    let (response, mut sending) = wire.chat().await;
    sending.send_data(message("Sam", "a text that is too long"), true).unwrap();
    let outcome = Outcome::of(response).await;
    assert_eq!(outcome.code, Some(Code::ResourceExhausted));
    assert!(outcome.message.contains("limit") && outcome.message.contains("16"), "{outcome:?}");
}
