//! A client that chooses every HTTP/2 frame: HTTP/2 without a gRPC library.

use std::net::{Shutdown, SocketAddr};

use bytes::{BufMut, Bytes, BytesMut};
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;
use prost::Message;
use stubs::ChatMessage;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use crate::support::with_timeout;

/// The path of the example's method.
pub(crate) const EXAMPLE: &str = "/Chat/chat";

/// An HTTP/2 connection.
pub(crate) struct Http2Client {
    pub(crate) send: SendRequest<Bytes>,
    /// The task that drives the connection. It ends with the connection.
    pub(crate) connection: JoinHandle<Result<(), h2::Error>>,
    /// A second handle of the connection's socket.
    socket: std::net::TcpStream,
}

/// The body of a request that is being sent.
pub(crate) type RequestBody = h2::SendStream<Bytes>;

impl Http2Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::connect_with_window(addr, 65_535).await
    }

    /// Connects with a flow-control window of `window` bytes for each response.
    pub(crate) async fn connect_with_window(addr: SocketAddr, window: u32) -> Self {
        let socket = with_timeout(TcpStream::connect(addr)).await.unwrap().into_std().unwrap();
        socket.set_nodelay(true).unwrap();
        let second_handle = socket.try_clone().unwrap();
        let socket = TcpStream::from_std(socket).unwrap();
        // The connection's window is large enough that a response that is not read is limited by its own window only.
        let mut builder = h2::client::Builder::new();
        builder.initial_connection_window_size(64 * 1024 * 1024).initial_window_size(window);
        let (send, connection) = with_timeout(builder.handshake(socket)).await.unwrap();
        Self { send, connection: tokio::spawn(connection), socket: second_handle }
    }

    /// Closes the connection without ending any stream. Dropping the socket would not close it while a process that another
    /// test starts has a copy of it.
    pub(crate) fn disconnect(&self) {
        self.socket.shutdown(Shutdown::Both).unwrap();
    }

    /// Opens a call with `headers` added to, or replacing, the usual ones.
    pub(crate) async fn open(&mut self, path: &str, headers: &[(&'static str, &str)]) -> (ResponseFuture, RequestBody) {
        let mut request = Request::post(format!("http://localhost{path}")).body(()).unwrap();
        request.headers_mut().insert("te", "trailers".parse().unwrap());
        request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        self.send = with_timeout(self.send.clone().ready()).await.unwrap();
        self.send.send_request(request, false).unwrap()
    }

    /// Opens a call of the example.
    pub(crate) async fn open_example(&mut self) -> (ResponseFuture, RequestBody) {
        self.open(EXAMPLE, &[]).await
    }

    /// Makes a whole call: sends `body`, half-closes, and reads the response to its end.
    pub(crate) async fn call(&mut self, path: &str, headers: &[(&'static str, &str)], body: &[u8]) -> Outcome {
        let (response, mut request) = self.open(path, headers).await;
        let _ = request.send_data(Bytes::copy_from_slice(body), true);
        Outcome::read(response).await
    }

    /// Makes a whole call of the example.
    pub(crate) async fn call_example(&mut self, body: &[u8]) -> Outcome {
        self.call(EXAMPLE, &[], body).await
    }
}

/// Sends `data` as one DATA frame once the flow-control window allows it. Returns whether the call is still open.
pub(crate) async fn send_data(request: &mut RequestBody, data: Bytes) -> bool {
    request.reserve_capacity(data.len());
    while request.capacity() < data.len() {
        if !matches!(std::future::poll_fn(|cx| request.poll_capacity(cx)).await, Some(Ok(_))) {
            return false;
        }
    }
    request.send_data(data, false).is_ok()
}

/// The outcome of a call of the example.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) http_status: u16,
    pub(crate) replies: Vec<String>,
    /// The gRPC status, if the response has one.
    pub(crate) code: Option<Code>,
    pub(crate) message: String,
}

impl Outcome {
    /// Reads a response to its end.
    pub(crate) async fn read(response: ResponseFuture) -> Self {
        let response = with_timeout(response).await.unwrap();
        let http_status = response.status().as_u16();
        let headers = response.headers().clone();
        let mut body = response.into_body();
        let replies = decode_replies(&read_body(&mut body).await.unwrap());
        // A response without a body has its status in the headers.
        let trailers = with_timeout(body.trailers()).await.unwrap().unwrap_or(headers);
        let status = Status::from_header_map(&trailers);
        let message = status.as_ref().map(Status::message).unwrap_or_default().to_owned();
        Self { http_status, replies, code: status.map(|status| status.code()), message }
    }
}

/// Waits for the headers of a response and returns its body.
pub(crate) async fn response_body(response: ResponseFuture) -> RecvStream {
    with_timeout(response).await.unwrap().into_body()
}

/// Returns the next DATA frame of a response.
pub(crate) async fn next_data(body: &mut RecvStream) -> Bytes {
    with_timeout(body.data()).await.unwrap().unwrap()
}

/// Reads a response up to its trailers, releasing flow-control capacity as it goes.
pub(crate) async fn read_body(body: &mut RecvStream) -> Result<BytesMut, h2::Error> {
    with_timeout(async {
        let mut all = BytesMut::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            all.extend_from_slice(&data);
        }
        Ok(all)
    })
    .await
}

/// Returns the status in the trailers of a response, whose body has been read.
pub(crate) async fn read_status(body: &mut RecvStream) -> Status {
    let trailers = with_timeout(body.trailers()).await.unwrap().unwrap();
    Status::from_header_map(&trailers).unwrap()
}

/// Decodes the example's replies from the body of a response.
pub(crate) fn decode_replies(body: &[u8]) -> Vec<String> {
    decode_messages(body)
}

/// Decodes length-prefixed messages.
pub(crate) fn decode_messages<M: Message + Default>(mut bytes: &[u8]) -> Vec<M> {
    let mut messages = Vec::new();
    while let [0, a, b, c, d, rest @ ..] = bytes {
        let (message, after) = rest.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        messages.push(M::decode(message).unwrap());
        bytes = after;
    }
    assert!(bytes.is_empty(), "{bytes:?}");
    messages
}

/// Encodes a message of the example, with its length prefix.
pub(crate) fn chat_message(name: &str, text: &str) -> Bytes {
    length_prefixed(&ChatMessage { name: name.to_owned(), message: text.to_owned() }.encode_to_vec())
}

/// Puts gRPC's prefix, for an uncompressed message, in front of an encoded message.
pub(crate) fn length_prefixed(message: &[u8]) -> Bytes {
    let mut prefixed = BytesMut::with_capacity(5 + message.len());
    prefixed.put_u8(0);
    prefixed.put_u32(message.len().try_into().unwrap());
    prefixed.put_slice(message);
    prefixed.freeze()
}
