//! A service that takes everything more slowly than it comes: the commands wait as it asks, say so, and lose nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use grpc_chat_service::config::Config;
use prost::Message;
use stubs::chat::v1::chat_service_server::{ChatService, ChatServiceServer};
use stubs::chat::v1::{self as pb, client_frame, server_frame};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::codegen::BoxStream;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

use crate::support::{self, Output, Service, command, run};

/// How long the service asks to wait for anything but messages.
const HINT: Duration = Duration::from_millis(1_200);

/// How long it asks to wait between bursts of messages: longer than it takes until all that are in flight are refused.
const BETWEEN_BURSTS: Duration = Duration::from_secs(1);

/// A service with one room. It refuses the first request of each other kind, and a burst of messages at a time.
#[derive(Clone, Default)]
struct Limited(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// When a request of a kind was first refused.
    refused: HashMap<&'static str, Instant>,
    /// The messages that were stored.
    texts: Vec<String>,
    /// How many more are accepted, and until when none is.
    left: usize,
    refuses_until: Option<Instant>,
    /// Requests that came before the service had asked them to.
    too_soon: usize,
}

impl Limited {
    async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limited = Self::default();
        let server = tonic::transport::Server::builder().add_service(ChatServiceServer::new(limited.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (limited, address)
    }

    /// Refuses the first request of a kind, and those that come too soon after it.
    fn refuse_first(&self, rate: &'static str) -> Result<(), Status> {
        let mut state = self.0.lock().unwrap();
        match state.refused.get(rate).map(Instant::elapsed) {
            None => {
                state.refused.insert(rate, Instant::now());
                Err(over(rate, HINT))
            }
            Some(waited) if waited < HINT => {
                state.too_soon += 1;
                Err(over(rate, HINT - waited))
            }
            Some(_) => Ok(()),
        }
    }

    fn store(&self, text: String) -> Result<u64, Status> {
        let mut state = self.0.lock().unwrap();
        if state.left == 0 && state.refuses_until.is_none() {
            state.refuses_until = Some(Instant::now() + BETWEEN_BURSTS);
        }
        if let Some(until) = state.refuses_until {
            let wait = until.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                return Err(over("changes", wait));
            }
            (state.left, state.refuses_until) = (1_500, None);
        }
        state.left -= 1;
        state.texts.push(text);
        Ok(state.texts.len() as u64)
    }

    /// Returns the reply to a frame, and what follows it.
    fn replies(&self, body: client_frame::Body) -> Result<Vec<server_frame::Body>, Status> {
        Ok(match body {
            client_frame::Body::Hello(hello) => {
                self.refuse_first("hellos")?;
                vec![server_frame::Body::Welcome(pb::Welcome { user: hello.user, ..pb::Welcome::default() })]
            }
            client_frame::Body::Join(pb::Join { room, .. }) => match self.refuse_first("joins") {
                Ok(()) => vec![server_frame::Body::Joined(pb::Joined { room, epoch: 1, ..pb::Joined::default() })],
                Err(status) => vec![error(&status)],
            },
            client_frame::Body::Send(pb::Send { room, text, client_msg_id, .. }) => match self.store(text.clone()) {
                Ok(seq) => {
                    let ack =
                        pb::Ack { room: room.clone(), seq, client_msg_id: client_msg_id.clone(), ..pb::Ack::default() };
                    let posted = pb::Posted { text, ..pb::Posted::default() };
                    let body = Some(pb::event::Body::Posted(posted));
                    let sender = "sam".to_owned();
                    let event =
                        pb::Event { room, seq, prev_seq: seq - 1, sender, client_msg_id, body, ..pb::Event::default() };
                    vec![server_frame::Body::Ack(ack), server_frame::Body::Event(event)]
                }
                Err(status) => vec![error(&status)],
            },
            _ => Vec::new(),
        })
    }
}

