//! What the tests share: servers that end with the test, callers of three kinds (tonic, bare HTTP/2, bare
//! bytes), and a clock that never lets a test hang.

pub(crate) mod session;

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use grpc_chat_service::config::Config;
use grpc_chat_service::{Limits, server};
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request};
use prost::Message;
use stubs::ChatMessage;
use stubs::chat_client::ChatClient;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

/// Far longer than anything here takes, so that a bug is a failed test and not a hung one.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("this should have happened long ago")
}

/// Whether `future` is still waiting after a time that is long for a computer.
pub(crate) async fn waits<F: Future + Unpin>(future: &mut F) -> bool {
    tokio::time::timeout(Duration::from_millis(300), future).await.is_err()
}

// --- servers ---

/// A server in this process; it is told to leave when dropped.
pub(crate) struct InProcess {
    pub(crate) addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<()>,
}

pub(crate) async fn start() -> InProcess {
    start_with(Config::default()).await
}

pub(crate) async fn start_limited(set: impl FnOnce(&mut Limits)) -> InProcess {
    let mut config = Config::default();
    set(&mut config.limits);
    start_with(config).await
}

pub(crate) async fn start_with(config: Config) -> InProcess {
    let server = server::bind(config).await.unwrap();
    let addr = server.local_addr();
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    InProcess { addr, stop: Some(stop), ended }
}

impl InProcess {
    pub(crate) fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// Resolves when the server has left.
    pub(crate) async fn left(&mut self) {
        soon(&mut self.ended).await.unwrap();
    }
}

/// The real binary, on a free port; it is killed when dropped.
pub(crate) struct Binary {
    pub(crate) addr: SocketAddr,
    pub(crate) child: Child,
    stderr: JoinHandle<String>,
}

pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grpc_chat_service"));
    for variable in [
        "CHAT_LISTEN",
        "CHAT_ALLOW_ANYONE",
        "CHAT_GRACE",
        "CHAT_LOG_FORMAT",
        "CHAT_DATA",
        "CHAT_DURABILITY",
        "RUST_LOG",
    ] {
        command.env_remove(variable);
    }
    // A test keeps its history nowhere unless it says where; never where a person's may be.
    command.env("CHAT_MEMORY", "1");
    command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Binary {
    pub(crate) async fn start(args: &[&str]) -> Self {
        let mut command = binary();
        command.args(["--listen", "127.0.0.1:0"]).args(args);
        Self::spawn(command).await
    }

    /// `command` must start the service, sooner or later, in the same process.
    pub(crate) async fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stderr = tokio::spawn(everything(child.stderr.take().unwrap()));
        let mut first_line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        soon(stdout.read_line(&mut first_line)).await.unwrap();
        let addr = first_line.trim_end().strip_prefix("listening on http://").expect(&first_line).parse().unwrap();
        Self { addr, child, stderr }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) async fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(soon(sent).await.unwrap().success());
    }

    /// How it left, and everything it wrote to standard error.
    pub(crate) async fn left(&mut self) -> (ExitStatus, String) {
        let status = soon(self.child.wait()).await.unwrap();
        (status, soon(&mut self.stderr).await.unwrap())
    }
}

