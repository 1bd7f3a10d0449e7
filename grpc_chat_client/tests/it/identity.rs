//! Who the service is, by TLS, and who the user is, by token.

use std::net::SocketAddr;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grpc_chat_client::{Client, Code, Config, ConnectionState, SendError, Tls, TlsIdentity, Token, connect};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use stubs::chat::v1::chat_service_server::{ChatService, ChatServiceServer};
use stubs::chat::v1::{self as pb, client_frame, server_frame};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use crate::support::Service;

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("this should have happened long ago")
}

/// An authority, and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate, key)
    }
}

/// Ends TLS in front of a service, for `name`; asks for clients' certificates if it is to.
async fn tls_before(service: SocketAddr, authority: &Authority, name: &str, asks: bool) -> SocketAddr {
    let (certificate, key) = authority.sign(name);
    let builder = ServerConfig::builder();
    let builder = if asks {
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).unwrap();
        builder.with_client_cert_verifier(WebPkiClientVerifier::builder(roots.into()).build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not like the certificate leaves.
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut service = TcpStream::connect(service).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut service).await;
            });
        }
    });
    address
}

fn config(address: SocketAddr, tls: Tls) -> Config {
    let mut config =
        Config::new(format!("https://localhost:{}", address.port()).parse().unwrap(), "sam".parse().unwrap());
    config.tls = tls;
    config.backoff.base = Duration::from_millis(20);
    config
}