#[tonic::async_trait]
impl ChatService for Limited {
    async fn session(
        &self,
        request: Request<Streaming<pb::ClientFrame>>,
    ) -> Result<Response<BoxStream<pb::ServerFrame>>, Status> {
        let (frames, sent) = mpsc::channel(16);
        let mut received = request.into_inner();
        let limited = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(pb::ClientFrame { id, body: Some(body) })) = received.message().await {
                match limited.replies(body) {
                    // Only the first is the reply.
                    Ok(replies) => {
                        for (body, reply_to) in replies.into_iter().zip([id, 0]) {
                            let _ = frames.send(Ok(pb::ServerFrame { reply_to, body: Some(body) })).await;
                        }
                    }
                    Err(status) => return drop(frames.send(Err(status)).await),
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(sent))))
    }

    async fn list_messages(
        &self,
        _: Request<pb::ListMessagesRequest>,
    ) -> Result<Response<pb::ListMessagesResponse>, Status> {
        self.refuse_first("pages")?;
        Ok(Response::new(pb::ListMessagesResponse { epoch: 1, head_seq: 1, ..pb::ListMessagesResponse::default() }))
    }

    async fn list_rooms(&self, _: Request<pb::ListRoomsRequest>) -> Result<Response<pb::ListRoomsResponse>, Status> {
        self.refuse_first("pages")?;
        Ok(Response::new(pb::ListRoomsResponse::default()))
    }
}

fn over(rate: &str, hint: Duration) -> Status {
    let metadata = [("rate".to_owned(), rate.to_owned())];
    let mut details = ErrorDetails::with_error_info(pb::Reason::RateLimited.as_str_name(), "chat.v1", metadata);
    details.set_retry_info(Some(hint));
    Status::with_error_details(Code::ResourceExhausted, format!("too many {rate}"), details)
}

fn error(status: &Status) -> server_frame::Body {
    let status = tonic_types::pb::Status::decode(status.details()).unwrap();
    server_frame::Body::Error(pb::Error { status: Some(status) })
}

/// Runs the client against this address.
async fn client(address: SocketAddr, args: &'static [&'static str], input: String) -> Output {
    let run = move || run(command().args(["--server", &format!("http://{address}")]).args(args), input.as_bytes());
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_pipe_of_many_lines_is_sent_whole_and_in_order_however_slowly() {
    let (limited, address) = Limited::start().await;
    let lines: Vec<String> = (0..4_000).map(|n| n.to_string()).collect();
    let output = client(address, &["chat", "general"], lines.join("\n")).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    let state = limited.0.lock().unwrap();
    assert!(state.texts == lines, "{} lines", state.texts.len());
    assert_eq!(state.too_soon, 0);
    let printed: Vec<String> = lines.iter().map(|line| format!("sam: {line}")).collect();
    assert!(output.stdout.lines().eq(&printed));
    for (rate, count) in [("hellos", 1), ("joins", 1), ("changes", 1)] {
        assert_eq!(output.stderr.matches(&format!("too many {rate}")).count(), count, "{}", output.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pages_that_have_to_wait_are_asked_for_again() {
    for args in [&["history", "general"][..], &["rooms"]] {
        let (limited, address) = Limited::start().await;
        let output = client(address, args, String::new()).await;
        assert_eq!((output.stdout.as_str(), output.code), ("", 0), "{}", output.stderr);
        assert_eq!(output.stderr.matches("too many pages").count(), 1, "{}", output.stderr);
        assert_eq!(limited.0.lock().unwrap().too_soon, 0);
    }
}

#[test]
fn lines_that_come_faster_than_the_service_takes_them_are_stored_in_order() {
    let mut config = Config::default();
    (config.limits.rates.changes_per_second, config.limits.rates.change_burst) = (400, 200);
    let service = Service::start_with_rates(config);
    let lines: Vec<String> = (0..800).map(|n| n.to_string()).collect();
    let sent = run(support::client(&service).args(["chat", "general"]), lines.join("\n").as_bytes());
    assert_eq!((sent.code, sent.stderr.matches("too many changes").count()), (0, 1), "{}", sent.stderr);
    let history = run(support::client(&service).args(["history", "general"]), b"");
    let stored: Vec<&str> = history.stdout.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(stored, lines);
}
