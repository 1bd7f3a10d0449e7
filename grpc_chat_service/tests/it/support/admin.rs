//! Requests to the admin listener.

use std::net::SocketAddr;

use grpc_chat_service::config::{Admin, Config};

use crate::support::server::{TestServer, start_with};
use crate::support::tcp::TcpClient;

/// A response to a request.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Starts a server whose admin listener has a free port.
pub(crate) async fn start() -> TestServer {
    start_with(Config { admin: Admin::At(([127, 0, 0, 1], 0).into()), ..Config::default() }).await
}

/// Sends a request with these first words, such as `GET /metrics`, and returns the response.
pub(crate) async fn request(admin: SocketAddr, words: &str) -> Response {
    let mut client = TcpClient::connect(admin).await;
    client.write(format!("{words} HTTP/1.1\r\nhost: {admin}\r\n\r\n").as_bytes()).await;
    let text = String::from_utf8(client.read_to_end().await).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect(&text);
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Response { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// Returns the text of `/metrics`.
pub(crate) async fn metrics(admin: SocketAddr) -> String {
    let response = request(admin, "GET /metrics").await;
    assert_eq!(response.status, 200, "{}", response.body);
    response.body
}

/// Returns the value of a metric, with its labels as in the text; 0 if it is not there.
pub(crate) fn value(metrics: &str, name: &str) -> f64 {
    let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '));
    metrics.lines().find(of_name).map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}
