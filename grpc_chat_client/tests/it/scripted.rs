//! A service that does what the real one never does, and what the commands print then.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prost::Message;
use stubs::chat::v1::chat_service_server::{ChatService, ChatServiceServer};
use stubs::chat::v1::{self as pb, client_frame, server_frame};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::codegen::BoxStream;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

use crate::support::{Running, Service, client, command, run};

/// Sets a terminal's title, clears it, goes to the beginning of the line, and turns the reading order around.
const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{9b}2J\r\u{7f}\u{202e}";

/// What is printed instead: a replacement for each of the characters that do that.
const HARMLESS: &str = "\u{fffd}]0;owned\u{fffd}\u{fffd}2J\u{fffd}\u{fffd}\u{fffd}";

/// A room that nobody may join.
const REFUSED: &str = "refused";

/// A service whose rooms have one event, in which every text is [`HOSTILE`], and whose disk is full for a while.
#[derive(Clone)]
struct Scripted {
    /// How many messages are refused before one is stored.
    full: Arc<AtomicUsize>,
}

impl Scripted {
    /// Returns where it listens, for as long as the runtime lives.
    async fn start(full: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder()
            .add_service(ChatServiceServer::new(Self { full: Arc::new(full.into()) }));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        address
    }

    fn event(room: &str) -> pb::Event {
        let posted = pb::Posted { text: HOSTILE.to_owned(), ..pb::Posted::default() };
        let body = Some(pb::event::Body::Posted(posted));
        pb::Event { room: room.to_owned(), seq: 1, sender: HOSTILE.to_owned(), body, ..pb::Event::default() }
    }

    fn replies(&self, body: client_frame::Body) -> Vec<server_frame::Body> {
        match body {
            client_frame::Body::Hello(hello) => {
                vec![server_frame::Body::Welcome(pb::Welcome { user: hello.user, ..pb::Welcome::default() })]
            }
            client_frame::Body::Join(pb::Join { room, .. }) if room == REFUSED => {
                vec![error(Code::PermissionDenied, HOSTILE, HOSTILE)]
            }
            client_frame::Body::Join(pb::Join { room, .. }) => {
                let event = Self::event(&room);
                let joined = pb::Joined { room, epoch: 1, head_seq: 1, oldest_seq: 1, ..pb::Joined::default() };
                vec![server_frame::Body::Joined(joined), server_frame::Body::Event(event)]
            }
            client_frame::Body::Send(pb::Send { room, client_msg_id, .. }) => {
                let left = |full: usize| full.checked_sub(1);
                if self.full.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_err() {
                    vec![server_frame::Body::Ack(pb::Ack { room, seq: 2, client_msg_id, ..pb::Ack::default() })]
                } else {
                    vec![error(Code::Unavailable, "the disk is full", "THE_DISK")]
                }
            }
            _ => Vec::new(),
        }
    }
}

fn error(code: Code, message: &str, reason: &str) -> server_frame::Body {
    let details = ErrorDetails::with_error_info(reason, "test", []);
    let status = Status::with_error_details(code, message, details);
    let status = tonic_types::pb::Status::decode(status.details()).unwrap();
    server_frame::Body::Error(pb::Error { status: Some(status) })
}

#[tonic::async_trait]
impl ChatService for Scripted {
    async fn session(
        &self,
        request: Request<Streaming<pb::ClientFrame>>,
    ) -> Result<Response<BoxStream<pb::ServerFrame>>, Status> {
        let (frames, sent) = mpsc::channel(16);
        let mut received = request.into_inner();
        let scripted = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(pb::ClientFrame { id, body: Some(body) })) = received.message().await {
                // Only the first is the reply.
                for (body, reply_to) in scripted.replies(body).into_iter().zip([id, 0]) {
                    // A client that has left receives nothing more.
                    let _ = frames.send(Ok(pb::ServerFrame { reply_to, body: Some(body) })).await;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(sent))))
    }

    async fn list_messages(
        &self,
        request: Request<pb::ListMessagesRequest>,
    ) -> Result<Response<pb::ListMessagesResponse>, Status> {
        let events = vec![Self::event(&request.into_inner().room)];
        Ok(Response::new(pb::ListMessagesResponse { events, epoch: 1, head_seq: 1, more: false }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn text_from_the_network_cannot_steer_a_terminal_behind_a_pipe() {
    let url = format!("http://{}", Scripted::start(0).await);
    let printed = tokio::task::spawn_blocking(move || {
        let printed = |args: &[&str]| {
            let output = run(command().args(["--server", &url]).args(args), b"");
            assert_eq!((output.stderr.as_str(), output.code), ("", 0));
            output.stdout
        };
        let first_line = |args: &[&str]| Running::start(command().args(["--server", &url]).args(args)).line();
        let texts = [first_line(&["tail", "general"]), first_line(&["chat", "general"])];
        let refused = run(command().args(["--server", &url, "tail", REFUSED]), b"");
        assert_eq!(refused.stderr, format!("grpc_chat_client: the service says: {HARMLESS}\n"));
        let [text, json] = [&["history", "general"][..], &["history", "general", "--json"]].map(printed);
        (text, texts, json)
    });
    let (text, texts, json) = printed.await.unwrap();
    let event = format!("1 1970-01-01 00:00:00 {HARMLESS}: {HARMLESS}");
    assert_eq!(text, format!("{event}\n"));
    assert_eq!(texts, [event, format!("{HARMLESS}: {HARMLESS}")]);
    assert!(json.trim_end().chars().all(|c| c.is_ascii() && !c.is_control()), "{json:?}");
    let event: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!([&event["sender"], &event["text"]], [HOSTILE, HOSTILE], "JSON has the exact text");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn why_a_message_stays_unsent_is_reported_once_while_it_is_sent_again() {
    for (full, timeout, code) in [(2, "30", 0), (usize::MAX, "1", 1)] {
        let url = format!("http://{}", Scripted::start(full).await);
        let send = move || run(command().args(["--server", &url, "send", "general", "Hi", "--timeout", timeout]), b"");
        let output = tokio::task::spawn_blocking(send).await.unwrap();
        assert_eq!((output.stdout.as_str(), output.code), ("", code), "{}", output.stderr);
        let reports = output.stderr.matches("is sent again: the disk is full (THE_DISK)").count();
        assert_eq!((reports, output.stderr.lines().count()), (1, 1 + usize::from(code != 0)), "{}", output.stderr);
    }
}

#[test]
fn replies_of_the_example_cannot_steer_a_terminal_behind_a_pipe() {
    let service = Service::start();
    let output = run(client(&service).args(["--name", "Sam"]), format!("Hi{HOSTILE}!\n").as_bytes());
    assert_eq!((output.stdout, output.code), (format!("Sam: Hi{HARMLESS}!\n"), 0));
}