async fn everything(mut from: impl AsyncRead + Unpin) -> String {
    let mut text = Vec::new();
    from.read_to_end(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

/// The server answers a new caller on a new connection.
pub(crate) async fn assert_alive(addr: SocketAddr) {
    let mut call = Call::open(addr).await;
    call.say("Sam", "Hi").await;
    assert_eq!(call.next().await.unwrap().as_deref(), Some("Sam: Hi"));
}

// --- callers, as honest ones are ---

/// A call on a connection of its own unless it is opened by [`Call::on`].
pub(crate) struct Call {
    say: Option<mpsc::Sender<ChatMessage>>,
    answers: Streaming<String>,
}

pub(crate) async fn channel(addr: SocketAddr) -> Channel {
    soon(Channel::from_shared(format!("http://{addr}")).unwrap().connect()).await.unwrap()
}

pub(crate) async fn connect(addr: SocketAddr) -> ChatClient<Channel> {
    ChatClient::new(channel(addr).await)
}

impl Call {
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        Self::on(&mut connect(addr).await).await
    }

    pub(crate) async fn on(client: &mut ChatClient<Channel>) -> Self {
        let (say, said) = mpsc::channel(64);
        let answers = soon(client.chat(ReceiverStream::new(said))).await.unwrap().into_inner();
        Self { say: Some(say), answers }
    }

    pub(crate) async fn say(&self, name: &str, text: &str) {
        let message = ChatMessage { name: name.to_owned(), message: text.to_owned() };
        soon(self.say.as_ref().unwrap().send(message)).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Result<Option<String>, Status> {
        soon(self.answers.message()).await
    }

    pub(crate) async fn ask(&mut self, name: &str, text: &str) -> String {
        self.say(name, text).await;
        self.next().await.unwrap().expect("an answer")
    }

    /// Half-closes: nothing more will be said.
    pub(crate) fn close(&mut self) {
        self.say = None;
    }
}

// --- callers that choose every frame ---

/// An HTTP/2 connection without a gRPC library on top.
pub(crate) struct Wire {
    pub(crate) send: SendRequest<Bytes>,
    pub(crate) ended: JoinHandle<Result<(), h2::Error>>,
}

pub(crate) type Sending = h2::SendStream<Bytes>;

impl Wire {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::with_window(addr, 65_535).await
    }

    /// A peer that takes so many bytes of an answer ahead of reading it.
    pub(crate) async fn with_window(addr: SocketAddr, window: u32) -> Self {
        let socket = soon(TcpStream::connect(addr)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        // With room for all on the connection, a call that is not read is held back by its own window only.
        let mut builder = h2::client::Builder::new();
        builder.initial_connection_window_size(64 * 1024 * 1024).initial_window_size(window);
        let (send, connection) = soon(builder.handshake(socket)).await.unwrap();
        Self { send, ended: tokio::spawn(connection) }
    }

    /// Opens a call with `headers` beside, or instead of, the usual ones.
    pub(crate) async fn open(&mut self, path: &str, headers: &[(&'static str, &str)]) -> (ResponseFuture, Sending) {
        let mut request = Request::post(format!("http://localhost{path}")).body(()).unwrap();
        request.headers_mut().insert("te", "trailers".parse().unwrap());
        request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        self.send = soon(self.send.clone().ready()).await.unwrap();
        self.send.send_request(request, false).unwrap()
    }

    pub(crate) async fn chat(&mut self) -> (ResponseFuture, Sending) {
        self.open("/Chat/chat", &[]).await
    }

    /// One whole call: these bytes, then the end of the caller's side.
    pub(crate) async fn call(&mut self, path: &str, headers: &[(&'static str, &str)], body: &[u8]) -> Outcome {
        let (response, mut sending) = self.open(path, headers).await;
        let _ = sending.send_data(Bytes::copy_from_slice(body), true);
        Outcome::of(response).await
    }
}

/// Sends all of it as one HTTP/2 frame, when the peer has room for it. `false` if the call is over.
pub(crate) async fn send_frame(sending: &mut Sending, data: Bytes) -> bool {
    sending.reserve_capacity(data.len());
    while sending.capacity() < data.len() {
        if !matches!(std::future::poll_fn(|cx| sending.poll_capacity(cx)).await, Some(Ok(_))) {
            return false;
        }
    }
    sending.send_data(data, false).is_ok()
}

/// How a call went, as it was on the wire.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) http: u16,
    pub(crate) answers: Vec<String>,
    pub(crate) code: Option<Code>,
    pub(crate) message: String,
}

impl Outcome {
    pub(crate) async fn of(response: ResponseFuture) -> Self {
        let response = soon(response).await.unwrap();
        let http = response.status().as_u16();
        let headers = response.headers().clone();
        let mut body = response.into_body();
        let answers = strings(&soon(read(&mut body)).await.unwrap());
        let trailers = soon(body.trailers()).await.unwrap().unwrap_or(headers);
        let code = text(&trailers, "grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
        Self { http, answers, code, message: text(&trailers, "grpc-message").unwrap_or_default() }
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned())
}

/// Everything to the end of the stream, giving the peer room for more as it is read.
pub(crate) async fn read(body: &mut RecvStream) -> Result<BytesMut, h2::Error> {
    let mut all = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        all.extend_from_slice(&data);
    }
    Ok(all)
}

/// The strings in a run of gRPC messages.
pub(crate) fn strings(mut all: &[u8]) -> Vec<String> {
    let mut strings = Vec::new();
    while let [0, a, b, c, d, rest @ ..] = all {
        let (message, after) = rest.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        strings.push(String::decode(message).unwrap());
        all = after;
    }
    assert!(all.is_empty(), "{all:?}");
    strings
}

/// A message as gRPC frames it.
pub(crate) fn message(name: &str, text: &str) -> Bytes {
    framed(&ChatMessage { name: name.to_owned(), message: text.to_owned() }.encode_to_vec())
}

pub(crate) fn framed(body: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + body.len());
    framed.put_u8(0);
    framed.put_u32(body.len().try_into().unwrap());
    framed.put_slice(body);
    framed.freeze()
}

// --- callers that choose every byte ---

/// A TCP connection and nothing on top.
pub(crate) struct Bare {
    pub(crate) socket: TcpStream,
}

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The frame types of HTTP/2 that the tests write or look for (RFC 9113, section 6).
pub(crate) mod kind {
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Bare {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self { socket: soon(TcpStream::connect(addr)).await.unwrap() }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        soon(self.socket.write_all(bytes)).await.unwrap();
    }

    /// All that still comes until the peer closes, orderly or not.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let _ = soon(self.socket.read_to_end(&mut all)).await;
        all
    }

    /// The next frame, or `None` once the peer has closed.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        soon(self.socket.read_exact(&mut head)).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        soon(self.socket.read_exact(&mut payload)).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The header block of a call, in HPACK's plainest form.
pub(crate) fn chat_headers() -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/Chat/chat"),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}
