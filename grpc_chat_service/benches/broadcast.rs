//! The server that fan-out is compared with.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use stubs::chat::v1 as pb;
use stubs::chat::v1::chat_service_server::{ChatService, ChatServiceServer};
use stubs::chat::v1::{client_frame, event, server_frame};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use crate::process;

/// Runs the server. `capacity` is how many events of a room it keeps for a receiver that lags behind.
pub(crate) async fn serve(capacity: usize) -> io::Result<()> {
    let service = Broadcast { capacity, rooms: Arc::default() };
    process::serve_tonic(tonic::transport::Server::builder().add_service(ChatServiceServer::new(service))).await
}

/// A carefully written server in the style of tonic's examples: a broadcast channel for each room, and for each receiver
/// a task that forwards events to a channel with room for many messages, which is the response. It has no history, no
/// limits, and nothing else that a chat needs.
#[derive(Clone)]
struct Broadcast {
    capacity: usize,
    rooms: Arc<Mutex<HashMap<String, Room>>>,
}

struct Room {
    seq: u64,
    events: broadcast::Sender<pb::Event>,
}

type Replies = mpsc::Sender<Result<pb::ServerFrame, Status>>;

impl Broadcast {
    fn with_room<T>(&self, id: &str, then: impl FnOnce(&mut Room) -> T) -> T {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Room { seq: 0, events: broadcast::channel(self.capacity).0 };
        then(rooms.entry(id.to_owned()).or_insert_with(new))
    }

    async fn run_session(self, mut frames: Streaming<pb::ClientFrame>, replies: Replies) {
        let send =
            async |reply_to, body| replies.send(Ok(pb::ServerFrame { reply_to, body: Some(body) })).await.is_ok();
        while let Some(Ok(pb::ClientFrame { id, body: Some(body) })) = frames.next().await {
            let open = match body {
                client_frame::Body::Hello(_) => send(id, server_frame::Body::Welcome(pb::Welcome::default())).await,
                client_frame::Body::Join(pb::Join { room, .. }) => {
                    let events = self.with_room(&room, |room| room.events.subscribe());
                    let joined = pb::Joined { room: room.clone(), ..pb::Joined::default() };
                    let caught_up = pb::CaughtUp { room, seq: 0 };
                    let open = send(id, server_frame::Body::Joined(joined)).await
                        && send(0, server_frame::Body::CaughtUp(caught_up)).await;
                    tokio::spawn(forward(events, replies.clone()));
                    open
                }
                client_frame::Body::Send(message) => {
                    let ack = self.publish(message);
                    send(id, server_frame::Body::Ack(ack)).await
                }
                _ => true,
            };
            if !open {
                return;
            }
        }
    }

    fn publish(&self, message: pb::Send) -> pb::Ack {
        let pb::Send { room, text, client_msg_id, .. } = message;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let time =
            prost_types::Timestamp { seconds: now.as_secs() as i64, nanos: now.subsec_millis() as i32 * 1_000_000 };
        let seq = self.with_room(&room, |open| {
            open.seq += 1;
            // An error means that the room has no receivers.
            let _ = open.events.send(pb::Event {
                room: room.clone(),
                seq: open.seq,
                prev_seq: open.seq - 1,
                time: Some(time),
                sender: "publisher".to_owned(),
                device: String::new(),
                client_msg_id: client_msg_id.clone(),
                body: Some(event::Body::Posted(pb::Posted { text, ..pb::Posted::default() })),
            });
            open.seq
        });
        pb::Ack { room, seq, time: Some(time), client_msg_id, ..pb::Ack::default() }
    }
}

async fn forward(mut events: broadcast::Receiver<pb::Event>, replies: Replies) {
    while let Ok(event) = events.recv().await {
        let frame = pb::ServerFrame { reply_to: 0, body: Some(server_frame::Body::Event(event)) };
        if replies.send(Ok(frame)).await.is_err() {
            return;
        }
    }
}

#[tonic::async_trait]
impl ChatService for Broadcast {
    async fn session(
        &self,
        request: Request<Streaming<pb::ClientFrame>>,
    ) -> Result<Response<BoxStream<pb::ServerFrame>>, Status> {
        let (replies, response) = mpsc::channel(128);
        tokio::spawn(self.clone().run_session(request.into_inner(), replies));
        Ok(Response::new(Box::pin(ReceiverStream::new(response))))
    }
}
