//! A service that follows the contract and puts hostile text into every field.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stubs::ChatMessage;
use stubs::chat::v1::chat_service_server::{ChatService, ChatServiceServer};
use stubs::chat::v1::{self as pb, client_frame, event, server_frame};
use stubs::chat_server::{Chat, ChatServer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::codegen::BoxStream;
use tonic::{Code, Request, Response, Status, Streaming};

/// The last message of a room.
pub(super) const LAST: &str = "that was all of it";

/// The service, with the strings that it puts into all fields.
#[derive(Clone)]
struct Hostile {
    strings: Arc<Vec<String>>,
    refused: Arc<AtomicUsize>,
}

/// Starts it, until the program ends. Returns its address.
pub(super) async fn start(strings: Vec<String>) -> Result<String, Box<dyn Error>> {
    let hostile = Hostile { strings: Arc::new(strings), refused: Arc::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = tonic::transport::Server::builder()
        .add_service(ChatServiceServer::new(hostile.clone()))
        .add_service(ChatServer::new(hostile))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(serving);
    Ok(format!("http://{address}"))
}

impl Hostile {
    /// Returns a room's history, with every string in it.
    fn events(&self, room: &str) -> Vec<pb::Event> {
        let first = [("sam".to_owned(), "the first of it".to_owned())];
        let last = [("sam".to_owned(), LAST.to_owned())];
        let all = self.strings.iter().map(|string| (string.clone(), string.clone()));
        let mut events: Vec<pb::Event> = Vec::new();
        let mut put = |sender: String, body| {
            let prev_seq = events.last().map_or(0, |last: &pb::Event| last.seq);
            let device = sender.clone();
            let room = room.to_owned();
            let seq = prev_seq + 1;
            events.push(pb::Event { room, seq, prev_seq, sender, device, body: Some(body), ..pb::Event::default() });
            seq
        };
        let mut reply_to_seq = 0;
        for (sender, text) in first.into_iter().chain(all).chain(last) {
            let posted = pb::Posted { text: text.clone(), reply_to_seq, erased: false };
            let seq = put(sender.clone(), event::Body::Posted(posted));
            put(sender.clone(), event::Body::Reacted(pb::Reacted { seq, reaction: text.clone(), removed: false }));
            put(sender, event::Body::Edited(pb::Edited { seq, text, erased: false }));
            // The next one replies to it, and quotes it.
            reply_to_seq = seq;
        }
        events
    }

    fn any(&self) -> String {
        let strings = &self.strings;
        // From the end, where the escape sequences are.
        let at = self.refused.fetch_add(1, Ordering::Relaxed);
        strings.iter().rev().cycle().nth(at).cloned().unwrap_or_default()
    }

    /// Returns the replies to a frame; `Err` ends the session.
    fn reply(&self, id: u64, body: client_frame::Body) -> Result<Vec<(u64, server_frame::Body)>, Status> {
        use server_frame::Body;
        Ok(match body {
            client_frame::Body::Hello(_) => {
                let user = format!("sam\u{1b}]0;owned\u{7}{}", self.strings.last().cloned().unwrap_or_default());
                vec![(id, Body::Welcome(pb::Welcome { user, ..pb::Welcome::default() }))]
            }
            client_frame::Body::Join(pb::Join { room, .. }) => {
                let events = self.events(&room);
                let head = events.last().map_or(0, |last| last.seq);
                let joined = pb::Joined {
                    room: room.clone(),
                    verdict: pb::Verdict::Recovered.into(),
                    epoch: 1,
                    head_seq: head,
                    oldest_seq: 1,
                    present: self.strings.to_vec(),
                    present_count: 7,
                    ..pb::Joined::default()
                };
                let typing = pb::TypingChanged { room: room.clone(), users: self.strings.to_vec() };
                let mut replies = vec![(id, Body::Joined(joined))];
                replies.extend(events.into_iter().map(|event| (0, Body::Event(event))));
                replies.push((0, Body::CaughtUp(pb::CaughtUp { room, seq: head })));
                replies.push((0, Body::TypingChanged(typing)));
                replies
            }
            client_frame::Body::Send(send) if send.text == "end" => return Err(Status::unavailable(self.any())),
            client_frame::Body::Ping(_) => vec![(id, Body::Pong(pb::Pong {}))],
            client_frame::Body::Pong(_) | client_frame::Body::Typing(_) => vec![],
            _ => {
                let (code, message) = (Code::InvalidArgument.into(), self.any());
                let status = tonic_types::pb::Status { code, message, details: Vec::new() };
                vec![(id, Body::Error(pb::Error { status: Some(status) }))]
            }
        })
    }
}

#[tonic::async_trait]
impl ChatService for Hostile {
    async fn session(
        &self,
        request: Request<Streaming<pb::ClientFrame>>,
    ) -> Result<Response<BoxStream<pb::ServerFrame>>, Status> {
        let (replies, replied) = mpsc::channel(16);
        let (hostile, mut frames) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(pb::ClientFrame { id, body: Some(body) })) = frames.message().await {
                let said = match hostile.reply(id, body) {
                    Ok(said) => said,
                    Err(status) => return drop(replies.send(Err(status)).await),
                };
                for (reply_to, body) in said {
                    // The client may have left.
                    let _ = replies.send(Ok(pb::ServerFrame { reply_to, body: Some(body) })).await;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(replied))))
    }

    async fn list_messages(
        &self,
        request: Request<pb::ListMessagesRequest>,
    ) -> Result<Response<pb::ListMessagesResponse>, Status> {
        let pb::ListMessagesRequest { room, after_seq, before_seq, page_size } = request.into_inner();
        let mut events = self.events(&room);
        let head_seq = events.last().map_or(0, |last| last.seq);
        events.retain(|event| event.seq > after_seq.unwrap_or(0) && event.seq < before_seq.unwrap_or(u64::MAX));
        let over = events.len().saturating_sub(page_size as usize);
        if after_seq.is_some() {
            events.truncate(page_size as usize);
        } else {
            events.drain(..over);
        }
        Ok(Response::new(pb::ListMessagesResponse { events, epoch: 1, head_seq, more: over > 0 }))
    }

    async fn list_rooms(&self, _: Request<pb::ListRoomsRequest>) -> Result<Response<pb::ListRoomsResponse>, Status> {
        let room = |room: &String| pb::Room { room: room.clone(), head_seq: 1, head_time: None };
        let rooms = self.strings.iter().map(room).collect();
        Ok(Response::new(pb::ListRoomsResponse { rooms, next_page_token: String::new() }))
    }
}

#[tonic::async_trait]
impl Chat for Hostile {
    type chatStream = BoxStream<String>;

    /// The example: replies with every string.
    async fn chat(&self, request: Request<Streaming<ChatMessage>>) -> Result<Response<Self::chatStream>, Status> {
        drop(request);
        let all: Vec<Result<String, Status>> = self.strings.iter().cloned().map(Ok).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(all))))
    }
}
