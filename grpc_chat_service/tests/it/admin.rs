//! The admin listener: probes and figures, and what somebody who abuses it can do.

use std::net::SocketAddr;

use grpc_chat_service::config::{Admin, Config};
use grpc_chat_service::server::{BindError, bind};
use tokio::net::TcpListener;

use crate::support::admin::{metrics, request, start, value};
use crate::support::example::assert_serving;
use crate::support::process::{Binary, binary};
use crate::support::server::start_with;
use crate::support::tcp::TcpClient;
use crate::support::with_timeout;

#[tokio::test]
async fn it_answers_what_it_is_asked_for_and_says_what_there_is() {
    let server = start().await;
    let admin = server.admin.unwrap();
    for (words, status, body) in [
        ("GET /live", 200, "live"),
        ("GET /ready", 200, "ready"),
        ("GET /ready?verbose", 200, "ready"),
        ("HEAD /ready", 200, ""),
        ("GET /metrics", 200, "chat_build_info{"),
        ("POST /metrics", 405, "GET"),
        ("GET /", 404, "/metrics"),
        ("GET /metrics/../../etc/passwd", 404, "/metrics"),
    ] {
        let response = request(admin, words).await;
        assert_eq!(response.status, status, "{words}: {}", response.head);
        assert!(response.body.contains(body), "{words}: {}", response.body);
        assert!(response.head.contains("connection: close"), "{words}: {}", response.head);
    }
    let of_metrics = request(admin, "GET /metrics").await;
    assert!(of_metrics.head.contains("content-type: text/plain; version=0.0.4"), "{}", of_metrics.head);
}

#[tokio::test]
async fn a_taken_default_address_is_done_without_and_an_explicit_one_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let with = |admin| Config { admin, ..Config::default() };
    let server = start_with(with(Admin::IfFree(address))).await;
    assert_eq!(server.admin, None);
    assert_serving(server.addr).await;

    let error = bind(with(Admin::At(address))).await.unwrap_err();
    assert!(matches!(&error, BindError::Admin { address: at, .. } if *at == address), "{error:?}");
    let sentence = error.to_string();
    assert!(sentence.contains(&address.to_string()) && sentence.contains("--admin"), "{sentence}");

    // Not on this machine at all: nothing that happens to a second service, so nobody is left without figures by accident.
    let elsewhere: SocketAddr = "192.0.2.1:9091".parse().unwrap();
    bind(with(Admin::IfFree(elsewhere))).await.unwrap_err();
}

#[tokio::test]
async fn the_binary_logs_where_it_is_and_takes_off() {
    for (admin, logged) in [("off", "admin=\"off\""), ("127.0.0.1:0", "admin=\"127.0.0.1:")] {
        let mut command = binary();
        command.env("RUST_LOG", "info").args(["--listen", "127.0.0.1:0", "--admin", admin]);
        let mut server = Binary::spawn(command).await;
        server.signal("TERM").await;
        let (_, stderr) = server.exited().await;
        assert!(stderr.lines().next().unwrap().contains(logged), "{stderr}");
    }
}

#[tokio::test]
async fn somebody_who_abuses_it_hurts_nobody_and_is_cut_off() {
    let server = start().await;
    let admin = server.admin.unwrap();
    // One connection more than it has room for, none of which finishes its request.
    let mut slow = Vec::new();
    for _ in 0..17 {
        let mut client = TcpClient::connect(admin).await;
        client.write(b"GET /metrics HTTP/1.1\r\nx: ").await;
        slow.push(client);
    }
    assert_serving(server.addr).await;
    // They are cut off, and then it is others' turn.
    assert_eq!(request(admin, "GET /live").await.status, 200);
    drop(slow);

    for hostile in [
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(64 * 1024)),
        format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(64 * 1024)),
        format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1_000)),
        "\0\0\0\0\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n".to_owned(),
    ] {
        let mut client = TcpClient::connect(admin).await;
        // It may be closed before everything is written.
        let _ = client.try_write(hostile.as_bytes()).await;
        let response = client.read_to_end().await;
        let head = String::from_utf8_lossy(&response);
        assert!(head.is_empty() || head.starts_with("HTTP/1.1 4"), "{head}");
    }
    assert_eq!(request(admin, "GET /live").await.status, 200);
}

#[tokio::test]
async fn requests_are_paced() {
    let server = start().await;
    let admin = server.admin.unwrap();
    let started = tokio::time::Instant::now();
    let all = (0..50).map(|_| request(admin, "GET /metrics"));
    let all = with_timeout(futures_util::future::join_all(all)).await;
    assert!(all.iter().all(|response| response.status == 200));
    assert!(started.elapsed() >= std::time::Duration::from_millis(490), "{:?}", started.elapsed());
    let counted = metrics(admin).await;
    assert_eq!(
        value(&counted, "chat_connections_accepted_total"),
        0.0,
        "its own connections are no part of the figures"
    );
}
