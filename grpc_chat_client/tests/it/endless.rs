//! A service whose pages never end: the commands notice it.

use std::net::SocketAddr;

use stubs::chat::v1::chat_service_server::{ChatService, ChatServiceServer};
use stubs::chat::v1::{self as pb, client_frame, server_frame};
use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use crate::support::{command, run};

/// How the pages of a service do not end.
#[derive(Clone, Copy, Debug)]
enum Endless {
    /// Each page is the first one.
    Same,
    /// Each page is empty, and there are more.
    Empty,
    /// There is always another page.
    Growing,
}

impl Endless {
    async fn start(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_service(ChatServiceServer::new(self));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        address
    }
}

#[tonic::async_trait]
impl ChatService for Endless {
    async fn session(
        &self,
        request: Request<Streaming<pb::ClientFrame>>,
    ) -> Result<Response<BoxStream<pb::ServerFrame>>, Status> {
        let welcome = request.into_inner().filter_map(|frame| match frame.ok()?.body? {
            client_frame::Body::Hello(hello) => {
                let welcome = pb::Welcome { user: hello.user, ..pb::Welcome::default() };
                Some(Ok(pb::ServerFrame { reply_to: 1, body: Some(server_frame::Body::Welcome(welcome)) }))
            }
            _ => None,
        });
        Ok(Response::new(Box::pin(welcome)))
    }

    async fn list_messages(
        &self,
        request: Request<pb::ListMessagesRequest>,
    ) -> Result<Response<pb::ListMessagesResponse>, Status> {
        let pb::ListMessagesRequest { room, before_seq, .. } = request.into_inner();
        let seqs = match self {
            Self::Same => vec![7, 8],
            Self::Empty => vec![],
            // Every page that is asked for has the whole history in it.
            Self::Growing => (1..=before_seq.unwrap_or(10)).collect(),
        };
        let events =
            seqs.into_iter().map(|seq| pb::Event { room: room.clone(), seq, ..pb::Event::default() }).collect();
        Ok(Response::new(pb::ListMessagesResponse { events, epoch: 1, head_seq: 8, more: true }))
    }

    async fn list_rooms(
        &self,
        request: Request<pb::ListRoomsRequest>,
    ) -> Result<Response<pb::ListRoomsResponse>, Status> {
        let page: u64 = request.into_inner().page_token.parse().unwrap_or(0);
        let room = match self {
            Self::Same => Some("general".to_owned()),
            Self::Empty => None,
            Self::Growing => Some(format!("room/{page:09}")),
        };
        let rooms = room.into_iter().map(|room| pb::Room { room, ..pb::Room::default() }).collect();
        Ok(Response::new(pb::ListRoomsResponse { rooms, next_page_token: (page + 1).to_string() }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pages_that_do_not_end_are_an_error() {
    for (endless, args, said) in [
        (Endless::Same, &["rooms"][..], "repeats itself in the list of rooms"),
        (Endless::Empty, &["rooms"], "repeats itself in the list of rooms"),
        (Endless::Growing, &["rooms"], "list of rooms does not end"),
        (Endless::Same, &["history", "general"], "a page of history that does not follow"),
        (Endless::Empty, &["history", "general"], "a page of history that does not follow"),
        (Endless::Growing, &["history", "general", "--last", "100"], "a page of history that does not follow"),
        (Endless::Same, &["history", "general", "--last", "100"], "a page of history that does not follow"),
        (Endless::Empty, &["history", "general", "--last", "100"], "a page of history that does not follow"),
    ] {
        let url = format!("http://{}", endless.start().await);
        let run = move || run(command().args(["--server", &url]).args(args), b"");
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        assert_eq!(output.code, 1, "{endless:?} {args:?}: {}", output.stderr);
        assert!(output.stderr.contains(said), "{endless:?} {args:?}: {}", output.stderr);
    }
}