async fn refused(config: Config) -> String {
    let (client, _events) = connect(config).await.unwrap();
    match soon(client.first_attempt()).await {
        ConnectionState::Reconnecting { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_service_is_trusted_if_its_authority_is_and_the_name_fits() {
    let service = Service::start();
    let authority = Authority::new();
    let address = tls_before(service.address(), &authority, "localhost", false).await;
    let trusting = Tls::default().ca_certificates(authority.pem());
    let (client, _events) = connect(config(address, trusting.clone())).await.unwrap();
    assert_eq!(soon(client.send("general", "Hi")).await.unwrap().seq, 1);

    // Neither the machine's authorities nor another one have signed it.
    let why = refused(config(address, Tls::default())).await;
    assert!(why.contains("certificate"), "{why}");
    let other = Tls::default().ca_certificates(Authority::new().pem());
    let why = refused(config(address, other)).await;
    assert!(why.contains("certificate"), "{why}");

    let address = tls_before(service.address(), &authority, "chat.example", false).await;
    let why = refused(config(address, trusting.clone())).await;
    assert!(why.contains("not valid for name"), "{why}");
    let named = trusting.server_name("chat.example");
    let (client, _events) = connect(config(address, named)).await.unwrap();
    assert_eq!(soon(client.send("general", "Hi")).await.unwrap().seq, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_service_that_asks_for_a_certificate_gets_it() {
    let service = Service::start();
    let authority = Authority::new();
    let address = tls_before(service.address(), &authority, "localhost", true).await;
    let nobody = Tls::default().ca_certificates(authority.pem());
    let why = refused(config(address, nobody.clone())).await;
    assert!(why.contains("ertificate"), "{why}");
    let (certificate, key) = authority.sign("sam");
    let identity = TlsIdentity { certificate: certificate.pem().into_bytes(), key: key.serialize_pem().into_bytes() };
    let (client, _events) = connect(config(address, nobody.identity(identity))).await.unwrap();
    assert_eq!(soon(client.send("general", "Hi")).await.unwrap().seq, 1);
}

/// A service that lets in who has one of its tokens, and does nothing else but note the tokens it is told.
#[derive(Clone, Default)]
struct Door {
    good: Arc<Mutex<Vec<String>>>,
    told: Arc<Mutex<Vec<String>>>,
    /// How many sessions have begun.
    welcomed: Arc<AtomicUsize>,
    ends: Arc<tokio::sync::Notify>,
}

#[tonic::async_trait]
impl ChatService for Door {
    async fn session(
        &self,
        request: Request<Streaming<pb::ClientFrame>>,
    ) -> Result<Response<BoxStream<pb::ServerFrame>>, Status> {
        self.lets_in(&request)?;
        let (answers, answered) = mpsc::channel(16);
        let mut frames = request.into_inner();
        let door = self.clone();
        tokio::spawn(async move {
            let say =
                async |reply_to, body| drop(answers.send(Ok(pb::ServerFrame { reply_to, body: Some(body) })).await);
            loop {
                let frame = tokio::select! {
                    frame = frames.message() => frame,
                    () = door.ends.notified() => return drop(answers.send(Err(Status::unauthenticated("expired"))).await),
                };
                let Ok(Some(pb::ClientFrame { id, body: Some(body) })) = frame else { return };
                match body {
                    client_frame::Body::Hello(hello) => {
                        door.welcomed.fetch_add(1, Ordering::Relaxed);
                        let welcome = pb::Welcome { user: hello.user, ..pb::Welcome::default() };
                        say(id, server_frame::Body::Welcome(welcome)).await;
                    }
                    client_frame::Body::RefreshToken(pb::RefreshToken { token }) => {
                        door.told.lock().unwrap().push(token);
                        say(id, server_frame::Body::Done(pb::Done {})).await;
                    }
                    _ => {}
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answered))))
    }

    async fn list_rooms(
        &self,
        request: Request<pb::ListRoomsRequest>,
    ) -> Result<Response<pb::ListRoomsResponse>, Status> {
        self.lets_in(&request)?;
        Ok(Response::new(pb::ListRoomsResponse::default()))
    }
}

impl Door {
    fn lets_in<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let token = request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let good = self.good.lock().unwrap().iter().any(|good| token == Some(format!("Bearer {good}")));
        if good { Ok(()) } else { Err(Status::unauthenticated("no such token")) }
    }

    async fn open(&self) -> SocketAddr {
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

    fn takes(&self, token: &str) {
        *self.good.lock().unwrap() = vec![token.to_owned()];
    }
}

async fn knocks(address: SocketAddr, token: Token) -> Client {
    let mut config = Config::new(format!("http://{address}").parse().unwrap(), "sam".parse().unwrap());
    config.token = token;
    // A session has gone well when it has lasted longer than the delay before it.
    config.backoff.base = Duration::from_millis(1);
    connect(config).await.unwrap().0
}

async fn comes_true(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_refused_is_asked_for_once_more_and_a_new_one_can_be_told() {
    let door = Door::default();
    door.takes("second");
    let address = door.open().await;
    let tokens = Arc::new(Mutex::new(vec!["fourth", "two\nlines", "third", "second", "first"]));
    let client = knocks(
        address,
        Token::source(move || {
            let token = tokens.lock().unwrap().pop();
            async move { token.map(str::to_owned).ok_or_else(|| "no more tokens".to_owned()) }
        }),
    )
    .await;
    comes_true(|| door.welcomed.load(Ordering::Relaxed) == 1).await;

    soon(client.refresh_token()).await.unwrap();
    assert_eq!(*door.told.lock().unwrap(), ["third"]);
    // One that cannot be a token does not keep the next one out.
    assert_eq!(soon(client.refresh_token()).await.unwrap_err().code, Code::InvalidArgument);
    // Other calls take it, too, and ask for another one themselves.
    door.takes("third");
    soon(client.rooms()).await.unwrap();
    door.takes("fourth");
    soon(client.rooms()).await.unwrap();
    assert_eq!(*door.told.lock().unwrap(), ["third", "fourth"]);
    assert_eq!(soon(client.refresh_token()).await.unwrap_err().message, "no more tokens");

    door.ends.notify_one();
    comes_true(|| matches!(client.connection_state(), ConnectionState::Reconnecting { .. })).await;
}

#[tokio::test]
async fn without_another_token_a_refusal_is_final() {
    let door = Door::default();
    let address = door.open().await;
    for token in [Token::None, Token::Fixed("stolen".to_owned())] {
        let client = knocks(address, token).await;
        let ConnectionState::Failed(why) = soon(client.first_attempt()).await else {
            panic!("{:?}", client.connection_state())
        };
        assert_eq!((why.code, why.message.as_str()), (Code::Unauthenticated, "no such token"));
        assert_eq!(soon(client.send("general", "Hi")).await.unwrap_err(), SendError::Failed(why));
    }
    let client = knocks(address, Token::Fixed("two\nlines".to_owned())).await;
    let ConnectionState::Failed(why) = soon(client.first_attempt()).await else {
        panic!("{:?}", client.connection_state())
    };
    assert!(why.message.contains("characters"), "{why}");
}
