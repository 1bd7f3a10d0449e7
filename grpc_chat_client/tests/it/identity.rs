//! Who the service is, by TLS, and who the user is, by token.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grpc_chat_client::{Backoff, Client, Code, Config, ConnectionState, SendError, Tls, TlsIdentity, Token, connect};
use stubs::chat::v1::chat_service_server::{ChatService, ChatServiceServer};
use stubs::chat::v1::{self as pb, client_frame, server_frame};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use crate::support::{Service, soon};
use crate::tls::{self, Authority};

fn config(address: SocketAddr, tls: Tls) -> Config {
    let server = format!("https://localhost:{}", address.port()).parse().unwrap();
    let backoff = Backoff { base: Duration::from_millis(20), ..Backoff::default() };
    Config::new(server, "sam".parse().unwrap()).tls(tls).backoff(backoff)
}

/// Returns why the first attempt failed.
async fn refused(config: Config) -> String {
    let (client, _events) = connect(config).await.unwrap();
    match soon(client.first_attempt()).await {
        ConnectionState::Reconnecting { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_service_is_trusted_if_its_authority_is_trusted_and_the_name_matches() {
    let service = Service::start();
    let authority = Authority::new();
    let address = tls::in_front_of(service.address(), &authority, "localhost", false).await;
    let trusting = Tls::default().ca_certificates(authority.pem());
    let (client, _events) = connect(config(address, trusting.clone())).await.unwrap();
    assert_eq!(soon(client.send("general", "Hi")).await.unwrap().seq, 1);

    // It is signed neither by an authority that the machine trusts nor by another one.
    let why = refused(config(address, Tls::default())).await;
    assert!(why.contains("certificate"), "{why}");
    let other = Tls::default().ca_certificates(Authority::new().pem());
    let why = refused(config(address, other)).await;
    assert!(why.contains("certificate"), "{why}");

    let address = tls::in_front_of(service.address(), &authority, "chat.example", false).await;
    let why = refused(config(address, trusting.clone())).await;
    assert!(why.contains("not valid for name"), "{why}");
    let named = trusting.server_name("chat.example");
    let (client, _events) = connect(config(address, named)).await.unwrap();
    assert_eq!(soon(client.send("general", "Hi")).await.unwrap().seq, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_service_that_asks_for_a_client_certificate_gets_it() {
    let service = Service::start();
    let authority = Authority::new();
    let address = tls::in_front_of(service.address(), &authority, "localhost", true).await;
    let anonymous = Tls::default().ca_certificates(authority.pem());
    let why = refused(config(address, anonymous.clone())).await;
    assert!(why.contains("ertificate"), "{why}");
    let (certificate, key) = authority.sign("sam");
    let identity = TlsIdentity { certificate: certificate.pem().into_bytes(), key: key.serialize_pem().into_bytes() };
    let (client, _events) = connect(config(address, anonymous.identity(identity))).await.unwrap();
    assert_eq!(soon(client.send("general", "Hi")).await.unwrap().seq, 1);
}

/// A service that accepts one token, and does nothing but record the tokens that it is sent.
#[derive(Clone, Default)]
struct TokenService {
    accepted: Arc<Mutex<Option<String>>>,
    /// The tokens sent in open sessions.
    refreshed: Arc<Mutex<Vec<String>>>,
    /// The number of sessions opened so far.
    sessions: Arc<AtomicUsize>,
    /// Notified to end the sessions.
    end: Arc<tokio::sync::Notify>,
}

#[tonic::async_trait]
impl ChatService for TokenService {
    async fn session(
        &self,
        request: Request<Streaming<pb::ClientFrame>>,
    ) -> Result<Response<BoxStream<pb::ServerFrame>>, Status> {
        self.authenticate(&request)?;
        let (replies, outgoing) = mpsc::channel(16);
        let mut frames = request.into_inner();
        let service = self.clone();
        tokio::spawn(async move {
            let reply =
                async |reply_to, body| drop(replies.send(Ok(pb::ServerFrame { reply_to, body: Some(body) })).await);
            loop {
                let frame = tokio::select! {
                    frame = frames.message() => frame,
                    () = service.end.notified() => return drop(replies.send(Err(Status::unauthenticated("expired"))).await),
                };
                let Ok(Some(pb::ClientFrame { id, body: Some(body) })) = frame else { return };
                match body {
                    client_frame::Body::Hello(hello) => {
                        service.sessions.fetch_add(1, Ordering::Relaxed);
                        let welcome = pb::Welcome { user: hello.user, ..pb::Welcome::default() };
                        reply(id, server_frame::Body::Welcome(welcome)).await;
                    }
                    client_frame::Body::RefreshToken(pb::RefreshToken { token }) => {
                        service.refreshed.lock().unwrap().push(token);
                        reply(id, server_frame::Body::Done(pb::Done {})).await;
                    }
                    _ => {}
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }

    async fn list_rooms(
        &self,
        request: Request<pb::ListRoomsRequest>,
    ) -> Result<Response<pb::ListRoomsResponse>, Status> {
        self.authenticate(&request)?;
        Ok(Response::new(pb::ListRoomsResponse::default()))
    }
}

impl TokenService {
    fn authenticate<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let token = request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let accepted = self.accepted.lock().unwrap().as_ref().map(|accepted| format!("Bearer {accepted}"));
        if token.is_some() && token == accepted { Ok(()) } else { Err(Status::unauthenticated("no such token")) }
    }

    /// Starts it, and returns its address.
    async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = ChatServiceServer::new(self.clone());
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        address
    }

    fn accept(&self, token: &str) {
        *self.accepted.lock().unwrap() = Some(token.to_owned());
    }
}

async fn open(address: SocketAddr, token: Token) -> Client {
    let mut config = Config::new(format!("http://{address}").parse().unwrap(), "sam".parse().unwrap());
    config.token = token;
    // A session counts as a success when it has lasted longer than the delay before it.
    config.backoff.base = Duration::from_millis(1);
    connect(config).await.unwrap().0
}

/// Waits until the condition holds.
async fn eventually(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_refused_token_is_fetched_once_more_and_a_new_one_can_be_sent() {
    let service = TokenService::default();
    service.accept("second");
    let address = service.start().await;
    let tokens = Arc::new(Mutex::new(vec!["fourth", "two\nlines", "third", "second", "first"]));
    let client = open(
        address,
        Token::source(move || {
            let token = tokens.lock().unwrap().pop();
            async move { token.map(str::to_owned).ok_or_else(|| "no more tokens".to_owned()) }
        }),
    )
    .await;
    eventually(|| service.sessions.load(Ordering::Relaxed) == 1).await;

    soon(client.refresh_token()).await.unwrap();
    assert_eq!(*service.refreshed.lock().unwrap(), ["third"]);
    // Text that cannot be sent as a token does not block the next one.
    assert_eq!(soon(client.refresh_token()).await.unwrap_err().code, Code::InvalidArgument);
    // Other calls use it, too, and fetch another one themselves.
    service.accept("third");
    soon(client.rooms()).await.unwrap();
    service.accept("fourth");
    soon(client.rooms()).await.unwrap();
    assert_eq!(*service.refreshed.lock().unwrap(), ["third", "fourth"]);
    assert_eq!(soon(client.refresh_token()).await.unwrap_err().message, "no more tokens");

    service.end.notify_one();
    eventually(|| matches!(client.connection_state(), ConnectionState::Reconnecting { .. })).await;
}

#[tokio::test]
async fn without_another_token_a_refusal_is_permanent() {
    let service = TokenService::default();
    let address = service.start().await;
    for token in [Token::None, Token::Fixed("stolen".to_owned())] {
        let client = open(address, token).await;
        let ConnectionState::Failed(why) = soon(client.first_attempt()).await else {
            panic!("{:?}", client.connection_state())
        };
        assert_eq!((why.code, why.message.as_str()), (Code::Unauthenticated, "no such token"));
        assert_eq!(soon(client.send("general", "Hi")).await.unwrap_err(), SendError::Failed(why));
    }
    let client = open(address, Token::Fixed("two\nlines".to_owned())).await;
    let ConnectionState::Failed(why) = soon(client.first_attempt()).await else {
        panic!("{:?}", client.connection_state())
    };
    assert!(why.message.contains("characters"), "{why}");
}
