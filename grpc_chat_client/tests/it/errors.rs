//! What a person reads when a service cannot be reached: one sentence that says what happened and what to do.

use std::net::SocketAddr;

use bytes::Bytes;
use grpc_chat_client::{Config, ConnectionState, ServerUrl, Tls, connect, example};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Service, soon};
use crate::tls::{Authority, in_front_of};

/// Something that is no chat service: it replies to every connection with these bytes.
async fn other_server(reply: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut received = [0; 1024];
                // The client may close the connection at any time.
                let _ = client.read(&mut received).await;
                let _ = client.write_all(reply).await;
                let _ = client.shutdown().await;
                while let Ok(1..) = client.read(&mut received).await {}
            });
        }
    });
    address
}

/// A proxy that replies to every call over HTTP/2 with this page.
async fn proxy_page(status: u16, content_type: &'static str, page: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(client).await else { return };
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let response = http::Response::builder().status(status).header("content-type", content_type);
                    let mut body = respond.send_response(response.body(()).unwrap(), page.is_empty()).unwrap();
                    if !page.is_empty() {
                        body.send_data(Bytes::from_static(page.as_bytes()), true).unwrap();
                    }
                }
            });
        }
    });
    address
}

/// Why the first attempt of a client failed.
async fn session_error(url: &str, tls: Tls) -> String {
    let config = Config::new(url.parse().unwrap(), "sam".parse().unwrap()).tls(tls);
    let (client, _events) = connect(config).await.unwrap();
    match soon(client.first_attempt()).await {
        ConnectionState::Reconnecting { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

/// Why the example's call failed.
async fn example_error(url: &str, tls: &Tls) -> String {
    match soon(example::connect(&url.parse().unwrap(), tls)).await {
        Err(error) => error.to_string(),
        Ok(service) => {
            let outgoing = tokio_stream::iter(example::messages());
            soon(example::converse(service, outgoing, |_| Ok(()))).await.unwrap_err().to_string()
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_wrong_scheme_is_named_together_with_the_right_one() {
    let service = Service::start();
    let authority = Authority::new();
    let trusting = Tls::default().ca_certificates(authority.pem());
    let with_tls = in_front_of(service.address(), &authority, "localhost", false).await;

    let (url, plain) = (format!("http://{with_tls}"), Tls::default());
    // It sends a TLS alert, or resets the connection before that arrives.
    for why in [session_error(&url, plain.clone()).await, example_error(&url, &plain).await] {
        assert!(why.starts_with("no chat service answers at "), "{why}");
        assert!(why.ends_with("; use https:// if it expects TLS)"), "{why}");
    }

    let url = format!("https://localhost:{}", service.address().port());
    for why in [session_error(&url, trusting.clone()).await, example_error(&url, &trusting).await] {
        assert!(why.starts_with(&format!("no chat service answers at {url} (")), "{why}");
        assert!(why.ends_with("; use http:// if the service has no TLS)"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn other_protocols_are_recognised() {
    let http1 = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    for (reply, reason) in [
        (&http1[..], "it does not speak HTTP/2 without TLS; use https:// if it expects TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "it does not speak HTTP/2 without TLS; use https:// if it expects TLS"),
        (b"", "it closed the connection; use https:// if it expects TLS"),
    ] {
        let url = format!("http://{}", other_server(reply).await);
        let why = session_error(&url, Tls::default()).await;
        assert_eq!(why, format!("no chat service answers at {url} ({reason})"));
        // The connection may have ended before the example makes its call.
        let why = example_error(&url, &Tls::default()).await;
        assert!(why.starts_with("no chat service answers at the server's address (it "), "{why}");
        assert!(why.ends_with("; use https:// if it expects TLS)"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_page_of_a_proxy_is_named_as_such() {
    let advice = "check the URL, and that a proxy there forwards gRPC";
    for (status, content_type, page, what) in [
        (502, "text/html", "<html>", "a web page of type text/html, HTTP status 502 Bad Gateway"),
        (502, "text/html", "", "a web page of type text/html, HTTP status 502"),
        (
            503,
            "text/plain",
            "no healthy upstream",
            "a web page of type text/plain, HTTP status 503 Service Unavailable",
        ),
        (401, "text/plain", "no", "a web page of type text/plain"),
        (200, "text/html", "<html>", "a web page of type text/html"),
    ] {
        let url = format!("http://{}", proxy_page(status, content_type, page).await);
        let why = session_error(&url, Tls::default()).await;
        assert_eq!(why, format!("no chat service answers at {url} (it replied with {what}; {advice})"));
        let why = example_error(&url, &Tls::default()).await;
        assert_eq!(why, format!("no chat service answers at the server's address (it replied with {what}; {advice})"));
    }
}

#[tokio::test]
async fn a_file_without_a_certificate_is_refused_before_connecting() {
    let tls = Tls::default().ca_certificates("garbage");
    let server: ServerUrl = "https://chat.example".parse().unwrap();
    let expected = "the CA certificate file contains no certificate; name a PEM file, which has a line -----BEGIN CERTIFICATE-----";
    assert_eq!(example::connect(&server, &tls).await.unwrap_err().to_string(), expected);
    let config = Config::new(server, "sam".parse().unwrap()).tls(tls);
    assert_eq!(connect(config).await.unwrap_err().to_string(), expected);
}
